"""Train a small language model from scratch, of Qwen3's architecture, on prompts and what people answer to them.

Learnt is what answers a prompt: each document's response and the responses of the histories in it. The budget is in
tokens, so that the speed of a machine decides nothing.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from pickle import UnpicklingError
from random import Random
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch

from steerx_cli.core.errors import Interrupted, SteerxError
from steerx_cli.core.progress import Progress
from steerx_cli.core.provenance import fingerprint
from steerx_cli.lm.frames import Frame
from steerx_cli.lm.prompt import Prompt, Span, tokens_in

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast, Qwen3Config

    from steerx_cli.lm.models import Tokenizer

END, START, TURN = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
CHAT = Frame("chat", f"{START}user\n", f"{TURN}\n{START}assistant\n")  # what the template makes of a message
CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@dataclass(frozen=True)
class Recipe:
    """What is chosen of a training, beside its documents."""

    seed: int = 0
    tokens: int = 16_000_000
    tokens_per_step: int = 8_192
    documents_per_pool: int = 256
    vocabulary: int = 2_048
    hidden: int = 128
    layers: int = 4
    heads: int = 6
    key_value_heads: int = 3
    head: int = 32
    feed_forward: int = 320
    context: int = 2_048
    matrix_rate: float = 0.02  # Muon's, for the matrices of the blocks
    vector_rate: float = 0.003  # AdamW's, for the embedding and the norms
    warm_up: float = 0.01  # the share of the budget in which the rates rise
    cool_down: float = 0.5  # the share, at the end, in which they fall to nothing


# --- tokenizer and model ----------------------------------------------------------------------------------------------


def make_tokenizer(texts: Iterable[str], vocabulary: int) -> "PreTrainedTokenizerFast":
    """A byte-level BPE tokenizer with a chat template in the manner of Qwen's."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[END, START, TURN],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer,
        eos_token=TURN,
        pad_token=END,
        chat_template=CHAT_TEMPLATE,
        clean_up_tokenization_spaces=False,
    )


def _config(tokenizer: "PreTrainedTokenizerFast", recipe: Recipe) -> "Qwen3Config":
    from transformers import Qwen3Config

    return Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=recipe.hidden,
        intermediate_size=recipe.feed_forward,
        num_hidden_layers=recipe.layers,
        num_attention_heads=recipe.heads,
        num_key_value_heads=recipe.key_value_heads,
        head_dim=recipe.head,
        max_position_embeddings=recipe.context,
        rope_parameters={"rope_type": "default", "rope_theta": 10_000.0},
        tie_word_embeddings=True,
        # Of all matrices; for the embedding, wide enough that words of one kind stay apart while they are still equally
        # likely everywhere: with the usual 0.02 those that were not soon copied became one, and then never were.
        initializer_range=recipe.hidden**-0.5,
        bos_token_id=None,
        eos_token_id=_id(tokenizer, TURN),
        pad_token_id=_id(tokenizer, END),
    )


def _id(tokenizer: "PreTrainedTokenizerFast", token: str) -> int:
    number = tokenizer.convert_tokens_to_ids(token)
    assert isinstance(number, int)
    return number


# --- documents → batches ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Example:
    """A document in tokens, and which of them are learnt."""

    ids: npt.NDArray[np.int64]
    learnt: npt.NDArray[np.bool_]


def encode(tokenizer: "Tokenizer", prompts: Sequence[Prompt]) -> list[Example]:
    """Documents as the program tokenises its prompts, once and whole, each closed by the end of its response."""
    texts = [prompt.text + (END if prompt.add_special_tokens else TURN) for prompt in prompts]
    encoded = tokenizer(texts, return_offsets_mapping=True, add_special_tokens=False)
    return [
        Example(np.array(ids), _learnt(prompt, text, offsets))
        for prompt, text, ids, offsets in zip(
            prompts, texts, encoded["input_ids"], encoded["offset_mapping"], strict=True
        )
    ]


def _learnt(prompt: Prompt, text: str, offsets: Sequence[tuple[int, int]]) -> npt.NDArray[np.bool_]:
    learnt = np.zeros(len(offsets), dtype=bool)
    for span in (*prompt.responses, Span(prompt.response.start, len(text))):
        learnt[tokens_in(span, text, offsets)] = True
    return learnt


def cut(examples: Iterable[Example], tokens: int) -> list[list[Example]]:
    """Batches of documents of similar length, each of `tokens` tokens at most, padding included."""
    batches: list[list[Example]] = [[]]
    for example in sorted(examples, key=lambda example: len(example.ids)):
        if batches[-1] and len(example.ids) * (len(batches[-1]) + 1) > tokens:
            batches.append([])
        batches[-1].append(example)
    return batches


def _padded(batch: Sequence[Example]) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids and what is learnt, filled up on the right: under a causal mask no token sees what stands behind it."""
    longest = max(len(example.ids) for example in batch)
    ids, learnt = (np.zeros((len(batch), longest), dtype=kind) for kind in (np.int64, np.bool_))
    for row, example in enumerate(batch):
        ids[row, : len(example.ids)] = example.ids
        learnt[row, : len(example.ids)] = example.learnt
    return torch.from_numpy(ids), torch.from_numpy(learnt)


# --- training ---------------------------------------------------------------------------------------------------------

Pools: TypeAlias = Callable[[int, float], Sequence[Prompt]]  # the n-th documents, when this share of the budget is used

_KEEP_EVERY = 1_000_000  # tokens between two checkpoints: two minutes on two cores


@dataclass
class Place:
    """How far a training is."""

    tokens: int = 0
    pool: int = 0
    pool_began: int = 0  # tokens
    batch: int = 0  # in its pool
    seconds: float = 0.0  # in steps


class Trainer:
    """A model in training; on a CPU, the same recipe and documents give the same model, stopped on the way or not."""

    def __init__(self, tokenizer: "PreTrainedTokenizerFast", pools: Pools, recipe: Recipe, device: str = "cpu") -> None:
        """The model as it is before the first step."""
        from transformers import Qwen3ForCausalLM

        torch.manual_seed(recipe.seed)
        self.tokenizer, self.pools, self.recipe = tokenizer, pools, recipe
        self.device = torch.device(device)
        self.model = Qwen3ForCausalLM(_config(tokenizer, recipe))
        self.model.to(self.device)  # type: ignore[arg-type]
        named = list(self.model.named_parameters())
        matrices = [weight for name, weight in named if weight.ndim == 2 and "embed" not in name]
        vectors = [weight for name, weight in named if weight.ndim != 2 or "embed" in name]
        self._optimizers: list[tuple[torch.optim.Optimizer, float]] = [
            (torch.optim.Muon(matrices, weight_decay=0.01), recipe.matrix_rate),
            (torch.optim.AdamW(vectors, betas=(0.9, 0.98), weight_decay=0.0), recipe.vector_rate),
        ]
        self.place = Place()
        self.losses: list[float] = []

    @property
    def done(self) -> float:
        """The share of the budget that is used."""
        return self.place.tokens / self.recipe.tokens

    def run(self, work: Path, progress: Progress) -> None:
        """Train to the end, from where `work` has it, with checkpoints there."""
        self.resume(work)
        kept = self.place.tokens
        progress.start("training", self.recipe.tokens, "tokens", done=kept)
        try:
            for batch in self.batches():
                before = self.place.tokens
                self.step(batch)
                progress.advance(self.place.tokens - before)
                if self.place.tokens // _KEEP_EVERY > before // _KEEP_EVERY:
                    self.keep(work)
                    kept = self.place.tokens
            self.keep(work)
        except KeyboardInterrupt as interrupt:  # perhaps in the middle of a step, which is not to be kept
            raise Interrupted(f"the same command goes on at {kept:,} tokens") from interrupt

    def batches(self) -> Iterator[list[Example]]:
        """What is left to learn, as long as the budget lasts."""
        while self.done < 1:
            place = self.place
            documents = self.pools(place.pool, place.pool_began / self.recipe.tokens)
            batches = cut(encode(self.tokenizer, documents), self.recipe.tokens_per_step)
            Random(place.pool).shuffle(batches)
            while place.batch < len(batches) and self.done < 1:
                place.batch += 1
                yield batches[place.batch - 1]
            self.place = replace(place, pool=place.pool + 1, pool_began=place.tokens, batch=0)

    def step(self, batch: Sequence[Example]) -> float:
        """Learn from one batch; the loss before it."""
        began = monotonic()
        # Above nothing at the very first step, so that it counts.
        pace = min(1.0, (self.done + 1e-4) / self.recipe.warm_up, (1 - self.done) / self.recipe.cool_down)
        for optimizer, rate in self._optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate * pace
            optimizer.zero_grad()
        loss = self.loss(batch)
        if not loss.isfinite():
            raise SteerxError(f"the loss is no number after {self.place.tokens:,} tokens: lower the recipe's rates")
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for optimizer, _ in self._optimizers:
            optimizer.step()
        self.losses.append(loss.item())
        self.place.tokens += sum(len(example.ids) for example in batch)
        self.place.seconds += monotonic() - began
        return self.losses[-1]

    def loss(self, batch: Sequence[Example]) -> torch.Tensor:
        """The mean −log p of the learnt tokens; logits are computed for no others."""
        ids, learnt = (tensor.to(self.device) for tensor in _padded(batch))
        with torch.autocast(self.device.type, torch.bfloat16):
            states = self.model.model(ids[:, :-1], use_cache=False).last_hidden_state
            logits = self.model.lm_head(states[learnt[:, 1:]])
        return torch.nn.functional.cross_entropy(logits.float(), ids[:, 1:][learnt[:, 1:]])

    # --- checkpoints --------------------------------------------------------------------------------------------------

    def keep(self, work: Path) -> None:
        """Leave a checkpoint, in one rename."""
        work.mkdir(parents=True, exist_ok=True)
        new = work / f"{_CHECKPOINT}.new"
        torch.save(
            {
                "recipe": asdict(self.recipe),
                "documents": self._documents(),
                "place": asdict(self.place),
                "losses": self.losses,
                "model": self.model.state_dict(),
                "optimizers": [optimizer.state_dict() for optimizer, _ in self._optimizers],
            },
            new,
        )
        new.replace(work / _CHECKPOINT)

    def resume(self, work: Path) -> None:
        """Go on from the checkpoint, if there is one."""
        path = work / _CHECKPOINT
        if not path.exists():
            return
        try:
            kept = torch.load(path, weights_only=True, map_location=self.device)
        except (RuntimeError, EOFError, OSError, UnpicklingError) as error:
            raise SteerxError(f"{path} is damaged: remove it to begin anew") from error
        if (kept["recipe"], kept["documents"]) != (asdict(self.recipe), self._documents()):
            raise SteerxError(f"{path} is of another recipe or other documents: remove it to begin anew")
        self.model.load_state_dict(kept["model"])
        for (optimizer, _), state in zip(self._optimizers, kept["optimizers"], strict=True):
            optimizer.load_state_dict(state)
        self.place, self.losses = Place(**kept["place"]), kept["losses"]

    def _documents(self) -> str:
        """What is learnt from, by a sample from every stage of the training, and its tokens."""
        texts = [prompt.text for done in (0.0, 0.25, 0.5, 0.75, 1.0) for prompt in self.pools(0, done)]
        return fingerprint([*texts, self.tokenizer.backend_tokenizer.to_str()])

    def save(self, folder: Path) -> None:
        """Write the model as transformers loads it, with a record of its training."""
        from transformers import GenerationConfig
        from transformers.utils import logging

        logging.disable_progress_bar()  # type: ignore[no-untyped-call]
        ends = [_id(self.tokenizer, token) for token in (TURN, END)]
        settings: dict[str, Any] = {"do_sample": False, "eos_token_id": ends, "pad_token_id": ends[1]}
        self.model.generation_config = GenerationConfig.from_dict(settings)
        self.model.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)
        _set_tokenizer_class(folder / "tokenizer_config.json")
        (folder / "model.safetensors").chmod(0o644)  # safetensors makes files that only their owner can read
        _write_json(folder / _RECORD, self.record())  # last: where it stands, the model is whole

    def record(self) -> dict[str, Any]:
        """What the training was: recipe, cost, and the loss along the way."""
        stride = max(1, len(self.losses) // 50)
        curve = [round(float(np.mean(self.losses[at : at + stride])), 4) for at in range(0, len(self.losses), stride)]
        return {
            "recipe": asdict(self.recipe),
            "parameters": sum(weight.numel() for weight in self.model.parameters()),
            "documents": self.place.pool * self.recipe.documents_per_pool,  # of the last pool perhaps not all
            "steps": len(self.losses),
            "tokens": self.place.tokens,
            "seconds": round(self.place.seconds),
            "device": self.device.type,
            "threads": torch.get_num_threads(),
            "loss": curve,
        }


_CHECKPOINT, _RECORD = "training.pt", "training.json"


def read_record(folder: Path) -> dict[str, Any]:
    """What a saved model's training was."""
    try:
        record: dict[str, Any] = json.loads((folder / _RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SteerxError(
            f"{folder} holds no model whose training was finished: `make demo-model` trains it"
        ) from error
    return record


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _set_tokenizer_class(path: Path) -> None:
    """The class by the name that every transformers knows; 5.23 writes that of its own internals."""
    config = json.loads(path.read_text(encoding="utf-8"))
    _write_json(path, {**config, "tokenizer_class": "PreTrainedTokenizerFast"})
