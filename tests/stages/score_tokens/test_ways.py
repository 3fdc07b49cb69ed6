"""Many ways to one result: measured and cut at once or apart, in shards, killed and resumed. The same bytes."""

import json
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import pytest

import steerx_cli.stages.score_tokens as stage
from scorers import REVIEW, SHORT, measure, request, rows_of, save_model, world, write
from steerx_cli.core.artifacts import read_footer
from steerx_cli.core.errors import Interrupted, SteerxError
from steerx_cli.core.progress import Silent
from steerx_cli.core.provenance import Shard
from steerx_cli.core.schemas import EFFECTS
from steerx_cli.core.scope import Scope
from steerx_cli.lm.models import identify
from steerx_cli.stages.score_tokens import Wanted, run
from steerx_cli.stages.score_tokens.cut import Cut
from steerx_cli.tools.merge import run as merge
from support import Steerx, aged, forked, fresh, killed_before_lines, python, state_of, stop_before

TAU = Cut("causal", 0.1, None)
NUMBERS = ("log_p_history", "log_p_empty", "delta")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("people"), world(dict.fromkeys("abcdefg", SHORT[:3]), queries=1))


def both(data: Path, model: Path, folder: Path, *cuts: Cut) -> list[bytes]:
    """Effects, and the scores that are cut from them, one after the other."""
    wanted = [Wanted(cut, Scope(folder / f"scores-{number}.parquet", 2)) for number, cut in enumerate(cuts)]
    measure(data, model, folder / "effects.parquet", wanted=wanted, chunk_users=2)
    return [path.read_bytes() for path in (folder / "effects.parquet", *(each.scope.output for each in wanted))]


def cut_alone(effects: Path, how: Cut, output: Path) -> bytes:
    run(None, effects, [Wanted(how, Scope(output, 2))], Silent())
    return output.read_bytes()


# --- thresholds -------------------------------------------------------------------------------------------------------


def test_no_threshold_is_in_effects(data: Path, model: Path, tmp_path: Path) -> None:
    one, _ = both(data, model, tmp_path / "one", TAU)
    two, _ = both(data, model, tmp_path / "two", replace(TAU, tau=2.5))
    assert one == two
    footer = read_footer(tmp_path / "one" / "effects.parquet", EFFECTS)
    told = json.dumps(footer.record.parameters)
    assert not [word for word in ("tau", "method", "seed", "unit", "top_percent", "lexicon") if f'"{word}"' in told]
    assert set(footer.record.parameters) >= {"task", "context", "effect_context", "empty_arm", "batch_tokens"}
    assert footer.record.models["scorer"]["id"] == "tiny"


def test_both_ways_to_one_tau_give_the_same_bytes(data: Path, model: Path, tmp_path: Path) -> None:
    cuts = [TAU, replace(TAU, tau=0.5), replace(TAU, tau=None, top_percent=30.0), Cut("random", 0.1, None, seed=3)]
    _, *at_once = both(data, model, tmp_path / "at once", *cuts)
    assert len(set(at_once)) == len(cuts)
    effects = tmp_path / "at once" / "effects.parquet"
    apart = [cut_alone(effects, how, tmp_path / f"{number}.parquet") for number, how in enumerate(cuts)]
    assert apart == at_once
    for number, how in enumerate(cuts):
        rows = rows_of(tmp_path / f"{number}.parquet")
        anchors = [row["anchors"] for row in rows if row["basis"] == "method"]
        expected = [[delta >= (how.tau or 0) for delta in row["delta"]] for row in rows if row["basis"] == "method"]
        if how.method == "causal" and how.tau:
            assert anchors == expected
        assert anchors


def test_cutting_loads_no_model_and_nothing_that_could(data: Path, model: Path, tmp_path: Path) -> None:
    both(data, model, tmp_path, TAU)
    given = ["score-tokens", "--effects", f"{tmp_path / 'effects.parquet'}", "--tau", "0.3", "--run", f"{tmp_path}"]
    script = (
        f"import sys\nfrom steerx_cli.app import main\ncode = main({given!r})\n"
        "print([name for name in ('torch', 'transformers', 'safetensors') if name in sys.modules])\nsys.exit(code)"
    )
    code, out, _ = python(script)
    assert (code, out) == (0, "[]\n")
    assert (tmp_path / "scores.parquet").exists()


def test_effects_that_are_there_are_not_measured_again(
    data: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    both(data, model, tmp_path, TAU)
    monkeypatch.setattr(stage, "prepare", lambda *_: pytest.fail("a model was loaded"))
    both(data, model, tmp_path, TAU, replace(TAU, tau=0.7), Cut("surprisal", 0.1, None), Cut("all", None, None))
    assert {row["basis"] for row in rows_of(tmp_path / "scores-3.parquet")} == {"method"}


@pytest.mark.parametrize("change", [{"effect_context": "none"}, {"batch_tokens": 50}, {"context": "all"}])
def test_effects_measured_otherwise_are_not_replaced_unasked(
    change: dict[str, str], data: Path, model: Path, tmp_path: Path
) -> None:
    (before,) = both(data, model, tmp_path)
    with pytest.raises(SteerxError, match="was made otherwise "):
        measure(data, model, tmp_path / "effects.parquet", replace(REVIEW, **change), chunk_users=2)  # type: ignore[arg-type]
    assert (tmp_path / "effects.parquet").read_bytes() == before


def test_the_model_that_is_loaded_is_the_one_that_was_named(
    data: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A branch may move between the two."""
    load = Mock(side_effect=SteerxError("loaded"))
    monkeypatch.setattr(stage, "prepare", load)
    found = replace(identify(request(model)), revision="a commit")
    monkeypatch.setattr("steerx_cli.lm.models.identify", lambda *_: found)
    with pytest.raises(SteerxError, match="loaded"):
        both(data, model, tmp_path)
    assert load.call_args.args[0] == replace(request(model), revision="a commit")


# --- shards and chunks ------------------------------------------------------------------------------------------------


def test_merged_shards_equal_the_whole(data: Path, model: Path, tmp_path: Path) -> None:
    effects, scores = both(data, model, tmp_path, TAU)
    shards = [tmp_path / "shards" / f"effects-{index}.parquet" for index in (1, 2, 3)]
    for index, path in enumerate(shards, 1):
        measure(data, model, path, chunk_users=2, shard=Shard(index, 3))
    merge(shards, tmp_path / "merged.parquet", False, False, Silent())
    assert (tmp_path / "merged.parquet").read_bytes() == effects
    assert cut_alone(tmp_path / "shards", TAU, tmp_path / "of shards.parquet") == scores
    glob = tmp_path / "shards" / "effects-*.parquet"
    assert cut_alone(glob, TAU, tmp_path / "of a glob.parquet") == scores


def test_a_shard_writes_effects_and_no_scores(data: Path, model: Path, alone: Path, steerx: Steerx) -> None:
    (alone / "bare.toml").write_text("")  # no τ: none is needed yet
    given = ("score-tokens", "--preset", "bare.toml", "--model", model, "--task", "review", "--chunk-users", 2)
    for index in (1, 2):
        assert steerx(*given, "--retrieved", data / "retrieved.parquet", "--shard", f"{index}/2").code == 0
    written = sorted(path.name for path in (alone / "runs/default").iterdir())
    assert written == ["effects-00001-of-00002.parquet", "effects-00002-of-00002.parquet"]
    shards = ("--effects", "runs/default/effects-*.parquet")
    assert steerx("score-tokens", *shards, "--tau", 0.1, "--chunk-users", 2).code == 0
    measure(data, model, alone / "whole.parquet", chunk_users=2)
    expected = cut_alone(alone / "whole.parquet", TAU, alone / "scores.parquet")
    assert (alone / "runs/default/scores.parquet").read_bytes() == expected


def test_the_size_of_chunks_moves_nothing_but_noise(data: Path, model: Path, tmp_path: Path) -> None:
    tables, records = [], []
    for chunk_users in (1, 3, 64):
        path = tmp_path / f"{chunk_users}.parquet"
        measure(data, model, path, chunk_users=chunk_users)
        tables.append(rows_of(path))
        records.append(read_footer(path, EFFECTS).record)
    assert {replace(record, parameters={}).fingerprint for record in records} == {
        replace(records[0], parameters={}).fingerprint
    }
    told = [{**record.parameters, "chunk_users": None} for record in records]
    assert told == [told[0]] * 3
    for rows in zip(*tables, strict=True):
        for row in rows[1:]:
            assert {**row, **dict.fromkeys(NUMBERS)} == {**rows[0], **dict.fromkeys(NUMBERS)}
            for name in NUMBERS:
                assert row[name] == pytest.approx(rows[0][name], rel=0, abs=1e-5)


# --- killed -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stopped_at", [1, 2, 4])
def test_interrupted_between_chunks_and_resumed_it_is_the_same(
    stopped_at: int, data: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = both(data, model, tmp_path / "whole", TAU)
    done = stop_before(stopped_at, stage, monkeypatch)
    with pytest.raises(Interrupted):
        both(data, model, tmp_path / "resumed", TAU)
    assert both(data, model, tmp_path / "resumed", TAU) == expected
    assert len(done) == 4 + 1, "what was finished is not done again"


def kill_and_resume(data: Path, model: Path, folder: Path) -> None:
    """Be killed before any line that writes, and resume; says what was written, and how many lines came."""
    compute = stage.prepare(request(model), REVIEW)  # loaded once, and every copy of this process has it
    stage.prepare = lambda *_: compute
    assert forked(both, data, model, folder / "whole", TAU) == 0
    expected, killed, line = state_of(folder / "whole"), folder / "killed", 0
    killed.mkdir()
    for line in killed_before_lines(killed, both, data, model, killed / "new", TAU):
        assert forked(both, data, model, killed / "new", TAU) == 0
        assert state_of(killed / "new") == expected, f"killed before line {line}"
    print(sorted(expected), line)


def test_killed_before_any_line_that_writes_it_ends_with_the_same_bytes(
    model: Path, tmp_path: Path, programs: Path
) -> None:
    few = write(tmp_path, world(dict.fromkeys("abc", SHORT[:2]), queries=1))
    code, out, err = fresh(programs, kill_and_resume, few, aged(model), tmp_path)
    assert code == 0, err
    names, lines = out.rsplit(maxsplit=1)
    assert names == "['effects.parquet', 'scores-0.parquet']"
    assert int(lines) > 1000, "the run was shorter than it can be"
