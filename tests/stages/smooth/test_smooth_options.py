"""`steerx smooth` as it is typed: what decides what is written, where it goes, and what is refused."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from scorers import query, rows_of, save_model, write
from servers import answer, serving
from smoothers import CAFÉ, JOIN, LLM, RAW, WORDING, people
from steerx_cli.core.artifacts import read_footer
from steerx_cli.core.schemas import PROFILES
from steerx_cli.lm.templates import load_smoothing
from steerx_cli.stages.smooth import Nobody, OnServer, OnThisMachine
from steerx_cli.stages.smooth.settings import Settings
from support import Steerx, contents, python

RUN = Path("runs/default")
NOWHERE = "http://127.0.0.1:1/v1"  # a port on which nobody listens
ASKED: dict[str, object] = {
    "task": "review",
    "task_fingerprint": WORDING.task.fingerprint,
    "smoothing": "smoothing",
    "smoothing_version": 1,
    "smoothing_fingerprint": WORDING.smoothing.fingerprint,
    "prompt_format": "plain",
    "max_new_tokens": 9,
}
OWN = """
name = "mine"
version = 7
one = "Who writes so ({kind})?"
joint = "Who writes all this ({kind})?"
heading = "Text:"
anchor = "* {anchor}"
label = "It is:"
"""


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    save_model(folder / "tiny")
    save_model(folder / "chatless", chat=False)
    return folder


@pytest.fixture(autouse=True)
def here(alone: Path, models: Path) -> Path:
    """A working folder with a run in it, and a preset that names the model and the task."""
    write(alone / RUN, {"scores": people("abe"), "queries": [query("a", "0")]})
    (alone / "mine.toml").write_text(f'task = "review"\n[smooth]\nmodel = "{models / "tiny"}"\nmax-new-tokens = 3\n')
    (alone / "none.toml").write_text("")
    (alone / "own.toml").write_text(OWN)
    return alone


def told(steerx: Steerx, *arguments: object, preset: str = "mine.toml") -> dict[str, Any]:
    """The one JSON object that a run tells."""
    code, out, err = steerx("smooth", "--preset", preset, "--json", *arguments)
    assert (code, err, out.count("\n")) == (0, "", 1)
    found: dict[str, Any] = json.loads(out)
    return found


def refused(steerx: Steerx, *arguments: object, preset: str = "mine.toml") -> str:
    """The one sentence that it ends with; nothing is written."""
    before = contents(Path())
    code, out, err = steerx("smooth", "--preset", preset, *arguments)
    assert (code, out, err.count("\n")) == (2, "", 1), err
    assert err.startswith("Error: ")
    assert contents(Path()) == before
    assert CAFÉ not in err
    return err.removeprefix("Error: ").rstrip("\n")


# --- what decides -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("how", "parameters"),
    [
        (JOIN, {"mode": "join", "describe": "both", "unit": "span"}),
        (replace(JOIN, unit="word", of="texts"), {"mode": "join", "describe": "both", "unit": "word"}),
        (replace(RAW, describe="query"), {"mode": "raw", "describe": "query"}),
        (replace(RAW, unit="word", of="texts", wording=WORDING), {"mode": "raw", "describe": "both"}),
        (LLM, {"mode": "llm", "describe": "both", "unit": "span", "of": "anchors", **ASKED}),
        (replace(LLM, unit="token", of="texts"), {"mode": "llm", "describe": "both", "of": "texts", **ASKED}),
    ],
)
def test_parameters_are_those_that_are_looked_at(how: Settings, parameters: dict[str, object]) -> None:
    assert how.parameters() == parameters


def test_a_model_has_to_be_asked_with_something() -> None:
    with pytest.raises(ValueError, match="a model is asked with nothing"):
        Settings("llm")


def test_every_option_is_in_the_provenance(steerx: Steerx) -> None:
    given = {
        "unit": "word",
        "describe": "query",
        "task": "topic",
        "prompt_format": "plain",
        "max_new_tokens": 2,
        "batch_size": 2,
        "batch_tokens": 50,
    }
    flags = [part for name, value in given.items() for part in (f"--{name.replace('_', '-')}", value)]
    parameters = told(steerx, *flags, "--smoothing", "own.toml", "--dry-run")["parameters"]
    own = load_smoothing("own.toml")
    worded = {"smoothing": "mine", "smoothing_version": 7, "smoothing_fingerprint": own.fingerprint}
    assert given.items() | worded.items() <= parameters.items()
    assert own.fingerprint != WORDING.smoothing.fingerprint
    assert told(steerx, "--of", "texts", "--dry-run")["parameters"]["of"] == "texts"


def test_on_a_server_what_does_not_change_the_rows_is_not(steerx: Steerx) -> None:
    given = ("--endpoint", NOWHERE, "--model", "served/model", "--concurrency", 3, "--attempts", 1, "--timeout", 5)
    summary = told(steerx, *given, "--task", "review", "--dry-run", preset="none.toml")
    known = {"id": "served/model", "revision": "served", "weights": "unknown", "dtype": "unknown"}
    assert summary["models"] == {"smoother": known}
    plain = {"prompt_format": "chat", "max_new_tokens": 256}
    kept = {"mode": "llm", "describe": "both", "unit": "span", "of": "anchors", "chunk_users": 64, "limit": None}
    assert summary["parameters"] == kept | ASKED | plain
    assert NOWHERE not in json.dumps(summary)


# --- files ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["llm", "join", "raw"])
def test_it_reads_scores_and_writes_profiles(mode: str, steerx: Steerx, models: Path) -> None:
    (RUN / "queries.parquet").unlink()
    summary = told(steerx, "--mode", mode, *(() if mode == "llm" else ("--chunk-users", 1)))
    assert (summary["status"], summary["inputs"]) == ("finished", {"scores": str(RUN / "scores.parquet")})
    assert (summary["output"], summary["rows"]) == (str(RUN / "profiles.parquet"), 24)
    assert {path.name for path in RUN.iterdir()} == {"scores.parquet", "profiles.parquet"}
    record = read_footer(RUN / "profiles.parquet", PROFILES).record
    assert (record.artifact, record.stage, record.parameters["mode"]) == ("profiles", "smooth", mode)
    assert [*record.models] == (["smoother"] if mode == "llm" else [])
    assert {row["tokens"] for row in rows_of(RUN / "profiles.parquet") if row["basis"] == "llm"} <= {0, 1, 2, 3}
    again = told(steerx, "--mode", mode, *(() if mode == "llm" else ("--chunk-users", 1)))
    assert again["status"] == "up to date"
    said = refused(steerx, "--mode", mode, "--describe", "query")
    assert "profiles.parquet was made otherwise (" in said
    assert "describe both → query" in said


def test_shards_and_places_of_one_s_own(steerx: Steerx) -> None:
    given = ("--mode", "join", "--chunk-users", 1)
    names = [f"profiles-0000{index}-of-00002.parquet" for index in (1, 2)]
    for index, name in enumerate(names, 1):
        assert told(steerx, *given, "--shard", f"{index}/2")["output"] == str(RUN / name)
    summary = told(steerx, *given, "--scores", RUN / "scores.parquet", "--output", "mine/it.parquet", "--limit", 2)
    assert (summary["output"], summary["users"], summary["rows"]) == ("mine/it.parquet", 2, 16)
    assert steerx("merge", *(RUN / name for name in names), "--output", "whole.parquet", "--quiet").code == 0
    assert rows_of(Path("whole.parquet"))[:16] == rows_of(Path("mine/it.parquet"))


@pytest.mark.parametrize("given", [("llm",), ("llm", "--endpoint", NOWHERE, "--model", "m"), ("join",), ("raw",)])
def test_a_dry_run_does_nothing(given: tuple[str, ...], steerx: Steerx, monkeypatch: pytest.MonkeyPatch) -> None:
    nothing_is_asked(monkeypatch)
    before = contents(Path())
    summary = told(steerx, "--mode", *given, "--dry-run")
    assert (summary["status"], summary["rows"], summary["users"]) == ("would run", None, 3)
    assert contents(Path()) == before


def test_a_summary_tells_what_came_of_it(steerx: Steerx) -> None:
    code, out, err = steerx("smooth", "--preset", "mine.toml", "--mode", "join")
    assert (code, out) == (0, "")
    notes = [line.split(maxsplit=1)[1] for line in err.splitlines() if line.startswith("note ")]
    assert notes == [
        "descriptions: 14",
        "histories without anchors, and so without a description: 8",
        "queries without anchors, and so without a description: 2",
    ]
    assert CAFÉ not in err


def test_nothing_heavy_is_loaded_where_no_model_is() -> None:
    given = ("smooth", "--preset", "mine.toml", "--overwrite", "--quiet")
    with serving() as serve:
        ways = [("--mode", "join"), ("--mode", "raw"), ("--endpoint", serve(answer).url, "--model", "m")]
        script = (
            "import json, sys\nfrom steerx_cli.app import main\n"
            f"codes = [main(arguments) for arguments in {[[*given, *way] for way in ways]}]\n"
            "print(json.dumps([codes, [name for name in ('torch', 'transformers') if name in sys.modules]]))"
        )
        assert python(script) == (0, "[[0, 0, 0], []]\n", "")


# --- what is refused --------------------------------------------------------------------------------------------------


def nothing_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    for each in (Nobody, OnServer, OnThisMachine):
        monkeypatch.setattr(each, "prepare", lambda *_: pytest.fail("a model was loaded, or a request sent"))


def test_what_has_no_default_has_to_be_named(steerx: Steerx, models: Path) -> None:
    sentence = "neither {} nor a preset that sets it is given: name {}, or use --preset"
    said = refused(steerx, "--model", models / "tiny", preset="none.toml")
    assert said == sentence.format("--task", "a task (--task review)")
    said = refused(steerx, "--task", "review", preset="none.toml")
    assert said == sentence.format("--model", "a model (--model Qwen/Qwen3-14B)")
    said = refused(steerx, "--task", "review", "--endpoint", NOWHERE, preset="none.toml")
    assert said == sentence.format("--model", "the model as the server calls it (--model Qwen/Qwen3-14B)")
    for mode in ("join", "raw"):
        summary = told(steerx, "--mode", mode, "--overwrite", preset="none.toml")
        assert (summary["status"], summary["models"]) == ("finished", {})


SERVED = ("--endpoint", NOWHERE, "--model", "m")
TO_THE_SERVER = "--endpoint leaves that to the server: leave --{} out"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("--mode", "raw", "--unit", "word"), "--mode raw takes whole texts: leave --unit out"),
        (("--of", "texts", "--unit", "span"), "--of texts takes whole texts: leave --unit out"),
        (("--mode", "join", "--model", "m"), "--mode join asks no model: leave --model out"),
        (("--mode", "raw", "--of", "texts"), "--mode raw asks no model: leave --of out"),
        (("--mode", "join", "--endpoint", NOWHERE), "--mode join asks no model: leave --endpoint out"),
        (("--mode", "join", "--smoothing", "own.toml"), "--mode join asks no model: leave --smoothing out"),
        (("--mode", "join", "--task", "review"), "--mode join asks no model: leave --task out"),
        (("--mode", "raw", "--prompt-format", "plain"), "--mode raw asks no model: leave --prompt-format out"),
        (("--mode", "raw", "--batch-size", 2), "--mode raw asks no model: leave --batch-size out"),
        ((*SERVED, "--batch-size", 2), TO_THE_SERVER.format("batch-size")),
        ((*SERVED, "--dtype", "float32"), TO_THE_SERVER.format("dtype")),
        ((*SERVED, "--device", "cpu"), TO_THE_SERVER.format("device")),
        ((*SERVED, "--trust-remote-code"), TO_THE_SERVER.format("trust-remote-code")),
        (("--concurrency", 2), "no --endpoint is named: leave --concurrency out"),
        (("--attempts", 2), "no --endpoint is named: leave --attempts out"),
        (("--mode", "join", "--timeout", 2), "no --endpoint is named: leave --timeout out"),
        (("--endpoint", NOWHERE), "the preset's model is on this machine: name the --model as the server calls it"),
        (("--endpoint", "here", "--model", "m"), "--endpoint is no http or https address: name one such as"),
        (("--endpoint", "http://a:secret@b", "--model", "m"), "--endpoint has a user or a password in it: leave "),
        ((*SERVED, "--timeout", "inf"), "Invalid value for '--timeout': "),
        ((*SERVED, "--timeout", "nan"), "Invalid value for '--timeout': "),
        ((*SERVED, "--concurrency", 0), "Invalid value for '--concurrency': "),
        (("--task", "poem"), "there is no task 'poem': name one of "),
        (("--smoothing", "gone.toml"), "the smoothing prompt gone.toml "),
        (("--smoothing", "none.toml"), "the smoothing prompt none.toml lacks the key 'name': add it"),
        (("--scores", "gone.parquet"), "gone.parquet does not exist: `steerx score-tokens` writes scores"),
        (("--scores", RUN / "queries.parquet"), f"{RUN / 'queries.parquet'} holds queries, not scores"),
        ((*SERVED, "--scores", "gone.parquet"), "gone.parquet does not exist: `steerx score-tokens` writes scores"),
        (("--output", RUN / "scores.parquet"), f"{RUN / 'scores.parquet'} is read and would be written: "),
        (("--model", "./gone"), "model folder './gone' does not exist: name a folder, or a Hugging Face id"),
    ],
)
def test_it_is_refused_in_a_sentence_before_a_model_is_loaded_or_asked(
    given: tuple[object, ...], said: str, steerx: Steerx, monkeypatch: pytest.MonkeyPatch
) -> None:
    nothing_is_asked(monkeypatch)
    sentence = refused(steerx, *given)
    assert sentence.startswith(said)
    assert "secret" not in sentence


@pytest.mark.parametrize("key", ["two words", "naïve"])
def test_a_key_that_is_none_is_refused_before_a_request_is_sent(
    key: str, steerx: Steerx, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STEERX_API_KEY", key)
    assert refused(steerx, *SERVED) == "STEERX_API_KEY holds characters that are in no key: set it again"


def test_a_chat_format_that_the_model_lacks_is_refused(steerx: Steerx, models: Path) -> None:
    said = "this model's tokenizer has no chat template: use --prompt-format plain"
    assert refused(steerx, "--model", models / "chatless") == said
    assert told(steerx, "--model", models / "chatless", "--prompt-format", "plain")["rows"] == 24


# --- presets ----------------------------------------------------------------------------------------------------------


def test_what_a_preset_says_of_another_mode_is_no_mistake(steerx: Steerx, here: Path) -> None:
    lines = f"of = 'texts'\nunit = 'word'\nendpoint = '{NOWHERE}'\nconcurrency = 2\nbatch-size = 2\n"
    (here / "more.toml").write_text((here / "mine.toml").read_text() + lines)
    parameters = told(steerx, "--mode", "join", "--dry-run", preset="more.toml")["parameters"]
    assert (parameters["unit"], "of" in parameters) == ("word", False)
    parameters = told(steerx, "--mode", "join", "--unit", "token", "--dry-run", preset="more.toml")["parameters"]
    assert parameters["unit"] == "token"
    parameters = told(steerx, "--mode", "raw", "--dry-run", preset="more.toml")["parameters"]
    assert not {"unit", "of", "task", "max_new_tokens"} & {*parameters}
    summary = told(steerx, "--model", "m", "--dry-run", preset="more.toml")
    assert (summary["models"]["smoother"]["revision"], summary["parameters"]["of"]) == ("served", "texts")
    assert "unit" not in summary["parameters"]
    (here / "served.toml").write_text('task = "review"\n[smooth]\nmodel = "Qwen/Qwen3-14B"\n')
    summary = told(steerx, "--endpoint", NOWHERE, "--dry-run", preset="served.toml")
    assert summary["models"]["smoother"]["id"] == "Qwen/Qwen3-14B", "which is no folder here"
