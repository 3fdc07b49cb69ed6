"""The demo's model, from the recipe to the table of what it has learnt."""

from pathlib import Path
from typing import Any

import torch

from steerx_cli.core.progress import Progress
from steerx_cli.demo.documents import Documents, Stage, corpus
from steerx_cli.demo.files import SEED, place_for_table
from steerx_cli.demo.gate import TAU, Examiner, Figure, examine
from steerx_cli.demo.world import Strangers, authors
from steerx_cli.lm.frames import make_frame
from steerx_cli.lm.models import ModelRequest, identify, load_causal_lm
from steerx_cli.lm.pretrain import CHAT, Recipe, Trainer, make_tokenizer, read_record
from steerx_cli.lm.prompt import Prompt
from steerx_cli.lm.templates import load_smoothing, load_task

_TASK = "review"
_CORPUS = 2000  # documents that the tokenizer is made from


def trainer(seed: int, recipe: Recipe, device: str = "cpu") -> Trainer:
    """A model about to learn from strangers."""
    documents = Documents(seed, Strangers(authors(seed)), load_task(_TASK), load_smoothing(), CHAT)
    tokenizer = make_tokenizer(corpus(documents, _CORPUS), recipe.vocabulary)

    def pools(number: int, done: float) -> list[Prompt]:
        return documents.pool(number, recipe.documents_per_pool, Stage.at(done))

    return Trainer(tokenizer, pools, recipe, device)


def make_model(folder: Path, work: Path, progress: Progress) -> None:
    """Train the model, from where `work` has it; what is left in `folder` is an ordinary checkpoint."""
    training = trainer(SEED, Recipe(), "cuda" if torch.cuda.is_available() else "cpu")
    training.run(work, progress)
    training.save(folder)


# --- the gate ---------------------------------------------------------------------------------------------------------

_BEGIN, _END = "<!-- the gate's table: make demo-gate -->", "<!-- end of the gate's table -->"


def check_model(folder: Path, progress: Progress) -> None:
    """Measure the model on development users, and write the table into the folder's README."""
    training, put = read_record(folder / "model"), place_for_table(folder / "README.md", _BEGIN, _END)
    request = ModelRequest(str((folder / "model").resolve()), device="cpu")
    model, tokenizer = load_causal_lm(request)
    examiner = Examiner(model, tokenizer, load_task(_TASK), load_smoothing(), make_frame("chat", tokenizer))
    people = [author for author in authors(SEED) if author.split == "development"]
    figures = examine(examiner, people, progress)
    put(table(figures, {**training, "weights": identify(request).weights}))


def table(figures: list[Figure], training: dict[str, Any]) -> str:
    """The figures as Markdown, with what the training cost."""
    rows = [_row(figure) for figure in figures]
    missed, aims = sum(figure.reached is False for figure in figures), sum(bool(figure.aim) for figure in figures)
    heads = ["| measure | value | beside it | aim | reached |", "|---|---|---|---|---|"]
    reached = "Every aim is reached." if not missed else f"{missed} of {aims} aims are not reached."
    return "\n".join([_cost(training), "", *heads, *rows, "", reached])


def _row(figure: Figure) -> str:
    reached = {True: "yes", False: "**no**", None: ""}[figure.reached]
    return f"| {figure.name} | {figure.value:.3f} | {figure.beside} | {figure.aim} | {reached} |"


def _cost(training: dict[str, Any]) -> str:
    where = f"{training['threads']} threads of a CPU" if training["device"] == "cpu" else "a GPU"
    return (
        f"{training['parameters']:,} parameters (weights {training['weights'][:12]}), trained on {training['tokens']:,}"
        f" tokens, prompts included, of about {training['documents']:,} documents in {training['steps']:,} steps, which"
        f" took {training['seconds'] / 60:.0f} minutes on {where}. τ = {TAU:g}."
    )
