"""Which model, exactly: found, named by content, refused in one sentence, loaded."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from steerx_cli.core.errors import SteerxError
from steerx_cli.lm import models
from steerx_cli.lm.models import ModelRequest, identify, load_encoder

COMMIT = "0123456789abcdef0123456789abcdef01234567"
LONG_AGO = (1_000_000_000, 1_000_000_000)  # seconds: older than any clock's grain
CONVERT = (
    "has no safetensors weights here, and no others are loaded: get the whole model, or convert it once "
    "(from_pretrained and save_pretrained of model and tokenizer) and name the new folder"
)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of fingerprints and an empty Hugging Face cache of the test's own, and no network."""
    monkeypatch.setattr(models, "user_cache_dir", lambda name: str(tmp_path / "cache" / name))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "cache" / "steerx" / "fingerprints.json"


def make_folder(folder: Path, config: dict[str, object] | None = None, weight: float = 1.0) -> Path:
    """Files enough to be identified; all of them old."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config or {}))
    (folder / "tokenizer.json").write_text("{}")
    (folder / "README.md").write_text("not read")
    save_file({"weight": np.full(8, weight, dtype=np.float32)}, folder / "model.safetensors")
    age(folder)
    return folder


def age(folder: Path) -> None:
    for file in folder.iterdir():
        os.utime(file, LONG_AGO)


def fail_to_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(file: Path) -> str:
        raise AssertionError(f"{file.name} was read")

    monkeypatch.setattr(models, "_sha256", fail)


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


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
def test_fingerprint_changes_with_each_file_that_counts(tmp_path: Path, name: str) -> None:
    folder = make_folder(tmp_path / "tiny")
    before = identify(ModelRequest(str(folder))).weights
    content = bytearray((folder / name).read_bytes())
    (folder / name).write_bytes(content + b" ")
    assert identify(ModelRequest(str(folder))).weights != before
    (folder / name).write_bytes(content)
    assert identify(ModelRequest(str(folder))).weights == before


def test_fingerprint_changes_with_one_weight(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "tiny")
    before = identify(ModelRequest(str(folder))).weights
    content = bytearray((folder / "model.safetensors").read_bytes())
    content[-1] ^= 1
    (folder / "model.safetensors").write_bytes(content)
    assert identify(ModelRequest(str(folder))).weights != before


def test_fingerprint_survives_a_move_and_what_is_not_read(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "tiny")
    before = identify(ModelRequest(str(folder))).as_record()
    moved = tmp_path / "elsewhere" / "tiny"
    moved.parent.mkdir()
    folder.rename(moved)
    (moved / "README.md").write_text("changed")
    (moved / "pytorch_model.bin").write_text("never read")
    (moved / "modeling_own.py").write_text("never read")
    assert identify(ModelRequest(str(moved))).as_record() == before


def test_code_counts_where_it_is_trusted(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "tiny")
    (folder / "modeling_own.py").write_text("pass")
    assert "modeling_own.py" in identify(ModelRequest(str(folder), trust_remote_code=True)).files


def test_sharded_weights_are_those_that_the_index_names(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "tiny")
    (folder / "model.safetensors").rename(folder / "model-00001-of-00002.safetensors")
    shutil.copy(folder / "model-00001-of-00002.safetensors", folder / "model-other.safetensors")
    index = {"weight_map": {f"layer.{n}": f"model-0000{n}-of-00002.safetensors" for n in (1, 2)}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert error_of(ModelRequest(str(folder))) == (
        f"model '{folder}' lacks 1 of its 2 weight files, the first of them model-00002-of-00002.safetensors: "
        "download or copy it again"
    )
    save_file({"weight": np.zeros(8)}, folder / "model-00002-of-00002.safetensors")
    assert [name for name in identify(ModelRequest(str(folder))).files if name.startswith("model")] == [
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
        "model.safetensors.index.json",
    ]


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


# --- the cache of fingerprints ----------------------------------------------------------------------------------------


def test_files_are_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    request = ModelRequest(str(make_folder(tmp_path / "tiny")))
    first = identify(request)
    fail_to_hash(monkeypatch)
    assert identify(request) == first


def test_another_file_in_the_same_place_is_read(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "tiny", weight=1.0)
    first = identify(ModelRequest(str(folder)))
    make_folder(tmp_path / "other", weight=2.0)
    (tmp_path / "other" / "model.safetensors").replace(folder / "model.safetensors")  # the same size and time
    assert identify(ModelRequest(str(folder))).weights != first.weights


def test_a_file_of_this_instant_is_not_remembered(tmp_path: Path, cache: Path) -> None:
    folder = make_folder(tmp_path / "tiny")
    os.utime(folder / "model.safetensors", (2**33, 2**33))  # seconds: in the future
    identify(ModelRequest(str(folder)))
    assert sorted(Path(key).name for key in json.loads(cache.read_text())) == ["config.json", "tokenizer.json"]


def test_models_are_remembered_side_by_side(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    requests = [ModelRequest(str(make_folder(tmp_path / name))) for name in ("one", "two")]
    first = [identify(request) for request in requests]
    fail_to_hash(monkeypatch)
    assert [identify(request) for request in requests] == first


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[]", b"3", b'{"a": 1}', b'{"a": "not a digest"}'])
def test_damaged_cache_is_replaced(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    request = ModelRequest(str(make_folder(tmp_path / "tiny")))
    expected = identify(request)
    cache.write_bytes(content)
    assert identify(request) == expected
    fail_to_hash(monkeypatch)
    assert identify(request) == expected


def test_damaged_entry_is_not_believed(tmp_path: Path, cache: Path) -> None:
    request = ModelRequest(str(make_folder(tmp_path / "tiny")))
    expected = identify(request)
    cache.write_text(json.dumps(dict.fromkeys(json.loads(cache.read_text()), "0")))
    assert identify(request) == expected


def test_cache_that_cannot_be_written_costs_only_time(tmp_path: Path, cache: Path) -> None:
    request = ModelRequest(str(make_folder(tmp_path / "tiny")))
    cache.parent.parent.mkdir()
    cache.parent.write_text("a file where the cache's folder would be")
    assert identify(request) == identify(request)


# --- Hugging Face's cache ---------------------------------------------------------------------------------------------


def make_snapshot(tmp_path: Path, blob: str) -> Path:
    """What the hub leaves in its cache: links from a snapshot's names to blobs."""
    source = make_folder(tmp_path / "source")
    repository = tmp_path / "hub" / "models--some--tiny"
    snapshot = repository / "snapshots" / COMMIT
    for folder in (snapshot, repository / "refs", repository / "blobs"):
        folder.mkdir(parents=True)
    (repository / "refs" / "main").write_text(COMMIT)
    for name in ("config.json", "tokenizer.json"):
        (source / name).rename(snapshot / name)
    (source / "model.safetensors").rename(repository / "blobs" / blob)
    (snapshot / "model.safetensors").symlink_to(Path("../../blobs") / blob)
    return snapshot


@pytest.mark.parametrize("revision", [None, "main", COMMIT])
def test_record_of_a_hub_model(tmp_path: Path, revision: str | None) -> None:
    snapshot = make_snapshot(tmp_path, "weights")
    record = identify(ModelRequest("some/tiny", revision)).as_record()
    weights = identify(ModelRequest(str(snapshot))).weights
    assert record == {"id": "some/tiny", "revision": COMMIT, "weights": weights, "dtype": "float32"}


def test_large_file_of_the_hub_is_named_by_its_blob(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sha256 = hashlib.sha256((make_folder(tmp_path / "same") / "model.safetensors").read_bytes()).hexdigest()
    snapshot = make_snapshot(tmp_path, sha256)
    hashing, read = models._sha256, list[str]()

    def note(file: Path) -> str:
        read.append(file.name)
        return hashing(file)

    monkeypatch.setattr(models, "_sha256", note)
    linked = identify(ModelRequest("some/tiny"))
    assert read == ["config.json", "tokenizer.json"]
    copied = shutil.copytree(snapshot, tmp_path / "copied")
    assert identify(ModelRequest(str(copied))).weights == linked.weights


def test_blob_in_the_store_of_all_models_keeps_its_own_name(tmp_path: Path) -> None:
    blob, stored = "a" * 64, "b" * 64
    snapshot = make_snapshot(tmp_path, blob)
    before = identify(ModelRequest("some/tiny")).weights
    store = tmp_path / "hub" / "blobs" / "bb"
    store.mkdir(parents=True)
    place = snapshot.parent.parent / "blobs" / blob
    place.rename(store / stored)
    place.symlink_to(store / stored)
    assert identify(ModelRequest("some/tiny")).weights == before


# --- errors -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("./absent", "model folder './absent' does not exist: name a folder, or a Hugging Face id"),
        ("/a/b/absent", "model folder '/a/b/absent' does not exist: name a folder, or a Hugging Face id"),
        ("absent/", "model folder 'absent/' does not exist: name a folder, or a Hugging Face id"),
        ("bad name", "model 'bad name' is neither a folder nor a Hugging Face id: name one"),
        ("", "model '' is neither a folder nor a Hugging Face id: name one"),
        (
            "some/absent",
            "model 'some/absent' cannot be had from Hugging Face: it is not wholly in the cache here and "
            "HF_HUB_OFFLINE is set; unset it, or name a local folder that holds it",
        ),
    ],
)
def test_model_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, message: str) -> None:
    monkeypatch.chdir(tmp_path)
    assert error_of(ModelRequest(name)) == message


@pytest.mark.parametrize(
    ("kind", "cause"),
    [
        ("RevisionNotFoundError", "it has no revision 'v9'; name one that it has"),
        ("GatedRepoError", "access to it has to be granted; ask on its page and run `hf auth login`"),
        ("RepositoryNotFoundError", "no such model, or a private one; check the id, run `hf auth login`"),
        ("HfHubHTTPError", "OSError: 503 from the server; check the network"),
    ],
)
def test_hub_that_says_no(monkeypatch: pytest.MonkeyPatch, kind: str, cause: str) -> None:
    from huggingface_hub import errors

    def refuse(*_: object, **__: object) -> str:
        error = getattr(errors, kind)
        raise error.__new__(error, "no") from OSError("503 from the server\nand more")

    monkeypatch.setattr("huggingface_hub.snapshot_download", refuse)
    assert error_of(ModelRequest("some/tiny", "v9")) == (
        f"model 'some/tiny' cannot be had from Hugging Face: {cause}, or name a local folder that holds it"
    )


def test_folder_that_lacks_something(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "tiny")
    request = ModelRequest(str(folder))
    assert error_of(ModelRequest(str(folder), revision="main")) == (
        f"model '{folder}' is a local folder, which has no revisions: leave the revision out"
    )
    assert error_of(ModelRequest(str(folder / "model.safetensors"))) == (
        f"model '{folder}/model.safetensors' is a file: name the folder that holds config.json and the weights"
    )
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    assert error_of(request) == f"model '{folder}' {CONVERT}"
    (folder / "config.json").unlink()
    assert error_of(request) == (f"model '{folder}' has no config.json: name a folder or id that transformers can load")


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
    from safetensors.numpy import load_file

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


def test_identify_loads_no_torch(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "tiny")
    code = (
        "import sys; from steerx_cli.lm import encode, models;"
        "models.user_cache_dir = lambda name: sys.argv[2];"
        "models.identify(models.ModelRequest(sys.argv[1]));"
        "print({'torch', 'transformers'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder), str(tmp_path / "cache")], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("set()\n", "")
