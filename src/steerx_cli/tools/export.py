"""`steerx export`: steering vectors as files that other programs read, one for each user and query."""

import io
import json
import math
import re
import struct
import time
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from steerx_cli.core.errors import SteerxError
from steerx_cli.core.files import replacing
from steerx_cli.core.outputs import Output, explained, interruptible
from steerx_cli.core.progress import Progress
from steerx_cli.core.provenance import Footer, check_parameters, fingerprint
from steerx_cli.core.schemas import VECTORS
from steerx_cli.core.sources import Source
from steerx_cli.core.summary import Summary

if TYPE_CHECKING:
    from gguf import GGUFWriter

Format: TypeAlias = Literal["gguf", "safetensors"]
Directions: TypeAlias = Mapping[str, NDArray[np.float32]]  # by the name of the tensor

EMPTY = "vectors left out, for there is nothing to steer by"
SAME = "files that were there already"
_BUILT_WITH = ("gamma1", "pool", "normalize")  # of the parameters of the vectors, where they have them


@dataclass(frozen=True)
class Wanted:
    """Which vectors, in which files; nothing named is all there are, of one layer."""

    format: Format
    users: Sequence[str] = ()
    queries: Sequence[str] = ()
    layers: Sequence[int] = ()
    gamma2: float = 1.0

    def parameters(self) -> dict[str, Any]:
        """As they are typed."""
        named = {"user": self.users, "query": self.queries, "layer": self.layers}
        return {"format": self.format, "gamma2": self.gamma2} | {name: [*some] or None for name, some in named.items()}

    def has(self, user: str, query: str | None) -> bool:
        """Whether this pair's vectors are wanted."""
        return (not self.users or user in self.users) and (not self.queries or query in self.queries)


# --- names ------------------------------------------------------------------------------------------------------------

_LONGEST = 44  # of one id in a name: with both, their hash and the suffix, a name has no more than 120 characters
_PLAIN = re.compile(r"[a-z0-9_.]+(-[a-z0-9_.]+)*")  # small letters only, for many file systems take A and a for one
_HASHED = re.compile(r".*-[0-9a-f]{16}")
_OF_WINDOWS = {"con", "prn", "aux", "nul", *(f"{port}{number}" for port in ("com", "lpt") for number in range(10))}


def file_name(user: str, query: str | None, suffix: str) -> str:
    """A name that every system takes and that no other pair of ids gets, whatever is in them."""
    ids = [user] if query is None else [user, query]
    name = "--".join(re.sub(r"[^A-Za-z0-9_.-]", "_", some)[:_LONGEST] for some in ids)
    safe = _is_safe(name)
    # What has no hash never looks as if it had one, nor as if its -- stood elsewhere: so no two names can meet.
    if safe and not _HASHED.fullmatch(name) and all(_PLAIN.fullmatch(some) and len(some) <= _LONGEST for some in ids):
        return f"{name}.{suffix}"
    return f"{name if safe else f'_{name}'}-{fingerprint([user, query])[:16]}.{suffix}"


def _is_safe(name: str) -> bool:
    """Not hidden, no option of a command, and nothing that Windows keeps for its devices, whatever follows a dot."""
    return name[:1] not in ("", ".", "-") and name.split(".")[0].lower() not in _OF_WINDOWS


# --- files ------------------------------------------------------------------------------------------------------------


def to_gguf(directions: Directions, facts: Mapping[str, Any]) -> bytes:
    """A control vector as llama.cpp reads it."""
    from gguf import GGUFWriter
    from gguf.gguf_writer import WriterState

    file = io.BytesIO()
    writer = GGUFWriter(None, "controlvector")
    writer.add_string("controlvector.model_hint", facts["architecture"])
    writer.add_uint32("controlvector.layer_count", len(directions))
    for name, value in facts.items():
        _add(writer, f"controlvector.steerx.{name}", value)
    for name, vector in directions.items():
        writer.add_tensor_info(name, vector.shape, vector.dtype, vector.nbytes)
    # A file that is open already, in memory: it is compared with what is there before anything is written.
    writer.fout, writer.state = [cast("io.BufferedWriter", file)], WriterState.EMPTY
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    writer.write_padding(file, file.tell())
    for vector in directions.values():
        file.write(_bytes(vector))
        writer.write_padding(file, vector.nbytes)
    return file.getvalue()


def _add(writer: "GGUFWriter", key: str, value: object) -> None:
    from gguf import GGUFValueType as Kind

    kinds = {str: Kind.STRING, bool: Kind.BOOL, int: Kind.INT64, float: Kind.FLOAT64}
    plain = value if type(value) in kinds else json.dumps(value)
    writer.add_key_value(key, plain, kinds[type(plain)])


def to_safetensors(directions: Directions, facts: Mapping[str, Any]) -> bytes:
    """The same tensors; written by hand, for safetensors' own writer puts what is said of them in any order."""
    said = {f"steerx.{name}": value if isinstance(value, str) else json.dumps(value) for name, value in facts.items()}
    header: dict[str, Any] = {"__metadata__": {"format": "pt", **said}}
    end = 0
    for name, vector in directions.items():
        start, end = end, end + vector.nbytes
        header[name] = {"dtype": "F32", "shape": [*vector.shape], "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # so that the numbers are aligned
    return struct.pack("<Q", len(text)) + text + b"".join(map(_bytes, directions.values()))


def _bytes(vector: NDArray[np.float32]) -> bytes:
    return vector.astype("<f4").tobytes()


# --- vectors ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Pair:
    """A user and a query (or none), and what steers for them."""

    user: str
    query: str | None
    basis: str
    vectors: Mapping[int, NDArray[np.float32]]  # by layer, counted from 1
    empty: int  # layers without a vector


def read_pairs(source: Source, wanted: Wanted) -> Iterator[Pair]:
    """The pairs that are wanted, one at a time, with their vectors of the layers that are wanted."""
    for (user, query), rows in groupby(_rows(source), lambda row: row[:2]):
        if not wanted.has(user, query):
            continue
        chosen = [row for row in rows if not wanted.layers or row[2] in wanted.layers]
        if chosen:
            vectors = {layer: vector.values.to_numpy() for *_, layer, _, vector in chosen if vector.is_valid}
            yield Pair(user, query, chosen[0][3], dict(sorted(vectors.items())), len(chosen) - len(vectors))


def _rows(source: Source) -> Iterator[tuple[str, str | None, int, str, Any]]:
    for batch in source.batches():
        columns = [batch[name].to_pylist() for name in ("user_id", "query_id", "layer", "basis")]
        yield from zip(*columns, batch["vector"], strict=True)


def steering(pair: Pair, gamma2: float, where: str) -> Directions:
    """γ2 · v of each layer (Eq. 6), under the name of the block that it is added behind, counted from 0."""
    with np.errstate(over="ignore", invalid="ignore"):
        scaled = {layer: vector * np.float32(gamma2) for layer, vector in pair.vectors.items()}
    for layer, vector in scaled.items():
        if not np.isfinite(vector).all():
            raise SteerxError(
                f"{where} has a vector of user {pair.user}, layer {layer}, that is not finite when it is multiplied by "
                f"{gamma2}: build it again, or name a smaller --gamma2"
            )
    return {f"direction.{layer - 1}": vector for layer, vector in scaled.items()}


def facts_of(pair: Pair, gamma2: float, footer: Footer) -> dict[str, Any]:
    """What a file says of where it comes from."""
    record = footer.record
    facts = {
        "version": version("steerx"),
        "vectors": footer.fingerprint,
        "user": pair.user,
        "query": pair.query,
        "basis": pair.basis,
        "layers": [*pair.vectors],
        "gamma2": float(gamma2),
        **{name: record.parameters.get(name) for name in _BUILT_WITH},
        "architecture": record.parameters["architecture"],
        **{f"model.{name}": value for name, value in record.models["generator"].items()},
    }
    return {name: value for name, value in facts.items() if value is not None}


# --- what can be asked for --------------------------------------------------------------------------------------------


def check_wanted(source: Source, wanted: Wanted) -> None:
    """Refuse what is not there, and what nobody can have meant."""
    if not math.isfinite(wanted.gamma2):
        raise SteerxError(f"--gamma2 {wanted.gamma2} is no number to multiply by: name one such as 0.4")
    users: set[str] = set()
    queries: set[str | None] = set()
    layers: set[int] = set()
    for user, query, layer in _keys(source):
        layers.add(layer)
        users.update({user}.intersection(wanted.users))
        if wanted.has(user, query):
            queries.update({query}.intersection(wanted.queries))
    there = ", ".join(map(str, sorted(layers)))
    _check_named("--user", wanted.users, users, source.where)
    _check_named("--query", wanted.queries, queries, f"{source.where}{' for this --user' if wanted.users else ''}")
    _check_named("--layer", wanted.layers, layers, f"{source.where} (layers: {there})")
    _check_layers(wanted, layers, f"{source.where} has vectors of several layers ({there})")


def _check_named(flag: str, named: Sequence[object], there: Container[object], where: str) -> None:
    for one in named:
        if one not in there:
            raise SteerxError(f"{flag} {one} is not in {where}: name one that is, or leave {flag} out")


def _check_layers(wanted: Wanted, there: set[int], what: str) -> None:
    if len(there) > 1 and not wanted.layers:
        raise SteerxError(
            f"{what}, and all that is in one file is added at once: choose a layer with --layer, or, where that is "
            "meant, several by giving it again"
        )
    if wanted.format == "gguf" and 1 in (wanted.layers or there):
        raise SteerxError(
            "llama.cpp cannot steer layer 1 and refuses a file that has it (as direction.0): take another layer, "
            "or --format safetensors"
        )


def _keys(source: Source) -> Iterator[tuple[str, str | None, int]]:
    """What names each row; refused where the rows of a user or a query do not stand together."""
    for _ in source.users():
        pass  # it is their order that counts
    current: tuple[str, str | None] | None = None
    over: set[str | None] = set()  # this user's queries
    for user, query, layer, *_ in _rows(source):
        if (user, query) != current:
            over = over if current and current[0] == user else set()
            if query in over:
                raise SteerxError(f"{source.where} has the rows of one query apart: make it again, do not sort it")
            current = user, query
            over.add(query)
        yield user, query, layer


# --- the whole --------------------------------------------------------------------------------------------------------


class _Tally:
    """Files and their users, as they come."""

    def __init__(self) -> None:
        self.files = self.users = 0
        self._last: str | None = None

    def add(self, user: str) -> None:
        self.files += 1
        self.users += user != self._last
        self._last = user


class Export:
    """One run of the command."""

    def __init__(self, source: Source, wanted: Wanted, folder: Path, overwrite: bool) -> None:
        self._source, self._wanted = source, wanted
        self._folder, self._overwrite = folder, overwrite
        self.all, self.missing, self.written = _Tally(), _Tally(), _Tally()
        self.empty = 0

    def check(self, progress: Progress) -> None:
        """Go through all there is to write, and refuse what would be replaced unasked."""
        progress.start("export: looking", None, "files")
        check_wanted(self._source, self._wanted)
        for pair in read_pairs(self._source, self._wanted):
            self.empty += pair.empty
            if pair.vectors:
                self._check_file(pair)
                progress.advance(1)

    def _check_file(self, pair: Pair) -> None:
        target, data = self._file(pair)
        target.check_place()
        self.all.add(pair.user)
        if not _is_there(target, data):
            self.missing.add(pair.user)

    def write(self, progress: Progress) -> None:
        """Write what is missing, file by file."""
        progress.start("export", self.all.files, "files")
        for pair in read_pairs(self._source, self._wanted):
            if pair.vectors:
                if _write(*self._file(pair)):
                    self.written.add(pair.user)
                progress.advance(1)

    def _file(self, pair: Pair) -> tuple[Output, bytes]:
        gamma2, suffix = self._wanted.gamma2, self._wanted.format
        path = self._folder / file_name(pair.user, pair.query, suffix)
        directions = steering(pair, gamma2, self._source.where)
        facts = facts_of(pair, gamma2, self._source.footer)
        data = to_gguf(directions, facts) if suffix == "gguf" else to_safetensors(directions, facts)
        return Output(path, VECTORS, self._overwrite), data

    def kept(self) -> str:
        """What an interrupted run has done."""
        number = self.written.files
        return f"files written: {number:,}; the same command writes the others" if number else ""


def _write(target: Output, data: bytes) -> bool:
    """Write a file, whole or not at all, unless it is there."""
    with target.locked():
        if _is_there(target, data):
            return False
        with explained(target.path), replacing(target.path) as file:
            file.write(data)
    return True


def _is_there(target: Output, data: bytes) -> bool:
    """Whether this very file is there already; what is there and is something else is not replaced unasked."""
    path = target.path
    with explained(path):
        if not path.exists():
            return False
        if path.stat().st_size == len(data) and path.read_bytes() == data:
            return True
    if target.overwrite:
        return False
    raise SteerxError(f"{path} is something else: name another {target.flags}, or replace it with --overwrite")


def run(
    places: Sequence[Path], wanted: Wanted, output: Path, overwrite: bool, dry_run: bool, progress: Progress
) -> Summary:
    """Look at everything, then write what is not there yet."""
    started = time.monotonic()
    check_parameters(wanted.parameters())
    source = Source(VECTORS, *places)
    export = Export(source, wanted, output, overwrite)
    with interruptible(export.kept):
        export.check(progress)
        missing = export.missing.files
        if missing and not dry_run:
            export.write(progress)
    counts = {"files": export.all.files, SAME: export.all.files - missing, EMPTY: export.empty}
    return Summary(
        command="export",
        status="up to date" if export.all.files and not missing else "would run" if dry_run else "finished",
        output=str(output),
        inputs={"vectors": ", ".join(map(str, source.paths))},
        parameters=wanted.parameters(),
        models=source.footer.record.models,
        rows=missing if dry_run else export.written.files,
        users=export.all.users,
        users_now=export.written.users,
        seconds=time.monotonic() - started,
        counts={name: number for name, number in counts.items() if number or name == "files"},
    )
