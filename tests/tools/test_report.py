"""`steerx report`: what is made of which files, what is refused, and where the figure goes."""

import re
import shutil
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import polars as pl
import pytest

import support
from measured import Deltas, save_effects
from reported import controlled, frame, system, users
from steerx_cli.core.artifacts import writing
from steerx_cli.core.provenance import Footer, Record, Shard
from steerx_cli.core.schemas import EFFECTS, METRICS, SCORES, Artifact
from support import Steerx, contents, python

WHOSE = users(6, 2)
SIGNATURES = {"meteor": "meteor[nltk3.9|simple]", "rouge1": "rouge1[rouge_score]", "bertscore": "bertscore[m]"}
DELTAS = np.random.default_rng(5).normal(0.1, 0.5, 400).astype(np.float32)


@pytest.fixture
def report(alone: Path, steerx: Steerx) -> Steerx:
    """Run `steerx report` in an empty folder."""
    return partial(steerx, "report")


def scores(
    path: str,
    rows: pl.DataFrame | None = None,
    metrics: Sequence[str] = ("meteor",),
    draw: str = "",
    seed: int | None = None,
    last: float = 0.3,
    models: Mapping[str, Mapping[str, str]] = MappingProxyType({}),
) -> str:
    """Scores of systems, for a draw of the users, with anchors by chance."""
    if rows is None:
        means = {"non-perso": 0.2, "rag": 0.25, "steerx-cos λ 0.5": last}
        rows = frame(*(system(name, WHOSE, name.split()[0], meteor=mean) for name, mean in means.items()))
    queries = Footer(Record("queries", 1, "select", "0", {"draw": draw} if draw else {}), 1, 1, "0")
    drawn = Footer(Record("scores", 1, "score-tokens", "0", {} if seed is None else {"seed": seed}), 1, 1, "0")
    parameters = {"metrics": [*metrics], "signatures": [SIGNATURES[name] for name in metrics], "split": "test"}
    inputs = {"queries": queries.fingerprint, "scores": drawn.fingerprint}
    record = Record("metrics", METRICS.version, "evaluate", "0", parameters, inputs, {**models})
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with writing(Path(path), METRICS) as writer:
        writer.write(rows.to_arrow().cast(METRICS.columns))
        ancestry = {**queries.lineage(), **drawn.lineage()}
        writer.close(Footer(record, writer.rows, 6, writer.flush(), ancestry=ancestry))
    return path


def effects(path: str, texts: Sequence[Deltas] = (DELTAS.tolist(),), kind: Artifact = EFFECTS, **of: Any) -> str:
    """Effects, or the scores that are cut from them."""
    save_effects(Path(path), texts, kind, **of)
    return path


def sweep() -> pl.DataFrame:
    """A method along λ, and a baseline."""
    steered = (system(f"cos λ {lam}", WHOSE, "cos", lam=lam, meteor=0.2 + lam / 10) for lam in (0.1, 0.2, 0.5))
    return frame(system("rag", WHOSE, meteor=0.21), *steered)


# --- what is made of which files --------------------------------------------------------------------------------------


def test_effects_are_told_in_numbers_and_drawn_if_a_figure_is_named(report: Steerx) -> None:
    effects("effects.parquet")
    code, out, err = report("effects.parquet", "--tau", "0.75")
    assert (code, err) == (0, "")
    count = int((DELTAS >= 0.75).sum())
    assert re.search(rf"^  τ 0\.75 +{count} +{100 * count / 400:.2f} % ", out, re.MULTILINE)
    assert "400 tokens of 1 texts" in out
    assert report("effects.parquet", "--tau", "0.75", "--output", "h.svg") == (0, out, "wrote h.svg\n")
    assert f"Δ ≥ τ = 0.75: {count} of 400 tokens" in Path("h.svg").read_text()


def test_scores_are_marked_at_the_threshold_of_their_anchors(report: Steerx) -> None:
    effects("scores.parquet", kind=SCORES, tau=0.85)
    assert " τ 0.85 " in report("scores.parquet", "-o", "own.svg").out
    assert "Δ ≥ τ = 0.85: " in Path("own.svg").read_text()
    assert report("scores.parquet", "--tau", "0.25", "-o", "other.svg").code == 0
    assert "Δ ≥ τ = 0.25: " in Path("other.svg").read_text()
    assert report(effects("effects.parquet"), "-o", "none.svg").code == 0
    assert "τ" not in Path("none.svg").read_text()


def test_scores_of_systems_are_bars_and_along_a_setting_curves(report: Steerx) -> None:
    scores("metrics.parquet", sweep())
    assert report("metrics.parquet", "-o", "bars.svg") == (0, "", "wrote bars.svg\n")
    assert {*re.findall(r'id="(meteor-\d)"', Path("bars.svg").read_text())} == {f"meteor-{at}" for at in range(4)}
    assert report("metrics.parquet", "--along", "lam", "-o", "curves.svg") == (0, "", "wrote curves.svg\n")
    assert {*re.findall(r'id="(meteor-\d)"', Path("curves.svg").read_text())} == {"meteor-0", "meteor-1"}


def test_what_the_intervals_are_is_asked_as_of_the_table(report: Steerx) -> None:
    scores("metrics.parquet")
    asked = ("--samples", "200", "--confidence", "0.9", "--against", "rag")
    assert report("metrics.parquet", *asked, "-o", "bars.svg").code == 0
    drawn = Path("bars.svg").read_text()
    assert "lines: 90 % intervals, 200 bootstrap samples of 6 users; 12 answers of each system, split test" in drawn
    assert "; dotted: rag" in drawn


def test_several_runs_are_told_by_their_spread_whatever_their_order(report: Steerx) -> None:
    lasts = {("1/2", 0): 0.3, ("1/2", 1): 0.32, ("2/2", 0): 0.35, ("2/2", 1): 0.37}
    paths = [scores(f"{draw[0]}{seed}.parquet", draw=draw, seed=seed, last=at) for (draw, seed), at in lasts.items()]
    code, out, err = report(*paths)
    assert (code, err) == (0, "")
    assert report(*reversed(paths)).out == out
    assert "scores over 4 runs" in out
    found = re.findall(
        r"^  steerx-cos λ 0\.5 +(\S+)\n +sd (\S+)\n +(\S+)\n +seeds (\S+)\n +draws (\S+)$", out, re.MULTILINE
    )
    values = [*lasts.values()]
    sd = float(np.std(values, ddof=1))
    assert found[0] == ("0.3350", f"{sd:.4f}", "0.3000…0.3700", f"{0.02 / 2**0.5:.4f}", f"{0.05 / 2**0.5:.4f}")
    assert found[1][:1] == ("+0.1350",)
    assert out.count("4 of 4") == 2
    assert "4 runs: seeds 0, 1; draws 1/2, 2/2 of the users" in out
    assert "a seed decides which anchors are random, and nothing else" in out
    assert report(*paths, "-o", "dots.svg") == (0, out, "wrote dots.svg\n")
    assert Path("dots.svg").read_text().count("<use") >= 12


def test_runs_are_compared_with_the_system_that_is_named_and_with_controls(report: Steerx) -> None:
    found = controlled().select(METRICS.columns.names)
    for seed in (0, 1):
        scores(f"{seed}.parquet", found, ("rouge1", "meteor"), seed=seed)
    out = report("0.parquet", "1.parquet", "--against", "steerx-cos λ 1").out
    assert "differences to steerx-cos λ 1" in out
    assert "differences to the strongest control" in out


@pytest.mark.parametrize(("output_format", "starts"), [("markdown", "**Scores over"), ("latex", "% 2 runs: ")])
def test_numbers_are_written_for_pages_and_papers(report: Steerx, output_format: str, starts: str) -> None:
    paths = [scores(f"{seed}.parquet", seed=seed) for seed in (0, 1)]
    assert report(*paths, "--format", output_format).out.startswith(starts)
    assert r"$\tau$" in report(effects("effects.parquet"), "--format", "latex").out


def test_shards_are_one_file_and_runs_may_be_folders_and_patterns(report: Steerx) -> None:
    effects("e-00001-of-00002.parquet", [[1.0, 2.0]], shard=Shard(1, 2))
    effects("e-00002-of-00002.parquet", [[3.0]], shard=Shard(2, 2))
    assert "3 tokens of 2 texts" in report("e-00001-of-00002.parquet", "e-00002-of-00002.parquet").out
    assert "3 tokens of 2 texts" in report("e-*.parquet").out
    for name, seed in (("a", 0), ("b", 1)):
        scores(f"runs/{name}/metrics.parquet", seed=seed)
    for places in (["runs/a", "runs/b"], ["runs/*/metrics.parquet"], ["runs/a", "runs/b/metrics.parquet"]):
        assert "scores over 2 runs" in report(*places).out


# --- what is refused --------------------------------------------------------------------------------------------------


def said(ended: support.Ended) -> str:
    """The one sentence of a refusal, after which nothing was written."""
    assert (ended.code, ended.out) == (2, "")
    assert not [*Path().rglob("*.svg")]
    (sentence,) = ended.err.splitlines()
    return sentence.removeprefix("Error: ")


def test_files_that_are_of_no_use_or_of_two_kinds_are_refused(report: Steerx, data: Path) -> None:
    effects("effects.parquet")
    effects("scores.parquet", kind=SCORES)
    scores("metrics.parquet")
    shutil.copy(data / "queries.parquet", "queries.parquet")
    Path("empty").mkdir()
    Path("text.parquet").write_text("x")
    cases = {
        "queries.parquet": ("queries.parquet holds queries: name effects or scores, or metrics of `steerx evaluate`",),
        "effects.parquet metrics.parquet": (
            "effects.parquet holds effects, and metrics.parquet metrics: name files of one kind",
        ),
        "empty": ("empty has no Parquet file in it: name effects or scores",),
        "nothing.parquet": ("nothing.parquet does not exist: name an artifact",),
        "effects.parquet ./effects.parquet": ("effects.parquet is named twice: name it once",),
    }
    for typed, (sentence,) in cases.items():
        assert said(report(*typed.split(), "-o", "x.svg")) == sentence
    assert said(report("text.parquet")).startswith("text.parquet cannot be read as Parquet (")


def test_several_files_of_effects_are_refused(report: Steerx) -> None:
    effects("a.parquet")
    effects("b.parquet", [[1.0]])
    assert said(report("a.parquet", "b.parquet")) == (
        "a histogram is of one file, not of a.parquet and b.parquet: name one"
    )


@pytest.mark.parametrize(
    ("files", "typed", "sentence"),
    [
        ("effects", "--along lam", "--along changes nothing in a histogram of effects: leave it out"),
        ("effects", "--against rag", "--against changes nothing in a histogram of effects: leave it out"),
        ("effects", "--samples 100", "--samples changes nothing in a histogram of effects: leave it out"),
        ("effects", "--tau nan", "--tau nan is no number of nats: name one, such as 0.7"),
        ("sweep", "--tau 1", "--tau changes nothing in bars: leave it out"),
        ("sweep", "--format latex", "--format is of numbers, and bars are a figure only: leave it out"),
        ("sweep", "--along lam --against rag", "--against changes nothing in curves: leave it out"),
        ("sweep", "--along lam --format latex", "--format is of numbers, and curves are a figure only: leave it out"),
        ("sweep", "--along tau", "no system has more than one τ: score several, or use --along lam"),
        (
            "sweep",
            "--against cas",
            "no systems are called 'cas': name one of these with --against: rag; cos λ 0.1; cos λ 0.2; cos λ 0.5",
        ),
        ("0 1", "--along lam", "--along changes nothing in the spread of several runs: leave it out"),
        ("0 1", "--tau 1", "--tau changes nothing in the spread of several runs: leave it out"),
        ("0 1", "--confidence 0.9", "--confidence changes nothing in the spread of several runs: leave it out"),
        ("0 1", "--seed 1", "--seed changes nothing in the spread of several runs: leave it out"),
    ],
)
def test_what_would_change_nothing_is_refused(report: Steerx, files: str, typed: str, sentence: str) -> None:
    effects("effects.parquet")
    scores("sweep.parquet", sweep())
    for seed in (0, 1):
        scores(f"{seed}.parquet", seed=seed)
    assert said(report(*(f"{name}.parquet" for name in files.split()), *typed.split(), "-o", "x.svg")) == sentence


def test_bars_and_curves_need_a_place(report: Steerx) -> None:
    scores("metrics.parquet", sweep())
    rest = "the scores as a table are shown by `steerx evaluate --metrics`"
    assert said(report("metrics.parquet")) == f"bars are a figure: name its file, as in --output bars.svg; {rest}"
    assert said(report("metrics.parquet", "--along", "lam")) == (
        f"curves are a figure: name its file, as in --output curves.svg; {rest}"
    )


def test_runs_that_cannot_be_compared_are_refused(report: Steerx) -> None:
    scores("a.parquet", seed=0)
    shutil.copy("a.parquet", "b.parquet")
    assert said(report("a.parquet", "b.parquet")) == (
        "a.parquet and b.parquet are the same run, to the last number: name one of them"
    )
    scores("other.parquet", sweep(), seed=1)
    assert said(report("a.parquet", "other.parquet")).endswith("score the same systems in every run")
    assert "a.parquet, not in other.parquet" in said(report("a.parquet", "other.parquet"))


def test_scores_of_which_nothing_is_left_are_refused(report: Steerx) -> None:
    judge = {"bertscore": {"id": "demo", "weights": "590f8c9b3a021feb2b15235d11990547a0dbb7881f53fc4abfea93a305ea1501"}}
    rows = frame(*(system(name, WHOSE, bertscore=0.3) for name in ("rag", "cos")))
    scores("metrics.parquet", rows, ["bertscore"], models=judge)
    assert said(report("metrics.parquet", "-o", "x.svg")) == (
        "metrics.parquet has no score to show (BERTScore is left out: its model is the demo's, which knows one small "
        "world): score by another --metric, too"
    )


# --- where the figure goes --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.svg", "A.SVG", "new/folder/a.pdf", "a.b.png"])
def test_the_ending_says_what_is_written(report: Steerx, name: str) -> None:
    effects("effects.parquet")
    assert report("effects.parquet", "-o", name).code == 0
    starts = {".svg": b"<?xml", ".pdf": b"%PDF", ".png": b"\x89PNG"}[Path(name).suffix.lower()]
    assert Path(name).read_bytes().startswith(starts)


@pytest.mark.parametrize("name", ["a", "a.jpg", "svg", "a.svg.gz", ".svg"])
def test_another_ending_is_refused(report: Steerx, name: str) -> None:
    effects("effects.parquet")
    assert said(report("effects.parquet", "-o", name)) == (
        f"{name} ends neither in .svg, .pdf nor in .png: name one that does"
    )


def test_a_figure_is_replaced_by_the_same_bytes_and_nothing_is_left_beside_it(report: Steerx) -> None:
    effects("effects.parquet")
    Path("a.svg").write_text("old")
    assert report("effects.parquet", "-o", "a.svg").code == 0
    drawn = Path("a.svg").read_bytes()
    assert report("effects.parquet", "-o", "a.svg").code == 0
    assert Path("a.svg").read_bytes() == drawn
    assert sorted(contents(Path())) == ["a.svg", "effects.parquet"]


def test_a_place_that_takes_no_figure_is_refused_before_anything_is_drawn(report: Steerx) -> None:
    effects("effects.parquet")
    Path("folder.png").mkdir()
    Path("file").write_text("x")
    assert said(report("effects.parquet", "-o", "folder.png")) == (
        "cannot write folder.png: a folder stands where the file should be: name another place"
    )
    assert said(report("effects.parquet", "-o", "file/a.png")) == (
        "cannot write file/a.png: a file stands where a folder is needed: name another place"
    )
    Path("linked.png").symlink_to("effects.parquet")
    assert said(report("effects.parquet", "-o", "linked.png")) == (
        "linked.png is read and would be written: name another --output"
    )


def test_a_full_disk_leaves_the_old_figure(report: Steerx, small_disk: Path) -> None:
    effects("effects.parquet")
    (small_disk / "a.png").write_bytes(b"old")
    (small_disk / "filling").write_bytes(b"x" * (small_disk.stat().st_blksize * 60))
    ended = report("effects.parquet", "-o", small_disk / "a.png")
    assert ended.code == 2
    assert ended.err == f"Error: cannot write {small_disk / 'a.png'}: the disk is full: free some space\n"
    assert (small_disk / "a.png").read_bytes() == b"old"


def test_matplotlib_is_loaded_for_a_figure_only_and_says_nothing_of_its_own(alone: Path) -> None:
    effects("effects.parquet")
    script = (
        "import os, sys\nfrom steerx_cli.app import main\n"
        "os.environ.update(HOME='/nowhere', XDG_CONFIG_HOME='/dev/null/x', XDG_CACHE_HOME='/dev/null/x')\n"
        "for figure in ([], ['-o', 'a.svg']):\n"
        "    code = main(['report', 'effects.parquet', *figure])\n"
        "    print('ended', code, 'matplotlib' in sys.modules)\n"
    )
    told = python(script)
    assert re.findall("^ended .*$", told.out, re.MULTILINE) == ["ended 0 False", "ended 0 True"]
    assert told.err == "wrote a.svg\n"
    assert Path("a.svg").stat().st_size < 100_000
