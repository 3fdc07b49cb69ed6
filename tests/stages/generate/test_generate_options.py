"""`steerx generate` as it is typed: what decides what is written, where it goes, and what is refused."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import steerx_cli.stages.generate as stage
import typed
from scorers import REVIEW, SHORT, profile, request, rows_of, save_model, vector, world, write
from steerx_cli.core.artifacts import read_footer
from steerx_cli.core.schemas import GENERATIONS
from steerx_cli.lm.models import identify
from steerx_cli.lm.sampling import Sampling
from steerx_cli.lm.steer import Steering
from steerx_cli.stages.generate.settings import Settings, weights
from support import Steerx

RUN = Path("runs/default")
COMMON: dict[str, object] = {
    "over": "queries",
    "task": "review",
    "task_fingerprint": REVIEW.task.fingerprint,
    "prompt_format": "chat",
    "max_new_tokens": 512,
    "batch_size": 32,
    "batch_tokens": 8192,
}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    save_model(folder / "tiny")
    save_model(folder / "chatless", chat=False)
    return folder


@pytest.fixture(autouse=True)
def here(alone: Path, models: Path) -> Path:
    """A working folder with a run in it, and a preset that names the model, the task, a λ and a γ2."""
    tables = world(dict.fromkeys("abc", SHORT[:3]))
    del tables["generations"]
    tables["profiles"] = [profile(row["user_id"], row["query_id"], f"{row['query_id']}!") for row in tables["queries"]]
    tables["vectors"] = [vector(row["user_id"], row["query_id"], 2, [1.0] * 32) for row in tables["queries"]]
    by = {"generator": identify(request(models / "tiny")).as_record()}
    write(alone / RUN, tables, by, layers=[2], gamma1=0.4)
    generate = f'[generate]\nmodel = "{models / "tiny"}"\nlam = 0.25\ngamma2 = 0.75\nmax-new-tokens = 3\n'
    (alone / "mine.toml").write_text(f'task = "review"\n{generate}')
    (alone / "none.toml").write_text("")
    return alone


def told(steerx: Steerx, *arguments: object, preset: str = "mine.toml") -> dict[str, Any]:
    """The one JSON object that a run tells."""
    return typed.told(steerx, "generate", "--preset", preset, *arguments)


def refused(steerx: Steerx, *arguments: object, preset: str = "mine.toml") -> str:
    """The one sentence that it ends with; nothing is written."""
    return typed.refused(steerx, "generate", "--preset", preset, *arguments)


# --- what decides -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("how", "also"),
    [
        ({"method": "non-perso"}, {}),
        ({"method": "non-perso", "over": "histories"}, {}),
        ({"method": "rag", "missing": "error"}, {"missing": "error"}),
        ({"method": "cos", "lams": (0.5, -1.0)}, {"lam": [0.5, -1.0], "missing": "fallback"}),
        (
            {"method": "steerx-cos", "lams": (0.5,)},
            {"lam": [0.5], "missing": "fallback", "profiles_of": "own", "described_by": "query"},
        ),
        (
            {"method": "steerx-cos", "lams": (0.5,), "profiles_of": "other", "described_by": "query", "seed": 7},
            {"lam": [0.5], "missing": "fallback", "profiles_of": "other", "described_by": "query", "seed": 7},
        ),
        (
            {"method": "cas", "gamma2s": (0.4, -1.0), "steering": Steering(20)},
            {"gamma2": [0.4, -1.0], "layer": 20, "positions": "generated", "vectors_of": "own", "missing": "fallback"},
        ),
        (
            {"method": "steerx-cas", "gamma2s": (0.4,), "steering": Steering(1, "all"), "vectors_of": "mean"},
            {"gamma2": [0.4], "layer": 1, "positions": "all", "vectors_of": "mean", "missing": "fallback"},
        ),
        (
            {"method": "cas", "gamma2s": (0.4,), "steering": Steering(1), "vectors_of": "other", "seed": 7},
            {"gamma2": [0.4], "layer": 1, "positions": "generated", "vectors_of": "other", "missing": "fallback"}
            | {"seed": 7},
        ),
        (
            {"method": "non-perso", "sampling": Sampling(0.5, 0.9), "seed": 7},
            {"temperature": 0.5, "top_p": 0.9, "seed": 7},
        ),
    ],
)
def test_parameters_are_those_that_are_looked_at(how: dict[str, Any], also: dict[str, object]) -> None:
    expected = {**COMMON, "method": how["method"], "over": how.get("over", "queries"), **also}
    assert Settings(task=REVIEW.task, **how).parameters() == expected
    unseen: dict[str, Any] = {"seed": 7} if "seed" not in also else {}
    unseen |= {"missing": "error"} if how["method"] == "non-perso" else {}
    assert replace(Settings(task=REVIEW.task, **how), **unseen).parameters() == expected


@pytest.mark.parametrize("lam", [0.0, -1.0, 0.7, 40.0])
def test_weights_have_the_sum_1(lam: float) -> None:
    for method in ("non-perso", "rag", "cos", "steerx-cos", "cas", "steerx-cas"):
        assert sum(weights(method, lam).values()) == pytest.approx(1)


def test_every_option_is_in_the_provenance(steerx: Steerx) -> None:
    given = {
        "prompt_format": "plain",
        "max_new_tokens": 2,
        "temperature": 0.5,
        "top_p": 0.5,
        "seed": 3,
        "batch_size": 2,
        "batch_tokens": 50,
        "missing": "error",
        "profiles_of": "other",
        "task": "abstract",
    }
    flags = [part for name, value in given.items() for part in (f"--{name.replace('_', '-')}", value)]
    summary = told(steerx, "--method", "steerx-cos", *flags, "--lam", 1, "--lam", 0, "--dry-run")
    assert {name: summary["parameters"][name] for name in given} == given
    assert summary["parameters"]["lam"] == [1.0, 0.0]
    assert {*summary["inputs"]} == {"queries", "retrieved", "profiles"}
    assert (summary["status"], summary["models"]["generator"]["id"]) == ("would run", "tiny")


def test_every_option_of_vectors_is_in_the_provenance(steerx: Steerx) -> None:
    given = {"layer": 2, "positions": "strict", "vectors_of": "other", "missing": "error", "seed": 3}
    flags = [part for name, value in given.items() for part in (f"--{name.replace('_', '-')}", value)]
    for method in ("cas", "steerx-cas"):
        summary = told(steerx, "--method", method, *flags, "--gamma2", 1, "--gamma2", -0.5, "--dry-run")
        assert {name: summary["parameters"][name] for name in given} == given
        assert summary["parameters"]["gamma2"] == [1.0, -0.5]
        assert {*summary["inputs"]} == {"queries", "retrieved", "vectors"}


@pytest.mark.parametrize(
    ("given", "name", "read"),
    [
        (("non-perso",), "generations-non-perso", ["queries"]),
        (("non-perso", "--over", "histories"), "neutral", ["retrieved"]),
        (("rag",), "generations-rag", ["queries", "retrieved"]),
        (("cos",), "generations-cos", ["queries", "retrieved"]),
        (("steerx-cos",), "generations-steerx-cos", ["queries", "retrieved", "profiles"]),
        (
            ("steerx-cos", "--profiles-of", "other"),
            "generations-steerx-cos-other",
            ["queries", "retrieved", "profiles"],
        ),
        (("cas",), "generations-cas", ["queries", "retrieved", "vectors"]),
        (("steerx-cas",), "generations-steerx-cas", ["queries", "retrieved", "vectors"]),
        (("cas", "--vectors-of", "other"), "generations-cas-other", ["queries", "retrieved", "vectors"]),
        (("steerx-cas", "--vectors-of", "mean"), "generations-steerx-cas-mean", ["queries", "retrieved", "vectors"]),
    ],
)
def test_each_method_reads_what_it_needs_and_has_a_file_of_its_own(
    given: tuple[str, ...], name: str, read: list[str], steerx: Steerx
) -> None:
    for path in RUN.iterdir():
        if path.stem not in read:
            path.unlink()
    summary = told(steerx, "--method", *given)
    assert summary["output"] == f"{RUN / name}.parquet"
    assert [*summary["inputs"]] == read
    rows = rows_of(RUN / f"{name}.parquet")
    assert {row["method"] for row in rows} == {given[0]}
    assert {row["lam"] for row in rows} == {0.25 if "cos" in given[0] else None}
    assert {row["gamma2"] for row in rows} == {0.75 if "cas" in given[0] else None}
    assert {row["donor_id"] is None for row in rows} == {"other" not in given}
    assert {len(row["token_ids"]) for row in rows} == {3}, "the preset's --max-new-tokens"
    record = read_footer(RUN / f"{name}.parquet", GENERATIONS).record
    assert record.parameters["method"] == given[0]
    assert told(steerx, "--method", *given, "--seed", *("0" if "other" in given else "7"))["status"] == "up to date"


# --- what is refused --------------------------------------------------------------------------------------------------


def test_what_has_no_default_has_to_be_named(steerx: Steerx, models: Path) -> None:
    given: tuple[object, ...] = ("--task", "review", "--model", models / "tiny")
    sentence = "neither {} nor a preset that sets it is given: name {}, or use --preset"
    said = refused(steerx, *given, preset="none.toml")
    assert said == sentence.format("--method", "a method (--method rag)")
    for method in ("cos", "steerx-cos"):
        said = refused(steerx, *given, "--method", method, preset="none.toml")
        assert said == sentence.format("--lam", "a λ (--lam 0.7)")
    for method in ("cas", "steerx-cas"):
        said = refused(steerx, *given, "--method", method, preset="none.toml")
        assert said == sentence.format("--gamma2", "a γ2 (--gamma2 0.4)")
    said = refused(steerx, *given[2:], "--method", "rag", preset="none.toml")
    assert said == sentence.format("--task", "a task (--task review)")
    said = refused(steerx, *given[:2], "--method", "rag", preset="none.toml")
    assert said == sentence.format("--model", "a model (--model Qwen/Qwen3-8B)")


BY_VECTOR = "leave {0} out, or name --method cas or steerx-cas"
NEUTRAL = (
    "--over histories asks for texts in which nothing is of the user, and --method {} steers: name --method non-perso"
)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("rag", "--lam", 0.5), "--method rag has no λ: leave --lam out, or name --method cos or steerx-cos"),
        (("non-perso", "--lam", 0), "--method non-perso has no λ: leave --lam out, or name --method cos or steerx-cos"),
        (
            ("cos", "--profiles-of", "other"),
            "--method cos has no description: leave --profiles-of out, or name --method steerx-cos",
        ),
        (("cas", "--lam", 1), "--method cas has no λ: leave --lam out, or name --method cos or steerx-cos"),
        (
            ("steerx-cas", "--described-by", "history"),
            "--method steerx-cas has no description: leave --described-by out, or name --method steerx-cos",
        ),
        (
            ("cas", "--profiles-of", "own"),
            "--method cas has no description: leave --profiles-of out, or name --method steerx-cos",
        ),
        (("rag", "--gamma2", 0.5), "--method rag has no γ2: " + BY_VECTOR.format("--gamma2")),
        (("steerx-cos", "--layer", 2), "--method steerx-cos has no vector: " + BY_VECTOR.format("--layer")),
        (("cos", "--positions", "all"), "--method cos has no vector: " + BY_VECTOR.format("--positions")),
        (("non-perso", "--vectors-of", "own"), "--method non-perso has no vector: " + BY_VECTOR.format("--vectors-of")),
        (("rag", "--top-p", 0.9), "--top-p is given and nothing is drawn: name a --temperature above 0, too"),
        (("rag", "--top-p", 0.9, "--temperature", 0), "--top-p is given and nothing is drawn: "),
        (("cos", "--over", "histories"), NEUTRAL.format("cos")),
        (("rag", "--over", "histories"), NEUTRAL.format("rag")),
        (("steerx-cas", "--over", "histories"), NEUTRAL.format("steerx-cas")),
        (("cas", "--gamma2", "nan"), "--gamma2 nan cannot be weighed in float32: choose one from -10000 to 10000"),
        (("cas", "--gamma2", "-1e39"), "--gamma2 -1e+39 cannot be weighed in float32: choose one from -10000 to 1000"),
        (("cas", "--gamma2", 0, "--gamma2", "-0.0"), "a --gamma2 is given twice: each is a row of its own"),
        (("cos", "--lam", "nan"), "--lam nan cannot be weighed in float32: choose one from -10000 to 10000"),
        (("cos", "--lam", 1, "--lam", "1e39"), "--lam 1e+39 cannot be weighed in float32: choose one from -10000 to"),
        (("cos", "--lam", 1, "--lam", "1.0"), "a --lam is given twice: each is a row of its own"),
        (("cos", "--lam", 0, "--lam", "-0.0"), "a --lam is given twice: each is a row of its own"),
        (("rag", "--temperature", "inf"), "--temperature inf draws nothing: choose a finite number above 0"),
        (("rag", "--temperature", 1, "--top-p", 0), "--top-p 0 is no share: choose a number above 0, and 1 at the"),
        (("rag", "--task", "poem"), "there is no task 'poem': name one of "),
        (("rag", "--retrieved", "gone.parquet"), "gone.parquet does not exist: `steerx retrieve` writes retrieved"),
        (("rag", "--queries", "gone.parquet"), "gone.parquet does not exist: `steerx import` writes queries"),
        (("steerx-cos", "--profiles", "gone.parquet"), "gone.parquet does not exist: `steerx smooth` writes profiles"),
        (("steerx-cos", "--profiles", RUN / "queries.parquet"), f"{RUN / 'queries.parquet'} holds queries, not profil"),
        (("cas", "--vectors", "gone.parquet"), "gone.parquet does not exist: `steerx build-vector` writes vectors"),
        (("cas", "--vectors", RUN / "queries.parquet"), f"{RUN / 'queries.parquet'} holds queries, not vectors: "),
        (("rag", "--output", RUN / "queries.parquet"), f"{RUN / 'queries.parquet'} is read and would be written: "),
    ],
)
def test_it_is_refused_in_a_sentence_before_a_model_is_loaded(
    given: tuple[object, ...], said: str, steerx: Steerx, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage, "prepare", lambda *_: pytest.fail("a model was loaded"))
    assert refused(steerx, "--method", *given).startswith(said)


def test_what_a_preset_says_of_another_method_is_no_mistake(steerx: Steerx, here: Path) -> None:
    lines = "profiles-of = 'other'\ntop-p = 0.5\nvectors-of = 'mean'\npositions = 'last'\n"
    (here / "more.toml").write_text((here / "mine.toml").read_text() + lines)
    for method in ("non-perso", "rag", "cos"):
        parameters = told(steerx, "--method", method, "--dry-run", preset="more.toml")["parameters"]
        assert not {"top_p", "profiles_of", "vectors_of", "positions", "gamma2"} & {*parameters}
        assert ("lam" in parameters) == (method == "cos")
    parameters = told(steerx, "--method", "steerx-cos", "--dry-run", preset="more.toml")["parameters"]
    assert (parameters["lam"], parameters["profiles_of"]) == ([0.25], "other")
    parameters = told(steerx, "--method", "cas", "--dry-run", preset="more.toml")["parameters"]
    assert (parameters["gamma2"], parameters["vectors_of"], parameters["positions"]) == ([0.75], "mean", "last")
    assert not {"lam", "profiles_of", "seed"} & {*parameters}
    assert told(steerx, "--method", "cos", "--lam", 2, "--dry-run")["parameters"]["lam"] == [2.0]


def test_who_lacks_something_is_named_if_it_is_not_let_pass(steerx: Steerx) -> None:
    tables = world(dict.fromkeys("abc", SHORT[:3]))
    lacking = [row for row in tables["retrieved"] if row["user_id"] != "b"]
    write(Path("less"), {"retrieved": lacking, "profiles": [profile("a", "a-0", None)]})
    given = ("--retrieved", "less/retrieved.parquet", "--missing", "error")
    for method in ("rag", "cos", "steerx-cos", "cas", "steerx-cas"):
        code, _, err = steerx("generate", "--preset", "mine.toml", "--method", method, *given)
        said = "Error: query 'b-0' of user 'b' has no histories, and --missing error does not let it pass"
        assert (code, err.rstrip("\n")) == (2, said)
    assert told(steerx, "--method", "non-perso", "--missing", "error")["rows"] == 6


def test_a_chat_format_that_the_model_lacks_is_refused(steerx: Steerx, models: Path) -> None:
    code, _, err = steerx("generate", "--preset", "mine.toml", "--method", "rag", "--model", models / "chatless")
    said = "Error: this model's tokenizer has no chat template: use --prompt-format plain\n"
    assert (code, err) == (2, said)
    assert not [path for path in RUN.rglob("*") if "generations" in path.name]


# --- files of other runs ----------------------------------------------------------------------------------------------


def test_what_was_made_for_fewer_users_is_refused(steerx: Steerx) -> None:
    run = ("--run", RUN.parent / "fewer")
    assert steerx("retrieve", *run, "--data", RUN, "--limit", "2", "--quiet").code == 0
    whole = ("--method", "rag", *run, "--data", RUN)
    said = refused(steerx, *whole)
    assert said.endswith("retrieved.parquet was made for the first 2 users: make it for all, or name --limit 2")
    assert told(steerx, *whole, "--limit", "2")["users"] == 2
    assert steerx("retrieve", *run, "--data", RUN, "--limit", "100", "--quiet", "--overwrite").code == 0
    assert told(steerx, *whole, "--overwrite")["users"] == 3, "there are no more than the limit allows"


def read(where: str, fingerprint: str, *ancestors: tuple[str, str]) -> Any:
    """An input whose ancestors are these, by fingerprint and kind."""
    ancestry = {name: {"record": {"artifact": kind}} for name, kind in ancestors}
    footer = SimpleNamespace(fingerprint=fingerprint, ancestry=ancestry, record=SimpleNamespace(parameters={}))
    return SimpleNamespace(where=where, footer=footer)


@pytest.mark.parametrize(("role", "method"), [("profiles", "steerx-cos"), ("vectors", "cas")])
@pytest.mark.parametrize(
    ("ancestors", "fits"),
    [
        ([("mine", "retrieved"), ("scored", "scores")], True),
        ([("another", "retrieved"), ("scored", "scores")], False),
        ([], True),  # nobody knows what a file from elsewhere was made from
    ],
)
def test_what_was_made_from_other_histories_is_told_of(
    ancestors: list[tuple[str, str]], fits: bool, role: str, method: str
) -> None:
    sources = {"retrieved": read("r.parquet", "mine"), role: read("p.parquet", "made", *ancestors)}
    said = "p.parquet was made from other histories than r.parquet"
    assert [*stage.notes(sources, Settings(method, REVIEW.task))] == ([] if fits else [said])
