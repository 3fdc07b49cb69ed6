"""Training from scratch: what is learnt, that it is the same every time, and that transformers loads what comes out."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast

from steerx_cli.core.errors import Interrupted, SteerxError
from steerx_cli.core.progress import Silent
from steerx_cli.lm.frames import PLAIN, make_frame
from steerx_cli.lm.pretrain import CHAT, END, TURN, Recipe, Trainer, cut, encode, make_tokenizer
from steerx_cli.lm.prompt import Histories, History, Item, NoBlock, Prompt, render
from steerx_cli.lm.templates import load_task

TINY = Recipe(
    tokens=26_000, tokens_per_step=256, documents_per_pool=8, vocabulary=320, hidden=16, layers=2, heads=2,
    key_value_heads=1, feed_forward=32,
)  # fmt: skip
ADJECTIVES = ["bright", "quiet", "crooked", "patient"]


def document(number: int) -> Prompt:
    said = ADJECTIVES[number % 4]
    histories = tuple(
        History(Item("", {"title": f"Film {number} {other}"}), f"How {said}, café!") for other in range(number % 3)
    )
    frame = CHAT if number % 2 else PLAIN
    block = Histories(histories) if histories else NoBlock()
    return render(load_task("review"), frame, Item("", {"title": f"Film {number}"}), block, f"How {said}, said I.")


def pool(number: int, done: float) -> list[Prompt]:
    return [document(8 * number + place + round(done)) for place in range(8)]


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return make_tokenizer((document(number).text for number in range(20)), TINY.vocabulary)


class Stopping(Silent):
    """Somebody who presses Ctrl-C."""

    def __init__(self, after: int) -> None:
        self.left = after

    def advance(self, amount: int) -> None:
        self.left -= amount
        if self.left <= 0:
            raise KeyboardInterrupt


def weights(trainer: Trainer) -> dict[str, bytes]:
    return {name: weight.detach().numpy().tobytes() for name, weight in trainer.model.named_parameters()}


# --- documents --------------------------------------------------------------------------------------------------------


def test_learnt_are_responses_and_the_end(tokenizer: PreTrainedTokenizerFast) -> None:
    for number in range(6):
        prompt = document(number)
        (example,) = encode(tokenizer, [prompt])
        said = [prompt.text[start:end] for start, end in prompt.responses]
        said += [prompt.text[prompt.response.start :] + (TURN if number % 2 else END)]
        assert tokenizer.decode(example.ids[example.learnt]) == "".join(said)


def test_what_training_saw_is_the_prompt_at_use(tokenizer: PreTrainedTokenizerFast) -> None:
    for number in range(6):
        whole = document(number)
        asked = whole.text[: whole.response.start]
        at_use = tokenizer(asked, add_special_tokens=whole.add_special_tokens)["input_ids"]
        (example,) = encode(tokenizer, [whole])
        assert example.ids[: len(at_use)].tolist() == at_use
        assert not example.learnt[len(at_use) - 1]
        assert example.learnt[len(at_use) :].all()


def test_batches_hold_every_document_once_and_no_more_than_they_may(tokenizer: PreTrainedTokenizerFast) -> None:
    examples = encode(tokenizer, [document(number) for number in range(40)])
    batches = cut(examples, 300)
    assert sorted(id(example) for batch in batches for example in batch) == sorted(map(id, examples))
    assert all(len(batch) * max(len(example.ids) for example in batch) <= 300 for batch in batches)
    assert len(batches) < 40
    assert [len(batch) for batch in cut(examples[:3], 1)] == [1, 1, 1]


def test_padding_changes_no_loss(tokenizer: PreTrainedTokenizerFast) -> None:
    trainer = Trainer(tokenizer, pool, TINY)
    batch = encode(tokenizer, [document(number) for number in range(3)])
    sizes = [int(example.learnt[1:].sum()) for example in batch]
    alone = [trainer.loss([example]).item() * size for example, size in zip(batch, sizes, strict=True)]
    # bfloat16 rounds each sum a little differently
    assert trainer.loss(batch).item() == pytest.approx(sum(alone) / sum(sizes), abs=5e-3)


# --- the same every time ----------------------------------------------------------------------------------------------


def test_the_first_hundred_steps_are_the_same_twice(tokenizer: PreTrainedTokenizerFast) -> None:
    def losses() -> list[float]:
        trainer = Trainer(tokenizer, pool, TINY)
        return [trainer.step(batch) for batch, _ in zip(trainer.batches(), range(100), strict=False)]

    first = losses()
    assert len(first) == 100
    assert first == losses()
    assert sum(first[-10:]) < 0.7 * sum(first[:10])


def test_another_seed_is_another_model(tokenizer: PreTrainedTokenizerFast) -> None:
    assert weights(Trainer(tokenizer, pool, TINY)) != weights(Trainer(tokenizer, pool, replace(TINY, seed=1)))


@pytest.mark.parametrize("after", [1, 1_500, 7_000])
def test_stopped_and_gone_on_with_is_as_if_never_stopped(
    after: int, tokenizer: PreTrainedTokenizerFast, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = replace(TINY, tokens=10_000)
    whole = Trainer(tokenizer, pool, recipe)
    whole.run(tmp_path / "whole", Silent())
    monkeypatch.setattr("steerx_cli.lm.pretrain._KEEP_EVERY", 2_000)
    kept = "0" if after < 2_000 else r"[2-7],\d{3}"
    with pytest.raises(Interrupted, match=f"the same command goes on at {kept} tokens"):
        Trainer(tokenizer, pool, recipe).run(tmp_path / "stopped", Stopping(after))
    again = Trainer(tokenizer, pool, recipe)
    again.run(tmp_path / "stopped", Silent())
    assert again.losses == whole.losses
    assert weights(again) == weights(whole)
    assert replace(again.place, seconds=0) == replace(whole.place, seconds=0)


def test_stopped_in_the_middle_of_a_step_is_as_if_never_stopped(
    tokenizer: PreTrainedTokenizerFast, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("steerx_cli.lm.pretrain._KEEP_EVERY", 2_000)
    recipe = replace(TINY, tokens=6_000)
    whole, stopped, again = (Trainer(tokenizer, pool, recipe) for _ in range(3))
    whole.run(tmp_path / "whole", Silent())
    (_, _), (last, _) = stopped._optimizers
    steps = iter([None] * 15)
    learn = last.step

    def step() -> None:
        if next(steps, "stop") == "stop":
            raise KeyboardInterrupt
        learn()

    monkeypatch.setattr(last, "step", step)
    with pytest.raises(Interrupted):
        stopped.run(tmp_path / "stopped", Silent())
    again.run(tmp_path / "stopped", Silent())
    assert again.losses == whole.losses
    assert weights(again) == weights(whole)


def test_a_loss_that_is_no_number_ends_it(tokenizer: PreTrainedTokenizerFast) -> None:
    trainer = Trainer(tokenizer, pool, replace(TINY, vector_rate=float("inf")))
    with pytest.raises(SteerxError, match=r"the loss is no number after [\d,]+ tokens"):
        [trainer.step(batch) for batch in trainer.batches()]


def test_a_damaged_checkpoint_is_refused(tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    Trainer(tokenizer, pool, TINY).keep(tmp_path)
    whole = (tmp_path / "training.pt").read_bytes()
    for damaged in (b"", b"no checkpoint", whole[: len(whole) // 2]):
        (tmp_path / "training.pt").write_bytes(damaged)
        with pytest.raises(SteerxError, match="is damaged: remove it to begin anew"):
            Trainer(tokenizer, pool, TINY).resume(tmp_path)


def test_a_checkpoint_of_other_documents_is_refused(tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    Trainer(tokenizer, pool, TINY).keep(tmp_path)
    with pytest.raises(SteerxError, match="or other documents"):
        Trainer(tokenizer, lambda number, done: pool(number + 1, done), TINY).resume(tmp_path)


def test_the_budget_ends_it_and_a_second_run_does_nothing(tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    recipe = replace(TINY, tokens=2_000)
    trainer = Trainer(tokenizer, pool, recipe)
    trainer.run(tmp_path, Silent())
    assert 2_000 <= trainer.place.tokens < 2_000 + recipe.tokens_per_step
    again = Trainer(tokenizer, pool, recipe)
    again.run(tmp_path, Silent())
    assert again.place == trainer.place
    assert [path.name for path in tmp_path.iterdir()] == ["training.pt"]


def test_a_checkpoint_of_another_recipe_is_refused(tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    Trainer(tokenizer, pool, TINY).keep(tmp_path)
    with pytest.raises(SteerxError, match="is of another recipe"):
        Trainer(tokenizer, pool, replace(TINY, matrix_rate=0.01)).resume(tmp_path)


def test_checkpoints_come_as_tokens_go(
    tokenizer: PreTrainedTokenizerFast, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("steerx_cli.lm.pretrain._KEEP_EVERY", 500)
    kept: list[Path] = []
    trainer = Trainer(tokenizer, pool, replace(TINY, tokens=2_000))
    monkeypatch.setattr(trainer, "keep", kept.append)
    trainer.run(tmp_path, Silent())
    assert len(kept) == 5


# --- what comes out ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def saved(tokenizer: PreTrainedTokenizerFast, tmp_path_factory: pytest.TempPathFactory) -> tuple[Trainer, Path]:
    folder = tmp_path_factory.mktemp("saved")
    trainer = Trainer(tokenizer, pool, replace(TINY, tokens=1_000))
    trainer.run(folder / "work", Silent())
    trainer.save(folder / "model")
    return trainer, folder / "model"


def test_transformers_loads_it(saved: tuple[Trainer, Path], tokenizer: PreTrainedTokenizerFast) -> None:
    trainer, folder = saved
    model, again = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    text = document(3).text
    ids = again(text)["input_ids"]
    assert ids == tokenizer(text)["input_ids"]
    assert again.decode(ids) == text
    row = torch.tensor([ids])
    with torch.no_grad():
        assert torch.equal(model(row).logits, trainer.model(row).logits)
    assert type(model).__name__ == "Qwen3ForCausalLM"
    assert model.generation_config.eos_token_id == again.convert_tokens_to_ids([TURN, END])


def test_its_chat_template_makes_the_frame_that_training_saw(saved: tuple[Trainer, Path]) -> None:
    assert make_frame("chat", AutoTokenizer.from_pretrained(saved[1])) == CHAT


def test_everybody_may_read_it(saved: tuple[Trainer, Path]) -> None:
    assert all(path.stat().st_mode & 0o444 == 0o444 for path in saved[1].iterdir())


def test_its_record_tells_what_it_cost(saved: tuple[Trainer, Path]) -> None:
    trainer, folder = saved
    record = json.loads((folder / "training.json").read_text())
    assert record["recipe"]["tokens"] == 1_000
    assert record["tokens"] == trainer.place.tokens
    assert record["steps"] == len(trainer.losses)
    assert record["parameters"] == sum(weight.numel() for weight in trainer.model.parameters())
    assert record["loss"][0] > record["loss"][-1]
