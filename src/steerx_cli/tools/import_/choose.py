"""What of one user's texts becomes histories and what becomes queries."""

from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias
from unicodedata import normalize

from steerx_cli.tools.import_.texts import Text

Counts: TypeAlias = Counter[str]


@dataclass(frozen=True)
class Rules:
    """What a person asks for."""

    last: int | None = None  # the last so many of a user's texts are the queries; None: the source's own are
    min_chars: int = 1  # of a text
    min_histories: int = 1  # of a user
    unique: bool = True  # whether one of a user's equal texts is enough


@dataclass(frozen=True)
class Chosen:
    """A user's histories and queries, and what was left out or made up on the way to them."""

    histories: list[Text]
    queries: list[Text]
    counts: Counts

    @property
    def is_empty(self) -> bool:
        """Whether the user is left out."""
        return not self.histories and not self.queries


def choose(texts: Sequence[Text], rules: Rules) -> Chosen:
    """All of it, for one user whose texts are in the order in which they were read."""
    counts: Counts = Counter()
    texts = list(named(texts))
    if rules.last is not None:
        texts = unasked(texts, counts)
    histories, queries = [text for text in texts if text.split is None], [text for text in texts if text.split]
    histories, queries = in_time_order(histories, counts), in_time_order(queries, Counter())
    histories = counted(histories, (text for text in histories if is_long(text, rules.min_chars)), counts, SHORT)
    if rules.unique:
        histories = counted(histories, latest(histories), counts, REPEATED)
    if rules.last:
        histories, queries = cut(histories, rules.last)
    answers = {sameness(query) for query in queries if query.response is not None}
    histories = counted(histories, (text for text in histories if sameness(text) not in answers), counts, ANSWERS)
    if len(histories) < rules.min_histories:
        return Chosen([], [], counts + Counter({FEW: 1}))
    if not queries and rules.last != 0:
        return Chosen([], [], counts + Counter({UNASKED: 1}))
    return Chosen(distinct(histories, counts), distinct(queries, counts), counts)


SHORT = "texts left out, shorter than --min-chars"
REPEATED = "texts left out, the same again from the same user"
ANSWERS = "histories left out, the answer to a query of the same user"
UNANSWERED = "queries left out, whose answer is not known"
FEW = "users left out, with fewer histories than --min-histories"
UNASKED = "users left out, without a query"
UNDATED = "users whose texts are in the order of the files, for want of times"
RENAMED = "ids that came twice, and were numbered"


def counted(before: Sequence[Text], after: Iterable[Text], counts: Counts, what: str) -> list[Text]:
    """The texts that are left, and a note of how many are not."""
    left = list(after)
    counts[what] += len(before) - len(left)
    return left


def named(texts: Sequence[Text]) -> Iterator[Text]:
    """Texts without an id get their number, in as many digits as the last has: text order is number order."""
    digits = len(str(len(texts)))
    for number, text in enumerate(texts, 1):
        yield text if text.text_id else replace(text, text_id=f"{number:0{digits}}")


def unasked(texts: Sequence[Text], counts: Counts) -> list[Text]:
    """The source's own queries as texts like all others, where they are answered."""
    known = [text for text in texts if text.response is not None]
    return counted(texts, (replace(text, split=None) if text.split else text for text in known), counts, UNANSWERED)


def in_time_order(texts: Sequence[Text], counts: Counts) -> list[Text]:
    """The oldest first, where every text has a time."""
    times = [text.time for text in texts]
    if None in times:
        counts[UNDATED] += len(texts) > 1
        return list(texts)
    return sorted(texts, key=lambda text: text.time or 0)


def is_long(text: Text, least: int) -> bool:
    """Whether a text has so many characters."""
    return len(text.response or "") >= least


def sameness(text: Text) -> Hashable:
    """What two texts share that are the same, whatever their spaces and capitals: the answer would be given away.

    A label alone (a tag, a score) says nothing without what it is for.
    """
    said = text.response and " ".join(normalize("NFC", text.response).casefold().split())
    return (text.input, said) if text.is_label else said


def latest(texts: Sequence[Text]) -> list[Text]:
    """Of equal texts the last one."""
    last = {sameness(text): place for place, text in enumerate(texts)}
    return [texts[place] for place in sorted(last.values())]


def cut(texts: Sequence[Text], last: int) -> tuple[list[Text], list[Text]]:
    """The last texts as queries, and those before them."""
    return list(texts[:-last]), [replace(text, split="test") for text in texts[-last:]]


def distinct(texts: Sequence[Text], counts: Counts) -> list[Text]:
    """The same texts, each under an id of its own."""
    taken = {text.text_id for text in texts}
    uses: Counter[str] = Counter()
    found: list[Text] = []
    for text in texts:
        name = text.text_id
        uses[name] += 1
        while uses[text.text_id] > 1 and name in taken:
            name = f"{text.text_id}#{uses[text.text_id]}"
            uses[text.text_id] += name in taken
        taken.add(name)
        counts[RENAMED] += name != text.text_id
        found.append(text if name == text.text_id else replace(text, text_id=name))
    return found
