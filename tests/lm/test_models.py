"""Which model, exactly: identified, refused in one sentence, loaded."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from steerx_cli.core.errors import SteerxError
from steerx_cli.lm.encode import Encoder
from steerx_cli.lm.models import ModelRequest, identify, load_encoder

COMMIT = "0123456789abcdef0123456789abcdef01234567"
BROKEN = (
    "model '{}' has a .bin file that is damaged or holds more than weights: download or copy it again, or name a model "
    "in safetensors"
)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache of fingerprints of the test's own, and no network."""
    monkeypatch.setattr("platformdirs.user_cache_dir", lambda name: str(tmp_path / "cache" / name))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))


def make_folder(folder: Path, config: dict[str, object] | None = None) -> Path:
    """Files enough to be identified."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config or {}))
    (folder / "tokenizer.json").write_text("{}")
    save_file({"weight": np.ones(8, dtype=np.float32)}, folder / "model.safetensors")
    return folder


def error_of(request: ModelRequest) -> str:
    with pytest.raises(SteerxError) as caught:
        identify(request)
    return str(caught.value)


# --- identity ---------------------------------------------------------------------------------------------------------


def test_record_of_a_local_folder(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "tiny", {"dtype": "bfloat16"})
    identity = identify(ModelRequest(str(folder)))
    files = ("config.json", "model.safetensors", "tokenizer.json")
    digests = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in files}
    weights = hashlib.sha256(json.dumps(digests, separators=(",", ":")).encode()).hexdigest()
    assert identity.as_record() == {"id": "tiny", "revision": "local", "weights": weights, "dtype": "bfloat16"}
    assert (identity.files, identity.folder) == (files, folder)


@pytest.mark.parametrize("name", [".", "../tiny", "../tiny/", "ABSOLUTE"])
def test_record_is_the_same_however_the_folder_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    folder = make_folder(tmp_path / "tiny")
    expected = identify(ModelRequest(str(folder))).as_record()
    monkeypatch.chdir(folder)
    record = identify(ModelRequest(name.replace("ABSOLUTE", str(folder)))).as_record()
    assert record == expected
    assert str(tmp_path) not in json.dumps(record)


@pytest.mark.parametrize("revision", [None, "main", COMMIT])
def test_record_of_a_hub_model(tmp_path: Path, revision: str | None) -> None:
    repository = tmp_path / "hub" / "models--some--tiny"
    snapshot = make_folder(repository / "snapshots" / COMMIT)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)
    record = identify(ModelRequest("some/tiny", revision)).as_record()
    weights = identify(ModelRequest(str(snapshot))).weights
    assert record == {"id": "some/tiny", "revision": COMMIT, "weights": weights, "dtype": "float32"}


def test_request_decides_which_files_count(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "tiny")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    (folder / "modeling_own.py").write_text("pass")
    expected = ("config.json", "modeling_own.py", "pytorch_model.bin", "tokenizer.json")
    assert identify(ModelRequest(str(folder), trust_remote_code=True, pickled=True)).files == expected
    assert "modeling_own.py" not in identify(ModelRequest(str(folder), pickled=True)).files
    assert "--pickled" in error_of(ModelRequest(str(folder), trust_remote_code=True))


@pytest.mark.parametrize(
    ("asked", "config", "resolved"),
    [
        ("auto", {}, "float32"),
        ("auto", {"dtype": None}, "float32"),
        ("auto", {"dtype": "float16"}, "float16"),
        ("auto", {"torch_dtype": "bfloat16"}, "bfloat16"),
        ("auto", {"torch_dtype": "torch.float16"}, "float16"),
        ("float32", {"dtype": "bfloat16"}, "float32"),
    ],
)
def test_dtype_is_resolved(tmp_path: Path, asked: str, config: dict[str, object], resolved: str) -> None:
    folder = make_folder(tmp_path / "tiny", config)
    assert identify(ModelRequest(str(folder), dtype=asked)).dtype == resolved


@pytest.mark.parametrize("content", ["{", "[]", ""])
def test_damaged_config(tmp_path: Path, content: str) -> None:
    folder = make_folder(tmp_path / "tiny")
    (folder / "config.json").write_text(content)
    assert error_of(ModelRequest(str(folder))) == (
        f"{folder}/config.json is not a JSON object: download or copy the model again"
    )


def test_dtype_and_device_that_are_unknown(tmp_path: Path) -> None:
    with pytest.raises(SteerxError) as caught:
        ModelRequest("x", dtype="int8")
    assert str(caught.value) == "unknown dtype 'int8': choose auto, float32, bfloat16, float16"
    with pytest.raises(SteerxError) as caught:
        ModelRequest("x", device="gpu")
    assert str(caught.value) == "unknown device 'gpu': choose auto, cpu, cuda, or one GPU such as cuda:0"
    folder = make_folder(tmp_path / "tiny", {"dtype": "float64"})
    assert error_of(ModelRequest(str(folder))) == (
        f"model '{folder}' was saved as 'float64': choose the dtype, float32, bfloat16, float16"
    )


# --- loading ----------------------------------------------------------------------------------------------------------


def make_bert(folder: Path) -> Path:
    """A BERT of random weights that knows a few letters."""
    import torch
    from transformers import AutoConfig, BertModel, BertTokenizer

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefgh"]
    folder.mkdir(parents=True)
    (folder / "vocab.txt").write_text("\n".join(words))
    BertTokenizer(str(folder / "vocab.txt"), model_max_length=16).save_pretrained(folder)
    torch.manual_seed(0)
    size = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    config: Any = AutoConfig.for_model("bert", vocab_size=len(words), **size)
    BertModel(config, add_pooling_layer=False).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("dtype", ["auto", "bfloat16"])
def test_encoder_is_loaded_as_identified(tmp_path: Path, capfd: pytest.CaptureFixture[str], dtype: str) -> None:
    request = ModelRequest(str(make_bert(tmp_path / "bert")), dtype=dtype, device="cpu")
    capfd.readouterr()
    model, tokenizer = load_encoder(request)
    assert str(model.dtype) == f"torch.{identify(request).dtype}"
    assert (str(model.device), model.training) == ("cpu", False)
    assert tokenizer("a b")["input_ids"] == [2, 5, 6, 3]
    assert capfd.readouterr() == ("", "")


def load_error_of(request: ModelRequest) -> str:
    with pytest.raises(SteerxError) as caught:
        load_encoder(request)
    return str(caught.value)


def test_model_that_lacks_weights_is_refused(tmp_path: Path) -> None:
    folder = make_bert(tmp_path / "bert")
    weights = load_file(folder / "model.safetensors")
    name = "encoder.layer.1.output.dense.weight"
    save_file({key: weights[key] for key in weights if key != name}, folder / "model.safetensors", {"format": "pt"})
    assert load_error_of(ModelRequest(str(folder))) == (
        f"model '{folder}' lacks 1 weights, the first of them {name}: name a whole model"
    )


def test_model_that_is_cut_short_is_refused(tmp_path: Path) -> None:
    folder = make_bert(tmp_path / "bert")
    weights = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(weights[:-100])
    assert load_error_of(ModelRequest(str(folder), device="cpu")) == (
        f"model '{folder}' cannot be loaded by transformers: SafetensorError: "
        "Error while deserializing header: incomplete metadata, file not fully covered"
    )


@pytest.mark.parametrize(("device", "count"), [("cuda", 0), ("cuda:0", 0), ("cuda:2", 2)])
def test_gpu_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, device: str, count: int) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: count)
    request = ModelRequest(str(make_folder(tmp_path / "tiny")), device=device)
    assert load_error_of(request) == f"device '{device}' is not there (torch sees {count} GPUs): choose auto or cpu"


def test_what_is_quantised_stays_where_it_was_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such models refuse to be moved."""
    request = ModelRequest(str(make_bert(tmp_path / "bert")), device="cpu")
    monkeypatch.setattr(
        "transformers.BertModel.to", Mock(side_effect=ValueError("`.to` is not supported for such models"))
    )
    with pytest.raises(SteerxError, match="is not supported"):
        load_encoder(request)
    monkeypatch.setattr("transformers.BertModel.is_quantized", True, raising=False)
    assert not load_encoder(request)[0].training


def test_identify_loads_no_torch(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "tiny")
    code = (
        "import platformdirs, sys; from steerx_cli.lm import encode, models;"
        "platformdirs.user_cache_dir = lambda name: sys.argv[2];"
        "models.identify(models.ModelRequest(sys.argv[1]));"
        "print({'torch', 'transformers'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder), str(tmp_path / "cache")], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("set()\n", "")


# --- pickled weights --------------------------------------------------------------------------------------------------


def pickle_weights(folder: Path, shards: int = 0) -> Path:
    """Turn a model's safetensors into one .bin file, or into an index of several."""
    import torch

    weights = {name: torch.from_numpy(value) for name, value in load_file(folder / "model.safetensors").items()}
    (folder / "model.safetensors").unlink()
    if not shards:
        torch.save(weights, folder / "pytorch_model.bin")
        return folder
    places = {name: f"pytorch_model-{n % shards + 1:05d}-of-{shards:05d}.bin" for n, name in enumerate(weights)}
    for shard in set(places.values()):
        torch.save({name: weights[name] for name in weights if places[name] == shard}, folder / shard)
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps({"metadata": {}, "weight_map": places}))
    return folder


def vectors_of(request: ModelRequest) -> np.ndarray[Any, Any]:
    return Encoder(request).encode(["a b c", "d", "h g f e"], 100).vectors


@pytest.mark.parametrize("shards", [0, 2])
def test_pickled_give_the_vectors_of_safetensors(tmp_path: Path, shards: int) -> None:
    safe = make_bert(tmp_path / "safe")
    folder = pickle_weights(make_bert(tmp_path / "pickled"), shards)
    pickled = ModelRequest(str(folder), device="cpu", pickled=True)
    expected = vectors_of(ModelRequest(str(safe), device="cpu"))
    np.testing.assert_array_equal(vectors_of(pickled), expected)
    assert np.abs(expected).max() > 0.1
    assert load_error_of(ModelRequest(str(folder), device="cpu")).startswith(f"model '{folder}' cannot be loaded")


def test_shard_that_is_missing_is_refused(tmp_path: Path) -> None:
    folder = pickle_weights(make_bert(tmp_path / "bert"), 2)
    (folder / "pytorch_model-00002-of-00002.bin").unlink()
    request = ModelRequest(str(folder), pickled=True)
    assert error_of(request) == (
        f"model '{folder}' lacks 1 of its 2 weight files, the first of them pytorch_model-00002-of-00002.bin: "
        "download or copy it again"
    )


def test_broken_pickle_beside_safetensors_does_not_matter(tmp_path: Path) -> None:
    folder = make_bert(tmp_path / "bert")
    expected = vectors_of(ModelRequest(str(folder), device="cpu"))
    (folder / "pytorch_model.bin").write_text("broken")
    np.testing.assert_array_equal(vectors_of(ModelRequest(str(folder), device="cpu", pickled=True)), expected)


class Code:
    """What a pickle can hold beside weights: a call."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.marker,)


def test_pickle_that_holds_code_is_refused_and_not_run(tmp_path: Path) -> None:
    import torch

    folder, marker = pickle_weights(make_bert(tmp_path / "bert")), tmp_path / "marker"
    torch.save({"embeddings.word_embeddings.weight": Code(marker)}, folder / "pytorch_model.bin")
    assert load_error_of(ModelRequest(str(folder), device="cpu", pickled=True)) == BROKEN.format(folder)
    assert not marker.exists()
    torch.load(folder / "pytorch_model.bin", weights_only=False)
    assert marker.exists()  # it would have been run


@pytest.mark.parametrize("content", [b"", b"version https://git-lfs.github.com/spec/v1", b"<html>"])
def test_pickle_that_is_none_is_refused(tmp_path: Path, content: bytes) -> None:
    folder = pickle_weights(make_bert(tmp_path / "bert"))
    (folder / "pytorch_model.bin").write_bytes(content)
    assert load_error_of(ModelRequest(str(folder), device="cpu", pickled=True)) == BROKEN.format(folder)
