"""Where a model's files are and what is in them: found, listed, named by content, refused in one sentence."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from fnmatch import fnmatch
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from steerx_cli.core.errors import SteerxError
from steerx_cli.lm import files
from steerx_cli.lm.files import digests_of, files_of, find_model

COMMIT = "0123456789abcdef0123456789abcdef01234567"
LONG_AGO = (1_000_000_000, 1_000_000_000)  # seconds: older than any clock's grain
ONLY_PICKLED = (
    "has its weights only in PyTorch's own .bin files: take them with --pickled, or convert it once "
    "(from_pretrained and save_pretrained of model and tokenizer) and name the new folder"
)
NO_WEIGHTS = "has no weights here: get the whole model, with --pickled where it is published in .bin files only"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of fingerprints and an empty Hugging Face cache of the test's own, and no network."""
    monkeypatch.setattr("platformdirs.user_cache_dir", lambda name: str(tmp_path / "cache" / name))
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

    monkeypatch.setattr(files, "_sha256", fail)


def digests(
    name: str | Path, revision: str | None = None, *, code: bool = False, pickled: bool = False
) -> dict[str, str]:
    """Find the model, list its files and name their content."""
    folder, _ = find_model(str(name), revision, code=code, pickled=pickled)
    return digests_of(files_of(str(name), folder, code=code, pickled=pickled))


def error_of(name: str | Path, revision: str | None = None, *, pickled: bool = False) -> str:
    with pytest.raises(SteerxError) as caught:
        digests(name, revision, pickled=pickled)
    return str(caught.value)


# --- finding them -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [".", "../tiny", "../tiny/", "ABSOLUTE"])
def test_folder_is_the_same_however_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    folder = make_folder(tmp_path / "tiny")
    monkeypatch.chdir(folder)
    found = find_model(name.replace("ABSOLUTE", str(folder)), None, code=False, pickled=False)
    assert found == (folder, None)


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
    assert error_of(name) == message


@pytest.mark.parametrize(
    ("kind", "cause"),
    [
        ("RevisionNotFoundError", "it has no revision 'v9'; name one that it has"),
        ("GatedRepoError", "access to it has to be granted; ask on its page and run `hf auth login`"),
        ("RepositoryNotFoundError", "no such id, or a private one; check it, run `hf auth login`"),
        ("HfHubHTTPError", "OSError: 503 from the server; check the network"),
    ],
)
def test_hub_that_says_no(monkeypatch: pytest.MonkeyPatch, kind: str, cause: str) -> None:
    from huggingface_hub import errors

    def refuse(*_: object, **__: object) -> str:
        error = getattr(errors, kind)
        raise error.__new__(error, "no") from OSError("503 from the server\nand more")

    monkeypatch.setattr("huggingface_hub.snapshot_download", refuse)
    assert error_of("some/tiny", "v9") == (
        f"model 'some/tiny' cannot be had from Hugging Face: {cause}, or name a local folder that holds it"
    )


@pytest.fixture
def publish(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[tuple[str | None, list[str]]]]:
    """Publish a model of some files on a hub; gives what is asked of it: the revision and the weights that it gave."""

    def publish(*weights: str) -> list[tuple[str | None, list[str]]]:
        asked: list[tuple[str | None, list[str]]] = []

        def download(name: str, revision: str | None, allow_patterns: list[str], **_: object) -> str:
            given = [file for file in weights if any(fnmatch(file, pattern) for pattern in allow_patterns)]
            asked.append((revision, given))
            snapshot = tmp_path / "snapshots" / COMMIT
            snapshot.mkdir(parents=True, exist_ok=True)
            for file in ("config.json", *given):
                (snapshot / file).write_text("{}")
            return str(snapshot)

        monkeypatch.setattr("huggingface_hub.snapshot_download", download)
        return asked

    return publish


BINS = ["pytorch_model-00001-of-00002.bin", "pytorch_model.bin.index.json"]


@pytest.mark.parametrize(
    ("published", "pickled", "expected"),
    [
        (["pytorch_model.bin"], False, [("v1", [])]),
        (["pytorch_model.bin"], True, [("v1", []), (COMMIT, ["pytorch_model.bin"])]),
        (BINS, True, [("v1", []), (COMMIT, BINS)]),
        (["model.safetensors", "pytorch_model.bin"], True, [("v1", ["model.safetensors"])]),
        (["model.safetensors.index.json", *BINS], True, [("v1", ["model.safetensors.index.json"])]),
    ],
)
def test_pickled_are_downloaded_where_they_are_wanted_and_there_are_no_others(
    publish: Callable[..., object], published: list[str], pickled: bool, expected: object
) -> None:
    asked = publish(*published)
    assert find_model("some/tiny", "v1", code=False, pickled=pickled)[1] == COMMIT
    assert asked == expected


def test_hub_model_of_pickled_names_the_flag(publish: Callable[..., object]) -> None:
    publish("pytorch_model.bin")
    assert error_of("some/tiny") == f"model 'some/tiny' {NO_WEIGHTS}"
    assert list(digests("some/tiny", pickled=True)) == ["config.json", "pytorch_model.bin"]


# --- listing them -----------------------------------------------------------------------------------------------------


def test_files_of_a_folder(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "tiny")
    names = ("config.json", "model.safetensors", "tokenizer.json")
    assert digests(folder) == {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names}


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
def test_digests_changes_with_each_file_that_counts(tmp_path: Path, name: str) -> None:
    folder = make_folder(tmp_path / "tiny")
    before = digests(folder)
    content = bytearray((folder / name).read_bytes())
    (folder / name).write_bytes(content + b" ")
    assert digests(folder) != before
    (folder / name).write_bytes(content)
    assert digests(folder) == before


def test_digests_changes_with_one_weight(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "tiny")
    before = digests(folder)
    content = bytearray((folder / "model.safetensors").read_bytes())
    content[-1] ^= 1
    (folder / "model.safetensors").write_bytes(content)
    assert digests(folder) != before


def test_digests_survives_a_move_and_what_is_not_read(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "tiny")
    before = digests(folder)
    moved = tmp_path / "elsewhere" / "tiny"
    moved.parent.mkdir()
    folder.rename(moved)
    (moved / "README.md").write_text("changed")
    (moved / "pytorch_model.bin").write_text("never read")
    (moved / "modeling_own.py").write_text("never read")
    assert digests(moved) == before


def test_code_counts_where_it_is_trusted(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "tiny")
    (folder / "modeling_own.py").write_text("pass")
    assert "modeling_own.py" in digests(folder, code=True)


def test_sharded_weights_are_those_that_the_index_names(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "tiny")
    (folder / "model.safetensors").rename(folder / "model-00001-of-00002.safetensors")
    shutil.copy(folder / "model-00001-of-00002.safetensors", folder / "model-other.safetensors")
    index = {"weight_map": {f"layer.{n}": f"model-0000{n}-of-00002.safetensors" for n in (1, 2)}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert error_of(folder) == (
        f"model '{folder}' lacks 1 of its 2 weight files, the first of them model-00002-of-00002.safetensors: "
        "download or copy it again"
    )
    save_file({"weight": np.zeros(8)}, folder / "model-00002-of-00002.safetensors")
    assert [name for name in digests(folder) if name.startswith("model")] == [
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
        "model.safetensors.index.json",
    ]


def test_folder_that_lacks_something(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "tiny")
    assert error_of(folder, "main") == (
        f"model '{folder}' is a local folder, which has no revisions: leave the revision out"
    )
    assert error_of(folder / "model.safetensors") == (
        f"model '{folder}/model.safetensors' is a file: name the folder that holds config.json and the weights"
    )
    (folder / "model.safetensors").unlink()
    assert error_of(folder) == error_of(folder, pickled=True) == f"model '{folder}' {NO_WEIGHTS}"
    (folder / "config.json").unlink()
    assert error_of(folder) == (f"model '{folder}' has no config.json: name a folder or id that transformers can load")


@pytest.mark.parametrize("content", ["{", "[]", ""])
def test_damaged_index(tmp_path: Path, content: str) -> None:
    folder = make_folder(tmp_path / "tiny")
    (folder / "model.safetensors").rename(folder / "other.safetensors")
    (folder / "model.safetensors.index.json").write_text(content)
    assert error_of(folder) == (
        f"{folder}/model.safetensors.index.json is not a JSON object: download or copy the model again"
    )


# --- pickled weights --------------------------------------------------------------------------------------------------


def make_pickled_folder(folder: Path) -> Path:
    """The same, its weights in a .bin file; nothing here looks into it."""
    make_folder(folder)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    return folder


def test_pickled_are_listed_where_they_are_wanted(tmp_path: Path) -> None:
    folder = make_pickled_folder(tmp_path / "tiny")
    assert list(digests(folder, pickled=True)) == ["config.json", "pytorch_model.bin", "tokenizer.json"]
    assert error_of(folder) == f"model '{folder}' {ONLY_PICKLED}"
    (folder / "pytorch_model.bin").rename(folder / "pytorch_model.bin.index.json")
    assert error_of(folder) == f"model '{folder}' {ONLY_PICKLED}"


def test_digests_change_with_one_pickled_weight(tmp_path: Path) -> None:
    folder = make_pickled_folder(tmp_path / "tiny")
    before = digests(folder, pickled=True)
    content = bytearray((folder / "pytorch_model.bin").read_bytes())
    content[-1] ^= 1
    (folder / "pytorch_model.bin").write_bytes(content)
    after = digests(folder, pickled=True)
    assert {name for name in before if before[name] != after[name]} == {"pytorch_model.bin"}


def test_sharded_pickled_are_those_that_the_index_names(tmp_path: Path) -> None:
    folder = make_pickled_folder(tmp_path / "tiny")
    shards = [f"pytorch_model-0000{n}-of-00002.bin" for n in (1, 2)]
    (folder / "pytorch_model.bin").rename(folder / shards[0])
    shutil.copy(folder / shards[0], folder / "pytorch_model-other.bin")
    index = {"weight_map": dict(zip(("a", "b"), shards, strict=True))}
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    assert error_of(folder, pickled=True) == (
        f"model '{folder}' lacks 1 of its 2 weight files, the first of them {shards[1]}: download or copy it again"
    )
    shutil.copy(folder / shards[0], folder / shards[1])
    assert [name for name in digests(folder, pickled=True) if "model" in name] == [
        *shards,
        "pytorch_model.bin.index.json",
    ]


def test_safetensors_go_before_pickled(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "tiny")
    before = digests(folder)
    (folder / "pytorch_model.bin").write_text("never read")
    assert digests(folder) == digests(folder, pickled=True) == before


# --- the cache of fingerprints ----------------------------------------------------------------------------------------


def test_files_are_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make_folder(tmp_path / "tiny")
    first = digests(folder)
    fail_to_hash(monkeypatch)
    assert digests(folder) == first


def test_another_file_in_the_same_place_is_read(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "tiny", weight=1.0)
    first = digests(folder)
    make_folder(tmp_path / "other", weight=2.0)
    (tmp_path / "other" / "model.safetensors").replace(folder / "model.safetensors")  # the same size and time
    assert digests(folder) != first


def test_a_file_of_this_instant_is_not_remembered(tmp_path: Path, cache: Path) -> None:
    folder = make_folder(tmp_path / "tiny")
    os.utime(folder / "model.safetensors", (2**33, 2**33))  # seconds: in the future
    digests(folder)
    assert sorted(Path(key).name for key in json.loads(cache.read_text())) == ["config.json", "tokenizer.json"]


def test_models_are_remembered_side_by_side(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folders = [make_folder(tmp_path / name) for name in ("one", "two")]
    first = [digests(folder) for folder in folders]
    fail_to_hash(monkeypatch)
    assert [digests(folder) for folder in folders] == first


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[]", b"3", b'{"a": 1}', b'{"a": "not a digest"}'])
def test_damaged_cache_is_replaced(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    folder = make_folder(tmp_path / "tiny")
    expected = digests(folder)
    cache.write_bytes(content)
    assert digests(folder) == expected
    fail_to_hash(monkeypatch)
    assert digests(folder) == expected


def test_damaged_entry_is_not_believed(tmp_path: Path, cache: Path) -> None:
    folder = make_folder(tmp_path / "tiny")
    expected = digests(folder)
    cache.write_text(json.dumps(dict.fromkeys(json.loads(cache.read_text()), "0")))
    assert digests(folder) == expected


def test_cache_that_cannot_be_written_costs_only_time(tmp_path: Path, cache: Path) -> None:
    folder = make_folder(tmp_path / "tiny")
    cache.parent.parent.mkdir()
    cache.parent.write_text("a file where the cache's folder would be")
    assert digests(folder) == digests(folder)


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
def test_hub_model_is_found_with_its_commit(tmp_path: Path, revision: str | None) -> None:
    snapshot = make_snapshot(tmp_path, "weights")
    assert find_model("some/tiny", revision, code=False, pickled=False) == (snapshot, COMMIT)


def test_large_file_of_the_hub_is_named_by_its_blob(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sha256 = hashlib.sha256((make_folder(tmp_path / "same") / "model.safetensors").read_bytes()).hexdigest()
    snapshot = make_snapshot(tmp_path, sha256)
    hashing, read = files._sha256, list[str]()

    def note(file: Path) -> str:
        read.append(file.name)
        return hashing(file)

    monkeypatch.setattr(files, "_sha256", note)
    linked = digests("some/tiny")
    assert read == ["config.json", "tokenizer.json"]
    copied = shutil.copytree(snapshot, tmp_path / "copied")
    assert digests(copied) == linked


def test_blob_in_the_store_of_all_models_keeps_its_own_name(tmp_path: Path) -> None:
    blob, stored = "a" * 64, "b" * 64
    snapshot = make_snapshot(tmp_path, blob)
    before = digests("some/tiny")
    store = tmp_path / "hub" / "blobs" / "bb"
    store.mkdir(parents=True)
    place = snapshot.parent.parent / "blobs" / blob
    place.rename(store / stored)
    place.symlink_to(store / stored)
    assert digests("some/tiny") == before


def test_a_dry_run_asks_for_no_download(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import errors

    def only_local(*_: object, local_files_only: bool, **__: object) -> str:
        assert local_files_only
        raise errors.LocalEntryNotFoundError("nothing here")

    monkeypatch.setattr("huggingface_hub.snapshot_download", only_local)
    with pytest.raises(SteerxError) as refused:
        find_model("some/tiny", None, code=False, pickled=False, download=False)
    assert str(refused.value) == (
        "model 'some/tiny' is not wholly in the cache here, and a dry run downloads nothing: "
        "leave --dry-run out, or name a local folder that holds it"
    )
