"""Presets: where a setting comes from, and what is said of one that cannot be."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer.main

from steerx_cli.app import app
from steerx_cli.core import presets
from steerx_cli.core.errors import SteerxError
from steerx_cli.core.presets import load_preset, preset_names, preset_text
from support import Steerx

GROUP: Any = typer.main.get_command(app)
PLAIN = '[retrieve]\nretriever = "recency"\n'


@pytest.fixture(autouse=True)
def here(few: Path, alone: Path) -> Path:
    """A working folder with histories and queries in runs/default."""
    shutil.copytree(few, alone / "runs" / "default")
    return alone


@pytest.fixture
def dry(steerx: Steerx) -> Callable[..., dict[str, Any]]:
    """What `steerx retrieve` would do."""

    def run(*arguments: object) -> dict[str, Any]:
        code, out, err = steerx("retrieve", "--dry-run", "--json", *arguments)
        assert (code, err) == (0, "")
        told: dict[str, Any] = json.loads(out)
        return told

    return run


Dry = Callable[..., dict[str, Any]]


def refused(steerx: Steerx, text: str) -> str:
    """What is said of a preset with this text."""
    Path("mine.toml").write_text(text)
    code, out, err = steerx("retrieve", "--preset", "mine.toml")
    assert (code, out) == (2, "")
    assert not list(Path().glob("**/retrieved*"))
    return err


# --- which value holds ------------------------------------------------------------------------------------------------


def test_flags_go_before_the_preset_and_the_preset_before_the_default(here: Path, dry: Dry) -> None:
    (here / "mine.toml").write_text(PLAIN)
    assert dry("--preset", "mine.toml")["parameters"]["top_k"] == 2
    (here / "mine.toml").write_text(PLAIN + "top-k = 4\n")
    assert dry("--preset", "mine.toml")["parameters"]["top_k"] == 4
    assert dry("--preset", "mine.toml", "--top-k", 3)["parameters"]["top_k"] == 3
    assert dry("--top-k", 3, "--preset", "mine.toml", "--retriever", "random")["parameters"] == {
        "retriever": "random",
        "top_k": 3,
        "seed": 0,
        "chunk_users": 64,
        "limit": None,
    }


def test_a_stage_s_own_table_goes_before_the_shared_keys(here: Path, dry: Dry) -> None:
    (here / "mine.toml").write_text("chunk-users = 5\nlimit = 1\n" + PLAIN + "limit = 2\n")
    parameters = dry("--preset", "mine.toml")["parameters"]
    assert (parameters["chunk_users"], parameters["limit"]) == (5, 2)


def test_the_environment_goes_before_the_preset(here: Path, dry: Dry, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(here / "runs/default", here / "mine")
    shutil.copytree(here / "runs/default", here / "yours")
    (here / "mine.toml").write_text('run = "mine"\n' + PLAIN)
    assert dry("--preset", "mine.toml")["output"] == "mine/retrieved.parquet"
    monkeypatch.setenv("STEERX_RUN", "yours")
    assert dry("--preset", "mine.toml")["output"] == "yours/retrieved.parquet"


@pytest.mark.parametrize(
    ("written", "found"),
    [("./people", "settings/people"), ("../people", "people"), ("people", "people"), ("~people", "~people")],
)
def test_a_path_that_starts_with_a_dot_is_seen_from_the_preset(here: Path, dry: Dry, written: str, found: str) -> None:
    (here / "settings").mkdir()
    for place in ("people", "settings/people", "~people"):
        shutil.copytree(here / "runs/default", here / place)
    (here / "settings/mine.toml").write_text(f'data = "{written}"\nrun = "new"\n{PLAIN}')
    assert dry("--preset", "settings/mine.toml")["inputs"] == {
        "queries": f"{found}/queries.parquet",
        "histories": f"{found}/histories.parquet",
    }


def test_a_path_outside_the_working_folder_is_told_whole(here: Path, dry: Dry, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "mine.toml").write_text(f'run = "./runs/default"\n{PLAIN}')
    (here / "elsewhere").mkdir()
    monkeypatch.chdir(here / "elsewhere")
    told = dry("--preset", "../mine.toml")
    assert told["preset"] == "../mine.toml"
    assert told["output"] == str(here / "runs/default/retrieved.parquet")


@pytest.mark.parametrize(("given", "told"), [([], "demo"), (["--preset", "demo"], "demo")])
def test_the_summary_s_first_line_names_the_preset(steerx: Steerx, given: list[str], told: str) -> None:
    code, _, err = steerx("retrieve", "--dry-run", *given)
    assert code == 0
    assert err.splitlines()[0].split() == ["preset", told]


def test_the_summary_s_first_line_names_the_preset_s_file(here: Path, steerx: Steerx) -> None:
    (here / "mine.toml").write_text(PLAIN)
    code, _, err = steerx("retrieve", "--dry-run", "--preset", "mine.toml")
    assert code == 0
    assert err.splitlines()[0].split() == ["preset", "mine.toml"]


# --- one that extends another -----------------------------------------------------------------------------------------


def written(files: dict[str, str]) -> None:
    """Presets in files of these names."""
    for name, text in files.items():
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(text, encoding="utf-8")


def refusal(name_or_file: str) -> str:
    with pytest.raises(SteerxError) as told:
        load_preset(name_or_file)
    return str(told.value)


def test_an_extending_preset_has_the_other_s_values_and_its_own_before_them() -> None:
    own = "[generate]\nlam = 0.9\nseed = 3\n[evaluate]\nresamples = 9\n"
    written({"mine.toml": f'extends = "paper-topic-8b"\ntask = "review"\n{own}'})
    mine, paper = load_preset("mine.toml"), load_preset("paper-topic-8b")
    assert (mine.name, mine.shared) == ("mine.toml", {"task": "review"})
    assert [*mine.stages] == [*paper.stages]
    assert mine.stages == {
        **paper.stages,
        "generate": {**paper.stages["generate"], "lam": 0.9, "seed": 3},
        "evaluate": {**paper.stages["evaluate"], "resamples": 9},
    }


def test_a_key_goes_before_the_other_s_of_the_same_table_only(here: Path) -> None:
    written({"base.toml": "[generate]\nlam = 0.5\n", "mine.toml": 'extends = "./base.toml"\nlam = 0.1\n'})
    assert load_preset("mine.toml").values_for("generate", {"lam"}) == {"lam": 0.5}


def test_presets_extend_each_other_in_a_chain(here: Path, dry: Dry) -> None:
    written(
        {
            "base.toml": 'chunk-users = 5\nlimit = 1\n[retrieve]\nretriever = "all"\ntop-k = 7\n',
            "middle.toml": 'extends = "./base.toml"\nlimit = 2\n[retrieve]\nretriever = "random"\ntop-k = 8\n',
            "mine.toml": 'extends = "./middle.toml"\n[retrieve]\ntop-k = 9\n',
        }
    )
    told = dry("--preset", "mine.toml")
    assert told["preset"] == "mine.toml"
    assert told["parameters"] == {"retriever": "random", "top_k": 9, "seed": 0, "chunk_users": 5, "limit": 2}


@pytest.mark.parametrize("extends", ["../base.toml", "base.toml", "demo"])
def test_each_preset_s_paths_are_seen_from_its_own_folder(here: Path, dry: Dry, extends: str) -> None:
    written(
        {"base.toml": f'data = "./people"\n{PLAIN}', "settings/mine.toml": f'extends = "{extends}"\nrun = "./new"\n'}
    )
    shutil.copytree(here / "runs/default", here / "people")
    told = dry("--preset", "settings/mine.toml")
    data = load_preset("demo").shared["data"] if extends == "demo" else "people"
    assert told["inputs"]["queries"] == f"{data}/queries.parquet"
    assert told["output"] == "settings/new/retrieved.parquet"


def test_presets_that_extend_each_other_in_a_circle_are_refused(here: Path) -> None:
    written({"self.toml": 'extends = "./self.toml"\n', "mine.toml": 'extends = "./settings/a.toml"\n'})
    written({"settings/a.toml": 'extends = "../b.toml"\n', "b.toml": 'extends = "./settings/a.toml"\n'})
    said = "presets extend each other in a circle ({}): take `extends` out of one of them"
    assert refusal("self.toml") == said.format("self.toml → self.toml")
    assert refusal("mine.toml") == said.format("settings/a.toml → b.toml → settings/a.toml")


@pytest.mark.parametrize("given", ["3", "true", '["demo"]', '{ name = "demo" }'])
def test_what_is_extended_is_named_by_a_string(steerx: Steerx, given: str) -> None:
    said = refused(steerx, f"extends = {given}\n")
    assert said.startswith("Error: preset mine.toml sets extends = ")
    assert said.endswith(": it is a preset's name or file, in quotes\n")


def test_what_is_extended_is_looked_for_as_any_preset(steerx: Steerx) -> None:
    names = ", ".join(preset_names())
    unknown = f"Error: there is no preset nope: name one of {names}, or a TOML file of your own\n"
    assert refused(steerx, 'extends = "nope"\n') == unknown
    missing = "Error: the preset no.toml cannot be read (No such file or directory): name a file that is there\n"
    assert refused(steerx, 'extends = "./no.toml"\n') == missing


def test_the_keys_of_what_is_extended_are_checked_too(here: Path, steerx: Steerx) -> None:
    written({"base.toml": "[retrieve]\ntopk = 2\n"})
    said = "Error: preset mine.toml sets topk in [retrieve]: steerx retrieve has no --topk to set\n"
    assert refused(steerx, 'extends = "./base.toml"\n') == said
    said = "Error: preset mine.toml sets extends in [retrieve]: steerx retrieve has no --extends to set\n"
    assert refused(steerx, '[retrieve]\nextends = "demo"\n') == said


NASTY = [
    "",
    "0.5",
    " \t",
    "'\"\\",
    "a\r\nb\x00\x1f\x7f\x85",
    "👩‍👩‍👧 e\u0301\u202e\u2028",
    "{title}\n[retrieve]",
    "\\u0041",
]


def test_a_preset_that_is_written_is_read_as_it_was(here: Path) -> None:
    values = {f"key-{number}": text for number, text in enumerate(NASTY)}
    numbers: dict[str, float | int | str] = {"a": 3, "b": -0.5, "c": 1e-7, "d": 1e22, "e": 0.1 + 0.2, "f": 2**40}
    written(
        {"mine.toml": preset_text("paper-review-8b", here, {"generate": values, "retrieve": numbers, "smooth": {}})}
    )
    mine, paper = load_preset("mine.toml"), load_preset("paper-review-8b")
    assert mine.shared == paper.shared
    assert mine.stages == {
        **paper.stages,
        "retrieve": {**paper.stages["retrieve"], **numbers},
        "generate": {**paper.stages["generate"], **values},
    }


@pytest.mark.parametrize(
    ("folder", "told"), [(".", "./my sets/a.toml"), ("my sets", "./a.toml"), ("x/y", "../../my sets/a.toml")]
)
def test_a_preset_that_is_written_finds_what_it_extends(here: Path, folder: str, told: str) -> None:
    written({"my sets/a.toml": "limit = 3\n"})
    for extended, named in (("my sets/a.toml", told), (str(here / "my sets/a.toml"), str(here / "my sets/a.toml"))):
        text = preset_text(extended, Path(folder), {"retrieve": {"top-k": 4}})
        assert text == f'extends = "{named}"\n\n[retrieve]\ntop-k = 4\n'
        written({f"{folder}/new.toml": text})
        found = load_preset(f"{folder}/new.toml")
        assert (found.shared, found.stages) == ({"limit": 3}, {"retrieve": {"top-k": 4}})


def test_no_preset_is_written_that_extends_none(here: Path) -> None:
    with pytest.raises(SteerxError, match="there is no preset nope: name one of demo, "):
        preset_text("nope", here, {})


# --- what cannot be ---------------------------------------------------------------------------------------------------


def test_an_unknown_name_is_answered_with_the_known_ones(steerx: Steerx) -> None:
    names = ", ".join(preset_names())
    assert {"demo", "paper-review-8b", "paper-review-14b", "paper-topic-8b", "paper-topic-14b"} <= {*preset_names()}
    said = f"Error: there is no preset nope: name one of {names}, or a TOML file of your own\n"
    assert steerx("retrieve", "--preset", "nope") == (2, "", said)


def test_a_file_that_is_not_there_is_named(steerx: Steerx) -> None:
    said = "Error: the preset no.toml cannot be read (No such file or directory): name a file that is there\n"
    assert steerx("retrieve", "--preset", "no.toml") == (2, "", said)


def test_what_is_no_toml_is_refused(here: Path, steerx: Steerx) -> None:
    said = refused(steerx, "[retrieve\ntop-k = 2\n")
    assert said.startswith("Error: the preset mine.toml is not TOML: ")
    assert "line 1" in said
    (here / "bytes.toml").write_bytes(b"\xff\xfe")
    code, out, err = steerx("retrieve", "--preset", "bytes.toml")
    assert (code, out) == (2, "")
    assert err.startswith("Error: the preset bytes.toml is not TOML: ")


@pytest.mark.parametrize(("tau", "cuts"), [("0.5", [0.5]), ("[0.5, 1.0]", [0.5, 1.0])])
def test_an_option_that_may_be_given_again_takes_a_value_or_several(here: Path, tau: str, cuts: list[float]) -> None:
    (here / "mine.toml").write_text(f"[score-tokens]\ntau = {tau}\n")
    parent = GROUP.make_context("steerx", ["score-tokens"])
    context = GROUP.commands["score-tokens"].make_context("score-tokens", ["--preset", "mine.toml"], parent=parent)
    assert context.params["tau"] == cuts


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "[retrive]\ntop-k = 2\n",
            "has a table [retrive]: tables are for retrieve, score-tokens, smooth, build-vector, generate, evaluate, "
            "select, choose, try",
        ),
        (
            "[merge]\nlimit = 2\n",
            "has a table [merge]: tables are for retrieve, score-tokens, smooth, build-vector, generate, evaluate, "
            "select, choose, try",
        ),
        ("[retrieve]\ntopk = 2\n", "sets topk in [retrieve]: steerx retrieve has no --topk to set"),
        ("[retrieve]\ntop_k = 2\n", "sets top_k in [retrieve]: steerx retrieve has no --top_k to set"),
        ("[retrieve]\no = 'x'\n", "sets o in [retrieve]: steerx retrieve has no --o to set"),
        ("topk = 2\n", "sets topk: no stage has --topk to set"),
    ],
)
def test_an_unknown_table_or_key_is_refused(steerx: Steerx, text: str, said: str) -> None:
    assert refused(steerx, text) == f"Error: preset mine.toml {said}\n"


@pytest.mark.parametrize(
    "text",
    [
        f"{PLAIN}[show]\nrows = 5\n",
        f"rows = 5\n{PLAIN}",
        f"{PLAIN}[merge]\ndry-run = true\n",
        f"{PLAIN}preset = 'paper-review-8b'\n",
    ],
)
def test_a_key_that_would_have_no_effect_is_refused(steerx: Steerx, text: str) -> None:
    assert "mine.toml" in refused(steerx, text)


INTEGER = "Input should be a valid integer"


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("top-k = 'two'", f"{INTEGER}, unable to parse string as an integer"),
        ("top-k = 2.5", f"{INTEGER}, got a number with a fractional part"),
        ("top-k = [2]", INTEGER),
        ("top-k = 0", "Input should be greater than or equal to 1"),
        ("top-k = true", "--top-k is not true or false"),
        ("overwrite = 'maybe'", "--overwrite is true or false"),
        ("shard = '3/2'", "3/2 is not I/N with I from 1 to N, such as 1/4"),
        ("shard = 5", "5 is not I/N with I from 1 to N, such as 1/4"),
        ("retriever = 'bm42'", "'bm42' is not one of 'recency', 'random', 'all', 'bm25', 'dense'"),
    ],
)
def test_a_value_that_could_not_be_typed_is_refused(steerx: Steerx, setting: str, said: str) -> None:
    shown = setting.replace("true", "True")
    assert refused(steerx, f"[retrieve]\n{setting}\n") == f"Error: preset mine.toml sets {shown}: {said}\n"


def test_an_empty_name_is_no_preset(steerx: Steerx) -> None:
    code, _, err = steerx("retrieve", "--preset", "")
    assert code == 2
    assert err.startswith("Error: there is no preset : name one of demo, ")


# --- the shipped ones -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", preset_names())
def test_every_key_of_a_shipped_preset_reaches_an_option_and_converts(name: str) -> None:
    preset = load_preset(name)
    assert preset.stages
    reached: set[str] = set()
    for stage, table in preset.stages.items():
        command = GROUP.commands[stage]
        options = {flag: option for option in command.params for flag in option.opts}
        parent = GROUP.make_context("steerx", [stage])
        context = command.make_context(stage, ["--preset", name], parent=parent)
        shared = {key: value for key, value in preset.shared.items() if f"--{key}" in options}
        reached |= set(shared)
        for key, value in {**shared, **table}.items():
            option = options[f"--{key}"]
            assert context.get_parameter_source(option.name).name == "DEFAULT_MAP"
            # What may be given again is given once, or as a list.
            given = [value] if option.multiple and not isinstance(value, list) else value
            assert str(context.params[option.name]) == str(given)
    assert reached == set(preset.shared)


def test_the_paper_s_presets_name_the_paper_s_retriever() -> None:
    for name in preset_names():
        if name.startswith("paper-"):
            table = load_preset(name).stages["retrieve"]
            assert (table["retriever"], table["model"], table["top-k"]) == ("dense", "facebook/contriever", 2)


def test_the_paper_s_presets_name_the_paper_s_scorer_and_threshold() -> None:
    for name in preset_names():
        if name.startswith("paper-"):
            preset = load_preset(name)
            assert preset.shared["task"] == name.split("-")[1]
            tau = {"review": 1.0, "topic": 0.7}[preset.shared["task"]]
            assert preset.stages["score-tokens"] == {"model": "Qwen/Qwen2.5-1.5B", "tau": tau}


# --- without a checkout -----------------------------------------------------------------------------------------------


@pytest.fixture
def installed(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As from a wheel: no checkout around the program."""
    monkeypatch.setattr(presets, "_CHECKOUT", here)


@pytest.mark.usefixtures("installed")
def test_without_a_checkout_a_command_asks_for_what_the_demo_would_set(here: Path, steerx: Steerx) -> None:
    retriever = "neither --retriever nor a preset that sets it is given: name a retriever (--retriever recency)"
    assert steerx("retrieve") == (2, "", f"Error: {retriever}, or use --preset\n")
    model = "neither --model nor a preset that sets it is given: name a model (--model facebook/contriever)"
    assert steerx("retrieve", "--retriever", "dense") == (2, "", f"Error: {model}, or use --preset\n")
    assert not list(here.glob("**/retrieved*"))


@pytest.mark.usefixtures("installed")
def test_without_a_checkout_naming_the_flag_or_a_preset_is_enough(steerx: Steerx, dry: Dry) -> None:
    assert dry("--retriever", "recency")["preset"] is None
    assert dry("--preset", "demo")["preset"] == "demo"
    code, _, err = steerx("retrieve", "--retriever", "recency")
    assert code == 0
    assert err.splitlines()[0].split() == ["preset", "none"]
