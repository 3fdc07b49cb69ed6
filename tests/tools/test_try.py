"""One person's question at the terminal: what goes through the pipeline, and what is shown."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from scorers import SHORT, Row, World, history, query, rows_of, save_model, world, write
from steerx_cli.core.errors import SteerxError
from steerx_cli.core.methods import STRENGTHS
from steerx_cli.core.progress import Silent
from steerx_cli.lm.models import ModelRequest, load_causal_lm
from steerx_cli.lm.templates import load_task
from steerx_cli.tools.try_ import Question, commands_of, question_row, run
from support import Steerx, contents

REVIEW = load_task("review")
SAID = {"a": SHORT[:3], "b": SHORT[1:4]}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("models") / "tiny", ends=range(150, 170))


def people() -> World:
    """Two users; the first one's first query has a reference."""
    tables = world(SAID)
    tables["queries"][0]["reference"] = "A quiet night."
    return {name: tables[name] for name in ("histories", "queries")}


@pytest.fixture(autouse=True)
def here(alone: Path, models: Path) -> Path:
    """A working folder with data, and a preset for every stage."""
    write(alone / "data", people())
    with_model = f'model = "{models}"\n'
    (alone / "mine.toml").write_text(
        f'data = "data"\ntask = "review"\n[retrieve]\nretriever = "recency"\n[score-tokens]\n{with_model}tau = 0.2\n'
        f"[smooth]\n{with_model}max-new-tokens = 6\n[build-vector]\n{with_model}layer = 2\ngamma1 = 0.4\n"
        f"[generate]\n{with_model}lam = 0.5\ngamma2 = 0.4\nmax-new-tokens = 5\n"
    )
    return alone


def tried(steerx: Steerx, *arguments: object) -> dict[str, Any]:
    """What is told as JSON; nothing is left behind."""
    before = contents(Path())
    code, out, err = steerx("try", "--preset", "mine.toml", "--json", *arguments)
    assert (code, err, out.count("\n")) == (0, "", 1)
    assert contents(Path()) == before
    found: dict[str, Any] = json.loads(out)
    return found


def refused(steerx: Steerx, *arguments: object) -> str:
    """The sentence that it ends with."""
    code, out, err = steerx("try", "--preset", "mine.toml", *arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    return err.removeprefix("Error: ").rstrip("\n")


# --- what is answered -------------------------------------------------------------------------------------------------


def test_a_question_gets_what_the_stages_write_for_it(here: Path, steerx: Steerx) -> None:
    """The same query as the only one of the same user, stage by stage as one would type it."""
    found = tried(steerx, "--user", "a", "--query", "a-0", *(part for name in STRENGTHS for part in ("--method", name)))
    tables = people()
    write(
        here / "run",
        {
            name: [row for row in rows if row["user_id"] == "a"][: 3 if name == "histories" else 1]
            for name, rows in tables.items()
        },
    )
    for step in commands_of(STRENGTHS):
        assert steerx(*step, "--preset", "mine.toml", "--run", here / "run", "--quiet").code == 0
    answers = [row for name in STRENGTHS for row in rows_of(here / "run" / f"generations-{name}.parquet")]
    assert found["answers"] == answers
    assert [row["method"] for row in answers] == [*STRENGTHS]
    assert len({row["response"] for row in answers}) > 3
    assert found["histories"] == rows_of(here / "run" / "scores.parquet")
    (joint,) = [row for row in rows_of(here / "run" / "profiles.parquet") if row["item_id"] is None]
    assert (found["profile"], found["reference"]) == (joint, "A quiet night.")
    assert found["preset"] == "mine.toml"
    assert [summary["command"] for summary in found["stages"]] == [step[0] for step in commands_of(STRENGTHS)]
    assert (found["user"], found["asked"]) == ("a", "Title: Next a-0")


def test_strengths_that_are_typed_go_before_the_preset_s(steerx: Steerx) -> None:
    given = [part for name in ("rag", "cos", "cas") for part in ("--method", name)]
    found = tried(steerx, "--user", "b", "--query", "New", *given, "--lam", 3, "--gamma2", 2)
    assert [(row["method"], row["lam"], row["gamma2"]) for row in found["answers"]] == [
        ("rag", None, None),
        ("cos", 3.0, None),
        ("cas", None, 2.0),
    ]
    assert found["reference"] is None


def test_only_the_stages_that_are_needed_are_run() -> None:
    assert [step[0] for step in commands_of(["rag"])] == ["retrieve", "score-tokens", "smooth", "generate"]
    assert [step[0] for step in commands_of(["cas", "cos"])] == [
        *("retrieve", "score-tokens", "smooth", "generate", "build-vector", "generate", "generate")
    ]


def test_a_new_question_stands_in_the_first_field_that_is_not_named() -> None:
    def asked(fields: dict[str, str], text: str = "Silver") -> tuple[str, dict[str, str]]:
        row = question_row(Question("a", text, fields, REVIEW, ["rag"], "review"), [query("a", "known")])
        return row["query_id"], {field["name"]: field["value"] for field in row["fields"]}

    assert asked({}) == ("question", {"title": "Silver"})
    assert asked({"rating": "5"}) == ("question", {"title": "Silver", "rating": "5"})
    assert asked({"title": "Gold"}) == ("question", {"description": "Silver", "title": "Gold"})
    assert asked({}, "known") == ("known", {"title": "Next known"})
    with pytest.raises(SteerxError, match=r"^'known' is a query of the user's own, with fields of its own: leave --"):
        asked({"rating": "5"}, "known")
    generic = Question("a", "Why?", {}, load_task("generic"), ["rag"], "generic")
    assert (question_row(generic, [])["input"], question_row(generic, [])["fields"]) == ("Why?", [])


def test_each_model_is_loaded_once_in_a_row(steerx: Steerx, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[object] = []

    def loading(request: ModelRequest) -> Any:
        loaded.append(request)
        return load_causal_lm(request)

    monkeypatch.setattr("steerx_cli.lm.causal.load_causal_lm", loading)
    tried(steerx, "--user", "a", "--query", "New", "--method", "rag", "--method", "cas")
    assert len(loaded) == 1


# --- what is shown ----------------------------------------------------------------------------------------------------


def test_answers_stand_side_by_side_where_there_is_room(steerx: Steerx, monkeypatch: pytest.MonkeyPatch) -> None:
    given = ("try", "--preset", "mine.toml", "--user", "a", "--query", "a-0", "--method", "rag", "--method", "cos")
    shown = {}
    for width in (60, 120):
        monkeypatch.setenv("COLUMNS", str(width))
        code, out, err = steerx(*given)
        assert (code, err) == (0, "")
        shown[width] = out.splitlines()
    titles = [line for line in shown[120] if line.startswith("rag ")]
    assert len(titles) == 1
    assert "cos  λ 0.5" in titles[0]
    assert "what they wrote" in titles[0]
    assert sum(line.startswith(("rag", "cos  λ 0.5", "what they wrote")) for line in shown[60]) == 3
    for lines in shown.values():
        assert lines[0].rstrip() == "a asks"
        assert any("⟦" in line for line in lines), "anchors"
        assert any(line.startswith("description") for line in lines)


def test_nothing_in_a_text_moves_the_cursor(here: Path, steerx: Steerx) -> None:
    nasty = [history("a", name, f"{text} \x1b[2J\u202e") for name, text in zip("xyz", SHORT, strict=False)]
    asked: Row = {**query("a", "a-0"), "reference": "\x1b]0;mine\x07"}
    write(here / "data", {"histories": nasty, "queries": [asked]})
    code, out, err = steerx("try", "--preset", "mine.toml", "--user", "a", "--query", "a-0", "--method", "rag")
    assert (code, err) == (0, "")
    assert not {"\x1b", "\x07", "\u202e"} & {*out}


def test_what_came_otherwise_than_asked_is_told(here: Path, steerx: Steerx) -> None:
    (here / "mine.toml").write_text(
        (here / "mine.toml").read_text().replace("tau = 0.2", "tau = 99\nnothing = 'empty'")
    )
    given = ("try", "--preset", "mine.toml", "--user", "a", "--query", "New", "--method", "steerx-cas")
    code, out, err = steerx(*given)
    assert (code, err) == (0, "")
    assert "none: there are no anchors" in out
    told = " ".join(out.split())
    assert "note smooth: queries without anchors, and so without a description: 1" in told
    assert "note generate: answers without a description in their vector, as by cas: 1" in told
    assert "steerx-cas γ2 0.4 as cas" in told


@pytest.mark.parametrize(
    "lines",
    [
        "[smooth]\ndescribe = 'history'",
        "[smooth]\nmode = 'join'",
        "[smooth]\nmode = 'raw'",
        "[smooth]\nof = 'texts'",
        "[score-tokens]\ntau = [0.2, 1.0]",
        "[build-vector]\nlayer = [2, 1]",
        "[build-vector]\nscope = 'user'",
        "[generate]\nvectors-of = 'mean'\nprofiles-of = 'other'",
        "[generate]\noutput = 'mine.parquet'\nlam = [0.1, 0.2]",
        "[generate]\nlimit = 1\nshard = '2/2'",
    ],
)
def test_a_preset_of_any_run_will_do(lines: str, here: Path, steerx: Steerx) -> None:
    """Which files and users a run has is no matter of one question."""
    table, _, values = lines.partition("\n")
    names = [line.split(" = ")[0] for line in values.splitlines()]
    preset = [line for line in (here / "mine.toml").read_text().splitlines() if line.split(" = ")[0] not in names]
    at = preset.index(table) + 1
    (here / "mine.toml").write_text("\n".join([*preset[:at], values, *preset[at:]]))
    found = tried(steerx, "--user", "a", "--query", "New", "--method", "steerx-cos", "--method", "steerx-cas")
    assert {row["method"] for row in found["answers"]} == {"steerx-cos", "steerx-cas"}
    assert all(row["donor_id"] is None for row in found["answers"])


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("nobody", "x"), "data/histories.parquet has no histories of user 'nobody': name another --user, such as '"),
        (
            ("a", "x", "--method", "rags"),
            "there is no --method rags: name one of non-perso, rag, cos, steerx-cos, cas, ",
        ),
        (("a", "x", "--field", "rating"), "--field 'rating' is not NAME=TEXT, such as rating=5: correct it"),
        (("a", "x", "--field", "ratng=5"), "the task review has no field 'ratng': name one of title, description, rat"),
        (
            ("a", "x", "--method", "rag", "--lam", 1),
            "no --method here has a lam: leave --lam out, or name cos or steerx-",
        ),
        (
            ("a", "x", "--method", "cos", "--gamma2", 1),
            "no --method here has a gamma2: leave --gamma2 out, or name cas",
        ),
        (("a", "x", "--field", "=5"), "--field '' is not NAME=TEXT, such as rating=5: correct it"),
        (("a", "x", "--task", "lamp-3x"), "there is no task 'lamp-3x': name one of "),
        (
            ("a", "x", "--data", "gone"),
            "runs/default/histories.parquet does not exist: `steerx import` writes histories",
        ),
    ],
)
def test_it_is_refused_in_a_sentence(given: tuple[object, ...], said: str, steerx: Steerx) -> None:
    user, text, *rest = given
    assert refused(steerx, "--user", user, "--query", text, *rest).startswith(said)


def test_a_question_that_the_task_cannot_word_is_refused(steerx: Steerx) -> None:
    said = refused(steerx, "--user", "a", "--query", " ")
    assert said.startswith("a row has no text in any field that the task review draws on")


def test_the_pipeline_s_folder_is_gone_after_an_error_too(here: Path, tmp_path: Path) -> None:
    seen: list[Path] = []

    def failing(_: object, folder: Path) -> Any:
        seen.append(folder)
        raise SteerxError(f"{folder}/scores.parquet is no good")

    question = Question("a", "New", {}, REVIEW, ["rag"], "review")
    with pytest.raises(SteerxError, match=r"^at retrieve: scores\.parquet is no good$"):
        run(question, None, here / "data/histories.parquet", here / "data/queries.parquet", failing, Silent())
    assert not seen[0].exists()


def test_queries_need_not_be_there(here: Path, steerx: Steerx) -> None:
    shutil.rmtree(here / "data")
    write(here / "data", {"histories": people()["histories"]})
    assert tried(steerx, "--user", "a", "--query", "a-0", "--method", "non-perso")["asked"] == "Title: a-0"
