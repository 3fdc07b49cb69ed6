"""`steerx choose`: the best settings of those that were tried, against means over plain lists."""

import json
import math
import os
import random
import shutil
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from itertools import permutations, product
from pathlib import Path
from statistics import fmean
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import typer.main

import support
from reported import Rows, counts, frame, system, users
from steerx_cli.app import app
from steerx_cli.core.artifacts import read_footer, writing
from steerx_cli.core.errors import SteerxError
from steerx_cli.core.order import user_order
from steerx_cli.core.outputs import Output
from steerx_cli.core.presets import load_preset
from steerx_cli.core.provenance import Footer, Record, Shard
from steerx_cli.core.schemas import ARTIFACTS, CHOICES, METRICS
from steerx_cli.core.summary import Summary
from steerx_cli.metrics.measures import score_measures
from steerx_cli.tools import choose as tool
from steerx_cli.tools.choose import Wanted, best_of, grid, run
from steerx_cli.tools.show import ancestors
from support import Steerx

Settings = Mapping[str, Any]

GROUP: Any = typer.main.get_command(app)
SETTINGS = ("lam", "gamma2", "tau", "gamma1", "layer")
STAGES = {"lam": ["generate"], "gamma2": ["generate"], "tau": ["score-tokens"], "gamma1": ["build-vector"]}
STAGES |= {"layer": ["build-vector", "generate"]}  # where vectors are made, and where they are added
GRIDS: Mapping[str, Mapping[str, Sequence[float]]] = {
    "cos": {"lam": (0.1, 0.5, 1.0)},
    "steerx-cos": {"lam": (0.1, 0.5), "tau": (0.7, 1.0)},
    "cas": {"gamma2": (0.1, 1.0), "layer": (2, 20)},
    "steerx-cas": {"gamma2": (0.1, 1.0), "tau": (0.7, 1.0), "gamma1": (0.1, 0.4), "layer": (2, 3)},
}
WHOSE = sorted(users(3, 2), key=user_order)


def tried(method: str, scores: Any, by: str = "meteor", **settings: Any) -> Rows:
    """A method with these settings: the score of each of its answers."""
    name = " ".join([method, *(f"{key} {value}" for key, value in settings.items())])
    return system(name, WHOSE, method, **settings, **{by: scores})


def points_of(method: str) -> list[dict[str, Any]]:
    return [dict(zip(GRIDS[method], values, strict=True)) for values in product(*GRIDS[method].values())]


def all_tried() -> Iterator[Rows]:
    """All of all grids, and what has no settings; the last ones of each are the best."""
    yield tried("rag", 0.9)
    for method in GRIDS:
        for number, settings in enumerate(points_of(method)):
            yield tried(method, [0.01 * number + 0.1 * at for at in range(len(WHOSE))], **settings)


def record(name: str, by: str, inputs: Mapping[str, Footer], **parameters: Any) -> Record:
    artifact = ARTIFACTS[name]
    parents = {role: parent.fingerprint for role, parent in inputs.items()}
    return Record(name, artifact.version, by, version("steerx"), parameters, parents)


def metrics(path: Path, *systems: Rows, split: str = "development", shard: Shard | None = None, **more: Any) -> Path:
    """Scores as evaluate leaves them, of answers to queries that nobody reads any more."""
    queries = Footer(record("queries", "import", {}), 6, 3, "0" * 64)
    inputs = {"queries": queries}
    answers = Footer(record("generations", "generate", inputs, method="cos"), 6, 3, "1" * 64, {}, queries.lineage())
    inputs |= {"cos": answers}
    of = {"split": split, "metrics": ["meteor", "bleu"], "signatures": ["meteor[x]", "bleu[y]"], **more}
    rows = sorted((row for own in systems for row in own), key=lambda row: user_order(row["user_id"]))
    path.parent.mkdir(parents=True, exist_ok=True)
    with writing(path, METRICS) as writer:
        writer.write(pa.Table.from_pylist(rows, schema=METRICS.columns))
        lineage = queries.lineage() | answers.lineage()
        made = record("metrics", "evaluate", inputs, **of)
        writer.close(Footer(made, writer.rows, 3, writer.flush(), {}, lineage, shard))
    return path


def choose(
    place: Path, method: str, folder: Path, by: str = "meteor", extends: str = "paper-topic-8b", overwrite: bool = False
) -> Summary:
    return run(place, Wanted(method, by, extends, folder), overwrite)


def refusal(place: Path, method: str, folder: Path, **more: Any) -> str:
    with pytest.raises(SteerxError) as refused:
        choose(place, method, folder, **more)
    return str(refused.value)


def table(folder: Path, method: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pq.read_table(folder / f"{method}.parquet").to_pylist()
    return found


def found(method: str, *systems: Rows, by: str = "meteor", labels: Sequence[str] = ()) -> list[dict[str, Any]]:
    """All that was tried, without a file of it."""
    return [dict(point) for point in grid(frame(*systems), method, score_measures(labels)[by])]


def chosen(points: Sequence[Settings]) -> dict[str, Any]:
    """The settings that one row has."""
    (point,) = [point for point in points if point["chosen"]]
    return {name: point[name] for name in SETTINGS if point[name] is not None}


def bytes_in(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def grids(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Scores of all grids."""
    return metrics(tmp_path_factory.mktemp("grids") / "metrics.parquet", *all_tried())


# --- what is chosen ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", GRIDS)
def test_the_best_mean_is_chosen_and_of_equal_ones_the_least(method: str) -> None:
    draw, equals = random.Random(method), 0
    for _ in range(12):
        # Eighths have exact sums, and a few of them are often equal.
        scores = [[draw.randrange(3) / 8 for _ in WHOSE] for _ in points_of(method)]
        systems = list(zip(points_of(method), scores, strict=True))
        means = [fmean(own) for own in scores]
        equal = [settings for settings, own in systems if fmean(own) == max(means)]
        equals += len(equal) > 1
        draw.shuffle(systems)
        points = found(method, *(tried(method, own, **settings) for settings, own in systems))
        least = min(equal, key=lambda settings: [settings.get(name, 0) for name in SETTINGS])
        assert chosen(points) == least
        told = [({name: row[name] for name in SETTINGS if row[name] is not None}, row["score"]) for row in points]
        assert sorted(map(str, told)) == sorted(map(str, zip(points_of(method), means, strict=True)))
        assert {(row["method"], row["answers"]) for row in points} == {(method, len(WHOSE))}
    assert equals


def test_the_order_of_systems_changes_nothing() -> None:
    systems = [tried("cos", 0.5, lam=lam) for lam in (0.3, -0.5, 0.1, 0.7)]
    every = [found("cos", *some) for some in permutations(systems)]
    assert all(points == every[0] for points in every)
    assert [row["lam"] for row in every[0]] == [-0.5, 0.1, 0.3, 0.7]
    assert chosen(every[0]) == {"lam": -0.5}


def bleu_of(answers: Sequence[Sequence[int]]) -> float:
    """Of a corpus (Papineni 2002), where every order has something in common."""
    own, reference, *ngrams = map(sum, zip(*answers, strict=True))
    logs = [math.log(common / there) for common, there in zip(ngrams[:4], ngrams[4:], strict=True)]
    return 100 * math.exp(min(0, 1 - reference / own) + fmean(logs))


def test_bleu_is_of_the_corpus_and_no_mean_of_answers() -> None:
    draw, means_differ = random.Random(0), 0
    for _ in range(12):
        systems = {}
        for lam in (0.1, 0.5, 1.0):
            lengths = [draw.randint(5, 200) for _ in WHOSE]
            answers = [
                [length, draw.randint(5, 200), *(draw.randint(1, length - at) for at in range(4))]
                + [length - at for at in range(4)]
                for length in lengths
            ]
            systems[lam] = answers
        of_corpora = {lam: bleu_of(answers) for lam, answers in systems.items()}
        means = {lam: fmean(bleu_of([answer]) for answer in answers) for lam, answers in systems.items()}
        points = found("cos", *(tried("cos", of, "bleu_counts", lam=lam) for lam, of in systems.items()), by="bleu")
        assert chosen(points) == {"lam": max(of_corpora, key=lambda lam: of_corpora[lam])}
        assert {row["lam"]: row["score"] for row in points} == pytest.approx(of_corpora, rel=1e-12)
        means_differ += max(means, key=lambda lam: means[lam]) != chosen(points)["lam"]
    assert means_differ


def test_by_names_the_score(tmp_path: Path) -> None:
    worse = system("cos λ 0.1", WHOSE, "cos", lam=0.1, meteor=0.3, bleu_counts=[counts(5)] * len(WHOSE))
    better = system("cos λ 0.2", WHOSE, "cos", lam=0.2, meteor=0.2, bleu_counts=[counts(6)] * len(WHOSE))
    place = metrics(tmp_path / "metrics.parquet", worse, better)
    for by, lam, scores in (("meteor", 0.1, [0.3, 0.2]), ("bleu", 0.2, [5.0, 6.0])):
        summary = choose(place, "cos", tmp_path / by, by)
        assert summary.parameters == {"method": "cos", "by": by, "lam": lam}
        rows = table(tmp_path / by, "cos")
        assert chosen(rows) == {"lam": lam}
        assert [row["score"] for row in rows] == pytest.approx(scores)


@pytest.mark.parametrize("by", ["mae", "rmse"])
def test_of_errors_the_lowest_is_best(by: str) -> None:
    def rated(lam: float, ratings: list[float]) -> Rows:
        return system(f"cos λ {lam}", WHOSE, "cos", lam=lam, rating=ratings, true_rating=[3.0] * len(WHOSE))

    # One answer that is far off costs more where errors are squared.
    systems = rated(0.1, [4, 4, 4, 4, 4, 2]), rated(0.2, [3, 3, 3, 3, 3, -1]), rated(0.3, [5, 5, 5, 5, 5, 1])
    points = found("cos", *systems, by=by)
    errors = {"mae": [1, 4 / 6, 2], "rmse": [1, math.sqrt(16 / 6), 2]}[by]
    assert [row["score"] for row in points] == pytest.approx(errors)
    assert chosen(points) == {"lam": {"mae": 0.2, "rmse": 0.1}[by]}


@pytest.mark.parametrize("by", ["accuracy", "macro-f1", "mcc"])
def test_labels_are_counted_among_all_there_are(tmp_path: Path, by: str) -> None:
    true = ["a", "b", "a", "b", "a", "b"]
    said = {0.1: ["a", "b", "b", "a", None, "b"], 0.2: ["a", "b", "a", "b", "b", "b"], 0.3: ["a"] * 6}
    systems = [
        system(f"cos λ {lam}", WHOSE, "cos", lam=lam, label=labels, true_label=true) for lam, labels in said.items()
    ]
    place = metrics(tmp_path / "metrics.parquet", *systems, metrics=[by], labels=["a", "b", "c"])
    assert choose(place, "cos", tmp_path, by).parameters["lam"] == 0.2
    if by == "accuracy":
        assert [row["score"] for row in table(tmp_path, "cos")] == pytest.approx([3 / 6, 5 / 6, 3 / 6])


def test_what_is_not_defined_never_wins(tmp_path: Path) -> None:
    nan = math.nan
    assert [best_of(scores) for scores in ([nan, 0.1, nan, 0.1], [nan], [], [-1.0, -0.5])] == [1, None, None, 1]
    assert [best_of(scores, True) for scores in ([nan, 0.1, nan, 0.1], [nan], [2.0, 1.0])] == [1, None, 1]
    systems = tried("cos", None, lam=0.1), tried("cos", 0.0, lam=0.2), tried("cos", None, lam=0.3)
    choose(metrics(tmp_path / "metrics.parquet", *systems), "cos", tmp_path)
    assert [(row["score"], row["chosen"]) for row in table(tmp_path, "cos")] == [
        (None, False),
        (0.0, True),
        (None, False),
    ]
    place = metrics(tmp_path / "none.parquet", systems[0], systems[2])
    said = f"meteor is not defined for any answers of cos in {place}: name another --by"
    assert refusal(place, "cos", tmp_path / "new") == said


def test_only_answers_that_have_a_score_are_in_its_mean() -> None:
    points = found("cos", tried("cos", [0.4, None, None, None, None, 0.6], lam=0.1), tried("cos", 0.3, lam=0.2))
    assert [(row["score"], row["answers"], row["chosen"]) for row in points] == [(0.5, 6, True), (0.3, 6, False)]


def test_a_setting_that_a_system_lacks_is_the_least_and_in_no_preset(tmp_path: Path) -> None:
    place = metrics(
        tmp_path / "metrics.parquet",
        tried("steerx-cos", 0.5, lam=0.2, tau=0.7),
        tried("steerx-cos", 0.5, lam=0.2, tau=None),
        tried("steerx-cos", 0.4, lam=0.1, tau=1.0),
        tried("cas", 0.5, gamma2=0.2, layer=3),
    )
    summary = choose(place, "steerx-cos", tmp_path)
    rows = table(tmp_path, "steerx-cos")
    assert [(row["lam"], row["tau"], row["chosen"]) for row in rows] == [
        (0.1, 1.0, False),
        (0.2, None, True),
        (0.2, 0.7, False),
    ]
    assert (tmp_path / "steerx-cos.toml").read_text() == 'extends = "paper-topic-8b"\n\n[generate]\nlam = 0.2\n'
    assert summary.notes == ("what is best has no tau and others have one: the preset leaves tau as it was",)
    assert choose(place, "cas", tmp_path).notes == ()


@pytest.mark.parametrize(("best", "which"), [(0, "least"), (1, None), (2, "largest")])
def test_a_choice_at_the_end_of_what_was_tried_is_told_of(best: int, which: str | None) -> None:
    points = [
        {"lam": lam, "gamma2": None, "tau": tau, "gamma1": None, "layer": None, "chosen": (at, tau) == (best, 0.7)}
        for at, lam in enumerate((0.1, 0.5, 0.9))
        for tau in (0.7, 1.0)  # of two each is an end
    ]
    value = (0.1, 0.5, 0.9)[best]
    told = [f"lam {value:g} is the {which} that was tried: what is beyond may be better"] if which else []
    assert [*tool.notes(points)] == told


def test_no_variant_and_no_other_method_is_chosen_among(tmp_path: Path) -> None:
    own = [tried("steerx-cos", 0.3 + lam, lam=lam, tau=0.7) for lam in (0.1, 0.2)]
    others = [tried("rag", 0.9), tried("cos", 0.9, lam=0.3), tried("steerx-cas", 0.9, gamma2=0.1)]
    others += [
        tried("steerx-cos", 0.9, lam=lam, tau=0.7, variant=variant)
        for lam in (0.1, 0.4)
        for variant in ("random anchors", "another's description", "the true habits")
    ]
    points = found("steerx-cos", *own)
    assert found("steerx-cos", *own, *others) == found("steerx-cos", *others, *own) == points
    assert chosen(points) == {"lam": 0.2, "tau": 0.7}
    place = metrics(tmp_path / "metrics.parquet", *others)
    assert choose(place, "cos", tmp_path).rows == 1
    said = f"{place} has no score of steerx-cos: evaluate its answers, too"
    assert refusal(place, "steerx-cos", tmp_path) == said


# --- what is refused --------------------------------------------------------------------------------------------------


def test_settings_that_are_there_twice_are_refused() -> None:
    one, other = (system(f"cos λ 0.2, seed {seed}", WHOSE, "cos", lam=0.2, meteor=0.3) for seed in (0, 1))
    said = (
        "^cos is there more than once with the same λ, γ2, τ, γ1 and ℓ: evaluate answers that only these part$",
        "^steerx-cos is there more than once with ",
    )
    with pytest.raises(SteerxError, match=said[0]):
        found("cos", tried("cos", 0.3, lam=0.1), one, other)
    twice = [
        system(name, WHOSE, "steerx-cos", lam=0.2, meteor=0.3) for name in ("by 10 %", "by 20 %")
    ]  # neither has a τ
    with pytest.raises(SteerxError, match=said[1]):
        found("steerx-cos", *twice)
    assert chosen(found("cos", one, *twice, tried("cos", 0.1, lam=0.1))) == {"lam": 0.2}


@pytest.mark.parametrize("split", ["test", "all"])
def test_settings_are_chosen_on_development_users_alone(tmp_path: Path, split: str) -> None:
    place = metrics(tmp_path / "metrics.parquet", *all_tried(), split=split)
    assert refusal(place, "cos", tmp_path / "tuned") == (
        f"{place} has scores of the split {split}: settings are chosen on development users, so evaluate with "
        "--split development"
    )
    assert not (tmp_path / "tuned").exists()


@pytest.mark.parametrize("by", ["rouge1", "rmse", "meteors", "sentence-bleu", ""])
def test_a_score_that_is_not_there_is_refused(grids: Path, tmp_path: Path, by: str) -> None:
    said = f"{grids} has no {by}: evaluate with --metric {by}, or name another --by"
    assert refusal(grids, "cos", tmp_path / "tuned", by=by) == said
    assert not (tmp_path / "tuned").exists()


@pytest.mark.parametrize("method", ["rag", "non-perso", "chameleon"])
def test_a_method_without_settings_is_refused(grids: Path, tmp_path: Path, method: str) -> None:
    said = f"{method} has no setting to choose: name one of cos, steerx-cos, cas, steerx-cas"
    assert refusal(grids, method, tmp_path / "tuned") == said
    assert not (tmp_path / "tuned").exists()


def test_what_is_no_metrics_is_refused(grids: Path, tmp_path: Path) -> None:
    choose(grids, "cos", tmp_path)
    assert refusal(tmp_path / "no.parquet", "cos", tmp_path).endswith(
        "no.parquet does not exist: `steerx evaluate` writes metrics"
    )
    assert "cos.parquet holds choices, not metrics: " in refusal(tmp_path / "cos.parquet", "cas", tmp_path)


def test_no_input_is_replaced(grids: Path, tmp_path: Path) -> None:
    shutil.copy(grids, tmp_path / "cos.parquet")
    (tmp_path / "steerx-cos.toml").write_text("[generate]\nlam = 0.1\n")
    (tmp_path / "mine.toml").write_text('extends = "./steerx-cos.toml"\n')
    (tmp_path / "tuned").symlink_to(tmp_path)
    before = support.contents(tmp_path)
    for folder, overwrite in product((tmp_path, tmp_path / "tuned"), (False, True)):
        said = f"{folder / 'cos.parquet'} is read and would be written: name another --output"
        assert refusal(tmp_path / "cos.parquet", "cos", folder, overwrite=overwrite) == said
        # Nor is a preset that the new one extends, or that this one extends: they would go in a circle.
        for extends in ("steerx-cos.toml", "mine.toml"):
            how: dict[str, Any] = {"extends": str(tmp_path / extends), "overwrite": overwrite}
            said = f"{folder / 'steerx-cos.toml'} is read and would be written: name another --output"
            assert refusal(grids, "steerx-cos", folder, **how) == said
    assert support.contents(tmp_path) == before


@pytest.mark.parametrize("name", ["cos.parquet", "cos.toml"])
def test_a_place_that_takes_no_file_is_refused(grids: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    said = f"cannot write {tmp_path / name}: a folder stands where the file should be: name another place"
    assert refusal(grids, "cos", tmp_path) == said
    (tmp_path / "file").write_text("")
    assert refusal(grids, "cos", tmp_path / "file").startswith(f"cannot write {tmp_path}/file/cos.parquet: a file ")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([name, "file"])


# --- the preset -------------------------------------------------------------------------------------------------------


def taken(stage: str, preset: str) -> dict[str, Any]:
    """What a stage's options are when this preset is in force."""
    parent = GROUP.make_context("steerx", [stage])
    context = GROUP.commands[stage].make_context(stage, ["--preset", preset], parent=parent)
    found: dict[str, Any] = context.params
    return found


@pytest.mark.parametrize("method", GRIDS)
def test_the_preset_gives_every_stage_what_was_chosen_and_all_else_as_it_was(
    grids: Path, tmp_path: Path, method: str
) -> None:
    choose(grids, method, tmp_path)
    best, place = points_of(method)[-1], str(tmp_path / f"{method}.toml")
    assert chosen(table(tmp_path, method)) == best
    given: dict[str, dict[str, float]] = {}
    for name, value in best.items():
        for stage in STAGES[name]:
            given.setdefault(stage, {})[name] = value
    own, paper = load_preset(place), load_preset("paper-topic-8b")
    assert own.shared == paper.shared
    assert own.stages == {stage: {**values, **given.get(stage, {})} for stage, values in paper.stages.items()}
    for stage in ("score-tokens", "build-vector", "generate"):
        several = {name: value if (stage, name) in ONE else [value] for name, value in given.get(stage, {}).items()}
        assert taken(stage, place) == {**taken(stage, "paper-topic-8b"), **several, "preset": place}


ONE = {("build-vector", "gamma1"), ("generate", "layer")}  # what is given once


@pytest.mark.parametrize("folder", ["tuned", ".", "runs/a/tuned", "sets", "sets/deep", "/tuned"])
def test_a_preset_of_one_s_own_is_extended_from_wherever(
    grids: Path, alone: Path, monkeypatch: pytest.MonkeyPatch, folder: str
) -> None:
    folder = f"{alone}{folder}" if folder.startswith("/") else folder
    (alone / "sets").mkdir()
    (alone / "else where").mkdir()
    (alone / "sets/mine.toml").write_text('run = "./runs"\nseed = 3\n[generate]\nlam = 0.9\nmax-new-tokens = 7\n')
    choose(grids, "steerx-cos", Path(folder), extends="sets/mine.toml")
    monkeypatch.chdir(alone / "else where")
    own = load_preset(os.path.relpath(alone / folder / "steerx-cos.toml"))
    assert own.shared == {"run": str(alone / "sets/runs"), "seed": 3}
    assert own.stages == {"generate": {"lam": 0.5, "max-new-tokens": 7}, "score-tokens": {"tau": 1.0}}
    monkeypatch.undo()


def test_settings_can_be_chosen_on_top_of_chosen_ones(grids: Path, alone: Path) -> None:
    choose(grids, "cas", Path("first"))
    choose(grids, "cos", Path("then"), extends="first/cas.toml")
    assert Path("then/cos.toml").read_text() == 'extends = "../first/cas.toml"\n\n[generate]\nlam = 1.0\n'
    of = load_preset("then/cos.toml").stages
    assert (of["generate"]["lam"], of["generate"]["gamma2"], of["build-vector"]["layer"]) == (1.0, 1.0, 20)


# --- stopped, continued, told -----------------------------------------------------------------------------------------


def test_a_second_time_does_nothing(grids: Path, tmp_path: Path) -> None:
    first = choose(grids, "steerx-cas", tmp_path)
    assert (first.status, first.rows, first.users) == ("finished", 16, 3)
    assert first.inputs == {"metrics": str(grids)}
    assert first.output == f"{tmp_path / 'steerx-cas.parquet'}, {tmp_path / 'steerx-cas.toml'}"
    before, nodes = bytes_in(tmp_path), {path: path.stat().st_ino for path in tmp_path.iterdir()}
    for path in nodes:
        os.utime(path, (0, 0))
    for overwrite in (False, True):
        again = choose(grids, "steerx-cas", tmp_path, overwrite=overwrite)
        assert (again.status, again.rows, again.parameters) == ("up to date", 16, first.parameters)
    assert bytes_in(tmp_path) == before
    assert {path: path.stat().st_ino for path in tmp_path.iterdir()} == nodes
    assert (tmp_path / "steerx-cas.toml").stat().st_mtime > 0, "make looks at the date only"
    choose(grids, "steerx-cas", tmp_path / "new")
    assert bytes_in(tmp_path / "new") == before


def test_what_is_there_is_replaced_only_when_asked(grids: Path, tmp_path: Path) -> None:
    tuned, asked = tmp_path / "tuned", "name another --output, or replace it with --overwrite"
    choose(grids, "cos", tuned)
    before = bytes_in(tuned)
    others = metrics(tmp_path / "metrics.parquet", tried("cos", 0.2, lam=0.1), tried("cos", 0.1, lam=0.2))
    assert refusal(others, "cos", tuned) == f"{tuned}/cos.parquet was made otherwise (other metrics): {asked}"
    by_bleu = metrics(tmp_path / "bleu.parquet", tried("cos", [counts(3)] * len(WHOSE), "bleu_counts", lam=0.1))
    said = f"{tuned}/cos.parquet was made otherwise (by meteor → bleu, other metrics): {asked}"
    assert refusal(by_bleu, "cos", tuned, by="bleu") == said
    said = f"{tuned}/cos.toml says something else: {asked}"
    assert refusal(grids, "cos", tuned, extends="paper-review-8b") == said
    assert bytes_in(tuned) == before
    assert choose(others, "cos", tuned, overwrite=True).status == "finished"
    assert chosen(table(tuned, "cos")) == {"lam": 0.1}
    assert load_preset(str(tuned / "cos.toml")).stages["generate"]["lam"] == 0.1
    assert choose(others, "cos", tuned, extends="paper-review-8b", overwrite=True).status == "finished"
    assert load_preset(str(tuned / "cos.toml")).shared["task"] == "review"


def test_a_preset_of_one_s_own_is_not_lost_and_nothing_is_half_done(grids: Path, tmp_path: Path) -> None:
    (tmp_path / "cos.toml").write_text("[generate]\nlam = 0.3\n")
    before = support.contents(tmp_path)
    said = f"{tmp_path}/cos.toml says something else: name another --output, or replace it with --overwrite"
    assert refusal(grids, "cos", tmp_path) == said
    assert support.contents(tmp_path) == before


def test_killed_between_the_two_files_the_same_command_ends_it(
    grids: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    choose(grids, "cos", tmp_path / "whole")
    for stop, cause in (
        (KeyboardInterrupt, KeyboardInterrupt()),
        (SteerxError, OSError(28, "No space left on device")),
    ):
        part = tmp_path / stop.__name__
        with monkeypatch.context() as patched:

            def stopped(path: Path, is_all: bool, cause: BaseException = cause) -> None:
                raise cause

            patched.setattr(tool, "replacing", stopped)
            with pytest.raises(stop):
                choose(grids, "cos", part)
        assert [*bytes_in(part)] == ["cos.parquet"]
        assert choose(grids, "cos", part).status == "finished"
        assert bytes_in(part) == bytes_in(tmp_path / "whole")
        assert choose(grids, "cos", part).status == "up to date"


def test_one_of_the_two_files_is_made_again_alone(grids: Path, tmp_path: Path) -> None:
    choose(grids, "cos", tmp_path)
    before = bytes_in(tmp_path)
    for name in before:
        kept = {path: path.stat().st_ino for path in tmp_path.iterdir() if path.name != name}
        (tmp_path / name).unlink()
        assert choose(grids, "cos", tmp_path).status == "finished"
        assert bytes_in(tmp_path) == before
        assert {path: path.stat().st_ino for path in kept} == kept


def test_two_at_once_the_second_stops(grids: Path, tmp_path: Path) -> None:
    with Output(tmp_path / "cos.parquet", CHOICES).locked():
        assert refusal(grids, "cos", tmp_path).startswith(f"another steerx is writing {tmp_path}/cos.parquet: wait ")
        assert choose(grids, "cas", tmp_path).status == "finished", "another method has files of its own"


def test_the_provenance_goes_back_to_the_data(grids: Path, tmp_path: Path) -> None:
    choose(grids, "cos", tmp_path)
    footer = read_footer(tmp_path / "cos.parquet", CHOICES)
    assert (footer.record.stage, footer.record.parameters) == ("choose", {"method": "cos", "by": "meteor"})
    assert footer.record.inputs == {"metrics": read_footer(grids, METRICS).fingerprint}
    assert [(each.depth, each.role, each.record["stage"]) for each in ancestors(footer)] == [
        (0, "choices", "choose"),
        (1, "metrics", "evaluate"),
        (2, "cos", "generate"),
        (3, "queries", "import"),
        (2, "queries", "import"),
    ]
    assert str(tmp_path) not in footer.to_json()


# --- as it is typed ---------------------------------------------------------------------------------------------------


@pytest.fixture
def here(grids: Path, alone: Path) -> Path:
    """A working folder with scores in the run folder."""
    (alone / "runs/default").mkdir(parents=True)
    shutil.copy(grids, alone / "runs/default/metrics.parquet")
    return alone


def test_it_reads_the_run_s_scores_and_tells_of_it_in_one_object(here: Path, steerx: Steerx) -> None:
    code, out, err = steerx("choose", "--method", "steerx-cas", "--json")
    told = json.loads(out)
    best = points_of("steerx-cas")[-1]
    assert (code, err, told["preset"], told["command"], told["status"]) == (0, "", "demo", "choose", "finished")
    assert told["parameters"] == {"method": "steerx-cas", "by": "meteor", **best}
    assert told["inputs"] == {"metrics": "runs/default/metrics.parquet"}
    assert told["output"] == "runs/default/tuned/steerx-cas.parquet, runs/default/tuned/steerx-cas.toml"
    assert (told["rows"], told["users"]) == (16, 3)
    assert Path("runs/default/tuned/steerx-cas.toml").read_text() == (
        'extends = "demo"\n\n[generate]\ngamma2 = 1.0\nlayer = 3\n\n[score-tokens]\ntau = 1.0\n\n'
        "[build-vector]\ngamma1 = 0.4\nlayer = 3\n"
    )
    assert steerx("choose", "--method", "steerx-cas", "--quiet") == (0, "", "")


def test_what_is_chosen_is_told_and_shown(here: Path, steerx: Steerx) -> None:
    code, out, err = steerx("choose", "--method", "cas")
    lines = dict(line.split("  ", 1) for line in err.splitlines())
    assert (code, out, lines["preset"].strip()) == (0, "", "demo")
    assert lines["with"].strip() == "method cas, by meteor, gamma2 1.0, layer 20"
    code, out, err = steerx("show", "runs/default/tuned/cas.parquet", "--rows", 9, "--chain")
    assert (code, err) == (0, "")
    assert out.count("chosen   True") == 1
    assert "choices  4 rows, 3 users" in out
    lines_of = [line.strip() for line in out.split("provenance")[1].splitlines()]
    assert lines_of[1].startswith("choices  ")
    assert lines_of[1].endswith(", 4 rows, by choose of steerx 0.1.0: by meteor, method cas")
    assert [line.split(" ")[0] for line in lines_of[2:]] == ["metrics", "cos", "queries", "queries"]


def test_scores_in_shards_and_other_places_are_read(here: Path, grids: Path, steerx: Steerx) -> None:
    run = here / "runs/default"
    (run / "metrics.parquet").rename(here / "scores.parquet")
    halves = list(all_tried()), [tried("cos", 0.9, lam=0.1)]
    for index, half in enumerate(halves, 1):
        metrics(run / f"metrics-{index:05d}-of-00002.parquet", *half, shard=Shard(index, 2))
    assert steerx("choose", "--method", "cos", "--preset", "paper-topic-8b", "--quiet") == (0, "", "")
    assert chosen(table(run / "tuned", "cos")) == {"lam": 0.1}
    typed = ["scores.parquet", "--output", "there", "--preset", "runs/default/tuned/cos.toml", "--quiet"]
    assert steerx("choose", "--method", "cos", *typed) == (0, "", "")
    assert chosen(table(here / "there", "cos")) == {"lam": 1.0}
    told = json.loads(steerx("choose", "--run", "there", "scores.parquet", "--method", "cas", "--json").out)
    assert told["output"] == "there/tuned/cas.parquet, there/tuned/cas.toml"


def test_a_preset_says_how_it_is_chosen(here: Path, steerx: Steerx) -> None:
    both = [{**row, "bleu_counts": counts(3 - row["lam"])} for row in tried("cos", 0.3, lam=0.1)]
    metrics(here / "runs/default/metrics.parquet", both, tried("cos", [counts(5)] * len(WHOSE), "bleu_counts", lam=2.0))
    (here / "mine.toml").write_text('[choose]\nby = "bleu"\noutput = "./chosen"\n')
    assert json.loads(steerx("choose", "--method", "cos", "--preset", "mine.toml", "--json").out)["parameters"] == {
        "method": "cos",
        "by": "bleu",
        "lam": 2.0,
    }
    assert Path("chosen/cos.toml").read_text() == 'extends = "../mine.toml"\n\n[generate]\nlam = 2.0\n'


def test_what_was_typed_wrong_is_said_in_a_sentence(here: Path, steerx: Steerx) -> None:
    code, out, err = steerx("choose", "--method", "rag")
    assert (code, out) == (2, "")
    assert err.startswith("Error: Invalid value for '--method': 'rag' is not one of 'cos', 'steerx-cos', 'cas', ")
    said = "Error: neither --method nor a preset that sets it is given: name a method (--method cos), or use --preset\n"
    assert steerx("choose") == (2, "", said)
    (here / "runs/default/metrics.parquet").unlink()
    said = "Error: runs/default/metrics.parquet does not exist: `steerx evaluate` writes metrics\n"
    assert steerx("choose", "--method", "cos") == (2, "", said)


def test_without_a_checkout_a_preset_has_to_be_named(
    here: Path, steerx: Steerx, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("steerx_cli.commands.presets.default_preset", lambda: None)
    said = "Error: there is no preset to change: name the one that the answers were made with, by --preset\n"
    assert steerx("choose", "--method", "cos") == (2, "", said)
