"""Which systems are compared: a method with its parameters, named by what tells it from the others."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from steerx_cli.core.errors import SteerxError
from steerx_cli.core.methods import SIGNS, STRENGTHS, VARIANTS
from steerx_cli.core.provenance import Footer, typed
from steerx_cli.core.sources import Source

# What changes how much is done at once or for whom, and never what is written; strengths are a row's own.
_NO_DIFFERENCE = {"chunk_users", "limit", "batch_size", "batch_tokens", "over", "method", *SIGNS}

VARIANT = "variant"
MADE = "made"  # what parts files that nothing else parts


@dataclass(frozen=True)
class System:
    """All answers of one strength in one file."""

    name: str
    role: str  # of its file, among the inputs
    method: str
    lam: float | None = None
    gamma2: float | None = None
    tau: float | None = None
    gamma1: float | None = None
    layer: int | None = None
    variant: str | None = None  # how it is not the method itself

    @property
    def columns(self) -> dict[str, Any]:
        """What its rows say of it."""
        return {("system" if name == "name" else name): of for name, of in asdict(self).items() if name != "role"}


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
    settings = _settings(file.footer)
    for value in parameters.get(strength, [None]) if strength else [None]:
        head, _, rest = role.partition(", ")
        sign = "" if strength is None else f" {SIGNS[strength]} {value:.15g}"
        name = f"{head}{sign}{rest and f', {rest}'}"
        yield System(name, role, method, **({strength: value} if strength else {}), **settings)


def _behind(footer: Footer) -> dict[str, Mapping[str, Any]]:
    """The records that decide what of the user is steered with: of the answers, and of vectors, profiles and scores,
    the nearest of each. What cas adds is made of histories alone."""
    lineage, found = footer.lineage(), dict[str, Mapping[str, Any]]()
    follows = ("vectors",) if footer.record.parameters["method"] == "cas" else ("vectors", "profiles", "scores")
    waiting = [footer.fingerprint]
    while waiting:
        record = lineage[waiting.pop(0)]["record"]
        found.setdefault(record["artifact"], record)
        waiting += [parent for role, parent in record["inputs"].items() if role in follows]
    return found


def _settings(footer: Footer) -> dict[str, Any]:
    """The paper's settings beside λ and γ2, as far as the method has them, and what makes it another than itself."""
    records = _behind(footer)
    of = {artifact: record["parameters"] for artifact, record in records.items()}
    own, profiles = of["generations"], of.get("profiles", {})
    of_whole_texts = profiles.get("mode") == "raw" or profiles.get("of") == "texts"  # which anchors do not count in
    scores = {} if of_whole_texts else of.get("scores", {})
    told = {
        **{name: own.get(name) for name in ("profiles_of", "vectors_of")},
        "anchors": scores.get("method"),
        "mode": profiles.get("mode"),
        "of": profiles.get("of"),
        "stage": records["profiles"]["stage"] if profiles else None,
    }
    found = [VARIANTS[key] for key in told.items() if key in VARIANTS]
    return {
        "tau": scores.get("tau"),
        "gamma1": None if own["method"] == "cas" else of.get("vectors", {}).get("gamma1"),
        "layer": own.get("layer"),
        VARIANT: ", ".join(found) or None,
    }


def _roles(method: str, files: Sequence[Source]) -> list[str]:
    traits = [_traits(file.footer) for file in files]
    told = _telling(traits)
    found = [", ".join([method, *(_words(key, trait[key]) for key in told if key in trait)]) for trait in traits]
    for at, role in enumerate(found):
        if role in found[:at]:
            raise SteerxError(
                f"{files[found.index(role)].where} and {files[at].where} were written in the same way: name one of them"
            )
    return found


def _words(key: str, value: str) -> str:
    return value if key == VARIANT else f"{key} {value}"


def _telling(traits: Sequence[Mapping[str, str]]) -> list[str]:
    """Names of traits that together part all that can be parted, none that parts nothing more; a variant is told of
    in any case."""
    told = [VARIANT] if any(VARIANT in trait for trait in traits) else []
    last = (VARIANT, "seed", MADE)
    keys = dict.fromkeys(key for trait in traits for key in trait if key not in last)
    for key in (*keys, *last[1:]):
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
    variant = _settings(footer)[VARIANT]
    return found | ({VARIANT: variant} if variant else {}) | {MADE: footer.fingerprint[:8]}
