"""The demo's model, from the recipe to the table of what it has learnt."""

import json
from pathlib import Path
from typing import Any

from steerx_cli.core.errors import SteerxError
from steerx_cli.core.progress import Progress
from steerx_cli.demo.documents import Documents, Stage, corpus
from steerx_cli.demo.gate import TAU, Examiner, Figure, examine
from steerx_cli.demo.world import Strangers, authors
from steerx_cli.lm.frames import make_frame
from steerx_cli.lm.models import ModelRequest, load_causal_lm
from steerx_cli.lm.pretrain import CHAT, Recipe, Trainer, make_tokenizer
from steerx_cli.lm.templates import load_smoothing, load_task

SEED = 0
_TASK = "review"
_CORPUS = 2000  # documents that the tokenizer is made from


def trainer(seed: int, recipe: Recipe) -> Trainer:
    """A model about to learn from strangers."""
    documents = Documents(seed, Strangers(authors(seed)), load_task(_TASK), load_smoothing(), CHAT)
    tokenizer = make_tokenizer(corpus(documents, _CORPUS), recipe.vocabulary)
    return Trainer(
        tokenizer, lambda number, done: documents.pool(number, recipe.documents_per_pool, Stage.at(done)), recipe
    )


def make_model(folder: Path, work: Path, progress: Progress) -> None:
    """Train the model, from where `work` has it; what is left in `folder` is an ordinary checkpoint."""
    training = trainer(SEED, Recipe())
    training.run(work, progress)
    training.save(folder)


# --- the gate ---------------------------------------------------------------------------------------------------------

_BEGIN, _END = "<!-- the gate's table: make demo-gate -->", "<!-- end of the gate's table -->"


def check_model(folder: Path, progress: Progress) -> None:
    """Measure the model on development users, and write the table into the folder's README."""
    model, tokenizer = load_causal_lm(ModelRequest(str(folder / "model"), device="cpu"))
    examiner = Examiner(model, tokenizer, load_task(_TASK), load_smoothing(), make_frame("chat", tokenizer))
    people = [author for author in authors(SEED) if author.split == "development"]
    figures = examine(examiner, people, progress)
    training = json.loads((folder / "model" / "training.json").read_text(encoding="utf-8"))
    put_table(folder / "README.md", table(figures, training))


def table(figures: list[Figure], training: dict[str, Any]) -> str:
    """The figures as Markdown, with what the training cost."""
    rows = [_row(figure) for figure in figures]
    missed = sum(not figure.reached for figure in figures)
    heads = ["| measure | value | beside it | aim | reached |", "|---|---|---|---|---|"]
    reached = "Every aim is reached." if not missed else f"{missed} of {len(figures)} aims are not reached."
    return "\n".join([_cost(training), "", *heads, *rows, "", reached])


def _row(figure: Figure) -> str:
    reached = "yes" if figure.reached else "**no**"
    return f"| {figure.name} | {figure.value:.3f} | {figure.beside} | {figure.aim} | {reached} |"


def _cost(training: dict[str, Any]) -> str:
    return (
        f"{training['parameters']:,} parameters, trained on {training['tokens']:,} tokens of {training['documents']:,} "
        f"documents in {training['steps']:,} steps: {training['seconds'] / 60:.0f} minutes on "
        f"{training['threads']} threads of a {training['device'].upper()}. τ = {TAU:g}."
    )


def put_table(readme: Path, text: str) -> None:
    """Put a table in the place of the last one."""
    before, begin, rest = readme.read_text(encoding="utf-8").partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not (begin and end):
        raise SteerxError(f"{readme} has no place for the table: put {_BEGIN} and {_END} into it")
    readme.write_text(f"{before}{begin}\n{text}\n{end}{after}", encoding="utf-8")
