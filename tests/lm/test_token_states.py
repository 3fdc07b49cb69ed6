"""Texts → the states of their tokens, against one text at a time."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from encoders import LAYERS, LONGEST, make_model, write_encoder
from steerx_cli.core.errors import SteerxError
from steerx_cli.lm.models import ModelRequest
from steerx_cli.lm.token_states import Reader, States, is_trained

LAYER = 2
# What LED sees whole (9 tokens) and what it does not, what is cut, what is blank.
TEXTS = [
    "a cat",
    "",
    "the quick brown fox",
    "b",
    "a cat",
    " b\n",
    "abcdefg",
    "abcdefgh",
    "zyx" * 30,
    " ",
    "fox and dog",
]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    place = tmp_path_factory.mktemp("models")
    return {kind: write_encoder(place / kind, kind) for kind in ("led", "bert", "gpt2")}


def read_by(folder: Path, layer: int = LAYER, dtype: str = "float32") -> Reader:
    return Reader(ModelRequest(str(folder), dtype=dtype, device="cpu"), layer)


@pytest.fixture(scope="module")
def readers(folders: dict[str, Path]) -> dict[str, Reader]:
    return {kind: read_by(folder) for kind, folder in folders.items()}


@pytest.fixture
def bert(readers: dict[str, Reader]) -> Reader:
    return readers["bert"]


@pytest.fixture
def seen(bert: Reader) -> Iterator[list[tuple[int, ...]]]:
    """The shape of each batch that reaches BERT."""
    shapes: list[tuple[int, ...]] = []

    def note(module: object, inputs: tuple[torch.Tensor, ...]) -> None:
        shapes.append(tuple(inputs[0].shape))

    hook = bert._model.get_input_embeddings().register_forward_pre_hook(note)
    yield shapes
    hook.remove()


@torch.inference_mode()
def one_by_one(folder: Path, layer: int) -> dict[str, torch.Tensor]:
    """The obvious way: each text alone through the whole model, which tells of each layer's states."""
    from transformers import AutoModel, AutoTokenizer

    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    encoder = model.encoder if hasattr(model, "decoder") else model
    found = {}
    for text in TEXTS:
        ids = tokenizer(text.strip(), truncation=True, max_length=LONGEST, return_tensors="pt")
        kept = ids["attention_mask"]
        states = encoder(input_ids=ids["input_ids"], attention_mask=kept, output_hidden_states=True).hidden_states
        found[text] = states[layer][0]
    return found


def assert_equal(found: dict[str, States], expected: dict[str, torch.Tensor]) -> None:
    assert found.keys() == expected.keys()
    for text, states in expected.items():
        assert found[text].states.dtype == torch.float32
        torch.testing.assert_close(found[text].states, states, rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", ["led", "bert"])
def test_states_equal_one_text_at_a_time(folders: dict[str, Path], readers: dict[str, Reader], kind: str) -> None:
    expected = one_by_one(folders[kind], LAYER)
    for batch_tokens in (1, 20, 64, 10_000):
        assert_equal(readers[kind].read(TEXTS, batch_tokens), expected)


@pytest.mark.parametrize("kind", ["led", "bert"])
def test_states_are_those_behind_the_layer(folders: dict[str, Path], kind: str) -> None:
    for layer in (1, LAYERS):
        reader = read_by(folders[kind], layer)
        assert_equal(reader.read(TEXTS, 64), one_by_one(folders[kind], layer))
    holder = read_by(folders[kind], 1)._model
    left = holder.get_submodule("layers" if kind == "led" else "encoder.layer")
    assert len(list(left.children())) == 1  # nothing runs for nothing


def test_texts_that_led_sees_whole_take_the_short_way(
    readers: dict[str, Reader], monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = readers["led"]
    lengths: list[int] = []
    forward = reader._model.forward

    def note(**inputs: torch.Tensor) -> object:
        lengths.append(inputs["input_ids"].shape[1])
        return forward(**inputs)

    monkeypatch.setattr(reader._model, "forward", note)
    reader.read(["abcdefgh", "abcdefg", "a"], 1)
    assert lengths == [10]


def test_each_distinct_text_is_read_once(bert: Reader, seen: list[tuple[int, ...]]) -> None:
    found = bert.read(TEXTS * 3, 20)
    assert sum(rows for rows, _ in seen) == len(found) == len(set(TEXTS))


def test_batches_keep_to_their_budget_and_fill_it_longest_first(bert: Reader, seen: list[tuple[int, ...]]) -> None:
    bert.read([" ".join("abcdefgh"[:n]) for n in (1, 8, 3, 6, 2, 7)], 20)
    assert seen == [(2, 10), (2, 8), (2, 4)]


def test_a_text_larger_than_the_budget_goes_alone(bert: Reader, seen: list[tuple[int, ...]]) -> None:
    bert.read(["a b c d e", "a b"], 3)
    assert seen == [(1, 7), (1, 4)]


def test_no_texts(bert: Reader) -> None:
    assert bert.read([], 100) == {}


def test_special_tokens_are_not_a_texts_own(readers: dict[str, Reader]) -> None:
    texts = ["ab", "a</s>b<s>", "", "a<pad><mask>"]
    own = {text: states.own.tolist() for text, states in readers["led"].read(texts, 100).items()}
    assert own["ab"] == [False, True, True, False]
    assert own["a</s>b<s>"] == [False, True, False, True, False, False]
    assert own[""] == [False, False]
    assert own["a<pad><mask>"] == [False, True, True, True, False]  # bert_score leaves out these two kinds only


def test_text_of_no_tokens_has_no_states_and_spoils_no_other(readers: dict[str, Reader]) -> None:
    reader = readers["gpt2"]
    together = reader.read(["", "ab"], 100)
    assert (together[""].states.shape, together[""].own.tolist()) == ((0, 32), [])
    assert together["ab"].own.all()
    torch.testing.assert_close(together["ab"].states, reader.read(["ab"], 100)["ab"].states, rtol=0, atol=1e-5)
    assert reader.read([""], 100)[""].states.shape == (0, 32)


def test_too_long_texts_lose_their_end_and_say_so(readers: dict[str, Reader]) -> None:
    fits = "a" * (LONGEST - 2)  # <s> and </s> are counted
    found = readers["led"].read([fits, fits + "b", fits + "bc"], 1)
    assert [states.cut for states in found.values()] == [False, True, True]
    for states in found.values():
        assert states.own.sum() == LONGEST - 2
        torch.testing.assert_close(states.states, found[fits].states, rtol=0, atol=1e-5)


def test_bfloat16_comes_as_float32(folders: dict[str, Path], readers: dict[str, Reader]) -> None:
    found = read_by(folders["bert"], dtype="bfloat16").read(["a cat"], 100)["a cat"].states
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, readers["bert"].read(["a cat"], 100)["a cat"].states, rtol=0, atol=0.2)


# --- memory -----------------------------------------------------------------------------------------------------------


def fail_beyond(monkeypatch: pytest.MonkeyPatch, reader: Reader, most: int, error: Callable[[], Exception]) -> None:
    """A model that takes `most` rows at a time."""
    words = reader._model.get_input_embeddings()
    forward = words.forward

    def limited(ids: torch.Tensor) -> object:
        if len(ids) > most:
            raise error()
        return forward(ids)

    monkeypatch.setattr(words, "forward", limited)


def out_of_memory() -> Exception:
    return torch.OutOfMemoryError("CUDA out of memory")


@pytest.mark.parametrize("kind", ["led", "bert"])
@pytest.mark.parametrize("error", [out_of_memory, MemoryError])
def test_batches_are_halved_for_memory(
    readers: dict[str, Reader], kind: str, error: Callable[[], Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = {text: states.states for text, states in readers[kind].read(TEXTS, 10_000).items()}
    fail_beyond(monkeypatch, readers[kind], 2, error)
    assert_equal(readers[kind].read(TEXTS, 10_000), expected)


def test_halves_are_no_smaller_than_they_must(
    bert: Reader, seen: list[tuple[int, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_beyond(monkeypatch, bert, 3, out_of_memory)
    bert.read([" ".join(letters) for letters in ("abc", "abd", "abe", "abf", "abg")], 1000)
    assert seen == [(5, 5), (2, 5), (3, 5)]


def test_one_text_that_does_not_fit_is_an_error(bert: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    fail_beyond(monkeypatch, bert, 0, out_of_memory)
    with pytest.raises(SteerxError) as caught:
        bert.read(["a b c", "d"], 100)
    assert str(caught.value) == (
        "one text of 5 tokens does not fit in memory beside the BERTScore model: choose a smaller --bertscore-model"
    )


@pytest.mark.parametrize("texts", [["a"], ["a", "b"]])
def test_what_is_not_about_memory_is_not_hidden(
    bert: Reader, texts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_beyond(monkeypatch, bert, 0, lambda: RuntimeError("shapes do not match"))
    with pytest.raises(RuntimeError, match="shapes do not match"):
        bert.read(texts, 100)


# --- models that are refused, or told of ------------------------------------------------------------------------------


@pytest.mark.parametrize("layer", [-1, 0, LAYERS + 1])
@pytest.mark.parametrize("kind", ["led", "bert"])
def test_a_layer_that_is_not_there(folders: dict[str, Path], kind: str, layer: int) -> None:
    with pytest.raises(SteerxError) as caught:
        read_by(folders[kind], layer)
    assert str(caught.value) == (
        f"model {str(folders[kind])!r} has {LAYERS} layers, and --bertscore-layer is {layer}: name one from 1 to "
        f"{LAYERS}"
    )


def test_a_model_without_a_list_of_layers(tmp_path: Path) -> None:
    folder = write_encoder(tmp_path / "albert", "albert")
    with pytest.raises(SteerxError) as caught:
        read_by(folder, 1)
    assert str(caught.value) == (
        f"model {str(folder)!r} has no list of layers that steerx finds: name another --bertscore-model"
    )


@pytest.mark.parametrize("kind", ["led", "bert", "t5", "qwen2"])
def test_a_new_model_is_untrained_until_a_norm_changes(kind: str) -> None:
    model = make_model(kind, trained=False)
    assert not is_trained(model)
    assert is_trained(make_model(kind))
    norms = [module for module in model.modules() if "Norm" in type(module).__name__]
    for norm in (norms[0], norms[-1]):
        weight: Any = norm.weight
        with torch.no_grad():
            weight.mul_(0.5)
            assert not is_trained(model)
            weight[-1] += 0.01
            assert is_trained(model)
            weight.fill_(1)


def test_a_model_without_norms_counts_as_trained() -> None:
    plain: Any = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.LayerNorm(2, elementwise_affine=False))
    assert is_trained(plain)


def test_a_reader_tells_whether_its_model_was_trained(tmp_path: Path, readers: dict[str, Reader]) -> None:
    assert readers["led"].trained
    assert not read_by(write_encoder(tmp_path / "new", "led", trained=False)).trained


def test_what_is_behind_the_layer_counts_too(tmp_path: Path) -> None:
    folder = tmp_path / "half"
    write_encoder(folder, "bert", trained=False)
    model: Any = make_model("bert", trained=False)
    with torch.no_grad():
        model.encoder.layer[-1].output.LayerNorm.weight[0] = 2
    model.save_pretrained(folder)
    assert read_by(folder, 1).trained
