"""Vectors as files: which fit the model, the layer and the people, what is told of them; many ways to one result."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import steerx_cli.stages.generate as stage
from builders import HOW, built, mix_again, people
from scorers import SHORT, generate, request, rows_of, save_model, write
from steered import CAS, ENDS, EVERYONE, STEERX, put
from steerx_cli.core.artifacts import read_footer
from steerx_cli.core.errors import Interrupted
from steerx_cli.core.progress import Silent
from steerx_cli.core.provenance import Shard
from steerx_cli.core.schemas import GENERATIONS
from steerx_cli.lm.models import identify
from steerx_cli.stages.build_vector.settings import Mix
from steerx_cli.stages.generate.settings import Settings
from steerx_cli.tools.merge import run as merge
from support import Steerx, stop_before
from typed import refused, told

RUN = Path("runs/default")
VECTORS = RUN / "vectors.parquet"
TYPED = ("generate", "--preset", "mine.toml", "--method", "steerx-cas")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    save_model(folder / "tiny", ends=ENDS)
    save_model(folder / "other", "llama")
    return folder


@pytest.fixture
def here(alone: Path, models: Path) -> Path:
    """A working folder with a run in it that has no vectors, and a preset that names the model, the task and a γ2."""
    write(alone / RUN, people(dict.fromkeys("abc", SHORT[:3])), over="histories", retriever="all")
    own = f'model = "{models / "tiny"}"\n[generate]\ngamma2 = 0.5\nmax-new-tokens = 3\n'
    (alone / "mine.toml").write_text(f'task = "review"\n{own}')
    return alone


def made(models: Path, *layers: int, model: str = "tiny", mix: Mix = HOW.mix, **scope: Any) -> None:
    """Vectors of some layers."""
    how = replace(HOW, layers=layers, mix=mix, prompt_format="chat")
    built(RUN, models / model, how, **scope)


# --- the layer and the model ------------------------------------------------------------------------------------------


def test_the_only_layer_need_not_be_named(here: Path, models: Path, steerx: Steerx) -> None:
    made(models, 2)
    summaries = [told(steerx, *TYPED, "--overwrite", *given) for given in ((), ("--layer", 2))]
    assert [summary["parameters"]["layer"] for summary in summaries] == [2, 2]
    assert [summary["status"] for summary in summaries] == ["finished", "up to date"]
    assert [*summaries[0]["inputs"]] == ["queries", "retrieved", "vectors"]


def test_of_several_layers_the_one_that_is_named_is_steered(here: Path, models: Path, steerx: Steerx) -> None:
    made(models, 2, 1)
    found = {}
    for layer in (1, 2):
        assert told(steerx, *TYPED, "--layer", layer, "--overwrite")["parameters"]["layer"] == layer
        found[layer] = rows_of(RUN / "generations-steerx-cas.parquet")
    assert found[1] != found[2]
    made(models, 1)
    told(steerx, *TYPED, "--overwrite")
    assert rows_of(RUN / "generations-steerx-cas.parquet") == found[1]


@pytest.mark.parametrize(
    ("layers", "given", "said"),
    [
        ((2, 1), (), "was built for the layers 2, 1: name one of them with --layer"),
        (
            (1,),
            ("--layer", 2),
            "was built for the layers 1, not 2: name one of them with --layer, or build vectors with "
            "`steerx build-vector --layer 2`",
        ),
        (
            (1, 2),
            ("--layer", 20),
            "was built for the layers 1, 2, not 20: name one of them with --layer, or build vectors with "
            "`steerx build-vector --layer 20`",
        ),
    ],
)
def test_vectors_of_another_layer_are_refused(
    layers: tuple[int, ...],
    given: tuple[object, ...],
    said: str,
    here: Path,
    models: Path,
    steerx: Steerx,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made(models, *layers)
    monkeypatch.setattr(stage, "prepare", lambda *_: pytest.fail("a model was loaded"))
    assert refused(steerx, *TYPED, *given) == f"{VECTORS} {said}"


@pytest.mark.parametrize("method", ["cas", "steerx-cas"])
def test_vectors_of_another_model_are_refused(
    method: str, here: Path, models: Path, steerx: Steerx, monkeypatch: pytest.MonkeyPatch
) -> None:
    made(models, 1, model="other")
    monkeypatch.setattr(stage, "prepare", lambda *_: pytest.fail("a model was loaded"))
    other, tiny = (identify(request(models / name)).weights[:12] for name in ("other", "tiny"))
    assert refused(steerx, *TYPED, "--method", method) == (
        f"{VECTORS} was built with another model (other {other}) than the one that is to write (tiny {tiny}): "
        "build the vectors with it, or name that --model"
    )
    given = ("--method", method, "--model", models / "other", "--dtype", "bfloat16", "--dry-run")
    assert told(steerx, *TYPED, *given)["status"] == "would run", "the same weights in other numbers are the same"


@pytest.mark.parametrize("whose", ["other", "mean"])
def test_vectors_of_too_few_users_are_refused(
    whose: str, here: Path, models: Path, steerx: Steerx, monkeypatch: pytest.MonkeyPatch
) -> None:
    by = {"generator": identify(request(models / "tiny")).as_record()}
    write(RUN, {"vectors": []}, by, layers=[1], gamma1=0.4)
    monkeypatch.setattr(stage, "prepare", lambda *_: pytest.fail("a model was loaded"))
    assert refused(steerx, *TYPED, "--vectors-of", whose).startswith(f"--vectors-of {whose} takes ")


def test_vectors_for_fewer_users_are_refused(here: Path, models: Path, steerx: Steerx) -> None:
    made(models, 1, limit=2)
    said = refused(steerx, *TYPED)
    assert said == f"{VECTORS} was made for the first 2 users: make it for all, or name --limit 2"
    assert told(steerx, *TYPED, "--limit", 2)["users"] == 2


# --- what is told -----------------------------------------------------------------------------------------------------


ONLY_CAS = f"{VECTORS} was built with γ1 = 1: this is cas"


@pytest.mark.parametrize(
    ("mix", "method", "said"),
    [
        (Mix(0.4), "cas", []),
        (Mix(0.4), "steerx-cas", []),
        (Mix(1.0), "cas", []),
        (Mix(1.0), "steerx-cas", [ONLY_CAS]),
        (Mix(0.4, normalize=True), "cas", []),
    ],
)
def test_vectors_that_are_not_what_the_method_seems_to_add_are_told_of(
    mix: Mix, method: str, said: list[str], here: Path, models: Path, steerx: Steerx
) -> None:
    made(models, 1, mix=mix)
    assert told(steerx, *TYPED, "--method", method)["notes"] == said


def test_what_cas_adds_has_the_length_of_the_vectors_too(here: Path, models: Path, steerx: Steerx) -> None:
    """As if they had been built with γ1 = 1, whose vector is Eq. 5's."""

    def written(mix: Mix, method: str) -> list[object]:
        made(models, 1, mix=mix)
        output = told(steerx, *TYPED, "--method", method, "--gamma2", 9, "--overwrite")["output"]
        return [row["token_ids"] for row in rows_of(Path(output))]

    for normalize in (True, False):
        assert written(Mix(0.4, normalize), "cas") == written(Mix(1.0, normalize), "steerx-cas")
    assert written(Mix(0.4, normalize=True), "cas") != written(Mix(0.4, normalize=False), "cas")


@pytest.mark.parametrize("again", [False, True])
def test_vectors_from_other_histories_are_told_of(again: bool, here: Path, models: Path, steerx: Steerx) -> None:
    made(models, 1)
    if again:
        mix_again(VECTORS, Mix(0.7), RUN / "mixed.parquet")
        (RUN / "mixed.parquet").rename(VECTORS)
    assert told(steerx, *TYPED)["notes"] == []
    write(RUN, {"retrieved": people(dict.fromkeys("abc", SHORT[:3]), top=2)["retrieved"]})
    said = f"{VECTORS} was made from other histories than {RUN / 'retrieved.parquet'}"
    assert told(steerx, *TYPED, "--overwrite")["notes"] == [said]


# --- the same bytes ---------------------------------------------------------------------------------------------------

WAYS = pytest.mark.parametrize("how", [CAS, replace(STEERX, vectors_of="other"), replace(STEERX, vectors_of="mean")])


@pytest.fixture
def data(models: Path, tmp_path: Path) -> Path:
    return put(tmp_path / "data", models / "tiny")


def bytes_of(data: Path, models: Path, how: Settings, output: Path, **scope: Any) -> bytes:
    """The file that comes of a run."""
    generate(data, models / "tiny", how, str(output), overwrite=False, **{"chunk_users": 2, **scope})
    return output.read_bytes()


@WAYS
def test_shards_merge_to_the_whole(how: Settings, data: Path, models: Path, tmp_path: Path) -> None:
    whole = bytes_of(data, models, how, tmp_path / "whole.parquet")
    paths = [tmp_path / f"{index}-of-3.parquet" for index in (1, 2, 3)]
    for index, path in enumerate(paths, 1):
        bytes_of(data, models, how, path, shard=Shard(index, 3))
    merge(paths, tmp_path / "merged.parquet", False, False, Silent())
    assert (tmp_path / "merged.parquet").read_bytes() == whole
    assert {row["user_id"] for row in rows_of(tmp_path / "whole.parquet")} == {*"abcde"}


@WAYS
def test_the_size_of_chunks_changes_no_row(how: Settings, data: Path, models: Path) -> None:
    one, all_of_them = (generate(data, models / "tiny", how, chunk_users=users)[0] for users in (1, 64))
    assert one == all_of_them
    assert generate(data, models / "tiny", how, chunk_users=1, limit=2)[0] == one[:8]


def test_vectors_in_shards_are_those_in_one_file(here: Path, models: Path) -> None:
    for index in (1, 2, 3):
        made(models, 1, output=f"vectors/{index}.parquet", chunk_users=1, shard=Shard(index, 3))
    made(models, 1, output="whole.parquet", chunk_users=1)
    found = []
    for where in ("vectors", "whole.parquet"):
        (RUN / where).rename(VECTORS)
        found.append(generate(RUN, models / "tiny", replace(STEERX, steering=CAS.steering), f"{where}.out")[0])
        VECTORS.rename(RUN / where)
    assert found[0] == found[1]
    records = [read_footer(RUN / f"{where}.out", GENERATIONS).record for where in ("vectors", "whole.parquet")]
    assert records[0] == records[1]


@pytest.mark.parametrize("stopped_at", [1, 3])
def test_interrupted_between_chunks_and_resumed_it_is_the_same(
    stopped_at: int, data: Path, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    how = replace(STEERX, vectors_of="other")
    expected = bytes_of(data, models, how, tmp_path / "whole.parquet")
    done = stop_before(stopped_at, stage, monkeypatch)
    with pytest.raises(Interrupted):
        bytes_of(data, models, how, tmp_path / "resumed.parquet")
    assert bytes_of(data, models, how, tmp_path / "resumed.parquet") == expected
    assert len(done) == 3 + 1, "what was finished is not done again"
    assert len(rows_of(tmp_path / "whole.parquet")) == 2 * len(EVERYONE["queries"])
