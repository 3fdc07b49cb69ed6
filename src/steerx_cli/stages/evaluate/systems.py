"""Which systems are compared: a method with its parameters, named by what tells it from the others."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from steerx_cli.core.errors import SteerxError
from steerx_cli.core.methods import SIGNS, STRENGTHS
from steerx_cli.core.provenance import Footer, typed
from steerx_cli.core.sources import Source

# What changes how much is done at once or for whom, and never what is written; strengths are a row's own.
_NO_DIFFERENCE = {"chunk_users", "limit", "batch_size", "batch_tokens", "over", "method", *SIGNS}

MADE = "made"  # what parts files that nothing else parts


@dataclass(frozen=True)
class System:
    """All answers of one strength in one file."""

    name: str
    role: str  # of its file, among the inputs
    method: str
    lam: float | None
    gamma2: float | None


def roles_of(files: Sequence[Source]) -> dict[str, Source]:
    """The files by what they are: the method, and those of the parameters that tell it from the method's other files.

    Methods come in their usual order, a method's files as they are given.
    """
    by_method: dict[str, list[Source]] = {method: [] for method in STRENGTHS}
    for file in files:
        by_method.setdefault(_method(file), []).append(file)
    return {
        role: file for method, same in by_method.items() for role, file in zip(_roles(method, same), same, strict=True)
    }


def systems_of(roles: Mapping[str, Source]) -> list[System]:
    """Each file's strengths are systems of their own."""
    return [system for role, file in roles.items() for system in _strengths(role, file)]


def _method(file: Source) -> str:
    return str(file.footer.record.parameters["method"])


def _strengths(role: str, file: Source) -> Iterator[System]:
    parameters, method = file.footer.record.parameters, _method(file)
    strength = STRENGTHS.get(method)
    for value in parameters.get(strength, [None]) if strength else [None]:
        head, _, rest = role.partition(", ")
        sign = "" if strength is None else f" {SIGNS[strength]} {value:.15g}"
        name = f"{head}{sign}{rest and f', {rest}'}"
        of = {strength: value} if strength else {}
        yield System(name, role, method, of.get("lam"), of.get("gamma2"))


def _roles(method: str, files: Sequence[Source]) -> list[str]:
    traits = [_traits(file.footer) for file in files]
    told = _telling(traits)
    found = [", ".join([method, *(f"{key} {trait[key]}" for key in told if key in trait)]) for trait in traits]
    for at, role in enumerate(found):
        if role in found[:at]:
            raise SteerxError(
                f"{files[found.index(role)].where} and {files[at].where} were written in the same way: name one of them"
            )
    return found


def _telling(traits: Sequence[Mapping[str, str]]) -> list[str]:
    """Names of traits that together part all that can be parted, none that parts nothing more."""
    told: list[str] = []
    last = ("seed", MADE)
    keys = dict.fromkeys(key for trait in traits for key in trait if key not in last)
    for key in (*keys, *last):
        parted = len({_seen(trait, told) for trait in traits})
        if len({_seen(trait, [*told, key]) for trait in traits}) > parted:
            told.append(key)
    return told


def _seen(trait: Mapping[str, str], keys: Sequence[str]) -> tuple[str | None, ...]:
    return tuple(trait.get(key) for key in keys)


def _traits(footer: Footer) -> dict[str, str]:
    """All that may part the answers of two files: parameters and models, of generate and of what it read."""
    lineage, found = footer.lineage(), dict[str, str]()

    def collect(entry: Mapping[str, Any], of: str) -> None:
        record = entry["record"]
        for role, model in record["models"].items():
            found.setdefault(f"{of}{role}", f"{model['id']}")
        for name, value in record["parameters"].items():
            if name not in _NO_DIFFERENCE and not name.endswith("fingerprint"):
                found.setdefault(f"{of}{name.replace('_', '-')}", typed(value))
        for role, parent in sorted(record["inputs"].items()):
            collect(lineage[parent], "" if role in ("effects", "scores") else f"{role} ")

    collect(lineage[footer.fingerprint], "")
    return found | {MADE: footer.fingerprint[:8]}
