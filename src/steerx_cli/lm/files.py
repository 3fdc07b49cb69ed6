"""Where a model's files are, and what is in them."""

import hashlib
import json
import re
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from steerx_cli.core.errors import SteerxError
from steerx_cli.core.files import replacing

# Each form of weights: the one file that holds them all, or the index of several.
_SAFETENSORS = ("model.safetensors", "model.safetensors.index.json")
_PICKLED = ("pytorch_model.bin", "pytorch_model.bin.index.json")
# What else can change a row; generation_config.json holds the end tokens.
_CONFIG = ("config.json", "generation_config.json", "chat_template*")
_TOKENIZER = ("tokenizer*.json", "*_tokens*.json", "vocab*", "merges.txt", "*.model", "*.spm", "*.tiktoken")

_SHA256 = re.compile(r"[0-9a-f]{64}")
_PATH_LIKE = re.compile(r"[./~]|.*/.*/|.*/$")  # what no Hugging Face id looks like


# --- finding them -----------------------------------------------------------------------------------------------------


def find_model(
    name: str, revision: str | None, *, code: bool, pickled: bool, download: bool = True
) -> tuple[Path, str | None]:
    """The folder that holds the model, and its commit where it comes from Hugging Face."""
    folder = Path(name)
    if name and folder.is_dir():
        if revision is not None:
            raise SteerxError(f"model {name!r} is a local folder, which has no revisions: leave the revision out")
        return folder.resolve(), None
    if folder.is_file():
        raise SteerxError(f"model {name!r} is a file: name the folder that holds config.json and the weights")
    if _PATH_LIKE.match(name):
        raise SteerxError(f"model folder {name!r} does not exist: name a folder, or a Hugging Face id")
    return (snapshot := _snapshot(name, revision, code, pickled, download)), snapshot.name


def _snapshot(name: str, revision: str | None, code: bool, pickled: bool, download: bool) -> Path:
    """The model's folder in Hugging Face's cache, downloaded where it is not there and may be."""
    folder = _cached(name, revision, [*_settings(code), *_patterns(_SAFETENSORS)], download)
    if pickled and not any((folder / file).is_file() for file in _SAFETENSORS):
        folder = _cached(name, folder.name, [*_settings(code), *_patterns(_PICKLED)], download)  # the same commit
    return folder


def _cached(name: str, revision: str | None, wanted: list[str], download: bool) -> Path:
    from huggingface_hub import snapshot_download

    no_id = f"model {name!r} is neither a folder nor a Hugging Face id: name one"
    with asking_hub(f"model {name!r}", "name a local folder that holds it", no_id, download, revision):
        return Path(  # sub-folders (onnx/, openvino/) hold the same weights for other programs
            snapshot_download(
                name,
                revision=revision,
                allow_patterns=wanted,
                ignore_patterns="*/*",
                local_files_only=not download,
            )
        )


@contextmanager
def asking_hub(what: str, instead: str, no_id: str, download: bool, revision: str | None = None) -> Iterator[None]:
    """Turn what Hugging Face says, or the network, into one sentence; `instead` is what else a person can do."""
    from huggingface_hub import errors

    # The HTTP library's own base class; which library that is depends on the version of huggingface_hub.
    http_error: type[Exception] = errors.HfHubHTTPError.__bases__[0]
    try:
        yield
    except errors.HFValidationError as error:
        raise SteerxError(no_id) from error
    except (OSError, http_error) as error:
        cause = "is not wholly in the cache here, and a dry run downloads nothing: leave --dry-run out"
        if download:
            cause = f"cannot be had from Hugging Face: {_why(error, revision)}"
        raise SteerxError(f"{what} {cause}, or {instead}") from error


def _why(error: Exception, revision: str | None) -> str:
    """The cause in short, and what to do."""
    from huggingface_hub import errors

    for kind, what in (
        (errors.OfflineModeIsEnabled, "it is not wholly in the cache here and HF_HUB_OFFLINE is set; unset it"),
        (errors.RevisionNotFoundError, f"it has no revision {revision!r}; name one that it has"),
        (errors.GatedRepoError, "access to it has to be granted; ask on its page and run `hf auth login`"),
        (errors.RepositoryNotFoundError, "no such id, or a private one; check it, run `hf auth login`"),
    ):
        if isinstance(error, kind) or isinstance(error.__cause__, kind):
            return what
    return f"{brief(error.__cause__ or error)}; check the network"


def _settings(code: bool) -> list[str]:
    return [*_CONFIG, *_TOKENIZER, *(["*.py"] if code else [])]


def _patterns(form: tuple[str, str]) -> list[str]:
    whole, index = form
    return [whole.replace(".", "*."), index]


def files_of(name: str, folder: Path, *, code: bool, pickled: bool) -> list[Path]:
    """Every file that loading the model reads, by name."""
    if not (folder / "config.json").is_file():
        raise SteerxError(f"model {name!r} has no config.json: name a folder or id that transformers can load")
    settings = {file for pattern in _settings(code) for file in folder.glob(pattern) if file.is_file()}
    return sorted({*settings, *_weight_files(name, folder, pickled)})


def _weight_files(name: str, folder: Path, pickled: bool) -> list[Path]:
    """The weights that transformers takes from the folder: it looks in this order too."""
    for whole, index in (_SAFETENSORS, _PICKLED) if pickled else (_SAFETENSORS,):
        if (folder / whole).is_file():
            return [folder / whole]
        if (folder / index).is_file():
            return [folder / index, *_shards(name, folder / index)]
    if any((folder / file).is_file() for file in _PICKLED):
        raise SteerxError(
            f"model {name!r} has its weights only in PyTorch's own .bin files: take them with --pickled, or "
            "convert it once (from_pretrained and save_pretrained of model and tokenizer) and name the new folder"
        )
    raise SteerxError(
        f"model {name!r} has no weights here: get the whole model, with --pickled where it is published in "
        ".bin files only"
    )


def _shards(name: str, index: Path) -> list[Path]:
    shards = sorted({index.parent / shard for shard in read_json(index).get("weight_map", {}).values()})
    missing = [shard.name for shard in shards if not shard.is_file()]
    if missing:
        what = f"model {name!r} lacks {len(missing)} of its {len(shards)} weight files, the first of them {missing[0]}"
        raise SteerxError(f"{what}: download or copy it again")
    return shards


def read_json(path: Path) -> dict[str, Any]:
    """Read one of the model's settings or indexes."""
    try:
        values = json.loads(path.read_bytes())
    except ValueError:
        values = None
    if not isinstance(values, dict):
        raise SteerxError(f"{path} is not a JSON object: download or copy the model again")
    return values


def brief(error: BaseException) -> str:
    """What another library complains of, in one line."""
    return f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"


# --- naming their content ---------------------------------------------------------------------------------------------

_SETTLED_NS = 2_000_000_000  # a file younger than this could be written again under the same time stamp


def digests_of(files: Iterable[Path]) -> dict[str, str]:
    """File name → sha256 of its content; what was read before is not read again."""
    known, fresh, found = _read_cache(), {}, {}
    for file in files:
        key, settled = _state(file)
        digest = _blob_digest(file) or known.get(key)
        if digest is None:
            digest = _sha256(file)
            if settled:
                fresh[key] = digest
        found[file.name] = digest
    if fresh:
        _write_cache({**_read_cache(), **fresh})  # read again: another process may have added to it
    return found


def _blob_digest(file: Path) -> str | None:
    """The sha256 that Hugging Face's cache already knows of a large file."""
    # A snapshot's file is a link to blobs/<etag>: the sha256 for a file in LFS, a git id of 40 digits for a small one.
    # Only that one link is followed: a blob may itself link to a store shared by all models, named by another hash.
    blob = file.readlink() if file.is_symlink() else file
    return blob.name if blob.parent.name == "blobs" and _SHA256.fullmatch(blob.name) else None


def _state(file: Path) -> tuple[str, bool]:
    """A key that changes when the file does, and whether it is sure to."""
    real = file.resolve()
    stat = real.stat()
    settled = time.time_ns() - stat.st_mtime_ns > _SETTLED_NS
    return f"{stat.st_size}:{stat.st_mtime_ns}:{stat.st_ino}:{real}", settled


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _cache_file() -> Path:
    from platformdirs import user_cache_dir  # here, so that the engine alone needs less

    return Path(user_cache_dir("steerx")) / "fingerprints.json"


def _read_cache() -> dict[str, str]:
    """What is known already; a cache that is absent or damaged knows nothing, and costs only time."""
    try:
        values = json.loads(_cache_file().read_bytes())
        return {key: value for key, value in values.items() if _SHA256.fullmatch(value)}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _write_cache(digests: dict[str, str]) -> None:
    with suppress(OSError):
        _cache_file().parent.mkdir(parents=True, exist_ok=True)
        with replacing(_cache_file()) as stream:
            stream.write(json.dumps(digests, indent=0, sort_keys=True).encode())
