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
_PLACEHOLDER = re.compile(r"\{([^{}]+)\}")
_NO_WORDING = ("labels", "ratings")  # what answers are compared by changes no prompt
_LAYOUT = 1  # raised when lm/prompt.py puts the parts together in another way: part of every fingerprint


@dataclass(frozen=True)
class _Template:
    name: str
    version: int

    @property
    def fingerprint(self) -> str:
        """A short name for the exact wording and layout."""
        wording = {key: value for key, value in asdict(self).items() if key not in _NO_WORDING}
        return fingerprint({"layout": _LAYOUT, **wording})[:12]


@dataclass(frozen=True)
class Task(_Template):
    """The task prompt P, and how an input x and a history are worded."""

    kind: str  # what the person writes ("review"), for the smoothing prompt
    required: tuple[str, ...]  # fields that a template which names them cannot do without: neither absent nor blank
    optional: tuple[str, ...]  # fields whose line is left out where they are absent or blank
    instruction: str  # P
    own_instruction: str  # P before a history's own input x_i
    history_heading: str
    empty_history: str  # what stands under that heading for ∅ of Eq. 12
    description_heading: str
    label: str  # the line before a response
    input: str  # x
    item: str  # x_i inside the history block
    labels: tuple[str, ...] = ()  # all that an answer may be, where that is a label
    ratings: tuple[int, ...] = ()  # the lowest and the highest, where an answer is a rating

    def fill_input(self, values: Mapping[str, str]) -> str:
        """x, which always says something."""
        filled = self._fill(self.input, values)
        if not filled:
            drawn_on = _listed(dict.fromkeys(_placeholders(self.input)))
            raise SteerxError(
                f"a row has no text in any field that the task {self.name} draws on ({drawn_on}): "
                "name one of them when the data is imported, or choose another task"
            )
        return filled

    @property
    def fields(self) -> list[str]:
        """What x draws on, in order."""
        return list(dict.fromkeys(_placeholders(self.input)))

    def field_for(self, given: Collection[str]) -> str:
        """Where the text of a question goes: the first field of x that is not given."""
        return next((name for name in self.fields if name not in given), self.fields[0])

    def fill_item(self, values: Mapping[str, str]) -> str:
        """x_i; empty where the task can do without each of its fields, and none is there."""
        return self._fill(self.item, values)

    def _fill(self, template: str, values: Mapping[str, str]) -> str:
        for name in _placeholders(template):
            if name in self.required and _blank(values, name):
                has = _listed([name for name in sorted(values) if not _blank(values, name)])
                raise SteerxError(
                    f"the task {self.name} needs text in the field {name!r}, and a row has text in: {has}; "
                    "name that field when the data is imported, or choose another task"
                )
        filled = "\n".join(put(line, values) for line in template.split("\n") if not self._drops(line, values))
        return filled if filled.strip() else ""

    def _drops(self, line: str, values: Mapping[str, str]) -> bool:
        return any(name in self.optional and _blank(values, name) for name in _placeholders(line))


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
    if task.ratings and not (len(task.ratings) == 2 and task.ratings[0] < task.ratings[1]):
        raise SteerxError(f"{where} has a key 'ratings' that is not {_KINDS['ratings'][1]}: correct it")
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


def check_placeholders(what: str, template: str) -> None:
    """Braces are for placeholders only; `what` is how a sentence calls the template."""
    if re.search(r"[{}]", _PLACEHOLDER.sub("", template)):
        raise SteerxError(
            f"{what} has a brace that belongs to no placeholder: write a placeholder as {{name}}, and no other brace"
        )


def _placeholders(template: str) -> list[str]:
    return _PLACEHOLDER.findall(template)


def _blank(values: Mapping[str, str], name: str) -> bool:
    return not values.get(name, "").strip()


def _all_fields(task: Task) -> tuple[str, ...]:
    return (*task.required, *task.optional)


def _listed(names: Collection[str]) -> str:
    return ", ".join(names) or "none"


# --- reading and checking a file --------------------------------------------------------------------------------------

_KINDS: Mapping[str, tuple[type, str]] = {
    "version": (int, "a whole number"),
    "required": (list, "a list of field names"),
    "optional": (list, "a list of field names"),
    "labels": (list, "a list of texts"),
    "ratings": (list, "a list of two whole numbers, the lowest and the highest"),
}
_TEXT = (str, "a text that is not blank")
_LISTS_OF: Mapping[str, type] = {"ratings": int}  # of others: texts
_DEFAULTS: Mapping[str, list[Any]] = {"labels": [], "ratings": []}
_FALL_BACKS = {"own_instruction": "instruction"}  # a key that may be absent, and the one whose value it then has
_T = TypeVar("_T", Task, Smoothing)


def _load(kind: type[_T], where: str, path: Path) -> _T:
    values, known = read_toml(path, where), [field.name for field in fields(kind)]
    for key in values:
        if key not in known:
            raise SteerxError(f"{where} has the unknown key {key!r}: take it out, or name one of {_listed(known)}")
    for key in known:
        if _FALL_BACKS.get(key) in values:
            values.setdefault(key, values[_FALL_BACKS[key]])
        if key in _DEFAULTS:
            values.setdefault(key, _DEFAULTS[key])
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
    if isinstance(value, list) and expected is list and all(type(part) is _LISTS_OF.get(key, str) for part in value):
        return tuple(value)
    raise SteerxError(f"{where} has a key {key!r} that is not {what}: correct it")


def _check(where: str, template: Task | Smoothing, allowed: Mapping[str, Collection[str]]) -> None:
    """Placeholders are for what the key can be given."""
    for key, value in asdict(template).items():
        if not isinstance(value, str):
            continue
        check_placeholders(f"{where} (key {key!r})", value)
        names = allowed.get(key, ())
        for name in _placeholders(value):
            if name not in names:
                raise SteerxError(
                    f"{where} has the unknown placeholder {{{name}}} in its key {key!r}: "
                    f"correct it (known there: {_listed(names)})"
                )
