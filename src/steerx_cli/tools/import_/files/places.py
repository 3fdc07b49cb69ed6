"""Where a source's files are: here, or in a data set of Hugging Face's."""

import re
from collections.abc import Iterable
from glob import escape
from pathlib import Path
from typing import NamedTuple

from steerx_cli.core.errors import SteerxError
from steerx_cli.lm.files import asking_hub
from steerx_cli.tools.import_.files.rows import SUFFIXES, is_readable
from steerx_cli.tools.import_.request import split_in_name
from steerx_cli.tools.import_.texts import Split

_ID = re.compile(r"[\w][\w.-]*/[\w.-]+")
_ABOUT = {"dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json"}  # what describes a data set
_NOTHING = "no file, no folder and no id of a data set of Hugging Face's: name one of these"
_DEFAULT = "default"  # the configuration of a data set that has only one; its files lie in data/


def find_data(
    names: Iterable[str],
    config: str | None = None,
    split: Split | None = None,
    *,
    training: bool,
    download: bool = True,
) -> tuple[Path, ...]:
    """The files that are named, and those of the folders and data sets that are.

    `training` is whether files of a training split are wanted: they are where it is only more texts.
    """
    wanted = _Wanted(config, split, training)
    return tuple(file for name in names for file in _files(name, wanted, download))


class _Wanted(NamedTuple):
    """Which files of many."""

    config: str | None
    split: Split | None  # None: development and test
    training: bool


def _files(name: str, wanted: _Wanted, download: bool) -> list[Path]:
    place = Path(name)
    if name and place.is_dir():
        return _among(place, wanted)
    if place.is_file():
        return [place]
    if is_readable(place):
        raise SteerxError(f"{name} does not exist: name a file that is there")
    if not _ID.fullmatch(name):
        raise SteerxError(f"{name!r} is {_NOTHING}")
    return _among(_snapshot(name, wanted.config, download), wanted)


def _among(folder: Path, wanted: _Wanted) -> list[Path]:
    """What a folder has of what is wanted."""
    there = [
        file
        for file in sorted(folder.rglob("*"))
        if is_readable(file) and file.is_file() and not _is_aside(file, folder)
    ]
    files = [file for file in there if _is_of(wanted.config, file.relative_to(folder))]
    # Where there is nothing else, `train` is only what a whole is called that nobody has split.
    every = wanted.training or all(_is_train(file, folder) for file in files)
    found = [file for file in files if every or (not _is_train(file, folder) and _may_be(wanted.split, file))]
    if not found:
        raise SteerxError(f"{folder} has no file to import: name files, or another --config or --split")
    parts = sorted({_part_of(file, folder) for file in found} - {""})
    if len(parts) > 1:
        raise SteerxError(f"{folder} has several parts, {', '.join(parts)}: name one with --config")
    return found


def _part_of(file: Path, folder: Path) -> str:
    """The folder there that a file lies in, if it is a part of the data, and no split of it."""
    part = file.relative_to(folder).parts[0]
    return "" if part == file.name or _is_train(folder / part, folder) or split_in_name(folder / part) else part


def _is_aside(file: Path, folder: Path) -> bool:
    """Whether a file says something of the others, or is hidden."""
    return file.name in _ABOUT or any(part.startswith(".") for part in file.relative_to(folder).parts)


def _is_of(config: str | None, place: Path) -> bool:
    """Whether a file belongs to a configuration: a folder of its name holds it, or its own name starts with it."""
    if config is None or config in place.parts[:-1]:
        return True
    if config == _DEFAULT and place.parts[0] == "data":
        return True
    rest = place.name.removeprefix(config)
    return len(rest) < len(place.name) and not rest[:1].isalnum()


def _is_train(file: Path, folder: Path) -> bool:
    """Whether the words in a file's name, or in that of a folder that holds it there, say that it is for training."""
    place = file.relative_to(folder)
    return any("train" in re.split(r"[^a-z]+", part.lower()) for part in place.parts)


def _may_be(split: Split | None, file: Path) -> bool:
    """Whether a file may hold a split: one whose name says nothing may."""
    return split is None or split_in_name(file) in (split, None)


def _snapshot(name: str, config: str | None, download: bool) -> Path:
    from huggingface_hub import snapshot_download

    within = "" if config in (None, _DEFAULT) else f"{escape(str(config))}*"
    wanted = [f"*{within}{suffix}" for suffix in SUFFIXES]
    instead = "download its files where there is a network and name them"
    with asking_hub(f"the data set {name!r}", instead, f"{name!r} is {_NOTHING}", download):
        return Path(snapshot_download(name, repo_type="dataset", allow_patterns=wanted, local_files_only=not download))
