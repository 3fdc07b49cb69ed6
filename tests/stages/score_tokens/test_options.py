"""`steerx score-tokens` as it is typed: what it does, what it would do, and what it refuses in one sentence."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

import steerx_cli.stages.score_tokens as stage
from scorers import SHORT, rows_of, save_model, world, write
from steerx_cli.core.artifacts import read_footer
from steerx_cli.core.schemas import EFFECTS, SCORES
from support import Steerx, contents

RUN = Path("runs/default")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model as it should be, and some that lack something."""
    folder = tmp_path_factory.mktemp("models")
    save_model(folder / "tiny")
    save_model(folder / "chatless", chat=False)
    for lacking in ("tokenizerless", "bare"):
        shutil.copytree(folder / "tiny", folder / lacking)
        (folder / lacking / "tokenizer.json").unlink()
    (folder / "bare" / "tokenizer_config.json").unlink()
    return folder


@pytest.fixture(autouse=True)
def here(alone: Path, models: Path) -> Path:
    """A working folder with a run in it, and a preset that names the model and the task."""
    write(alone / RUN, world(dict.fromkeys("abc", SHORT[:3])))
    preset = f'task = "review"\n[score-tokens]\nmodel = "{models / "tiny"}"\ntau = 0.25\n'
    (alone / "mine.toml").write_text(preset)
    (alone / "none.toml").write_text("")
    return alone


def told(steerx: Steerx, *arguments: object, preset: str = "mine.toml") -> dict[str, Any]:
    """The one JSON object that a run tells."""
    code, out, err = steerx("score-tokens", "--preset", preset, "--json", *arguments)
    assert (code, err, out.count("\n")) == (0, "", 1)
    found: dict[str, Any] = json.loads(out)
    return found


def refused(steerx: Steerx, *arguments: object, preset: str = "mine.toml") -> str:
    """The one sentence that it ends with; nothing is written."""
    before = contents(Path())
    code, out, err = steerx("score-tokens", "--preset", preset, *arguments)
    assert (code, out, err.count("\n")) == (2, "", 1), err
    assert err.startswith("Error: ")
    assert contents(Path()) == before
    assert not any(text in err for text in SHORT)
    return err.removeprefix("Error: ").rstrip("\n")


def written() -> list[str]:
    return sorted({path.name for path in RUN.iterdir()} - {f"{name}.parquet" for name in world({"a": SHORT})})


def scores_only() -> None:
    """As where the effects were tidied away: they would have to be measured anew."""
    (RUN / "effects.parquet").unlink()


# --- what it does -----------------------------------------------------------------------------------------------------


def test_it_writes_effects_and_scores_and_tells_of_both_in_one_object(steerx: Steerx) -> None:
    summary = told(steerx)
    assert (summary["command"], summary["status"], summary["preset"]) == ("score-tokens", "finished", "mine.toml")
    assert summary["output"] == f"{RUN / 'effects.parquet'}, {RUN / 'scores.parquet'}"
    assert (summary["rows"], summary["users"], summary["models"]["scorer"]["id"]) == (18, 3, "tiny")
    assert summary["parameters"]["tau"] == 0.25
    assert summary["counts"]["tokens run through the model"] > 0
    rows = rows_of(RUN / "scores.parquet")
    assert summary["counts"]["anchors"] == sum(sum(row["anchors"]) for row in rows)
    assert summary["counts"]["tokens"] == sum(len(row["token_ids"]) for row in rows)
    assert written() == ["effects.parquet", "scores.parquet"]
    assert told(steerx)["status"] == "up to date"


def test_several_tau_write_a_file_each(steerx: Steerx) -> None:
    told(steerx, "--tau", 0.6, "--tau", 1, "--tau", -0.5)
    names = ["effects.parquet", "scores-tau--0.5.parquet", "scores-tau-0.6.parquet", "scores-tau-1.parquet"]
    assert written() == names
    for name, tau in zip(names[1:], (-0.5, 0.6, 1.0), strict=True):
        assert read_footer(RUN / name, SCORES).record.parameters["tau"] == tau
        one = told(steerx, "--tau", tau, "--output", "one.parquet", "--overwrite")
        assert one["parameters"]["tau"] == tau
        assert Path("one.parquet").read_bytes() == (RUN / name).read_bytes()


def test_tau_that_differ_late_write_a_file_each_too(steerx: Steerx) -> None:
    assert steerx("score-tokens", "--preset", "mine.toml", "--tau", 0.12345671, "--tau", 0.12345672).code == 0
    assert len(written()) == 3


def test_the_preset_s_tau_holds_until_another_is_given(steerx: Steerx) -> None:
    assert told(steerx, "--dry-run")["status"] == "would run"
    told(steerx)
    for given, tau in (((), 0.25), (("--tau", 0.75), 0.75)):
        summary = told(steerx, *given, "--output", f"{tau}.parquet")
        assert summary["parameters"]["tau"] == tau
        reached = [delta >= tau for row in rows_of(Path(f"{tau}.parquet")) for delta in row["delta"]]
        anchors = [row["anchors"] for row in rows_of(Path(f"{tau}.parquet")) if row["basis"] == "method"]
        assert sum(map(sum, anchors)) == sum(reached) > 0


def test_a_share_goes_before_the_preset_s_tau(steerx: Steerx) -> None:
    summary = told(steerx, "--top-percent", 20)
    assert "tau" not in summary["parameters"]
    assert summary["parameters"]["top_percent"] == 20
    for row in rows_of(RUN / "scores.parquet"):
        count = -(-len(row["delta"]) // 5)
        assert sum(row["anchors"]) == count
        chosen = [delta for delta, anchor in zip(row["delta"], row["anchors"], strict=True) if anchor]
        assert sorted(chosen) == sorted(row["delta"])[-count:]


def test_every_option_of_the_measure_is_in_the_provenance(steerx: Steerx) -> None:
    given = {
        "context": "all",
        "context_order": "tree",
        "max_context_tokens": 99,
        "effect_context": "query",
        "empty_arm": "omitted",
        "prompt_format": "chat",
        "batch_tokens": 50,
        "over": "histories",
        "task": "abstract",
    }
    flags = [part for name, value in given.items() for part in (f"--{name.replace('_', '-')}", value)]
    summary = told(steerx, *flags, "--dry-run")
    assert {name: summary["parameters"][name] for name in given} == given
    assert set(summary["inputs"]) == {"retrieved", "histories", "queries"}


def test_what_a_measure_does_not_look_at_is_not_read(steerx: Steerx) -> None:
    for name in ("histories", "queries", "generations"):
        (RUN / f"{name}.parquet").unlink()
    assert told(steerx)["inputs"] == {
        "retrieved": f"{RUN / 'retrieved.parquet'}",
        "effects": f"{RUN / 'effects.parquet'}",
    }


@pytest.mark.parametrize("method", ["surprisal", "random", "lexicon", "all"])
def test_a_control_is_one_flag_and_measures_nothing_anew(
    method: str, steerx: Steerx, monkeypatch: pytest.MonkeyPatch
) -> None:
    told(steerx)
    causal, effects = rows_of(RUN / "scores.parquet"), (RUN / "effects.parquet").read_bytes()
    monkeypatch.setattr(stage, "prepare", lambda *_: pytest.fail("measured again"))
    told(steerx, "--method", method, "--overwrite")
    rows = rows_of(RUN / "scores.parquet")
    assert (RUN / "effects.parquet").read_bytes() == effects
    assert [row["token_ids"] for row in rows] == [row["token_ids"] for row in causal]
    if method in ("surprisal", "random"):
        told_apart = [row for row in causal if row["basis"] == "method"]
        numbers = {(row["query_id"], row["item_id"]): sum(row["anchors"]) for row in rows}
        assert [numbers[row["query_id"], row["item_id"]] for row in told_apart] == [
            sum(row["anchors"]) for row in told_apart
        ]
    if method == "all":
        assert all(all(row["anchors"]) for row in rows)


def test_a_dry_run_writes_nothing_and_loads_no_model(steerx: Steerx, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "prepare", lambda *_: pytest.fail("a model was loaded"))
    before = contents(Path())
    for given in ((), ("--tau", 1, "--tau", 2), ("--shard", "1/2")):
        summary = told(steerx, "--dry-run", *given)
        assert summary["status"] == "would run"
        assert summary["models"]["scorer"]["id"] == "tiny"
        assert contents(Path()) == before


def test_a_dry_run_over_effects_that_are_there_tells_of_the_scores(steerx: Steerx) -> None:
    told(steerx)
    before = contents(Path())
    summary = told(steerx, "--dry-run", "--tau", 3, "--output", "new.parquet")
    assert (summary["status"], summary["output"]) == ("would run", f"{RUN / 'effects.parquet'}, new.parquet")
    assert contents(Path()) == before


def test_rows_are_of_the_dtype_that_is_asked_for(steerx: Steerx) -> None:
    told(steerx, "--dtype", "bfloat16")
    record = read_footer(RUN / "effects.parquet", EFFECTS).record
    assert record.models["scorer"]["dtype"] == "bfloat16"
    assert "other scorer model" in refused(steerx)


# --- measured alone ---------------------------------------------------------------------------------------------------


def test_effects_are_measured_alone_and_cut_later_as_in_one_run(
    steerx: Steerx, monkeypatch: pytest.MonkeyPatch
) -> None:
    summary = told(steerx, "--measure-only")
    assert (summary["status"], summary["output"]) == ("finished", f"{RUN / 'effects.parquet'}")
    assert "tau" not in summary["parameters"]
    assert written() == ["effects.parquet"]
    told(steerx, "--run", "whole", "--retrieved", RUN / "retrieved.parquet", "--tau", 0.6, "--tau", 1)
    assert (RUN / "effects.parquet").read_bytes() == Path("whole/effects.parquet").read_bytes()
    monkeypatch.setattr(stage, "prepare", lambda *_: pytest.fail("measured again"))
    assert told(steerx, "--measure-only")["status"] == "up to date"
    told(steerx, "--effects", RUN / "effects.parquet", "--tau", 0.6, "--tau", 1)
    for name in ("scores-tau-0.6.parquet", "scores-tau-1.parquet"):
        assert (RUN / name).read_bytes() == (Path("whole") / name).read_bytes()
    told(steerx)
    assert written() == ["effects.parquet", "scores-tau-0.6.parquet", "scores-tau-1.parquet", "scores.parquet"]


def test_output_names_the_effects_where_they_are_measured_alone(steerx: Steerx) -> None:
    assert told(steerx, "--measure-only", "--output", "mine.parquet")["output"] == "mine.parquet"
    assert written() == []
    assert read_footer(Path("mine.parquet"), EFFECTS).record.artifact == "effects"
    assert told(steerx, "--effects", "mine.parquet")["output"] == f"{RUN / 'scores.parquet'}"
    given = ("--measure-only", "--limit", 2, "--output", "mine.parquet")
    assert refused(steerx, *given).startswith("mine.parquet was made otherwise (limit none → 2): ")
    assert told(steerx, *given, "--overwrite")["rows"] == 12


def test_scores_that_are_there_stand_in_no_way_where_none_are_cut(steerx: Steerx) -> None:
    told(steerx)
    scores = (RUN / "scores.parquet").read_bytes()
    scores_only()
    told(steerx, "--measure-only", "--context", "all")
    assert (RUN / "scores.parquet").read_bytes() == scores


@pytest.mark.parametrize("cutting", ["", "tau = [0.5, 0.5]", "top-percent = 0", 'method = "lexicon"\nlexicon = "gone"'])
def test_a_preset_s_anchors_stand_in_no_way_where_none_are_cut(cutting: str, steerx: Steerx, models: Path) -> None:
    preset = f'task = "review"\n[score-tokens]\nmodel = "{models / "tiny"}"\n{cutting}\n'
    Path("cutting.toml").write_text(preset)
    assert told(steerx, "--measure-only", "--dry-run", preset="cutting.toml")["status"] == "would run"


def test_a_share_of_effects_is_named_as_ever(steerx: Steerx) -> None:
    for index in (1, 2):
        told(steerx, "--measure-only", "--chunk-users", 1, "--shard", f"{index}/2")
    assert written() == [f"effects-0000{index}-of-00002.parquet" for index in (1, 2)]


# --- what it refuses --------------------------------------------------------------------------------------------------


def test_what_has_no_default_has_to_be_named(steerx: Steerx, models: Path) -> None:
    given = ("--tau", 1)
    assert refused(steerx, *given, preset="none.toml") == (
        "neither --task nor a preset that sets it is given: name a task (--task review), or use --preset"
    )
    assert refused(steerx, *given, "--task", "review", preset="none.toml") == (
        "neither --model nor a preset that sets it is given: name a model (--model Qwen/Qwen2.5-1.5B), or use --preset"
    )
    named = ("--task", "review", "--model", models / "tiny")
    said = "the method causal needs a number of nats: give --tau one, or use --top-percent"
    assert refused(steerx, *named, preset="none.toml") == said


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("--tau", 1, "--tau", "1.0"), "a --tau is given twice: each writes a file of its own"),
        (
            ("--tau", 1, "--tau", 2, "--output", "o.parquet"),
            "--output names one file, and 2 --tau write one each: leave one of them out",
        ),
        (("--tau", "nan"), "the method causal needs a number of nats: give --tau one, or use --top-percent"),
        (("--top-percent", 0), "--top-percent is 0.0: give it more than 0, and 100 at most"),
        (("--task", "poem"), "there is no task 'poem': name one of "),
        (("--method", "lexicon", "--lexicon", "gone.dic"), "the lexicon gone.dic cannot be read (No such file"),
        (("--method", "lexicon", "--category", "gone"), "the lexicon style has no category 'gone': name some of "),
        (
            ("--effects", RUN / "retrieved.parquet", "--measure-only"),
            "--effects cuts what was measured, and --measure-only cuts nothing: leave one of them out",
        ),
        (("--measure-only", "--output", RUN / "retrieved.parquet"), f"{RUN / 'retrieved.parquet'} is read and would "),
        (
            ("--measure-only", "--tau", 0.5),
            "--measure-only cuts nothing: leave --tau out, and give it with --effects later",
        ),
        (("--measure-only", "--method", "random"), "--measure-only cuts nothing: leave --method out, and give it "),
        (("--measure-only", "--top-percent", 5), "--measure-only cuts nothing: leave --top-percent out, and give it "),
        (("--retrieved", "gone.parquet"), "gone.parquet does not exist: `steerx retrieve` writes retrieved"),
        (("--effects", "gone.parquet"), "gone.parquet does not exist: `steerx score-tokens` writes effects"),
        (
            ("--effects", "runs/default/retrieved.parquet"),
            f"{RUN / 'retrieved.parquet'} holds retrieved, not effects: ",
        ),
        (("--model", "gone/away"), ""),
    ],
)
def test_it_is_refused_in_a_sentence_before_a_model_is_loaded(
    given: tuple[object, ...], said: str, steerx: Steerx, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(stage, "prepare", lambda *_: pytest.fail("a model was loaded"))
    assert refused(steerx, *given).startswith(said)


@pytest.mark.parametrize("lacking", ["tokenizerless", "bare"])
def test_a_model_without_its_tokenizer_is_refused(lacking: str, steerx: Steerx, models: Path) -> None:
    code, out, err = steerx("score-tokens", "--preset", "mine.toml", "--model", models / lacking)
    assert (code, out, err.count("\n")) == (2, "", 1), err
    assert "tokenizer" in err
    assert not any(path.is_file() for path in RUN.glob("*effects*"))


def test_a_chat_format_that_the_model_lacks_is_refused(steerx: Steerx, models: Path) -> None:
    given = ("--model", models / "chatless", "--prompt-format", "chat")
    code, _, err = steerx("score-tokens", "--preset", "mine.toml", *given)
    said = "Error: this model's tokenizer has no chat template: use --prompt-format plain\n"
    assert (code, err) == (2, said)
    assert not any(path.is_file() for path in RUN.glob("*effects*"))


def test_a_refused_model_leaves_nothing_behind(steerx: Steerx, models: Path) -> None:
    assert steerx("score-tokens", "--preset", "mine.toml", "--model", models / "tokenizerless").code == 2
    assert written() == []


# --- refused before it is measured ------------------------------------------------------------------------------------


@pytest.mark.parametrize("also", [(), ("--dry-run",)])
@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("--tau", 0.5), f"{RUN / 'scores.parquet'} was made otherwise (tau 0.25 → 0.5): "),
        (("--unit", "words"), f"{RUN / 'scores.parquet'} was made otherwise (unit tokens → words): "),
        (("--context", "all"), f"{RUN / 'scores.parquet'} was made otherwise (other effects): "),
        (("--output", RUN / "retrieved.parquet"), f"{RUN / 'retrieved.parquet'} is read and would be written: "),
        (("--output", RUN / "retrieved.parquet", "--overwrite"), f"{RUN / 'retrieved.parquet'} is read and would be "),
        (("--output", RUN / "effects.parquet"), f"{RUN / 'effects.parquet'} is read and would be written: "),
        (("--output", RUN), f"cannot write {RUN}: a folder stands where the file should be: "),
    ],
)
def test_scores_that_cannot_be_written_cost_no_measuring(
    given: tuple[object, ...], said: str, also: tuple[object, ...], steerx: Steerx, monkeypatch: pytest.MonkeyPatch
) -> None:
    told(steerx)
    scores_only()
    monkeypatch.setattr(stage, "prepare", lambda *_: pytest.fail("a model was loaded"))
    assert refused(steerx, *given, *also).startswith(said)


def test_scores_of_the_same_effects_stand_in_no_way(steerx: Steerx) -> None:
    told(steerx)
    before = (RUN / "scores.parquet").read_bytes()
    scores_only()
    assert told(steerx)["status"] == "finished"
    assert (RUN / "scores.parquet").read_bytes() == before


def test_a_threshold_and_a_share_are_not_both_typed(steerx: Steerx) -> None:
    said = "both --tau and --top-percent are given, and anchors are cut by one: leave the other out"
    assert refused(steerx, "--tau", 0.7, "--top-percent", 10) == said
    assert told(steerx, "--top-percent", 10)["parameters"]["top_percent"] == 10  # the preset's τ gives way


def test_the_counts_of_several_tau_are_told_apart(steerx: Steerx) -> None:
    counts = told(steerx, "--tau", 0.6, "--tau", 0.1)["counts"]
    for tau in (0.6, 0.1):
        anchors = [anchor for row in rows_of(RUN / f"scores-tau-{tau}.parquet") for anchor in row["anchors"]]
        assert (counts[f"tau {tau}, anchors"], counts[f"tau {tau}, tokens"]) == (sum(anchors), len(anchors))
    assert counts["tau 0.6, anchors"] < counts["tau 0.1, anchors"]
