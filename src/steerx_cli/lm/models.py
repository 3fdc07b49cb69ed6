"""Which model, exactly, and loading it."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING, NamedTuple

from steerx_cli.core.errors import SteerxError
from steerx_cli.core.provenance import fingerprint
from steerx_cli.lm.files import brief, digests_of, files_of, find_model, read_json

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase
    from transformers.models.auto.auto_factory import _BaseAutoModelClass

    Model = PreTrainedModel
    Tokenizer = PreTrainedTokenizerBase
    Loaded = tuple[Model, Tokenizer]

DTYPES = ("float32", "bfloat16", "float16")

_DEVICE = re.compile(r"auto|cpu|cuda(:\d+)?")


@dataclass(frozen=True)
class ModelRequest:
    """The model that a person asked for."""

    name: str  # a Hugging Face id or a local folder
    revision: str | None = None
    dtype: str = "auto"
    device: str = "auto"  # auto, cpu, cuda, cuda:0
    trust_remote_code: bool = False
    pickled: bool = False  # PyTorch's .bin files, where there are no safetensors

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


def identify(request: ModelRequest, download: bool = True) -> ModelIdentity:
    """Find the model's files and name their content, with neither its weights nor torch loaded."""
    folder, commit = _find(request, download)
    files = files_of(request.name, folder, code=request.trust_remote_code, pickled=request.pickled)
    return ModelIdentity(
        name=folder.name if commit is None else request.name,
        revision=commit,
        weights=fingerprint(digests_of(files)),
        dtype=_resolve_dtype(request, folder),
        folder=folder,
        files=tuple(file.name for file in files),
    )


def pinned(request: ModelRequest, *, download: bool) -> tuple[ModelRequest, dict[str, str]]:
    """The request for exactly the model that it means now, and what a provenance keeps of it.

    The commit is held on to: a branch may move between naming the model and loading it.
    """
    found = identify(request, download)
    return replace(request, revision=found.revision), found.as_record()


class Build(NamedTuple):
    """What a model's config tells of it, as far as it does."""

    kind: str  # as transformers calls it ("qwen3")
    layers: int | None


def build_of(request: ModelRequest, *, download: bool) -> Build:
    """How a model is built, with nothing of it loaded."""
    config = read_json(_find(request, download)[0] / "config.json")
    text = config.get("text_config") or config
    layers = text.get("num_hidden_layers", text.get("n_layer"))
    return Build(str(config.get("model_type") or "unknown"), layers if isinstance(layers, int) else None)


def no_such_layer(name: str | None, layers: int, asked: int) -> SteerxError:
    """What to say of a layer that a model does not have."""
    return SteerxError(
        f"model {name!r} has {layers} decoder blocks, and --layer is {asked}: name one from 1 to {layers}"
    )


def _find(request: ModelRequest, download: bool = True) -> tuple[Path, str | None]:
    code, pickled = request.trust_remote_code, request.pickled
    return find_model(request.name, request.revision, code=code, pickled=pickled, download=download)


def _resolve_dtype(request: ModelRequest, folder: Path) -> str:
    """What "auto" means: the config's own dtype, else float32."""
    if request.dtype != "auto":
        return request.dtype
    config = read_json(folder / "config.json")
    stated = str(config.get("dtype") or config.get("torch_dtype") or "float32").removeprefix("torch.")
    if stated not in DTYPES:
        raise SteerxError(f"model {request.name!r} was saved as {stated!r}: choose the dtype, {', '.join(DTYPES)}")
    return stated


# --- loading ----------------------------------------------------------------------------------------------------------


def load_encoder(request: ModelRequest) -> "Loaded":
    """Load a model that turns tokens into hidden states, and its tokenizer."""
    from transformers import AutoModel

    return _load(request, AutoModel)


def load_causal_lm(request: ModelRequest) -> "Loaded":
    """Load a model that writes, and its tokenizer."""
    from transformers import AutoModelForCausalLM

    return _load(request, AutoModelForCausalLM)


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
            folder,
            dtype=dtype,
            use_safetensors=None if request.pickled else True,  # None: whichever is there, safetensors first
            # transformers 5.23 hands this on to torch.load (modeling_utils.load_state_dict), which then makes only
            # tensors and plain containers of a .bin file; a torch below 2.6, where that could be got round, it refuses.
            weights_only=True,
            trust_remote_code=trust,
            output_loading_info=True,
        )
        _refuse_missing(name, report["missing_keys"])
        # Where a folder has no file of one, transformers makes up an empty one.
        if set(tokenizer.get_vocab()) <= set(tokenizer.all_special_tokens):
            raise SteerxError(f"model {name!r} comes without a tokenizer: put its tokenizer.json beside the weights")
        # What is quantised was put in its place while it was loaded, and may not be moved.
        return (model if getattr(model, "is_quantized", False) else model.to(device)).eval(), tokenizer
    except torch.OutOfMemoryError as error:
        raise SteerxError(f"model {name!r} does not fit on {device}: choose a smaller dtype or model") from error
    except (UnpicklingError, EOFError) as error:  # torch's own words tell a person to load it unsafely
        what = f"model {name!r} has a .bin file that is damaged or holds more than weights"
        raise SteerxError(f"{what}: download or copy it again, or name a model in safetensors") from error
    except (OSError, ValueError, ImportError, RuntimeError, SafetensorError) as error:
        raise SteerxError(f"model {name!r} cannot be loaded by transformers: {brief(error)}") from error


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


def end_tokens(model: "Model") -> frozenset[int]:
    """All of the tokens that end what a model writes."""
    ends = model.generation_config.eos_token_id
    return frozenset(ends if isinstance(ends, list) else [] if ends is None else [ends])
