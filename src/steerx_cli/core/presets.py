"""Presets: named settings in TOML, one table per stage, keys spelled like the flags; one may extend another."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from steerx_cli.core.errors import SteerxError
from steerx_cli.core.toml import read_toml

_SHIPPED = Path(str(files("steerx_cli") / "presets"))
_CHECKOUT = Path(__file__).resolve().parents[3]


@dataclass(frozen=True)
class Preset:
    """Values for options: those that every stage with the option shares, and those of one stage."""

    name: str
    shared: Mapping[str, Any]
    stages: Mapping[str, Mapping[str, Any]]

    def values_for(self, stage: str, options: set[str]) -> dict[str, Any]:
        """What this preset says about a stage's options; its own table goes before the shared keys."""
        shared = {key: value for key, value in self.shared.items() if key in options}
        return {**shared, **self.stages.get(stage, {})}


def preset_names() -> list[str]:
    """The presets that ship with steerx."""
    return sorted(path.stem for path in _SHIPPED.glob("*.toml"))


def default_preset() -> str | None:
    """`demo` in a checkout, where its data can be made; nothing elsewhere."""
    return "demo" if (_CHECKOUT / "stages").is_dir() and (_CHECKOUT / "data").is_dir() else None


def load_preset(name_or_file: str) -> Preset:
    """Read a preset by its name, or from a TOML file."""
    path = preset_path(name_or_file)
    values = _values_of(path)
    stages = {key: value for key, value in values.items() if isinstance(value, dict)}
    name = name_or_file if name_or_file in preset_names() else str(path)
    return Preset(name, {k: v for k, v in values.items() if k not in stages}, stages)


def preset_path(name_or_file: str) -> Path:
    """The file of a preset that is named, or that is a file's name already."""
    if name_or_file in preset_names():
        return _SHIPPED / f"{name_or_file}.toml"
    if Path(name_or_file).suffix != ".toml":
        raise SteerxError(
            f"there is no preset {name_or_file}: name one of {', '.join(preset_names())}, or a TOML file of your own"
        )
    return Path(name_or_file)


def preset_text(extends: str, folder: Path, stages: Mapping[str, Mapping[str, float | int | str]]) -> str:
    """The text of a preset file in `folder` that has all of another preset, but for these values of stages."""
    head = f"extends = {_written(_seen_from(folder, extends))}\n"
    tables = [
        f"\n[{stage}]\n" + "".join(f"{key} = {_written(value)}\n" for key, value in values.items())
        for stage, values in stages.items()
    ]
    return head + "".join(tables)


def _seen_from(folder: Path, name_or_file: str) -> str:
    """What another preset is called in a file in `folder`: a path that is seen from here would not be found there."""
    path = preset_path(name_or_file)
    if name_or_file in preset_names() or path.is_absolute():
        return name_or_file
    seen = Path(os.path.relpath(path.resolve(), folder.resolve())).as_posix()
    return seen if seen.startswith("../") else f"./{seen}"


def _written(value: float | int | str) -> str:
    """A value in TOML: as in JSON, which takes one more character as it is."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def preset_files(name_or_file: str) -> list[Path]:
    """All that a preset is read from: its own file, and those of the presets that it extends."""
    return [path for path, _ in _chain(preset_path(name_or_file))]


def _values_of(path: Path) -> dict[str, Any]:
    """All that a file sets, itself or by the presets that it extends."""
    values: dict[str, Any] = {}
    for _, own in reversed(_chain(path)):
        values = _extended(values, own)
    return values


def _chain(path: Path) -> list[tuple[Path, dict[str, Any]]]:
    """A file and what it sets, then the file that it extends, and so on."""
    found: list[tuple[Path, dict[str, Any]]] = []
    while True:
        _refuse_circle([*(before for before, _ in found), path])
        values = _resolved(read_toml(path, f"the preset {path}"), path.parent)
        extends = values.pop("extends", None)
        found.append((path, values))
        if extends is None:
            return found
        if not isinstance(extends, str):
            raise SteerxError(f"preset {path} sets extends = {extends!r}: it is a preset's name or file, in quotes")
        path = preset_path(extends)


def _refuse_circle(paths: Sequence[Path]) -> None:
    *before, last = [path.resolve() for path in paths]
    if last in before:
        circle = " → ".join(map(str, paths[before.index(last) :]))
        raise SteerxError(f"presets extend each other in a circle ({circle}): take `extends` out of one of them")


def _extended(values: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """A preset's values and those that go before them, key by key in each table as above the tables."""
    both = {key for key in own if isinstance(own[key], dict) and isinstance(values.get(key), dict)}
    return {**values, **own, **{key: {**values[key], **own[key]} for key in both}}


def _resolved(values: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Values that start with ./ or ../ are paths seen from the preset's own folder."""
    return {key: _resolve(value, folder) for key, value in values.items()}


def _resolve(value: Any, folder: Path) -> Any:
    if isinstance(value, dict):
        return _resolved(value, folder)
    if isinstance(value, str) and value.startswith(("./", "../")):
        return _shortest((folder / value).resolve())
    return value


def _shortest(path: Path) -> str:
    """A path below the working folder as a person would type it, any other as it is."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)
