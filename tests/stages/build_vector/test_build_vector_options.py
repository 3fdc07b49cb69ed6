"""`steerx build-vector` as it is typed: what decides a vector, what is told of it, and what is refused."""

from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import pytest

import steerx_cli.stages.build_vector as stage
from builders import HOW, people
from scorers import REVIEW, SHORT, rows_of, save_model, write
from steerx_cli.core.artifacts import read_footer
from steerx_cli.core.schemas import VECTORS
from steerx_cli.stages.build_vector.settings import Mix
from support import Steerx, contents, python
from typed import refused, told

RUN = Path("runs/default")
MADE = RUN / "vectors.parquet"
TYPED = ("build-vector", "--preset", "mine.toml")
COMMON: dict[str, object] = {
    "layers": [1, 2],
    "gamma1": 0.4,
    "normalize": False,
    "scope": "query",
    "pool": "last",
    "text": "prompted",
    "task": "review",
    "task_fingerprint": REVIEW.task.fingerprint,
    "prompt_format": "plain",
    "batch_tokens": 8192,
}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    save_model(folder / "tiny")
    save_model(folder / "other", "llama")
    save_model(folder / "chatless", chat=False)
    return folder


@pytest.fixture(autouse=True)
def here(alone: Path, models: Path) -> Path:
    """A working folder with a run in it, and a preset that names the model, the task, a layer and a γ1."""
    write(alone / RUN, people(dict.fromkeys("abc", SHORT[:3])), over="histories", retriever="all")
    own = f'[build-vector]\nmodel = "{models / "tiny"}"\nlayer = 2\ngamma1 = 0.25\n'
    (alone / "mine.toml").write_text(f'task = "review"\n{own}')
    (alone / "none.toml").write_text("")
    return alone


def parameters(steerx: Steerx, *arguments: object) -> dict[str, Any]:
    found: dict[str, Any] = told(steerx, *TYPED, "--dry-run", *arguments)["parameters"]
    return found


# --- what decides -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("how", "also"),
    [
        ({}, {"described_by": "history", "select_by_description": None}),
        ({"described_by": "query", "select": 3}, {"described_by": "query", "select_by_description": 3}),
        ({"mix": Mix(1.0)}, {"gamma1": 1.0}),
        ({"mix": Mix(1.0), "select": 3}, {"gamma1": 1.0, "described_by": "history", "select_by_description": 3}),
        (
            {"mix": Mix(0.0, normalize=True), "pool": "mean", "text": "alone", "scope": "user", "layers": (7,)},
            {"gamma1": 0.0, "normalize": True, "pool": "mean", "text": "alone", "scope": "user", "layers": [7]}
            | {"described_by": "history", "select_by_description": None},
        ),
    ],
)
def test_parameters_are_those_that_are_looked_at(how: dict[str, Any], also: dict[str, object]) -> None:
    assert replace(HOW, **how).parameters() == COMMON | also


def test_every_option_is_in_the_provenance(steerx: Steerx) -> None:
    given = {
        "gamma1": 0.75,
        "described_by": "query",
        "select_by_description": 2,
        "scope": "user",
        "pool": "mean",
        "text": "alone",
        "task": "abstract",
        "prompt_format": "plain",
        "batch_tokens": 50,
    }
    flags = [part for name, value in given.items() for part in (f"--{name.replace('_', '-')}", value)]
    summary = told(steerx, *TYPED, *flags, "--layer", 1, "--layer", 2, "--normalize", "--dry-run")
    assert {name: summary["parameters"][name] for name in given} == given
    assert (summary["parameters"]["layers"], summary["parameters"]["normalize"]) == ([1, 2], True)
    assert summary["parameters"]["architecture"] == "qwen3"
    assert (summary["status"], summary["models"]["generator"]["id"]) == ("would run", "tiny")
    assert summary["output"] == f"{MADE}"


def test_flags_go_before_the_preset(steerx: Steerx) -> None:
    assert (parameters(steerx)["layers"], parameters(steerx)["gamma1"]) == ([2], 0.25)
    found = parameters(steerx, "--layer", 1, "--gamma1", -2)
    assert (found["layers"], found["gamma1"]) == ([1], -2.0)


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ((), ["retrieved", "neutral", "profiles"]),
        (("--gamma1", 1), ["retrieved", "neutral"]),
        (("--gamma1", 1, "--select-by-description", 1), ["retrieved", "neutral", "profiles"]),
    ],
)
def test_it_reads_what_it_needs(given: tuple[object, ...], read: list[str], steerx: Steerx) -> None:
    for path in RUN.iterdir():
        if path.stem not in read:
            path.unlink()
    assert [*told(steerx, *TYPED, *given)["inputs"]] == read
    assert len(rows_of(MADE)) == 6


# --- what is told -----------------------------------------------------------------------------------------------------


def sizes(layer: int) -> str:
    """What is said of the vectors of a layer, from what is in their rows."""
    rows = [row for row in rows_of(MADE) if row["layer"] == layer]
    share = median(row["norm"] / row["stream_norm"] for row in rows)
    norm, stream, cosine = (median(row[name] for row in rows) for name in ("norm", "stream_norm", "cosine"))
    return (
        f"layer {layer}: vectors of norm {norm:.3g}, {share:.3g} of the residual stream's {stream:.3g}, "
        f"cosine to it {cosine:.2g} (medians of {len(rows)})"
    )


def test_it_writes_vectors_and_tells_how_large_they_are(steerx: Steerx) -> None:
    summary = told(steerx, *TYPED, "--layer", 2, "--layer", 1)
    assert (summary["command"], summary["status"], summary["preset"]) == ("build-vector", "finished", "mine.toml")
    assert (summary["rows"], summary["users"], summary["output"]) == (12, 3, f"{MADE}")
    assert summary["counts"]["tokens run through the model"] > 0
    assert summary["notes"][1:] == [sizes(1), sizes(2)]
    record = read_footer(MADE, VECTORS).record
    assert (record.stage, record.models["generator"]) == ("build-vector", summary["models"]["generator"])
    again = told(steerx, *TYPED, "--layer", 2, "--layer", 1)
    assert (again["status"], again["notes"]) == ("up to date", summary["notes"])


def test_a_person_reads_it_on_the_terminal(steerx: Steerx) -> None:
    code, out, err = steerx(*TYPED)
    assert (code, out) == (0, "")
    assert sizes(2) in err


def test_a_shard_tells_of_its_own(steerx: Steerx) -> None:
    summary = told(steerx, *TYPED, "--chunk-users", 1, "--shard", "1/3")
    assert summary["output"] == f"{RUN / 'vectors-00001-of-00003.parquet'}"
    assert summary["notes"][-1].endswith("(medians of 2)")


OTHER_MODEL = f"{RUN / 'neutral.parquet'} was written by another model than the one that reads it"
RETRIEVED_ONLY = (
    "a user's vector is made from what was retrieved for the user's queries: all of it is --retriever all's"
)


def test_neutral_texts_of_another_model_are_told_of(steerx: Steerx, models: Path) -> None:
    write_them = ("generate", "--preset", "mine.toml", "--method", "non-perso", "--over", "histories", "--quiet")
    for model in ("other", "tiny"):
        typed = ("--model", models / model, "--max-new-tokens", 2, "--overwrite")
        assert steerx(*write_them, *typed).code == 0
        summary = told(steerx, *TYPED, "--overwrite")
        assert (OTHER_MODEL in summary["notes"]) == (model == "other")
        assert (summary["status"], summary["rows"]) == ("finished", 6)


@pytest.mark.parametrize("retriever", ["all", "bm25"])
@pytest.mark.parametrize("scope", ["user", "query"])
def test_a_user_s_vector_of_some_histories_is_told_of(retriever: str, scope: str, steerx: Steerx) -> None:
    write(RUN, {"retrieved": people(dict.fromkeys("abc", SHORT[:3]))["retrieved"]}, retriever=retriever)
    notes = told(steerx, *TYPED, "--scope", scope, "--dry-run")["notes"]
    assert (RETRIEVED_ONLY in notes) == (retriever != "all" and scope == "user")


def test_a_dry_run_loads_and_writes_nothing(steerx: Steerx, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "prepare", lambda *_: pytest.fail("a model was loaded"))
    before = contents(Path())
    summary = told(steerx, *TYPED, "--dry-run")
    assert (summary["status"], summary["rows"], summary["users"]) == ("would run", None, 3)
    assert contents(Path()) == before


# --- what is refused --------------------------------------------------------------------------------------------------


def test_what_has_no_default_has_to_be_named(steerx: Steerx, models: Path) -> None:
    given: tuple[object, ...] = ("--model", models / "tiny", "--task", "review", "--layer", 1, "--gamma1", 0.5)
    sentence = "neither {} nor a preset that sets it is given: name {}, or use --preset"
    for at, (flag, example) in enumerate(
        [
            ("--model", "a model (--model Qwen/Qwen3-8B)"),
            ("--task", "a task (--task review)"),
            ("--layer", "a layer (--layer 20)"),
            ("--gamma1", "a γ1 (--gamma1 0.4)"),
        ]
    ):
        rest = given[: 2 * at] + given[2 * at + 2 :]
        assert refused(steerx, "build-vector", "--preset", "none.toml", *rest) == sentence.format(flag, example)


ANSWERS = (
    "answers.parquet has answers to queries: name what `steerx generate --method non-perso --over histories` writes, "
    "with --neutral"
)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("--layer", 0), "--layer is 0: decoder blocks are counted from 1"),
        (("--layer", 2, "--layer", -1), "--layer is -1: decoder blocks are counted from 1"),
        (("--layer", 2, "--layer", 1, "--layer", 2), "a --layer is given twice: each is a row of its own"),
        (("--gamma1", "nan"), "--gamma1 nan cannot be weighed in float32: choose one from -10000 to 10000"),
        (("--gamma1", "-inf"), "--gamma1 -inf cannot be weighed in float32: choose one from -10000 to 10000"),
        (("--gamma1", "1e39"), "--gamma1 1e+39 cannot be weighed in float32: choose one from -10000 to 10000"),
        (("--task", "poem"), "there is no task 'poem': name one of "),
        (("--retrieved", "gone.parquet"), "gone.parquet does not exist: `steerx retrieve` writes retrieved"),
        (("--neutral", "gone.parquet"), "gone.parquet does not exist: `steerx generate --method non-perso --over h"),
        (("--profiles", "gone.parquet"), "gone.parquet does not exist: `steerx smooth` writes profiles"),
        (("--vectors", "gone.parquet"), "gone.parquet does not exist: `steerx build-vector` writes vectors"),
        (("--neutral", RUN / "retrieved.parquet"), f"{RUN / 'retrieved.parquet'} holds retrieved, not generations: "),
        (("--profiles", RUN / "neutral.parquet"), f"{RUN / 'neutral.parquet'} holds generations, not profiles: "),
        (("--vectors", RUN / "neutral.parquet"), f"{RUN / 'neutral.parquet'} holds generations, not vectors: "),
        (("--neutral", "answers.parquet"), ANSWERS),
        (("--output", RUN / "neutral.parquet"), f"{RUN / 'neutral.parquet'} is read and would be written: "),
        (("--model", "./gone"), "model folder './gone' does not exist: name a folder, or a Hugging Face id"),
    ],
)
def test_it_is_refused_in_a_sentence_before_a_model_is_loaded(
    given: tuple[object, ...], said: str, steerx: Steerx, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(here / "of queries", {"neutral": people({"a": SHORT[:1]})["neutral"]}, over="queries")
    (here / "of queries" / "neutral.parquet").rename("answers.parquet")
    monkeypatch.setattr(stage, "prepare", lambda *_: pytest.fail("a model was loaded"))
    assert refused(steerx, *TYPED, *given).startswith(said)


@pytest.mark.parametrize("name", ["neutral", "profiles"])
def test_what_was_made_for_fewer_users_is_refused(name: str, steerx: Steerx, monkeypatch: pytest.MonkeyPatch) -> None:
    tables = people(dict.fromkeys("ab", SHORT[:3]))
    write(RUN, {name: tables[name]}, over="histories", limit=2)
    monkeypatch.setattr(stage, "prepare", lambda *_: pytest.fail("a model was loaded"))
    where = RUN / f"{name}.parquet"
    said = f"{where} was made for the first 2 users: make it for all, or name --limit 2"
    assert refused(steerx, *TYPED) == said
    assert told(steerx, *TYPED, "--limit", 2, "--dry-run")["users"] == 2


def test_a_layer_that_the_model_lacks_is_refused_by_its_config(
    steerx: Steerx, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"{models / 'tiny'}"
    monkeypatch.setattr(stage, "prepare", lambda *_: pytest.fail("a model was loaded"))
    said = refused(steerx, *TYPED, "--layer", 1, "--layer", 3)
    assert said == f"model {name!r} has 2 decoder blocks, and --layer is 3: name one from 1 to 2"


def test_what_only_the_model_can_tell_is_refused_once_it_is_there(steerx: Steerx, models: Path) -> None:
    said = refused(steerx, *TYPED, "--model", models / "chatless")
    assert said == "this model's tokenizer has no chat template: use --prompt-format plain"


# --- mixed again ------------------------------------------------------------------------------------------------------

AGAIN = ("--vectors", MADE, "--output", "mixed.parquet")


@pytest.mark.parametrize(
    "given",
    [
        ("--model", "tiny"),
        ("--revision", "main"),
        ("--dtype", "float32"),
        ("--device", "cpu"),
        ("--batch-tokens", 8192),
        ("--trust-remote-code",),
        ("--pickled",),
        ("--prompt-format", "chat"),
        ("--task", "review"),
        ("--layer", 2),
        ("--scope", "query"),
        ("--pool", "last"),
        ("--text", "prompted"),
        ("--described-by", "history"),
        ("--select-by-description", 3),
        ("--retrieved", RUN / "retrieved.parquet"),
        ("--neutral", RUN / "neutral.parquet"),
        ("--profiles", RUN / "profiles.parquet"),
    ],
    ids=lambda given: given[0],
)
def test_what_was_read_cannot_be_read_otherwise_afterwards(given: tuple[object, ...], steerx: Steerx) -> None:
    said = f"--vectors mixes what was read, and {given[0]} is for reading: leave one of them out"
    assert refused(steerx, *TYPED, *AGAIN, *given) == said


def test_mixing_again_loads_no_model_and_nothing_that_could(steerx: Steerx) -> None:
    told(steerx, *TYPED)
    given = [*TYPED, *map(str, AGAIN), "--gamma1", "0.9", "--normalize", "--quiet"]
    script = (
        f"import sys\nfrom steerx_cli.app import main\ncode = main({given!r})\n"
        "print([name for name in ('torch', 'transformers', 'safetensors') if name in sys.modules])\nsys.exit(code)"
    )
    code, out, err = python(script)
    assert (code, out) == (0, "[]\n"), err
    before, after = rows_of(MADE), rows_of(Path("mixed.parquet"))
    assert [row["from_histories"] for row in before] == [row["from_histories"] for row in after]
    assert {round(row["norm"], 5) for row in after} == {1.0} != {round(row["norm"], 5) for row in before}


def test_mixing_again_tells_what_building_does(steerx: Steerx) -> None:
    told(steerx, *TYPED)
    summary = told(steerx, *TYPED, *AGAIN, "--gamma1", 0.9)
    built = told(steerx, *TYPED, "--gamma1", 0.9, "--overwrite")
    for name in ("command", "rows", "users", "models", "parameters"):
        assert summary[name] == built[name]
    assert (summary["notes"], summary["inputs"]) == (built["notes"][-1:], {"vectors": f"{MADE}"})
    assert told(steerx, *TYPED, *AGAIN, "--gamma1", 0.9, "--overwrite")["status"] == "finished", "of other vectors"


def test_vectors_are_not_mixed_over_themselves(steerx: Steerx) -> None:
    told(steerx, *TYPED)
    said = refused(steerx, *TYPED, "--vectors", MADE, "--gamma1", 0.9, "--overwrite")
    assert said.startswith(f"{MADE} is read and would be written: ")


def test_vectors_without_descriptions_cannot_be_mixed_with_them(steerx: Steerx) -> None:
    told(steerx, *TYPED, "--gamma1", 1)
    said = f"{MADE} was made with --gamma1 1, and so without descriptions: build the vectors again"
    assert refused(steerx, *TYPED, *AGAIN) == said
    assert told(steerx, *TYPED, *AGAIN, "--gamma1", 1, "--normalize")["rows"] == 6


def test_the_length_of_vectors_stays_where_nothing_is_said_of_it(steerx: Steerx) -> None:
    """γ2 was chosen for it."""
    told(steerx, *TYPED, "--normalize")
    for given, length in (((), 1.0), (("--normalize",), 1.0), (("--no-normalize",), None)):
        told(steerx, "build-vector", "--preset", "mine.toml", *AGAIN, "--gamma1", 0.1, "--overwrite", *given)
        norms = {round(row["norm"], 4) for row in rows_of(Path("mixed.parquet"))}
        assert (norms == {1.0}) == (length == 1.0)


def test_neutral_texts_in_other_words_are_told_of(steerx: Steerx) -> None:
    said = f"{RUN / 'neutral.parquet'} was written with another --task or --prompt-format"
    for words, notes in (("chat", []), ("plain", [said])):
        neutral = {"neutral": people(dict.fromkeys("abc", SHORT[:3]))["neutral"]}
        write(RUN, neutral, over="histories", prompt_format=words)
        found = told(steerx, *TYPED, "--prompt-format", "chat", "--dry-run", "--overwrite")["notes"]
        assert [note for note in found if "written with" in note] == notes


def test_what_was_made_from_fewer_users_is_refused_before_a_model_is_loaded(
    steerx: Steerx, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The limit may be one of what it was made from: it is looked for as far back as is known."""
    small = RUN.parent / "small"
    write(small, {"retrieved": people(dict.fromkeys("ab", SHORT[:3]))["retrieved"]}, limit=2, retriever="all")
    bare = ("generate", "--method", "non-perso", "--over", "histories", "--max-new-tokens", 2)
    assert steerx(*bare, "--preset", "mine.toml", "--model", models / "tiny", "--run", small, "--quiet").code == 0
    monkeypatch.setattr(stage, "prepare", lambda *_: pytest.fail("a model was loaded"))
    neutral = ("--neutral", small / "neutral.parquet", "--gamma1", 1)
    said = f"{small / 'neutral.parquet'} was made for the first 2 users: make it for all, or name --limit 2"
    assert refused(steerx, *TYPED, *neutral) == said
    assert told(steerx, *TYPED, *neutral, "--limit", 2, "--dry-run")["users"] == 2
    whole = ("--retrieved", small / "retrieved.parquet")
    assert told(steerx, *TYPED, *neutral, *whole, "--dry-run")["users"] == 2, "there are no more to be asked for"
