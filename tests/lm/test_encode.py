"""Texts → vectors, against one text at a time."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from steerx_cli.core.errors import SteerxError
from steerx_cli.lm import rows
from steerx_cli.lm.encode import Encoder, fitting, longest_input
from steerx_cli.lm.models import ModelRequest
from steerx_cli.lm.rows import pad

LONGEST = 16  # tokens the tiny model takes
TEXTS = ["a b c", "", "d", "a b c", "h g f e d c b a", "xyz", "", " ".join("abcd" * 10), "é à", "d e", "a"]


def make_encoder(folder: Path, kind: str = "bert", longest: int | None = None) -> Path:
    """An encoder of random weights and a WordPiece tokenizer that knows a few letters."""
    import torch
    from transformers import AutoConfig, AutoModel, BertTokenizer

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefgh"]
    folder.mkdir()
    (folder / "vocab.txt").write_text("\n".join(words))
    BertTokenizer(str(folder / "vocab.txt"), model_max_length=longest).save_pretrained(folder)
    torch.manual_seed(0)
    size = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    config = AutoConfig.for_model(
        kind, vocab_size=len(words), max_position_embeddings=LONGEST, pad_token_id=0, initializer_range=0.5, **size
    )
    AutoModel.from_config(config).save_pretrained(folder)  # type: ignore[no-untyped-call]
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_encoder(tmp_path_factory.mktemp("models") / "bert")


@pytest.fixture(scope="module")
def loaded(folder: Path) -> Encoder:
    return Encoder(ModelRequest(str(folder), device="cpu"))


@pytest.fixture
def seen(loaded: Encoder) -> Iterator[list[Any]]:
    """The shape of each batch that reaches the model."""
    shapes: list[Any] = []

    def note(module: object, args: object, inputs: dict[str, Any]) -> None:
        shapes.append(tuple(inputs["input_ids"].shape))

    hook = loaded._model.register_forward_pre_hook(note, with_kwargs=True)
    yield shapes
    hook.remove()


def one_by_one(folder: Path, texts: list[str]) -> np.ndarray[Any, Any]:
    """The obvious way: each text alone, unpadded, its states averaged."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    rows = []
    for text in texts:
        ids = tokenizer(text, truncation=True, max_length=LONGEST, return_tensors="pt")
        with torch.no_grad():
            rows.append(model(**ids).last_hidden_state[0].mean(0).numpy())
    return np.stack(rows)


@pytest.mark.parametrize("batch_tokens", [1, 7, 20, 64, 10_000])
def test_vectors_equal_one_text_at_a_time(folder: Path, loaded: Encoder, batch_tokens: int) -> None:
    found = loaded.encode(TEXTS, batch_tokens)
    assert (found.vectors.dtype.name, found.vectors.shape) == ("float32", (len(TEXTS), 32))
    np.testing.assert_allclose(found.vectors, one_by_one(folder, TEXTS), rtol=0, atol=1e-5)
    assert np.abs(found.vectors[0] - found.vectors[2]).max() > 0.1  # texts differ by far more than that


def test_same_call_gives_the_same_bits(loaded: Encoder) -> None:
    assert loaded.encode(TEXTS, 30).vectors.tobytes() == loaded.encode(TEXTS, 30).vectors.tobytes()


def test_each_distinct_text_is_encoded_once(loaded: Encoder, seen: list[Any]) -> None:
    found = loaded.encode(TEXTS * 3, 20)
    assert sum(rows for rows, _ in seen) == len(set(TEXTS))
    assert np.array_equal(found.vectors[: len(TEXTS)], found.vectors[-len(TEXTS) :])


def test_batches_keep_to_their_budget_and_fill_it(loaded: Encoder, seen: list[Any]) -> None:
    loaded.encode([" ".join("abcdefgh"[:n]) for n in (1, 8, 3, 6, 2, 7)], 20)
    assert seen == [(2, 10), (2, 8), (2, 4)]


def test_a_text_larger_than_the_budget_goes_alone(loaded: Encoder, seen: list[Any]) -> None:
    loaded.encode(["a b c d e", "a b"], 3)
    assert seen == [(1, 7), (1, 4)]


def test_tokenizing_in_pieces_changes_nothing(loaded: Encoder, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = loaded.encode(TEXTS, 64)
    monkeypatch.setattr("steerx_cli.lm.rows._TEXTS_AT_ONCE", 2)
    pieces = loaded.encode(TEXTS, 64)
    assert np.array_equal(whole.vectors, pieces.vectors)
    assert whole.truncated == pieces.truncated == 1


def test_truncated_texts_are_counted_once_each(loaded: Encoder) -> None:
    fits = " ".join("a" * (LONGEST - 2))  # [CLS] and [SEP] are counted
    too_long = fits + " a"
    found = loaded.encode([too_long, fits, too_long, fits + " b"], 100)
    assert found.truncated == 2
    np.testing.assert_allclose(found.vectors[0], found.vectors[1], rtol=0, atol=1e-5)


def test_no_texts(loaded: Encoder) -> None:
    found = loaded.encode([], 100)
    assert (found.vectors.shape, found.truncated, found.halved) == ((0, 32), 0, 0)


def test_progress_adds_up_to_all_texts(loaded: Encoder) -> None:
    done: list[int] = []
    loaded.encode(TEXTS, 20, done.append)
    assert sum(done) == len(TEXTS)
    assert len(done) > 1


def test_text_of_no_tokens_is_zero_and_spoils_no_other(loaded: Encoder, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = rows._ids
    monkeypatch.setattr(rows, "_ids", lambda of, texts: [ids(of, [text])[0] if text else [] for text in texts])
    found = loaded.encode(["", "a b"], 100).vectors
    assert not found[0].any()
    np.testing.assert_allclose(found[1], loaded.encode(["a b"], 100).vectors[0], rtol=0, atol=1e-5)
    assert not loaded.encode([""], 100).vectors.any()


def run_out_of_memory(monkeypatch: pytest.MonkeyPatch, encoder: Encoder, most: int) -> None:
    """A model that takes `most` rows at a time."""
    import torch

    forward = encoder._model.forward

    def limited(**inputs: "torch.Tensor") -> object:
        if len(inputs["input_ids"]) > most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(**inputs)

    monkeypatch.setattr(encoder._model, "forward", limited)


def test_batches_are_halved_for_memory(loaded: Encoder, seen: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [" ".join(letters) for letters in ("abc", "abd", "abe", "abf", "abg", "abh", "cba", "dba")]
    whole = loaded.encode(texts, 1000)
    seen.clear()
    run_out_of_memory(monkeypatch, loaded, 3)
    done: list[int] = []
    found = loaded.encode(texts, 1000, done.append)
    assert seen == [(8, 5), (4, 5), (2, 5), (2, 5), (2, 5), (2, 5)]
    assert (whole.halved, found.halved, sum(done)) == (0, 2, len(texts))
    np.testing.assert_allclose(found.vectors, whole.vectors, rtol=0, atol=1e-5)


def test_one_text_that_does_not_fit_is_an_error(loaded: Encoder, monkeypatch: pytest.MonkeyPatch) -> None:
    run_out_of_memory(monkeypatch, loaded, 0)
    with pytest.raises(SteerxError) as caught:
        loaded.encode(["a b c", "d"], 100)
    assert str(caught.value) == "one text of 5 tokens does not fit in memory: choose a smaller dtype or model"


@pytest.mark.parametrize(
    ("kind", "stated", "longest"),
    [
        ("bert", None, LONGEST),
        ("bert", 12, 12),
        ("roberta", None, LONGEST - 1),  # positions start after the padding's, 0
    ],
)
def test_longest_input_is_what_the_model_takes(tmp_path: Path, kind: str, stated: int | None, longest: int) -> None:
    encoder = Encoder(ModelRequest(str(make_encoder(tmp_path / kind, kind, stated)), device="cpu"))
    assert longest_input(encoder._model, encoder._tokenizer) == longest
    found = encoder.encode([" ".join("a" * 50), "b"], 1000)
    assert found.truncated == 1
    assert np.isfinite(found.vectors).all()


def test_a_model_without_an_end_of_positions_takes_what_its_tokenizer_says() -> None:
    model: Any = SimpleNamespace(config=SimpleNamespace(max_position_embeddings=-1))  # XLNet's
    tokenizer: Any = SimpleNamespace(model_max_length=77)
    assert longest_input(model, tokenizer) == 77


def test_bfloat16_is_averaged_in_float32(folder: Path, loaded: Encoder) -> None:
    found = Encoder(ModelRequest(str(folder), dtype="bfloat16", device="cpu")).encode(TEXTS, 64)
    np.testing.assert_allclose(found.vectors, loaded.encode(TEXTS, 64).vectors, rtol=0, atol=0.1)
    assert (found.vectors.view(np.uint32) & 0xFFFF).any()  # more digits than bfloat16 has


def test_pad_and_fitting() -> None:
    tokens, mask = pad([np.array(row, dtype=np.int32) for row in ([5, 6, 7], [], [8])], 9)
    assert tokens.tolist() == [[5, 6, 7], [9, 9, 9], [8, 9, 9]]
    assert mask.sum(1).tolist() == [3, 0, 1]
    assert [fitting(longest, 10) for longest in (0, 1, 3, 10, 11)] == [10, 10, 3, 1, 1]
