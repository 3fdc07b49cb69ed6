"""Presets: named settings in TOML, one table per stage, keys spelled like the flags."""

from collections.abc import Mapping
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
    shipped = name_or_file in preset_names()
    path = _SHIPPED / f"{name_or_file}.toml" if shipped else Path(name_or_file)
    if not shipped and path.suffix != ".toml":
        raise SteerxError(
            f"there is no preset {name_or_file}: name one of {', '.join(preset_names())}, or a TOML file of your own"
        )
    values = _resolved(read_toml(path, f"the preset {path}"), path.parent)
    stages = {key: value for key, value in values.items() if isinstance(value, dict)}
    return Preset(path.stem if shipped else str(path), {k: v for k, v in values.items() if k not in stages}, stages)


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
