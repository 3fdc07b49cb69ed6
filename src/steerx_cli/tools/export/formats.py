"""What a file holds: what steers, and where it comes from, in llama.cpp's format or in safetensors."""

import io
import json
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any, TypeAlias, cast

import numpy as np
from gguf import GGUFValueType, GGUFWriter
from gguf.gguf_writer import WriterState
from numpy.typing import NDArray
from safetensors.numpy import save

from steerx_cli.core.errors import SteerxError
from steerx_cli.core.provenance import Footer
from steerx_cli.core.sources import Source
from steerx_cli.tools.export.vectors import Pair, Wanted

Directions: TypeAlias = Mapping[str, NDArray[np.float32]]  # by the name of the tensor
Facts: TypeAlias = Mapping[str, Any]

_VERSION = version("steerx")  # asking takes longer than making a file
_BUILT_WITH = ("gamma1", "pool", "normalize", "architecture")
_KINDS = {
    str: GGUFValueType.STRING,
    bool: GGUFValueType.BOOL,
    int: GGUFValueType.INT64,
    float: GGUFValueType.FLOAT64,
}


def file_of(pair: Pair, wanted: Wanted, source: Source) -> bytes:
    """A pair's file; the same vectors give the same bytes."""
    directions = directions_of(pair, wanted.gamma2, source.where)
    facts = facts_of(pair, wanted.gamma2, source.footer)
    return to_gguf(directions, facts) if wanted.format == "gguf" else to_safetensors(directions, facts)


def directions_of(pair: Pair, gamma2: float, where: str) -> Directions:
    """γ2 · v of each layer (Eq. 6), under the name of the decoder block that it is added behind, counted from 0."""
    with np.errstate(over="ignore", invalid="ignore"):  # what comes of it is told below
        scaled = {layer: vector * np.float32(gamma2) for layer, vector in pair.vectors.items()}
    for layer, vector in scaled.items():
        if not np.isfinite(vector).all():
            raise SteerxError(
                f"{where} has a vector of user {pair.user}, layer {layer}, that is not finite: make it again with "
                "`steerx build-vector`"
            )
    return {f"direction.{layer - 1}": vector for layer, vector in scaled.items()}


def facts_of(pair: Pair, gamma2: float, footer: Footer) -> Facts:
    """Where what steers comes from."""
    record = footer.record
    return {
        "version": _VERSION,
        "vectors": footer.fingerprint,
        "user": pair.user,
        **({} if pair.query is None else {"query": pair.query}),
        "basis": pair.basis,
        "layers": [*pair.vectors],
        "gamma2": gamma2,
        **{name: record.parameters[name] for name in _BUILT_WITH},
        **{f"model.{name}": value for name, value in record.models["generator"].items()},
    }


# --- formats ----------------------------------------------------------------------------------------------------------


def to_gguf(directions: Directions, facts: Facts) -> bytes:
    """A control vector as llama.cpp reads it; other programs ask for the model's kind, too."""
    writer = GGUFWriter(None, "controlvector")
    writer.add_string("controlvector.model_hint", facts["architecture"])
    writer.add_uint32("controlvector.layer_count", len(directions))
    for name, value in facts.items():
        plain = value if type(value) in _KINDS else json.dumps(value)
        writer.add_key_value(f"controlvector.steerx.{name}", plain, _KINDS[type(plain)])
    for name, vector in directions.items():
        writer.add_tensor_info(name, vector.shape, vector.dtype, vector.nbytes)
    # A file in memory, as if it were open already: it is compared with what is there before anything is written.
    file = io.BytesIO()
    writer.fout, writer.state = [cast("io.BufferedWriter", file)], WriterState.EMPTY
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    writer.write_padding(file, file.tell())
    for vector in directions.values():
        file.write(vector.astype("<f4").tobytes())
        writer.write_padding(file, vector.nbytes)
    return file.getvalue()


def to_safetensors(directions: Directions, facts: Facts) -> bytes:
    """The same tensors; the facts stand under one key, for safetensors writes several in a random order."""
    return save({**directions}, {"steerx": json.dumps(facts)})
