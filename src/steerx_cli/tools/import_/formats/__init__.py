"""The formats by name."""

from collections.abc import Mapping

from steerx_cli.tools.import_.formats import amazon, dpl, generic, lamp, longlamp
from steerx_cli.tools.import_.formats.format import Format

FORMATS: Mapping[str, Format] = {
    "generic": generic.FORMAT,
    "amazon": amazon.FORMAT,
    "dpl": dpl.FORMAT,
    "longlamp": longlamp.FORMAT,
    "lamp": lamp.FORMAT,
}
