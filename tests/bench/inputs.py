"""What the benchmarks read: reviews in the shape of a dump of Amazon's, and an encoder, both from a seed."""

import json
import random
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import accumulate, islice, product
from pathlib import Path
from typing import Any

_SYLLABLES = ["ba", "con", "der", "el", "fi", "gra", "ho", "in", "ka", "lo", "mer", "no", "per", "ri", "sta", "tu"]
_WORDS = 5000
_SENTENCES = 20_000  # that all reviews are made of, at least two each: nobody writes the same twice
_SENTENCE_WORDS = 10
_REVIEW_WORDS = 100
_LONGEST = 40  # sentences
_REVIEWS_OF_AN_ITEM = 10
_FIRST_SECOND, _SECONDS = 1_000_000_000, 500_000_000  # September 2001, to July 2017


def words() -> list[str]:
    """All there are; each is another."""
    return ["".join(syllables) for syllables in islice(product(_SYLLABLES, repeat=4), _WORDS)]


class _Writer:
    """Texts whose words are as unequally common as those of a language (Zipf's law)."""

    def __init__(self, draw: random.Random) -> None:
        self._draw = draw
        common = list(accumulate(1 / rank for rank in range(1, _WORDS + 1)))
        known = words()
        draw.shuffle(known)
        self._sentences = [
            " ".join(draw.choices(known, cum_weights=common, k=_SENTENCE_WORDS)).capitalize() + "."
            for _ in range(_SENTENCES)
        ]

    def text(self, mean_words: int) -> str:
        """Some sentences: many texts are short, and a few long."""
        count = 2 + int(self._draw.expovariate(1 / (mean_words / _SENTENCE_WORDS - 1.5)))
        return " ".join(self._draw.choices(self._sentences, k=min(count, _LONGEST)))

    def title(self) -> str:
        """A few words."""
        return " ".join(self._draw.choice(self._sentences)[:-1].split()[:4]).title()


def _review(writer: _Writer, draw: random.Random, person: int, item: int) -> dict[str, Any]:
    second = _FIRST_SECOND + draw.randrange(_SECONDS)
    return {
        "overall": float(draw.randint(1, 5)),
        "verified": draw.random() < 0.8,
        "reviewTime": f"{datetime.fromtimestamp(second, UTC):%m %d, %Y}",
        "reviewerID": f"A{person:012d}",
        "asin": f"B{item:09d}",
        "style": {"Format:": " DVD"},
        "reviewerName": f"Person {person}",
        "reviewText": writer.text(_REVIEW_WORDS),
        "summary": writer.title(),
        "unixReviewTime": second,
    }


def _item(writer: _Writer, draw: random.Random, item: int) -> dict[str, Any]:
    return {
        "category": ["Movies & TV", "Movies"],
        "description": [writer.text(40)],
        "title": writer.title(),
        "also_buy": [f"B{draw.randrange(10**9):09d}" for _ in range(10)],
        "brand": writer.title(),
        "rank": f"{draw.randrange(10**6):,} in Movies & TV (",
        "main_cat": "Movies & TV",
        "asin": f"B{item:09d}",
    }


def _reviewed(draw: random.Random, people: int, each: int, items: int) -> Iterator[tuple[int, int]]:
    """Who wrote of what, line by line: every person's reviews lie all over the file, and are of different items."""
    lines = list(range(people * each))
    draw.shuffle(lines)
    starts = [draw.randrange(items) for _ in range(people)]
    for line in lines:
        person, number = divmod(line, each)
        yield person, (starts[person] + number) % items


def write_dump(folder: Path, people: int, each: int, seed: int) -> None:
    """Write reviews.jsonl, `each` of every person's, and meta.jsonl, an item a line."""
    draw = random.Random(seed)
    writer = _Writer(draw)
    items = max(each, people * each // _REVIEWS_OF_AN_ITEM)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "meta.jsonl").open("w") as file:
        file.writelines(f"{json.dumps(_item(writer, draw, item))}\n" for item in range(items))
    with (folder / "reviews.jsonl").open("w") as file:
        for person, item in _reviewed(draw, people, each, items):
            file.write(f"{json.dumps(_review(writer, draw, person, item))}\n")


def write_encoder(folder: Path) -> None:
    """A small BERT of random weights that knows all the words: what it says is nothing, how long it takes is real."""
    import torch
    from transformers import AutoModel, BertConfig, BertTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    folder.mkdir(parents=True)
    (folder / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ".", ":", *words()]))
    BertTokenizer(str(folder / "vocab.txt"), model_max_length=512).save_pretrained(folder)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=_WORDS + 7, hidden_size=128, num_hidden_layers=2, num_attention_heads=2, intermediate_size=512
    )
    AutoModel.from_config(config).save_pretrained(folder)  # type: ignore[no-untyped-call]
