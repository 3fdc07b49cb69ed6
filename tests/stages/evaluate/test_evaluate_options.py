"""`steerx evaluate` as it is typed: what is scored, how the table is written, and what is refused."""

import csv
import io
import json
import re
import shutil
from pathlib import Path
from typing import Any

import nltk.data
import nltk.downloader
import pytest

import steerx_cli.stages.evaluate as stage
import typed
from answers import answers, ask, asked, cut, evaluate, give
from encoders import write_encoder
from scorers import Row, rows_of
from steerx_cli.core.artifacts import read_footer
from steerx_cli.core.schemas import QUERIES
from steerx_cli.stages.evaluate.settings import Settings
from support import Steerx

RUN = Path("runs/default")
METRICS = RUN / "metrics.parquet"
USERS = "abcdef"
SYSTEMS = ["non-perso", "rag", "cos λ 0.5", "cos λ 1", "steerx-cas γ2 0.1"]
PLAIN = ("evaluate", "--preset", "none.toml")
ROUGE = ("--metric", "rouge1", "--samples", 100)


def said(row: Row, of: float | None) -> str:
    """The more strength, the nearer to the reference."""
    return " ".join(f"a quiet film seen by {row['user_id']} at night".split()[: 3 + int(8 * (of or 0))])


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with answers by four methods."""
    folder = tmp_path_factory.mktemp("run")
    rows = [asked(user, name, f"a quiet film seen by {user}, {name}") for user in USERS for name in "01"]
    queries = ask(folder, rows)
    for method, strengths in (("steerx-cas", (0.1,)), ("cos", (0.5, 1.0)), ("rag", (None,)), ("non-perso", (None,))):
        give(folder, queries, answers(rows, method, said, strengths))
    return folder


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model for BERTScore."""
    return write_encoder(tmp_path_factory.mktemp("models") / "judge", "bert")


@pytest.fixture(autouse=True)
def here(alone: Path, run: Path) -> Path:
    """A working folder with the run in it, and a preset that sets nothing."""
    shutil.copytree(run, alone / RUN)
    (alone / "none.toml").write_text("")
    return alone


@pytest.fixture
def task(here: Path) -> Path:
    """A run of another task, in which every answer is right."""
    for name, label in (("lamp-1", "[1]"), ("lamp-3", "4")):
        rows = [asked(user, "0", label) for user in USERS]
        queries = ask(here / "runs" / name, rows)
        give(here / "runs" / name, queries, answers(rows, "rag", lambda row, _: row["reference"]), task=name)
    return here


@pytest.fixture(scope="module")
def scores(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The metrics of the run, by ROUGE-1."""
    path = tmp_path_factory.mktemp("scores") / "metrics.parquet"
    evaluate(run, sorted(run.glob("generations-*.parquet")), Settings(("rouge1",)), path)
    return path


@pytest.fixture
def scored(scores: Path, here: Path) -> bytes:
    """The same in the run folder."""
    return Path(shutil.copyfile(scores, METRICS)).read_bytes()


def told(steerx: Steerx, *arguments: object) -> dict[str, Any]:
    """The one JSON object that a run tells."""
    return typed.told(steerx, *PLAIN, *arguments)


def refused(steerx: Steerx, *arguments: object) -> str:
    """The one sentence that it ends with; nothing is written."""
    return typed.refused(steerx, *PLAIN, *arguments)


def table(steerx: Steerx, *arguments: object) -> dict[str, Any]:
    """The table as JSON."""
    code, out, err = steerx(*PLAIN, "--quiet", "--format", "json", *arguments)
    assert (code, err, out.count("\n")) == (0, "", 1), err
    found: dict[str, Any] = json.loads(out)
    return found


def names() -> list[str]:
    """The systems that are scored."""
    return list(dict.fromkeys(row["system"] for row in rows_of(METRICS)))


# --- which files ------------------------------------------------------------------------------------------------------


def test_all_files_of_the_run_folder_are_scored(steerx: Steerx) -> None:
    summary = told(steerx, *ROUGE)
    assert names() == SYSTEMS
    assert summary["inputs"] == {
        "queries": f"{RUN / 'queries.parquet'}",
        **{name: f"{RUN}/generations-{name}.parquet" for name in ("non-perso", "rag", "cos", "steerx-cas")},
    }
    assert (summary["status"], summary["rows"], summary["preset"]) == ("finished", 12 * 5, "none.toml")


def only_shards() -> list[Path]:
    """Put shards in the place of a file."""
    whole = RUN / "generations-cos.parquet"
    found = cut(whole)
    whole.unlink()
    return found


def test_the_shards_of_one_stand_for_it(steerx: Steerx, scored: bytes) -> None:
    only_shards()
    summary = told(steerx, *ROUGE)
    assert summary["inputs"]["cos"] == f"{RUN}/generations-cos-?????-of-?????.parquet"
    assert METRICS.read_bytes() == scored


@pytest.mark.parametrize("named", [False, True])
def test_a_file_beside_the_shards_that_it_was_merged_from_is_read_alone(
    named: bool, steerx: Steerx, scored: bytes
) -> None:
    cut(RUN / "generations-cos.parquet")
    told(steerx, *ROUGE, *(sorted(RUN.glob("generations-*.parquet")) if named else []))
    assert METRICS.read_bytes() == scored


def test_a_method_s_own_file_comes_before_its_others_and_what_is_not_known_last(steerx: Steerx) -> None:
    rows = rows_of(RUN / "queries.parquet")
    footer = read_footer(RUN / "queries.parquet", QUERIES)
    give(RUN, footer, answers(rows, "cos", said, (0.5,)), "another-cos", profiles_of="other")
    give(RUN, footer, answers(rows, "aaa", said))
    summary = told(steerx, *ROUGE)
    assert [*summary["inputs"].values()][1:] == [
        f"{RUN}/generations-{name}.parquet" for name in ("non-perso", "rag", "cos", "another-cos", "steerx-cas", "aaa")
    ]
    assert names()[-1] == "aaa"


def test_files_and_patterns_may_be_named(steerx: Steerx) -> None:
    shards = only_shards()
    for given in ([RUN / "generations-cos-*.parquet"], shards, shards[::-1]):
        told(steerx, RUN / "generations-rag.parquet", *given, *ROUGE, "--overwrite")
        assert names() == ["rag", "cos λ 0.5", "cos λ 1"]
    told(steerx, RUN / "generations-rag.parquet", *ROUGE, "-o", "mine.parquet")
    assert {row["system"] for row in rows_of(Path("mine.parquet"))} == {"rag"}


def test_a_shard_alone_is_refused(steerx: Steerx) -> None:
    _, second = only_shards()
    assert refused(steerx, second, *ROUGE) == f"shard 1/2 is missing beside {second}: run or name it too"


def test_a_folder_without_answers_is_a_sentence(steerx: Steerx, here: Path) -> None:
    (here / "empty").mkdir()
    sentence = "empty has no generations-….parquet to score: name files that `steerx generate` writes"
    assert refused(steerx, "--run", "empty", *ROUGE) == sentence


def test_queries_may_lie_elsewhere(steerx: Steerx, here: Path) -> None:
    (here / "data").mkdir()
    (RUN / "queries.parquet").rename(here / "data" / "mine.parquet")
    assert told(steerx, *ROUGE, "--queries", "data/mine.parquet")["inputs"]["queries"] == "data/mine.parquet"
    (here / "data" / "mine.parquet").rename(here / "data" / "queries.parquet")
    assert told(steerx, *ROUGE, "--data", "data")["status"] == "up to date"


# --- which scores -----------------------------------------------------------------------------------------------------


def test_an_unknown_metric_is_refused(steerx: Steerx) -> None:
    assert refused(steerx, "--metric", "rouge1", "--metric", "rouge2") == (
        "there is no --metric rouge2: name one of rouge1, rougeL, meteor, bleu, bertscore, accuracy, macro-f1, mcc, "
        "mae, rmse"
    )


@pytest.mark.parametrize(
    ("metric", "task", "told", "example"),
    [
        ("accuracy", (), "accuracy is of labels, and the task review has none", "labels, such as lamp-2"),
        ("rmse", ("--task", "review"), "rmse is of ratings, and the task review has none", "ratings, such as lamp-3"),
    ],
)
def test_metrics_of_labels_and_ratings_need_a_task_with_them(
    metric: str, task: tuple[str, ...], told: str, example: str, steerx: Steerx
) -> None:
    sentence = f"--metric {told}: name a --task whose file lists its {example}"
    assert refused(steerx, "--metric", "rouge1", "--metric", metric, *task) == sentence


def test_metrics_are_by_default_those_that_fit_the_task(steerx: Steerx, task: Path, judge: Path) -> None:
    text = (
        "--bertscore-model",
        judge,
        "--bertscore-layer",
        1,
        "--batch-tokens",
        99,
        "--meteor-split",
        "simple",
        "--dry-run",
    )
    every = ["rouge1", "rougeL", "meteor", "bleu", "bertscore"]
    summary = told(steerx, *text)
    assert (summary["parameters"]["metrics"], summary["models"]["bertscore"]["id"]) == (every, "judge")
    assert summary["parameters"]["batch_tokens"] == 99
    assert told(steerx, *text, "--task", "review")["parameters"]["metrics"] == every
    for name, metrics in (("lamp-1", ["accuracy", "macro-f1", "mcc"]), ("lamp-3", ["mae", "rmse"])):
        parameters = told(steerx, "--run", f"runs/{name}", "--task", name)["parameters"]
        assert (parameters["metrics"], parameters["task"]) == (metrics, name)
        cells = table(steerx, "--run", f"runs/{name}", "--task", name, "--samples", 100)["cells"]
        scores = [cell["value"] for cell in cells if cell["measure"] in metrics]
        assert scores == ([1.0, 0.5, 0.0] if name == "lamp-1" else [0.0, 0.0])


def test_the_task_is_that_of_the_answers(steerx: Steerx, task: Path, here: Path) -> None:
    run = ("--run", "runs/lamp-1", "--dry-run")
    (here / "mine.toml").write_text('task = "review"\n[evaluate]\nmetric = ["rouge1", "bleu"]\n')
    for given in ((), ("--task", "lamp-1"), ("--preset", "mine.toml")):
        assert told(steerx, *run, *given)["parameters"]["metrics"] == ["accuracy", "macro-f1", "mcc"]
    typed = told(steerx, *run, "--preset", "mine.toml", "--metric", "rouge1")["parameters"]
    assert typed["metrics"] == ["rouge1"], "what is typed holds"
    (here / "mine.toml").write_text('[evaluate]\nmetric = ["rouge1", "mcc"]\n')
    assert told(steerx, *run, "--preset", "mine.toml")["parameters"]["metrics"] == ["mcc"]
    (here / "mine.toml").write_text('[evaluate]\nmetric = ["rouge3"]\n')
    assert refused(steerx, *run, "--preset", "mine.toml").startswith("there is no --metric rouge3: name one of ")
    sentence = "the answers were written for the task lamp-1, not lamp-3: name that --task, or leave it out"
    assert refused(steerx, *run, "--task", "lamp-3") == sentence


def test_a_punkt_model_that_is_fetched_is_in_the_provenance_from_the_first(
    steerx: Steerx, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NLTK_DATA", str(tmp_path / "nltk"))
    monkeypatch.setattr(nltk.data, "path", [])
    folder = tmp_path / "nltk/tokenizers/punkt_tab/english"

    def download(*_: object, **__: object) -> bool:
        folder.mkdir(parents=True)
        for name in ("abbrev_types.txt", "collocations.tab", "ortho_context.tab", "sent_starters.txt"):
            (folder / name).write_text("")
        return True

    monkeypatch.setattr(nltk.downloader.Downloader, "download", download)
    fetching = ("--metric", "meteor", "--download-punkt")
    assert told(steerx, *fetching, "--dry-run")["status"] == "would run"
    assert not folder.exists()
    first, again = told(steerx, *fetching), told(steerx, *fetching)
    assert (first["status"], again["status"]) == ("finished", "up to date")
    assert re.fullmatch(r"meteor\[nltk3\.9\|punkt:[0-9a-f]{8}\+ptb\|wn3\.0\]", *first["parameters"]["signatures"])


def test_a_task_that_is_not_steerx_s_is_told_of(steerx: Steerx, here: Path) -> None:
    footer = read_footer(RUN / "queries.parquet", QUERIES)
    rows = rows_of(RUN / "queries.parquet")
    for method, name in (("rag", "mine"), ("non-perso", "review")):
        give(here / "mixed", footer, answers(rows, method, said), task=name)
    mixed = sorted((here / "mixed").glob("generations-*.parquet"))
    where = ("--queries", RUN / "queries.parquet", "--metric", "rouge1", "--dry-run")
    alone = next(file for file in mixed if "rag" in file.name)
    told_of = "the task mine is known by its name only: --task FILE says whether its answers are labels or ratings"
    assert told_of in told(steerx, alone, *where)["notes"]
    assert "the answers were written for several tasks: mine, review" in told(steerx, *mixed, *where)["notes"]
    sentence = "the answers were written for several tasks (mine, review): name the files of one, or no --task"
    assert refused(steerx, *mixed, *where, "--task", "review") == sentence


def test_a_metric_named_twice_is_scored_once(steerx: Steerx) -> None:
    parameters = told(steerx, "--metric", "bleu", "--metric", "rouge1", "--metric", "bleu")["parameters"]
    assert parameters["metrics"] == ["bleu", "rouge1"]


def test_every_option_of_the_scores_is_in_the_provenance(steerx: Steerx) -> None:
    given = ("--metric", "bleu", "--metric", "meteor", "--tokenize", "char", "--meteor-split", "simple")
    parameters = told(steerx, *given, "--split", "all", "--limit", 2, "--chunk-users", 1)["parameters"]
    assert (parameters["split"], parameters["limit"], parameters["chunk_users"]) == ("all", 2, 1)
    assert "|tok:char|" in parameters["signatures"][0]
    assert "|eff:yes|tok:char|" in parameters["signatures"][1]
    assert "|simple+" in parameters["signatures"][2]


def test_settings_of_the_bertscore_model_are_in_the_provenance(steerx: Steerx, judge: Path) -> None:
    given = ("--metric", "bertscore", "--bertscore-model", judge, "--bertscore-layer", 2)
    summary = told(steerx, *given, "--dtype", "bfloat16", "--dry-run")
    assert summary["models"]["bertscore"]["dtype"] == "bfloat16"
    assert summary["parameters"]["signatures"][0].startswith("bertscore[judge|L2|no-idf|raw|bfloat16|bert-score")


def test_a_bertscore_model_of_which_no_layer_is_known_needs_one(steerx: Steerx, judge: Path) -> None:
    given = ("--metric", "bertscore", "--bertscore-model", judge)
    sentence = f"bert_score has no layer for the model '{judge}': name one with --bertscore-layer"
    assert refused(steerx, *given) == sentence


@pytest.mark.parametrize("dry", [(), ("--dry-run",)])
def test_an_unknown_tokenizer_is_refused(dry: tuple[str, ...], steerx: Steerx) -> None:
    sentence = refused(steerx, "--metric", "bleu", "--tokenize", "mine", *dry)
    assert sentence.startswith("sacrebleu has no tokenizer 'mine': choose 13a, char, ")


def without_punkt(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave NLTK no data."""
    monkeypatch.setenv("NLTK_DATA", str(folder))
    monkeypatch.setattr(nltk.data, "path", [])


@pytest.mark.parametrize("dry", [(), ("--dry-run",)])
def test_without_punkt_the_ways_out_are_named(
    dry: tuple[str, ...], steerx: Steerx, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_punkt(here / "nowhere", monkeypatch)
    sentence = refused(steerx, "--metric", "meteor", *dry)
    for way in ("--download-punkt", "NLTK_DATA", "--meteor-split simple", "--metric"):
        assert way in sentence


def test_without_punkt_the_simple_split_and_other_scores_are_there(
    steerx: Steerx, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_punkt(here / "nowhere", monkeypatch)
    assert told(steerx, *ROUGE)["status"] == "finished"
    assert told(steerx, "--metric", "meteor", "--meteor-split", "simple", "--overwrite")["status"] == "finished"


@pytest.mark.parametrize("name", ["samples", "confidence"])
def test_bounds_of_samples_and_confidence(name: str, steerx: Steerx) -> None:
    bad, good = {"samples": ((99, -1, "x"), (100,)), "confidence": ((0.49, 1, 1.5), (0.5, 0.999))}[name]
    for value in bad:
        code, out, err = steerx(*PLAIN, "--metric", "rouge1", f"--{name}", value)
        assert (code, out) == (2, "")
        assert f"--{name}" in err
    assert not METRICS.exists()
    for value in good:
        assert table(steerx, *ROUGE, f"--{name}", value)[name] == value


# --- the table --------------------------------------------------------------------------------------------------------


def test_json_gives_the_summary_and_no_table(steerx: Steerx) -> None:
    summary = told(steerx, *ROUGE)
    assert (summary["command"], summary["counts"]) == ("evaluate", {})
    assert "cells" not in summary


def test_json_and_format_are_not_both_taken(steerx: Steerx) -> None:
    for name in ("json", "csv", "terminal"):
        sentence = "--json and --format both write to stdout: leave one of them out"
        assert refused(steerx, *ROUGE, "--json", "--format", name) == sentence


def test_json_beside_metrics_never_prints_a_table_for_readers(steerx: Steerx, scored: bytes) -> None:
    code, out, _ = steerx(*PLAIN, "--metrics", METRICS, "--samples", 100, "--json")
    assert (code, out) == (2, "") or json.loads(out)
    assert "differences to" not in out


def test_the_terminal_s_table_names_every_system_and_measure(steerx: Steerx) -> None:
    code, out, err = steerx(*PLAIN, *ROUGE)
    assert code == 0
    assert "finished" in err
    lines = out.splitlines()
    assert lines[0] == "scores"
    for name in SYSTEMS:
        assert sum(line.strip().startswith(f"{name}  ") for line in lines) == (2 if name == "non-perso" else 4)
    for title in ("ROUGE-1", "differences to non-perso", "improvement over non-perso", "the answers", "words"):
        assert title in out
    assert "12 answers of each system, for 6 users: split test" in lines
    assert lines[-1] == "rouge1[rouge_score0.1.2|f1|stem:no]"


def test_quiet_still_prints_the_table(steerx: Steerx) -> None:
    code, out, err = steerx(*PLAIN, *ROUGE, "--quiet")
    assert (code, err) == (0, "")
    assert out.startswith("scores\n")
    again = steerx(*PLAIN, *ROUGE)
    assert (again.out, "up to date" in again.err) == (out, True)


def test_every_format_writes_to_stdout(steerx: Steerx, scored: bytes) -> None:
    def written(name: str) -> str:
        code, out, err = steerx(*PLAIN, *ROUGE, "--quiet", "--format", name)
        assert (code, err) == (0, "")
        return out

    assert written("none") == ""
    assert written("terminal") == written("terminal") != ""
    markdown = written("markdown").splitlines()
    assert markdown[:2] == ["**Scores**", ""]
    assert [line for line in markdown if line.startswith("| cos λ 0.5 |")]
    latex = written("latex")
    assert latex.count(r"\begin{tabular}") == latex.count(r"\end{tabular}") == 4
    assert r"cos $\lambda$ 0.5 & " in latex
    rows = [*csv.DictReader(io.StringIO(written("csv")))]
    measures = {"rouge1", "words", "length", "cut", "empty", "failed", "repeated4", "distinct2"}
    wanted = [(name, one) for name in SYSTEMS for one in sorted({*measures, *(["impr"] if name != SYSTEMS[0] else [])})]
    assert sorted((row["system"], row["measure"]) for row in rows) == sorted(wanted)
    document = json.loads(written("json"))
    assert [(cell["system"], cell["measure"]) for cell in document["cells"]] == [
        (row["system"], row["measure"]) for row in rows
    ]
    assert METRICS.read_bytes() == scored


def test_the_numbers_are_those_of_the_rows(steerx: Steerx) -> None:
    found = table(steerx, *ROUGE)
    for name in SYSTEMS:
        own = [row["rouge1"] for row in rows_of(METRICS) if row["system"] == name]
        (cell,) = [each for each in found["cells"] if (each["system"], each["measure"]) == (name, "rouge1")]
        assert cell["value"] == pytest.approx(sum(own) / len(own))
    assert (found["answers"], found["users"], found["against"]) == (12, 6, "non-perso")


def test_a_shard_and_a_dry_run_print_no_table(steerx: Steerx) -> None:
    dry = steerx(*PLAIN, *ROUGE, "--dry-run")
    assert (dry.code, dry.out, "would run" in dry.err, METRICS.exists()) == (0, "", True, False)
    for index in (1, 2):
        shard = steerx(*PLAIN, *ROUGE, "--chunk-users", 2, "--shard", f"{index}/2")
        assert (shard.code, shard.out, "finished" in shard.err) == (0, "", True)
    assert steerx("merge", *sorted(RUN.glob("metrics-*.parquet")), "--quiet").code == 0
    assert len(table(steerx, "--metrics", METRICS, "--samples", 100)["cells"]) == 5 * 8 + 4
    assert "evaluate         up to date" in steerx(*PLAIN, *ROUGE, "--chunk-users", 2).err


# --- against ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "found"),
    [((), "non-perso"), (("rag",), "rag"), (("steerx-cas",), SYSTEMS[4]), ((SYSTEMS[2],), SYSTEMS[2])],
)
def test_others_are_compared_with_a_system_or_with_a_method(given: tuple[str, ...], found: str, steerx: Steerx) -> None:
    document = table(steerx, *ROUGE, *(part for name in given for part in ("--against", name)))
    assert document["against"] == found
    differing = {cell["system"] for cell in document["cells"] if cell["difference"] is not None}
    assert differing == {*SYSTEMS} - {found}


@pytest.mark.parametrize(("against", "count"), [("cos", "2"), ("steerx-cos", "no"), ("cos λ 0.7", "no")])
def test_a_name_that_is_of_no_system_or_of_several_is_refused_before_anything_is_scored(
    against: str, count: str, steerx: Steerx, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage, "run", lambda *_: pytest.fail("it was scored"))
    sentence = f"{count} systems are called {against!r}: name one of these with --against: {'; '.join(SYSTEMS)}"
    assert refused(steerx, *ROUGE, "--against", against) == sentence


def test_a_name_that_is_of_no_system_is_refused_of_scores_that_are_there(steerx: Steerx, scored: bytes) -> None:
    sentence = refused(steerx, "--metrics", METRICS, "--samples", 100, "--against", "cos")
    assert sentence == f"2 systems are called 'cos': name one of these with --against: {'; '.join(SYSTEMS)}"


def test_another_table_needs_no_new_scores(steerx: Steerx, scored: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "prepare", lambda *_: pytest.fail("scored again"))
    asked: list[tuple[object, ...]] = [
        (),
        ("--against", "rag"),
        ("--samples", 200),
        ("--seed", 3),
        ("--confidence", 0.9),
        ("--format", "json"),
    ]
    tables = [steerx(*PLAIN, *ROUGE, "--quiet", *more).out for more in asked]
    assert len({*tables}) == len(asked)
    assert METRICS.read_bytes() == scored


# --- scores that are there --------------------------------------------------------------------------------------------


def test_the_table_of_scores_that_are_there_is_that_of_the_run(steerx: Steerx, scored: bytes) -> None:
    shown = steerx(*PLAIN, *ROUGE, "--quiet", "--against", "rag").out
    shutil.move(METRICS, "moved.parquet")
    shutil.rmtree(RUN)
    given = ("--metrics", "moved.parquet", "--samples", 100, "--against", "rag")
    assert steerx(*PLAIN, *given) == (0, shown, "")
    for name in ("none", "csv", "json", "markdown", "latex"):
        code, out, err = steerx(*PLAIN, *given, "--format", name)
        assert (code, err, out == "") == (0, "", name == "none")


MAKING: list[tuple[object, ...]] = [
    ("--metric", "rouge1"),
    ("--split", "test"),
    ("--tokenize", "13a"),
    ("--meteor-split", "simple"),
    ("--download-punkt",),
    ("--task", "review"),
    ("--queries", "queries.parquet"),
    ("--output", "out.parquet"),
    ("--overwrite",),
    ("--bertscore-model", "judge"),
    ("--bertscore-layer", 3),
    ("--revision", "main"),
    ("--dtype", "float32"),
    ("--device", "cpu"),
    ("--batch-tokens", 100),
    ("--trust-remote-code",),
    ("--pickled",),
    ("--limit", 3),
    ("--shard", "1/2"),
    ("--chunk-users", 3),
    ("--dry-run",),
]


@pytest.mark.parametrize("option", MAKING, ids=lambda option: option[0])
def test_options_for_making_scores_are_refused_where_they_are_read(
    option: tuple[object, ...], steerx: Steerx, scored: bytes
) -> None:
    assert refused(steerx, "--metrics", METRICS, *option) == (
        f"--metrics reads scores that are there, and {option[0]} is for making them: leave one of them out"
    )


def test_a_preset_s_settings_of_scores_are_left_alone_where_they_are_read(
    steerx: Steerx, scored: bytes, here: Path
) -> None:
    (here / "mine.toml").write_text('[evaluate]\nmetric = ["bleu"]\nsamples = 100\nmeteor-split = "simple"\n')
    code, out, err = steerx("evaluate", "--preset", "mine.toml", "--metrics", METRICS, "--format", "json")
    assert (code, err) == (0, "")
    assert json.loads(out)["samples"] == 100
    assert [column["name"] for column in json.loads(out)["columns"] if column["kind"] == "score"] == ["rouge1"]


def test_files_of_answers_are_refused_beside_scores_that_are_there(steerx: Steerx, scored: bytes) -> None:
    sentence = "--metrics reads scores that are there: leave it out, or the files of answers"
    assert refused(steerx, RUN / "generations-rag.parquet", "--metrics", METRICS) == sentence


def test_what_holds_no_scores_is_refused(steerx: Steerx, scored: bytes) -> None:
    for path in (RUN / "queries.parquet", RUN / "generations-rag.parquet"):
        sentence = refused(steerx, "--metrics", path)
        assert re.match(rf"{re.escape(str(path))} .*(queries|generations), not metrics", sentence), sentence
    assert str(RUN / "none.parquet") in refused(steerx, "--metrics", RUN / "none.parquet")


def test_a_shard_s_scores_alone_are_refused(steerx: Steerx) -> None:
    told(steerx, *ROUGE, "--chunk-users", 1, "--shard", "2/2")
    path = RUN / "metrics-00002-of-00002.parquet"
    assert refused(steerx, "--metrics", path) == f"shard 1/2 is missing beside {path}: run or name it too"


# --- where it goes ----------------------------------------------------------------------------------------------------


def test_other_scores_replace_none_unasked(steerx: Steerx, scored: bytes) -> None:
    sentence = refused(steerx, *ROUGE, "--metric", "rougeL")
    assert sentence.startswith(f"{METRICS} was made otherwise (metrics rouge1 → rouge1 rougeL, signatures ")
    assert sentence.endswith("name another --output or --run, or replace it with --overwrite")
    assert METRICS.read_bytes() == scored
    sentence = refused(steerx, *ROUGE, RUN / "generations-rag.parquet")
    assert "other cos" in sentence
    assert told(steerx, *ROUGE, "--metric", "rougeL", "--overwrite")["status"] == "finished"
    assert {row["rougeL"] for row in rows_of(METRICS)} != {None}


def test_it_never_writes_over_what_it_reads(steerx: Steerx) -> None:
    for name in ("queries", "generations-cos"):
        path = RUN / f"{name}.parquet"
        sentence = f"{path} is read and would be written: name another --output or --run"
        assert refused(steerx, *ROUGE, "-o", path, "--overwrite") == sentence
