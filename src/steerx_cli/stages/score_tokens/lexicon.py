"""Lists of words and categories: LIWC's .dic files, plain word lists, and the one that ships with steerx."""

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple, TypeAlias

from steerx_cli.core.errors import SteerxError
from steerx_cli.core.provenance import fingerprint
from steerx_cli.core.words import pieces

_SHIPPED = Path(str(files("steerx_cli") / "lexicons"))

Entry: TypeAlias = tuple[str, ...]  # its pieces in one spelling; one that begins a word with any ending, with its star


@dataclass(frozen=True)
class Lexicon:
    """The entries that are looked for, whatever their categories."""

    name: str
    entries: tuple[Entry, ...]  # each once, sorted
    categories: tuple[str, ...] = ()  # those chosen, in the file's order; none: all
    conditional: int = 0  # entries of LIWC whose category hangs on a neighbouring word: here they have all of theirs

    @property
    def fingerprint(self) -> str:
        """A short name for the exact entries."""
        return fingerprint(self.entries)[:12]

    def parameters(self) -> Mapping[str, object]:
        """What decides the matches, without the place of the file."""
        chosen = {"category": ",".join(self.categories)} if self.categories else {}
        return {"lexicon": {"name": self.name, "fingerprint": self.fingerprint}, **chosen}

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Where entries stand in a text: from left to right, at each place the longest, none over another."""
        found, at = [], 0
        places = list(pieces(text))
        words = [word for word, _, _ in places]
        while at < len(words):
            count = self._matched(words, at)
            if count:
                found.append((places[at][1], places[at + count - 1][2]))
            at += count or 1
        return found

    def _matched(self, words: list[str], at: int) -> int:
        """How many pieces the longest entry takes that stands at this place."""
        first = words[at].removeprefix(" ")
        for row in self._rows.get(first, ()):
            if _same(row, [first, *words[at + 1 : at + len(row)]]):
                return len(row)
        return int(self._is_entry(first))

    @cached_property
    def _rows(self) -> Mapping[str, list[Entry]]:
        """The entries of several pieces by the first of them, the longest first."""
        rows = defaultdict(list)
        for entry in sorted(self.entries, key=len, reverse=True):
            if len(entry) > 1:
                rows[entry[0]].append(entry)
        return dict(rows)

    @cached_property
    def _is_entry(self) -> Callable[[str], bool]:
        """Whether a piece is an entry, or begins as a starred one does."""
        alone = {entry[0] for entry in self.entries if len(entry) == 1}
        beginnings = {piece[:-1] for piece in alone if _is_starred(piece)}
        lengths = sorted(set(map(len, beginnings)))
        return lru_cache(1 << 16)(
            lambda piece: piece in alone or any(piece[:length] in beginnings for length in lengths)
        )


def lexicon_names() -> list[str]:
    """The lexicons that ship with steerx."""
    return sorted(path.stem for path in _SHIPPED.glob("*.dic"))


def load_lexicon(name_or_file: str, categories: Sequence[str] = ()) -> Lexicon:
    """A lexicon by its name or from a file, whole or only the chosen categories of it."""
    shipped = name_or_file in lexicon_names()
    path = _SHIPPED / f"{name_or_file}.dic" if shipped else Path(name_or_file)
    where = f"the lexicon {name_or_file}"
    content = _read(where, path)
    chosen = tuple(name for name in content.categories if name in categories)
    _check_categories(where, categories, content.categories)
    entries = [entry for entry, named in content.entries.items() if not chosen or named.intersection(chosen)]
    if not entries:
        raise SteerxError(f"{where} has no entry{' in these categories' if chosen else ''}: name another, or fill it")
    conditional = len(content.conditional.intersection(entries))
    return Lexicon(path.stem if shipped else path.name, tuple(sorted(entries)), chosen, conditional)


def _check_categories(where: str, asked: Collection[str], known: Collection[str]) -> None:
    for name in asked:
        if not known:
            raise SteerxError(f"{where} is a plain list of words, without categories: leave out --category")
        if name not in known:
            raise SteerxError(f"{where} has no category {name!r}: name some of {', '.join(known)}")


# --- entries ----------------------------------------------------------------------------------------------------------


def _entry_of(text: str) -> Entry:
    """An entry as a text is taken apart; a star that ends a word stays with it, any other is a sign like others."""
    found = [piece for piece, _, _ in pieces(text)]
    if len(found) > 1 and found[-1] == "*" and re.match(r" ?\w", found[-2]):
        found[-2:] = [f"{found[-2]}*"]
    return tuple(found)


def _is_starred(piece: str) -> bool:
    return piece.endswith("*") and piece.strip() != "*"


def _same(row: Entry, words: list[str]) -> bool:
    """Whether these pieces are an entry's; only the last of an entry can be starred."""
    *front, last = row
    if words[:-1] != front:
        return False
    return words[-1].startswith(last[:-1]) if _is_starred(last) else words[-1] == last


# --- reading a file ---------------------------------------------------------------------------------------------------

_CONDITION = (
    r"(?:\([\d\s]*\)|<[^<>]*>)"  # LIWC 2007: `(02 134)125/464` after those categories, `<of>131/125` before "of"
)
_NUMBERS = rf"{_CONDITION}?\d+(?:/\d+)?"
_NOTES = re.compile(rf"{_NUMBERS}(?:\s+{_NUMBERS})*")
_UNTABBED = re.compile(rf"(.+?)\s+({_NOTES.pattern})")
_CATEGORY = re.compile(r"(\d+)\s+(\S.*?)(?:\s*\(.*\))?")  # LIWC 2015: `1 function (Function Words)`


class _Line(NamedTuple):
    where: str
    tabs: int  # before the text
    text: str


class _Content(NamedTuple):
    entries: Mapping[Entry, frozenset[str]]  # with their categories
    categories: tuple[str, ...] = ()
    conditional: frozenset[Entry] = frozenset()


def _read(where: str, path: Path) -> _Content:
    """Whatever the file's name: a .dic begins with a line of %."""
    lines = list(_lines(where, path))
    if lines and lines[0].text == "%":
        ends = [place for place, line in enumerate(lines) if line.text == "%"]
        if len(ends) == 1:
            raise SteerxError(f"{where} has no line of % after its categories: put one there")
        return _dic(_categories(lines[1 : ends[1]]), lines[ends[1] + 1 :])
    return _Content({_listed(line): frozenset() for line in lines})


def _lines(where: str, path: Path) -> Iterator[_Line]:
    """The lines that say something."""
    for number, line in enumerate(re.split(r"\r\n|\r|\n", _text(where, path)), 1):
        text = line.strip()
        if text and not text.startswith("#"):
            yield _Line(f"{where}, line {number},", len(line) - len(line.lstrip("\t")), text)


def _text(where: str, path: Path) -> str:
    """The file's text: UTF-8, or the Windows encoding of Latin letters that most of LIWC's translations are in."""
    try:
        content = path.read_bytes()
    except OSError as error:
        names = ", ".join(lexicon_names())
        raise SteerxError(f"{where} cannot be read ({error.strerror}): name {names}, or a file of your own") from error
    for encoding in ("utf-8-sig", "cp1252"):
        try:
            text = content.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\0" not in text:
            return text
    raise SteerxError(f"{where} is neither UTF-8 nor Windows-1252: save it as UTF-8")


def _listed(line: _Line) -> Entry:
    """The entry of a line of a plain list."""
    if "\t" in line.text or line.text == "%" or line.text.startswith("DicTerm,"):
        raise SteerxError(
            f"{line.where} is no word of a plain list: write one a line, or begin a .dic with a line of %"
        )
    return _entry_of(line.text)


def _categories(lines: Sequence[_Line]) -> dict[int, tuple[str, ...]]:
    """The names of each number: its own, and those that it is indented under."""
    found: dict[int, tuple[str, ...]] = {}
    above: list[tuple[int, str]] = []
    for line in lines:
        match = _CATEGORY.fullmatch(line.text)
        if not match or int(match[1]) in found:
            raise SteerxError(f"{line.where} is no category: write a number of its own, a tab and a name")
        above = [*((tabs, name) for tabs, name in above if tabs < line.tabs), (line.tabs, match[2])]
        found[int(match[1])] = tuple(name for _, name in above)
    return found


def _dic(categories: Mapping[int, tuple[str, ...]], lines: Sequence[_Line]) -> _Content:
    """The entries with the names of their categories; one that stands there twice has those of both lines."""
    entries: defaultdict[Entry, frozenset[str]] = defaultdict(frozenset)
    conditional = set()
    for line in lines:
        word, notes = _parted(line)
        entry = _entry_of(word)
        for number in map(int, re.findall(r"\d+", re.sub(_CONDITION, "", notes))):
            if number not in categories:
                raise SteerxError(f"{line.where} names the category {number}, which is not above: add it there")
            entries[entry] |= frozenset(categories[number])
        if re.search(_CONDITION, notes):
            conditional.add(entry)
    names = dict.fromkeys(name for named in categories.values() for name in named)
    return _Content(entries, tuple(names), frozenset(conditional))


def _parted(line: _Line) -> tuple[str, str]:
    """The entry and its numbers; without a tab between them the numbers are all that end the line."""
    word, tab, notes = line.text.partition("\t")
    match = None if tab else _UNTABBED.fullmatch(line.text)
    word, notes = (match[1], match[2]) if match else (word, notes.strip())
    if not _NOTES.fullmatch(notes):
        raise SteerxError(f"{line.where} is no entry: write a word, a tab and the numbers of its categories")
    return word, notes
