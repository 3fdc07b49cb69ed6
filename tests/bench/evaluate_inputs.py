"""What metrics are measured on: passages of speeches, answers that share parts with them, an LED of random weights, and
what NLTK wants of its data."""

import json
import os
import random
import shutil
import sys
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

sys.path.append(str(Path(__file__).parents[1]))  # where pytest finds it, too
from people import histories
from steerx_cli.metrics import punkt, wordnet
from synsets import Synset

# --- texts ------------------------------------------------------------------------------------------------------------

REFERENCE = (120, 200)  # words
SYSTEMS = 6

Texts = list[str]


def material() -> Path | None:
    """The folder of real texts that are no part of the project."""
    named = os.environ.get("STEERX_TEST_DATA")
    return Path(named) if named else None


def speeches() -> Path | None:
    """The addresses on the State of the Union, where they are at hand."""
    folder = material()
    archive = folder / "state_union" / "state_union.zip" if folder else None
    return archive if archive and archive.is_file() else None


@cache
def words() -> Sequence[str]:
    """All of the speeches, or made-up reviews."""
    if (archive := speeches()) is None:
        return [word for row in histories(2000, 5, seed=0) for word in row["response"].split()]
    with zipfile.ZipFile(archive) as file:
        names = [name for name in sorted(file.namelist()) if name.endswith(".txt")]
        return [word for name in names for word in file.read(name).decode("latin-1").split()]


def passages(count: int, least: int, most: int, seed: int = 0) -> Texts:
    """So many, one after the other, each of so many words or something between."""
    draw, every = random.Random(seed), words()
    found, at = [], 0
    for _ in range(count):
        size = draw.randint(least, most)
        if at + size > len(every):
            at = draw.randrange(size)
        found.append(" ".join(every[at : at + size]))
        at += size
    return found


def answers(references: Sequence[str], system: int = 3) -> Texts:
    """Runs of words of each reference, in their places, and of another one between them; a system has its own share."""
    draw, split = random.Random(f"{system}"), [text.split() for text in references]
    return [_mixed(draw, own, draw.choice(split), (2 + system) / 10) for own in split]


def _mixed(draw: random.Random, own: Sequence[str], other: Sequence[str], share: float) -> str:
    found: list[str] = []
    at = 0
    while at < len(own):
        size = draw.randint(4, 20)
        found += (own if draw.random() < share else other)[at : at + size]
        at += size
    return " ".join(found)


@dataclass(frozen=True)
class Many:
    """Several systems' answers as `steerx evaluate` has them: side by side under each query."""

    answers: Texts
    references: Texts

    @classmethod
    def of(cls, references: Sequence[str], systems: int = SYSTEMS) -> "Many":
        """Each system's, to each of them."""
        every = [answers(references, system) for system in range(systems)]
        return cls([*chain.from_iterable(zip(*every, strict=True))], [text for text in references for _ in every])

    def of_system(self, system: int, systems: int = SYSTEMS) -> tuple[Texts, Texts]:
        """One's answers, and what they are compared with."""
        return self.answers[system::systems], self.references[system::systems]


# --- what NLTK needs --------------------------------------------------------------------------------------------------


@contextmanager
def punkt_at_hand() -> Iterator[None]:
    """Give what is started meanwhile the Punkt model, in a folder such as NLTK's data, where there is one."""
    folder = material()
    model = folder / "punkt_tab" / "english" if folder else None
    if model is None or not model.is_dir() or punkt.find_model() is not None:
        yield
        return
    with TemporaryDirectory() as place:
        shutil.copytree(model, Path(place, "tokenizers", "punkt_tab", "english"))  # NLTK does not trust links
        before = os.environ.get("NLTK_DATA")
        os.environ["NLTK_DATA"] = place if before is None else os.pathsep.join((place, before))
        try:
            yield
        finally:
            os.environ.pop("NLTK_DATA")
            os.environ.update({} if before is None else {"NLTK_DATA": before})


class StandIn:
    """steerx's table behind what METEOR asks of NLTK's reader of WordNet.

    All is made before it is asked for, and what was found for a word is remembered; NLTK's own reader looks again.
    """

    def __init__(self) -> None:
        from nltk.corpus.reader.wordnet import WordNetCorpusReader

        self._endings: Mapping[str, Any] = WordNetCorpusReader.MORPHOLOGICAL_SUBSTITUTIONS
        made = lru_cache(None)(Synset)
        self._parts = {
            part: ({word: list(map(made, some)) for word, some in synsets.items()}, irregular)
            for part, (synsets, irregular) in wordnet.load().items()
        }
        self.synsets = lru_cache(None)(self._synsets)

    def _synsets(self, word: str) -> list[Synset]:
        found: list[Synset] = []
        for part, (synsets, irregular) in self._parts.items():
            endings = [(old, new) for old, new in self._endings[part] if word.endswith(old)]
            forms = irregular.get(word) or [word.removesuffix(old) + new for old, new in endings]
            for form in dict.fromkeys((word, *forms)):
                found += synsets.get(form, ())
        return found


def nltk_wordnet() -> Any:
    """NLTK's own reader where it has its data; else nothing."""
    from nltk.corpus import wordnet as own

    try:
        own.ensure_loaded()
        own.synsets("dog")
    except LookupError:
        return None
    return own


# --- a model ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Shape:
    """An LED as wide as led-base-16384."""

    layers: int
    inner: int
    window: int
    words: int = 8_000
    width: int = 768
    heads: int = 12


BASE = Shape(layers=2, inner=3072, window=1024)  # led-base-16384, but for its 50,265 words, and of its layers two
NARROW = Shape(layers=1, inner=64, window=128)  # the same width of states, for little work


def write_led(folder: Path, shape: Shape) -> None:
    """Weights are random: no figure depends on what they are. The tokenizer is trained on the texts."""
    import torch
    from tokenizers import ByteLevelBPETokenizer
    from transformers import LEDConfig, LEDModel, RobertaTokenizer

    torch.manual_seed(0)
    made = ByteLevelBPETokenizer()
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    made.train_from_iterator(passages(2000, *REFERENCE), shape.words, special_tokens=special, show_progress=False)
    model = json.loads(made.to_str())["model"]
    merges: Any = [tuple(pair) for pair in model["merges"]]  # which its types do not know
    RobertaTokenizer(model["vocab"], merges, model_max_length=16384).save_pretrained(folder)
    config = LEDConfig(
        vocab_size=shape.words,
        d_model=shape.width,
        encoder_layers=shape.layers,
        encoder_attention_heads=shape.heads,
        encoder_ffn_dim=shape.inner,
        attention_window=[shape.window] * shape.layers,
        max_encoder_position_embeddings=16384,
        decoder_layers=1,
        decoder_attention_heads=shape.heads,
        decoder_ffn_dim=64,
    )
    LEDModel(config).save_pretrained(folder)
