"""What METEOR asks of NLTK's reader of WordNet, in NLTK's words."""

from collections.abc import Sequence


class Lemma:
    """A word of a synset, as NLTK has it."""

    def __init__(self, name: str) -> None:
        self._name = name

    def name(self) -> str:
        """The word."""
        return self._name


class Synset:
    """What has one meaning, as NLTK has it."""

    def __init__(self, names: Sequence[str]) -> None:
        self._lemmas = list(map(Lemma, names))

    def lemmas(self) -> list[Lemma]:
        """Its words."""
        return self._lemmas
