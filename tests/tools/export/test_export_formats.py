"""The two formats: where a vector comes from stands in both, and the same vectors give the same bytes."""

import json
import struct
from importlib.metadata import version
from pathlib import Path

import pytest

import support
from exports import (
    FORMATS,
    MODEL,
    READERS,
    WIDTH,
    export,
    files,
    from_gguf,
    from_safetensors,
    row,
    rows_by_query,
    rows_by_user,
    write,
)
from steerx_cli.core.schemas import VECTORS
from steerx_cli.core.sources import Source
from steerx_cli.tools.export.vectors import Format


@pytest.fixture
def vectors(tmp_path: Path) -> Path:
    return write(tmp_path / "vectors.parquet", rows_by_user())


@pytest.fixture
def layers(tmp_path: Path) -> Path:
    return write(tmp_path / "vectors.parquet", rows_by_query())


def test_a_gguf_says_what_llama_cpp_and_others_ask_for_and_where_it_comes_from(layers: Path, tmp_path: Path) -> None:
    export(layers, to=tmp_path / "out", layers=[12, 4], gamma2=0.4)
    tensors, facts = from_gguf(tmp_path / "out" / "ann--q1.gguf")
    assert list(tensors) == ["direction.3", "direction.11"]
    assert facts == {
        "general.architecture": "controlvector",
        "controlvector.model_hint": "qwen3",
        "controlvector.layer_count": 2,
        "controlvector.steerx.version": version("steerx"),
        "controlvector.steerx.vectors": Source(VECTORS, layers).footer.fingerprint,
        "controlvector.steerx.user": "ann",
        "controlvector.steerx.query": "q1",
        "controlvector.steerx.basis": "steerx",
        "controlvector.steerx.layers": "[4, 12]",
        "controlvector.steerx.gamma2": 0.4,
        "controlvector.steerx.gamma1": 0.25,
        "controlvector.steerx.pool": "last",
        "controlvector.steerx.normalize": False,
        "controlvector.steerx.architecture": "qwen3",
        **{f"controlvector.steerx.model.{name}": value for name, value in MODEL.items()},
    }


def test_safetensors_say_the_same_in_json(vectors: Path, tmp_path: Path) -> None:
    export(vectors, to=tmp_path / "out", kind="safetensors")
    _, facts = from_safetensors(tmp_path / "out" / "ann.safetensors")
    assert facts.keys() == {"steerx"}
    assert json.loads(facts["steerx"]) == {
        "version": version("steerx"),
        "vectors": Source(VECTORS, vectors).footer.fingerprint,
        "user": "ann",
        "basis": "steerx",
        "layers": [4],
        "gamma2": 1.0,
        "gamma1": 0.25,
        "pool": "last",
        "normalize": False,
        "architecture": "qwen3",
        **{f"model.{name}": value for name, value in MODEL.items()},
    }


@pytest.mark.parametrize("kind", FORMATS)
def test_any_id_and_any_setting_can_be_said(tmp_path: Path, kind: Format) -> None:
    user, query = 'ünï "東京"\n\t\0🙂', ""
    vectors = write(tmp_path / "vectors.parquet", [row(user, query)], gamma1=1, pool=None, normalize={"to": [1, 2.5]})
    export(vectors, to=tmp_path / "out", kind=kind)
    (path,) = (tmp_path / "out").iterdir()
    _, facts = READERS[kind](path)
    if kind == "gguf":
        said = {name.removeprefix("controlvector.steerx."): value for name, value in facts.items()}
        said |= {name: json.loads(said[name]) for name in ("pool", "normalize")}
    else:
        said = json.loads(facts["steerx"])
    assert (said["user"], said["query"]) == (user, query)
    assert (said["gamma1"], said["pool"], said["normalize"]) == (1, None, {"to": [1, 2.5]})


def test_numbers_are_aligned_in_safetensors(vectors: Path, tmp_path: Path) -> None:
    export(vectors, to=tmp_path / "out", kind="safetensors")
    data = (tmp_path / "out" / "ann.safetensors").read_bytes()
    (size,) = struct.unpack("<Q", data[:8])
    assert size % 8 == 0
    assert len(data) == 8 + size + 4 * WIDTH


@pytest.mark.parametrize("kind", FORMATS)
def test_the_same_vectors_give_the_same_bytes(layers: Path, tmp_path: Path, kind: Format) -> None:
    for name in ("first", "second"):
        export(layers, to=tmp_path / name, kind=kind, layers=[4, 12])
    script = (
        "import sys\nfrom pathlib import Path\nfrom steerx_cli.core.progress import Silent\n"
        "from steerx_cli.tools.export import run\nfrom steerx_cli.tools.export.vectors import Wanted\n"
        "run([Path(sys.argv[1])], Wanted(sys.argv[3], layers=[4, 12]), Path(sys.argv[2]), False, False, Silent())"
    )
    ended = support.python(script, str(layers), str(tmp_path / "third"), kind)  # hashes have another seed there
    assert ended == (0, "", "")
    found = files(tmp_path / "first")
    assert len(found) == 6
    assert found == files(tmp_path / "second") == files(tmp_path / "third")
