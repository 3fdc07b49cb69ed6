"""The wording of prompts: task and smoothing templates in versioned TOML files, shipped or a person's own."""

import re
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, fields
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

from steerx_cli.core.errors import SteerxError
from steerx_cli.core.provenance import fingerprint
from steerx_cli.core.toml import read_toml

_TASKS = Path(str(files("steerx_cli") / "tasks"))
_SMOOTHING = Path(str(files("steerx_cli") / "prompts" / "smoothing.toml"))
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_LAYOUT = 1  # raised when lm/prompt.py puts the parts together in another way: part of every fingerprint


@dataclass(frozen=True)
class _Template:
    name: str
    version: int

    @property
    def fingerprint(self) -> str:
        """A short name for the exact wording and layout."""
        return fingerprint({"layout": _LAYOUT, **asdict(self)})[:12]


@dataclass(frozen=True)
class Task(_Template):
    """The task prompt P, and how an input x and a history are worded."""

    kind: str  # what the person writes ("review"), for the smoothing prompt
    required: tuple[str, ...]  # fields without which a template that has them cannot be rendered
    optional: tuple[str, ...]  # fields whose line is left out where they are absent or blank
    instruction: str  # P
    history_heading: str
    empty_history: str  # what stands under that heading for ∅ of Eq. 12
    description_heading: str
    label: str  # the line before a response
    input: str  # x
    item: str  # x_i inside the history block

    def fill(self, template: str, values: Mapping[str, str]) -> str:
        """`input` or `item` with a person's values put in."""
        lines = template.split("\n")
        for name in _placeholders(template):
            if name in self.required and name not in values:
                raise SteerxError(
                    f"the task {self.name} needs the field {name!r}, and a row has only {_listed(sorted(values))}: "
                    "name that field when the data is imported, or choose another task"
                )
        return "\n".join(put(line, values) for line in lines if not self._drops(line, values))

    def _drops(self, line: str, values: Mapping[str, str]) -> bool:
        return any(name in self.optional and not values.get(name, "").strip() for name in _placeholders(line))


@dataclass(frozen=True)
class Smoothing(_Template):
    """The prompt that makes a description of anchors (Eq. 14)."""

    one: str  # for the anchors of one history
    joint: str  # for those of several
    heading: str  # above the anchors of each history
    anchor: str
    label: str  # the line before the description


def task_names() -> list[str]:
    """The tasks that ship with steerx."""
    return sorted(path.stem for path in _TASKS.glob("*.toml"))


def load_task(name_or_file: str) -> Task:
    """A task by its name, or from a TOML file."""
    if name_or_file in task_names():
        path = _TASKS / f"{name_or_file}.toml"
    elif name_or_file.endswith(".toml"):
        path = Path(name_or_file)
    else:
        raise SteerxError(
            f"there is no task {name_or_file!r}: name one of {_listed(task_names())}, or a TOML file of your own"
        )
    where = f"the task file {path}"
    task = _load(Task, where, path)
    _check(where, task, {"input": _all_fields(task), "item": _all_fields(task)})
    return task


def load_smoothing(file: str | None = None) -> Smoothing:
    """The smoothing prompt that ships with steerx, or the one in a TOML file."""
    path = _SMOOTHING if file is None else Path(file)
    where = f"the smoothing prompt {path}"
    smoothing = _load(Smoothing, where, path)
    _check(where, smoothing, {"one": ("kind",), "joint": ("kind",), "anchor": ("anchor",)})
    if "anchor" not in _placeholders(smoothing.anchor):
        raise SteerxError(f"{where} has no {{anchor}} in its key 'anchor': put it where an anchor's text belongs")
    return smoothing


def put(template: str, values: Mapping[str, str]) -> str:
    """A template with its values put in, never interpreted."""
    # One pass with a function: what is put in is neither searched for placeholders nor for escapes.
    return _PLACEHOLDER.sub(lambda match: values[match[1]], template)


def _placeholders(template: str) -> list[str]:
    return _PLACEHOLDER.findall(template)


def _all_fields(task: Task) -> tuple[str, ...]:
    return (*task.required, *task.optional)


def _listed(names: Collection[str]) -> str:
    return ", ".join(names) or "none"


# --- reading and checking a file --------------------------------------------------------------------------------------

_KINDS: Mapping[str, tuple[type, str]] = {
    "version": (int, "a whole number"),
    "required": (list, "a list of field names"),
    "optional": (list, "a list of field names"),
}
_TEXT = (str, "a text that is not blank")
_T = TypeVar("_T", Task, Smoothing)


def _load(kind: type[_T], where: str, path: Path) -> _T:
    values, known = read_toml(path, where), [field.name for field in fields(kind)]
    for key in values:
        if key not in known:
            raise SteerxError(f"{where} has the unknown key {key!r}: take it out, or name one of {_listed(known)}")
    for key in known:
        if key not in values:
            raise SteerxError(f"{where} lacks the key {key!r}: add it")
    return kind(**{key: _normalised(where, key, value) for key, value in values.items()})


def _normalised(where: str, key: str, value: Any) -> Any:
    """The value without what does not count, such as the line breaks around a text."""
    expected, what = _KINDS.get(key, _TEXT)
    if type(value) is int and expected is int:
        return value
    if isinstance(value, str) and expected is str and value.strip():
        return value.strip()
    if isinstance(value, list) and expected is list and all(isinstance(name, str) for name in value):
        return tuple(value)
    raise SteerxError(f"{where} has a key {key!r} that is not {what}: correct it")


def _check(where: str, template: Task | Smoothing, allowed: Mapping[str, Collection[str]]) -> None:
    """Braces are for placeholders only, and those for what the key can be given."""
    for key, value in asdict(template).items():
        if not isinstance(value, str):
            continue
        names = allowed.get(key, ())
        for name in _placeholders(value):
            if name not in names:
                raise SteerxError(
                    f"{where} has the unknown placeholder {{{name}}} in its key {key!r}: "
                    f"correct it (known there: {_listed(names)})"
                )
        if re.search(r"[{}]", _PLACEHOLDER.sub("", value)):
            raise SteerxError(f"{where} has a brace of no placeholder in its key {key!r}: take it out")
