"""What a person asks `steerx import` for."""

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from steerx_cli.core.errors import SteerxError
from steerx_cli.tools.import_.choose import Rules
from steerx_cli.tools.import_.files.rows import How
from steerx_cli.tools.import_.formats import FORMATS
from steerx_cli.tools.import_.formats.format import Format
from steerx_cli.tools.import_.pseudonyms import check_of
from steerx_cli.tools.import_.texts import DEVELOPMENT, Split


@dataclass(frozen=True)
class Request:
    """Everything that decides what becomes of the files."""

    format: str
    files: tuple[Path, ...]
    metadata: tuple[Path, ...] = ()
    how: How = field(default_factory=How)
    task: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)  # our name → the file's
    input_text: str | None = None  # a template of fields that inputs are made by
    split: Split | None = None  # of all queries; None: the row or the file's name says it
    rules: Rules = field(default_factory=Rules)
    users: int | None = None  # only so many, those with the most histories
    development: float | None = None  # the share of users whose queries are for development
    seed: int = 0
    key: bytes | None = None  # of pseudonyms
    strict: bool = False  # whether the first row that cannot be used ends it

    @property
    def its_format(self) -> Format:
        """How its files are read."""
        return FORMATS[self.format]

    @property
    def selects(self) -> bool:
        """Whether all users have to be looked at before any can be written."""
        return self.users is not None or self.development is not None

    def split_of(self, file: Path) -> Split:
        """The split of a file's own queries."""
        found = self.split or split_in_name(file)
        if not self.its_format.own_queries or self.rules.last is not None:
            return self.split or "test"
        if found is None:
            raise SteerxError(
                f"the name of {file} does not say whether its queries are for development or test: "
                "say it with --split, or take each user's last texts as queries with --last 1"
            )
        return found

    def roles(self) -> list[tuple[Path, str]]:
        """What each file is taken for, by its name: that decides rows as its content does."""
        answers = self.its_format.is_answers
        said = [(file, "answers" if answers(file) else f"texts, {self.split_of(file)}") for file in self.files]
        said += [(file, "metadata") for file in self.metadata]
        return [(file, f"{role}, {''.join(file.suffixes[-2:]).lower()}") for file, role in said]

    def parameters(self) -> dict[str, Any]:
        """What is written down of it: neither the names of files nor the key."""
        said = {
            "format": self.format,
            "content": content_of(self.roles()),
            "task": self.task,
            "columns": dict(self.columns) or None,
            "encoding": self.how.encoding,
            "delimiter": None if self.how.delimiter == "," else self.how.delimiter,
            "input_text": self.input_text,
            "split": self.split,
            "last": self.rules.last,
            "min_chars": self.rules.min_chars,
            "min_histories": self.rules.min_histories,
            "unique": self.rules.unique,
            "users": self.users,
            "development": self.development,
            "seed": None if self.development is None else self.seed,
            "key": self.key and check_of(self.key),
        }
        return {name: value for name, value in said.items() if value is not None}


def content_of(roles: Iterable[tuple[Path, str]]) -> str:
    """A name for what is in the files, in their order, and for what each is taken for."""
    total = hashlib.sha256()
    for file, role in roles:
        total.update(f"{role}\0".encode())
        with file.open("rb") as stream:
            total.update(hashlib.file_digest(stream, "sha256").digest())
    return total.hexdigest()[:16]


def split_in_name(file: Path) -> Split | None:
    """What the words in the name of a file say of the split that it holds, or the name of its folder."""
    for words in (set(re.split(r"[^a-z]+", file.name.lower())), {file.absolute().parent.name.lower()}):
        if "test" in words:
            return "test"
        if words & DEVELOPMENT:
            return "development"
    return None
