"""Which model, exactly, and loading it: where its files are, what is in them, and how it is run."""

import hashlib
import json
import re
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from platformdirs import user_cache_dir

from steerx_cli.core.artifacts import replacing
from steerx_cli.core.errors import SteerxError
from steerx_cli.core.provenance import fingerprint

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase
    from transformers.models.auto.auto_factory import _BaseAutoModelClass

    Loaded = tuple[PreTrainedModel, PreTrainedTokenizerBase]

DTYPES = ("float32", "bfloat16", "float16")

_WEIGHTS, _WEIGHTS_INDEX = "model.safetensors", "model.safetensors.index.json"
# What else can change a row; generation_config.json holds the end tokens.
_CONFIG = ("config.json", "generation_config.json", "chat_template*")
_TOKENIZER = ("tokenizer*.json", "*_tokens*.json", "vocab*", "merges.txt", "*.model", "*.spm", "*.tiktoken")

_DEVICE = re.compile(r"auto|cpu|cuda(:\d+)?")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_PATH_LIKE = re.compile(r"[./~]|.*/.*/|.*/$")  # what no Hugging Face id looks like


@dataclass(frozen=True)
class ModelRequest:
    """The model that a person asked for."""

    name: str  # a Hugging Face id or a local folder
    revision: str | None = None
    dtype: str = "auto"
    device: str = "auto"  # auto, cpu, cuda, cuda:0
    trust_remote_code: bool = False

    def __post_init__(self) -> None:
        """Refuse here what needs no model to be refused."""
        if self.dtype not in ("auto", *DTYPES):
            raise SteerxError(f"unknown dtype {self.dtype!r}: choose auto, {', '.join(DTYPES)}")
        if not _DEVICE.fullmatch(self.device):
            raise SteerxError(f"unknown device {self.device!r}: choose auto, cpu, cuda, or one GPU such as cuda:0")


@dataclass(frozen=True)
class ModelIdentity:
    """The model that a request turned out to mean."""

    name: str  # the Hugging Face id, or the local folder's own last name
    revision: str | None  # the commit; None for a local folder
    weights: str  # fingerprint of the content of `files`
    dtype: str  # what will be used, never "auto"
    folder: Path  # where it lies on this machine, and so no part of the record
    files: tuple[str, ...]

    def as_record(self) -> dict[str, str]:
        """What an artifact's provenance keeps: the same on every machine."""
        return {"id": self.name, "revision": self.revision or "local", "weights": self.weights, "dtype": self.dtype}


def identify(request: ModelRequest) -> ModelIdentity:
    """Find the model's files and name their content, with neither its weights nor torch loaded."""
    folder, commit = _find(request)
    files = _files(request, folder)
    return ModelIdentity(
        name=folder.name if commit is None else request.name,
        revision=commit,
        weights=fingerprint(_digests(files)),
        dtype=_resolve_dtype(request, folder),
        folder=folder,
        files=tuple(file.name for file in files),
    )


# --- finding its files ------------------------------------------------------------------------------------------------


def _find(request: ModelRequest) -> tuple[Path, str | None]:
    """The folder that holds the model, and its commit where it comes from Hugging Face."""
    name, folder = request.name, Path(request.name)
    if name and folder.is_dir():
        if request.revision is not None:
            raise SteerxError(f"model {name!r} is a local folder, which has no revisions: leave the revision out")
        return folder.resolve(), None
    if folder.is_file():
        raise SteerxError(f"model {name!r} is a file: name the folder that holds config.json and the weights")
    if _PATH_LIKE.match(name):
        raise SteerxError(f"model folder {name!r} does not exist: name a folder, or a Hugging Face id")
    return (snapshot := _snapshot(request)), snapshot.name


def _snapshot(request: ModelRequest) -> Path:
    """The model's folder in Hugging Face's cache, downloaded where it is not there."""
    from huggingface_hub import errors, snapshot_download

    # The HTTP library's own base class; which library that is depends on the version of huggingface_hub.
    http_error: type[Exception] = errors.HfHubHTTPError.__bases__[0]
    wanted = [*_settings(request), "model*.safetensors", _WEIGHTS_INDEX]
    try:  # sub-folders (onnx/, openvino/) hold the same weights for other programs
        return Path(
            snapshot_download(request.name, revision=request.revision, allow_patterns=wanted, ignore_patterns="*/*")
        )
    except errors.HFValidationError as error:
        raise SteerxError(f"model {request.name!r} is neither a folder nor a Hugging Face id: name one") from error
    except (OSError, http_error) as error:
        what = f"model {request.name!r} cannot be had from Hugging Face: {_why(error, request.revision)}"
        raise SteerxError(f"{what}, or name a local folder that holds it") from error


def _why(error: Exception, revision: str | None) -> str:
    """The cause in short, and what to do."""
    from huggingface_hub import errors

    for kind, what in (
        (errors.OfflineModeIsEnabled, "it is not wholly in the cache here and HF_HUB_OFFLINE is set; unset it"),
        (errors.RevisionNotFoundError, f"it has no revision {revision!r}; name one that it has"),
        (errors.GatedRepoError, "access to it has to be granted; ask on its page and run `hf auth login`"),
        (errors.RepositoryNotFoundError, "no such model, or a private one; check the id, run `hf auth login`"),
    ):
        if isinstance(error, kind) or isinstance(error.__cause__, kind):
            return what
    return f"{_brief(error.__cause__ or error)}; check the network"


def _settings(request: ModelRequest) -> list[str]:
    return [*_CONFIG, *_TOKENIZER, *(["*.py"] if request.trust_remote_code else [])]


def _files(request: ModelRequest, folder: Path) -> list[Path]:
    """Every file that loading the model reads, by name."""
    if not (folder / "config.json").is_file():
        raise SteerxError(f"model {request.name!r} has no config.json: name a folder or id that transformers can load")
    settings = {file for pattern in _settings(request) for file in folder.glob(pattern) if file.is_file()}
    return sorted({*settings, *_weight_files(request.name, folder)})


def _weight_files(name: str, folder: Path) -> list[Path]:
    whole, index = folder / _WEIGHTS, folder / _WEIGHTS_INDEX
    if whole.is_file():
        return [whole]
    if not index.is_file():
        raise SteerxError(
            f"model {name!r} has no safetensors weights here, and no others are loaded: get the whole model, or "
            "convert it once (from_pretrained and save_pretrained of model and tokenizer) and name the new folder"
        )
    shards = sorted({folder / shard for shard in _read_json(index).get("weight_map", {}).values()})
    missing = [shard.name for shard in shards if not shard.is_file()]
    if missing:
        what = f"model {name!r} lacks {len(missing)} of its {len(shards)} weight files, the first of them {missing[0]}"
        raise SteerxError(f"{what}: download or copy it again")
    return [index, *shards]


def _resolve_dtype(request: ModelRequest, folder: Path) -> str:
    """What "auto" means: the config's own dtype, else float32."""
    if request.dtype != "auto":
        return request.dtype
    config = _read_json(folder / "config.json")
    stated = str(config.get("dtype") or config.get("torch_dtype") or "float32").removeprefix("torch.")
    if stated not in DTYPES:
        raise SteerxError(f"model {request.name!r} was saved as {stated!r}: choose the dtype, {', '.join(DTYPES)}")
    return stated


def _read_json(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_bytes())
    except ValueError:
        values = None
    if not isinstance(values, dict):
        raise SteerxError(f"{path} is not a JSON object: download or copy the model again")
    return values


# --- naming their content ---------------------------------------------------------------------------------------------

_SETTLED_NS = 2_000_000_000  # a file younger than this could be written again under the same time stamp


def _digests(files: Iterable[Path]) -> dict[str, str]:
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


# --- loading ----------------------------------------------------------------------------------------------------------


def load_encoder(request: ModelRequest) -> "Loaded":
    """Load a model that turns tokens into hidden states, and its tokenizer."""
    from transformers import AutoModel

    return _load(request, AutoModel)


def _load(request: ModelRequest, auto_class: "type[_BaseAutoModelClass]") -> "Loaded":
    import torch
    from safetensors import SafetensorError
    from transformers import AutoTokenizer
    from transformers.utils import logging

    name, trust, device, (folder, _) = request.name, request.trust_remote_code, _device(request.device), _find(request)
    dtype = getattr(torch, _resolve_dtype(request, folder))
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]  # what its report says of weights is checked below
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=trust)
        model, report = auto_class.from_pretrained(
            folder, dtype=dtype, use_safetensors=True, trust_remote_code=trust, output_loading_info=True
        )
        _refuse_missing(name, report["missing_keys"])
        return model.to(device).eval(), tokenizer
    except torch.OutOfMemoryError as error:
        raise SteerxError(f"model {name!r} does not fit on {device}: choose a smaller dtype or model") from error
    except (OSError, ValueError, ImportError, RuntimeError, SafetensorError) as error:
        raise SteerxError(f"model {name!r} cannot be loaded by transformers: {_brief(error)}") from error


def _refuse_missing(name: str, missing: Iterable[str]) -> None:
    """Weights that no file holds are random; only a pooler's, which nothing here uses, may be."""
    used = sorted(key for key in missing if not key.startswith("pooler."))
    if used:
        raise SteerxError(f"model {name!r} lacks {len(used)} weights, the first of them {used[0]}: name a whole model")


def _device(name: str) -> "torch.device":
    import torch

    count = torch.cuda.device_count()
    device = torch.device(("cuda" if count else "cpu") if name == "auto" else name)
    if device.type == "cuda" and (device.index or 0) >= count:
        raise SteerxError(f"device {name!r} is not there (torch sees {count} GPUs): choose auto or cpu")
    return device


def _brief(error: BaseException) -> str:
    return f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
