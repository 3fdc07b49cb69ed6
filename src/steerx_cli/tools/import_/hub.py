"""Where a source's files are: here, or in a data set of Hugging Face's."""

import re
from collections.abc import Iterable
from pathlib import Path

from steerx_cli.core.errors import SteerxError
from steerx_cli.lm.files import why_not
from steerx_cli.tools.import_.request import split_in_name
from steerx_cli.tools.import_.rows import SUFFIXES, is_readable
from steerx_cli.tools.import_.texts import Split

_ID = re.compile(r"[\w][\w.-]*/[\w.-]+")


def find_data(
    names: Iterable[str], config: str | None, split: Split | None, *, download: bool = True
) -> tuple[Path, ...]:
    """The files that are named, and those of the data sets that are."""
    return tuple(file for name in names for file in _files(name, config, split, download))


def _files(name: str, config: str | None, split: Split | None, download: bool) -> list[Path]:
    place = Path(name)
    if place.is_dir():
        return _wanted(place, None, split)
    if place.exists() or is_readable(place) or not _ID.fullmatch(name):
        return [place]  # whether it is there is found out by reading it
    return _wanted(_snapshot(name, config, download), config, split)


def _wanted(folder: Path, config: str | None, split: Split | None) -> list[Path]:
    """What a folder has of a configuration and a split; without a split, of development and test."""
    files = [file for file in sorted(folder.rglob("*")) if is_readable(file) and _is_of(config, file, folder)]
    found = [file for file in files if "train" not in file.name.lower() and _may_be(split, file)]
    if not found:
        raise SteerxError(f"{folder} has no file to import: name files, or another --config or --split")
    return found


def _is_of(config: str | None, file: Path, folder: Path) -> bool:
    """Whether a file belongs to a configuration: a folder of its name holds it, or its own name starts with it."""
    place = file.relative_to(folder)
    return config is None or config in place.parts[:-1] or place.name.startswith(config)


def _may_be(split: Split | None, file: Path) -> bool:
    """Whether a file may hold a split: one whose name says nothing may."""
    return split is None or split_in_name(file) in (split, None)


def _snapshot(name: str, config: str | None, download: bool) -> Path:
    from huggingface_hub import errors, snapshot_download

    http_error: type[Exception] = errors.HfHubHTTPError.__bases__[0]
    wanted = [f"*{config or ''}*{suffix}" for suffix in SUFFIXES]
    try:
        return Path(snapshot_download(name, repo_type="dataset", allow_patterns=wanted, local_files_only=not download))
    except (OSError, http_error) as error:
        what = f"the data set {name!r} cannot be had from Hugging Face: {why_not(error, None)}"
        raise SteerxError(f"{what}, or download its files where there is a network and name them") from error
