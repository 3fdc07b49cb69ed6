"""`--preset`: a file's values stand in for the options that were not given."""

from collections.abc import Mapping
from typing import Any

import typer

from steerx_cli.core.errors import SteerxError
from steerx_cli.core.presets import Preset, default_preset, load_preset


def apply_preset(context: typer.Context, name: str | None) -> str | None:
    """Put the preset in force before the other options are read; give its name."""
    name = default_preset() if name is None else name
    if name is None or context.resilient_parsing:
        return name
    preset = load_preset(name)
    check_keys(preset, _commands(context))
    options = options_of(context.command)
    values = preset.values_for(context.info_name or "", set(options))
    for key, value in [*values.items()]:
        if options[key].multiple and not isinstance(value, list):
            values[key] = [value]  # an option that may be given again, and is given once
        check_value(preset, key, values[key], options[key], context)
    context.default_map = {options[key].name: value for key, value in values.items()}
    return preset.name


def _commands(context: typer.Context) -> Mapping[str, Any]:
    """The commands that take presets."""
    assert context.parent is not None
    commands: Mapping[str, Any] = context.parent.command.commands  # type: ignore[attr-defined]
    return {name: command for name, command in commands.items() if "preset" in options_of(command)}


def options_of(command: Any) -> dict[str, Any]:
    """A command's options under their names as they are typed, without dashes."""
    return {
        flag.removeprefix("--"): parameter
        for parameter in command.params
        for flag in parameter.opts
        if flag.startswith("--")
    }


def check_keys(preset: Preset, commands: Mapping[str, Any]) -> None:
    """Refuse a key that sets nothing, in whichever stage's table it stands."""
    settable = {name: set(options_of(command)) - {"preset", "help"} for name, command in commands.items()}
    for stage, values in preset.stages.items():
        if stage not in settable:
            raise SteerxError(f"preset {preset.name} has a table [{stage}]: tables are for {', '.join(settable)}")
        for key in values:
            if key not in settable[stage]:
                raise SteerxError(f"preset {preset.name} sets {key} in [{stage}]: steerx {stage} has no --{key} to set")
    for key in preset.shared:
        if not any(key in keys for keys in settable.values()):
            raise SteerxError(f"preset {preset.name} sets {key}: no stage has --{key} to set")


def check_value(preset: Preset, key: str, value: Any, option: Any, context: typer.Context) -> None:
    """Refuse a value that could not have been typed."""
    if option.is_flag and not isinstance(value, bool):
        raise SteerxError(f"preset {preset.name} sets {key} = {value!r}: --{key} is true or false")
    if isinstance(value, bool) and not option.is_flag:
        raise SteerxError(f"preset {preset.name} sets {key} = {value!r}: --{key} is not true or false")
    try:
        option.process_value(context, value)
    except typer.TyperException as error:
        said = error.message.replace("Value error, ", "").rstrip(".")
        raise SteerxError(f"preset {preset.name} sets {key} = {value!r}: {said}") from error
