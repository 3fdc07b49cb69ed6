"""The demo as it ships: the world is the seed's, the model is the recipe's, and both are loaded like anybody's."""

import json
from dataclasses import asdict
from pathlib import Path
from random import Random

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from steerx_cli.core.errors import SteerxError
from steerx_cli.core.progress import Silent
from steerx_cli.demo import build
from steerx_cli.demo.build import check_model, make_model, table
from steerx_cli.demo.descriptions import drawn_anchors
from steerx_cli.demo.documents import Documents, block_of, corpus, item_of
from steerx_cli.demo.files import SEED, place_for_table, write_world
from steerx_cli.demo.gate import Examiner, Figure, examine, recall_of
from steerx_cli.demo.slots import SLOTS
from steerx_cli.demo.world import Author, Strangers, authors
from steerx_cli.lm.frames import PLAIN, Frame, make_frame
from steerx_cli.lm.models import ModelRequest, identify, load_causal_lm
from steerx_cli.lm.plain import encode_prompt
from steerx_cli.lm.pretrain import CHAT, Recipe, encode, make_tokenizer
from steerx_cli.lm.prompt import Block, Description, EmptyHistory, NoBlock, render, render_smoothing
from steerx_cli.lm.templates import load_smoothing, load_task

DEMO = Path(__file__).parents[2] / "data" / "demo"
MODEL = DEMO / "model"
TASK, SMOOTHING = load_task("review"), load_smoothing()


@pytest.fixture(scope="module")
def people() -> list[Author]:
    return authors(SEED)


# --- what ships -------------------------------------------------------------------------------------------------------


def test_it_is_small() -> None:
    assert sum(path.stat().st_size for path in DEMO.rglob("*") if path.is_file()) < 25_000_000


def test_the_world_is_made_again_byte_for_byte(tmp_path: Path) -> None:
    write_world(tmp_path, SEED)
    made = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert sorted(made) == ["histories.parquet", "queries.parquet", "truth.parquet"]
    assert {name: (DEMO / name).read_bytes() for name in made} == made


def test_the_readme_counts_the_people_of_few_words(people: list[Author]) -> None:
    few = sum(author.person.habits["length"] == (1,) for author in people)
    expected = round(len(people) / len(SLOTS["length"].habits))
    said = " ".join((DEMO / "README.md").read_text().split())
    assert f"{few} of the {len(people)} write one sentence of judgement most of the time, where {expected} were" in said


def test_the_model_is_the_recipe_s() -> None:
    training = json.loads((MODEL / "training.json").read_text())
    assert training["recipe"] == asdict(Recipe())
    assert training["tokens"] >= Recipe().tokens
    config = json.loads((MODEL / "config.json").read_text())
    assert config["initializer_range"] == Recipe().hidden ** -0.5


def test_the_tokenizer_is_made_from_what_the_model_learns_from(people: list[Author]) -> None:
    documents = Documents(SEED, Strangers(people), TASK, SMOOTHING, CHAT)
    again = make_tokenizer(corpus(documents, build._CORPUS), Recipe().vocabulary)
    assert AutoTokenizer.from_pretrained(MODEL).get_vocab() == again.get_vocab()


def test_it_is_loaded_by_the_ordinary_classes_and_by_ours() -> None:
    theirs, tokenizer = AutoModelForCausalLM.from_pretrained(MODEL), AutoTokenizer.from_pretrained(MODEL)
    ours, our_tokenizer = load_causal_lm(ModelRequest(str(MODEL), device="cpu"))
    ids = tokenizer("Hear me out.", return_tensors="pt")["input_ids"]
    assert our_tokenizer("Hear me out.")["input_ids"] == ids[0].tolist()
    with torch.no_grad():
        assert torch.equal(ours(ids).logits, theirs(ids).logits)
    assert type(theirs).__name__ == "Qwen3ForCausalLM"
    assert make_frame("chat", tokenizer) == CHAT


@pytest.mark.parametrize("frame", [PLAIN, CHAT])
@pytest.mark.parametrize("kind", ["none", "nothing", "histories", "description"])
def test_the_prompt_at_use_is_id_for_id_what_training_saw(kind: str, frame: Frame, people: list[Author]) -> None:
    tokenizer = AutoTokenizer.from_pretrained(MODEL)
    for author in people[:8]:
        blocks: dict[str, Block] = {
            "none": EmptyHistory(),
            "nothing": NoBlock(),
            "histories": block_of(author.histories[:4]),
            "description": Description("This person opens with: Hear me out."),
        }
        review, block = author.next[0], blocks[kind]
        at_use = encode_prompt(tokenizer, render(TASK, frame, item_of(review), block))
        own = encode_prompt(tokenizer, render(TASK, frame, item_of(review), block, own=True))
        (seen,) = encode(tokenizer, [render(TASK, frame, item_of(review), block, review.text)])
        assert seen.ids[: len(at_use)].tolist() == at_use == own
        assert seen.learnt[len(at_use) :].all()


def test_so_is_the_smoothing_prompt(people: list[Author]) -> None:
    tokenizer = AutoTokenizer.from_pretrained(MODEL)
    anchors = [[anchor.text for anchor in drawn_anchors(Random(0), review)] for review in people[0].histories]
    at_use = encode_prompt(tokenizer, render_smoothing(SMOOTHING, TASK, CHAT, anchors))
    (seen,) = encode(tokenizer, [render_smoothing(SMOOTHING, TASK, CHAT, anchors, "This person ends on: dots.")])
    assert seen.ids[: len(at_use)].tolist() == at_use


def test_training_measuring_and_the_table_hang_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny = Recipe(tokens=2_000, tokens_per_step=2_000, documents_per_pool=8, vocabulary=300, hidden=16, layers=1)
    monkeypatch.setattr(build, "Recipe", lambda: tiny)
    monkeypatch.setattr(build, "_CORPUS", 20)
    monkeypatch.setattr(build, "authors", lambda seed: authors(seed)[:1])
    monkeypatch.setattr("steerx_cli.demo.gate.LONGEST", 3)
    with pytest.raises(SteerxError, match="holds no model whose training was finished: `make demo-model` trains it"):
        check_model(tmp_path, Silent())
    make_model(tmp_path / "model", tmp_path / "work", Silent())
    with pytest.raises(SteerxError, match=r"README\.md has no place for the table"):
        check_model(tmp_path, Silent())
    (tmp_path / "README.md").write_text(f"{build._BEGIN}\n{build._END}\n")
    check_model(tmp_path, Silent())
    assert "| precision of anchor tokens | " in (tmp_path / "README.md").read_text()


# --- the gate ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def examiner() -> Examiner:
    model, tokenizer = load_causal_lm(ModelRequest(str(MODEL), device="cpu"))
    return Examiner(model, tokenizer, TASK, SMOOTHING, make_frame("chat", tokenizer))


def test_the_model_has_learnt_to_copy_a_person(examiner: Examiner, people: list[Author]) -> None:
    scored = [text for author in people[:2] for text in examiner.score(author)]
    assert recall_of("opener", scored).recall > 0.9
    assert recall_of("closer", scored).recall > 0.9


def test_the_gate_has_a_line_for_every_aim(examiner: Examiner, people: list[Author]) -> None:
    figures = examine(examiner, people[:1], Silent())
    words = ("opener", "aspect", "intensifier", "praise", "fault", "hedge", "triumph", "failure", "closer")
    recalls = [figure.name for figure in figures if figure.name.startswith("recall")]
    assert set(recalls) <= {f"recall: {word}" for word in words}
    assert {"recall: opener", "recall: aspect", "recall: hedge", "recall: closer"} <= set(recalls)
    assert [figure.name for figure in figures][len(recalls) :] == [
        "precision of anchor tokens",
        "area under the curve, all tokens",
        "area under the curve, first tokens of choices",
        "habits named, from 4 texts",
        "habits invented, from 4 texts",
        "habits named, from one text",
        "habits invented, from one text",
        "repeated 4-grams without history",
    ]


def test_the_table_that_ships_is_of_the_model_that_ships() -> None:
    readme = (DEMO / "README.md").read_text()
    assert f"(weights {identify(ModelRequest(str(MODEL))).weights[:12]})" in readme
    assert readme.count("| recall: ") == 9


FIGURES = [
    Figure("one", 0.51234, "half", "≥ 0.5", True),
    Figure("two", 0.2, "much", "≤ 0.1", False),
    Figure("three", 0.3, "no aim"),
]
TRAINING = {
    "parameters": 1234, "tokens": 5678, "documents": 90, "steps": 12, "seconds": 600, "threads": 2, "device": "cpu",
    "weights": "0123456789abcdef",
}  # fmt: skip


def test_the_table_says_what_is_not_reached() -> None:
    assert table(FIGURES, TRAINING).splitlines() == [
        "1,234 parameters (weights 0123456789ab), trained on 5,678 tokens, prompts included, of about 90 documents in "
        "12 steps, which took 10 minutes on 2 threads of a CPU. τ = 1.",
        "",
        "| measure | value | beside it | aim | reached |",
        "|---|---|---|---|---|",
        "| one | 0.512 | half | ≥ 0.5 | yes |",
        "| two | 0.200 | much | ≤ 0.1 | **no** |",
        "| three | 0.300 | no aim |  |  |",
        "",
        "1 of 2 aims are not reached.",
    ]
    assert table(FIGURES[:1], TRAINING).endswith("Every aim is reached.")


def test_a_table_takes_the_last_one_s_place(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(f"above\n{build._BEGIN}\nold\n{build._END}\nbelow\n")
    for text in ("first", "second"):
        place_for_table(readme, build._BEGIN, build._END)(text)
    assert readme.read_text() == f"above\n{build._BEGIN}\nsecond\n{build._END}\nbelow\n"


def test_a_readme_without_a_place_is_left_alone(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text("nothing here")
    with pytest.raises(SteerxError, match="has no place for the table"):
        place_for_table(readme, build._BEGIN, build._END)
    assert readme.read_text() == "nothing here"
