"""Everything that decides a description."""

from collections.abc import Mapping
from dataclasses import dataclass

from steerx_cli.lm.frames import PromptFormat
from steerx_cli.lm.templates import Smoothing, Task


@dataclass(frozen=True)
class Wording:
    """What a model is asked with, and how long it may answer."""

    task: Task
    smoothing: Smoothing
    prompt_format: PromptFormat = "chat"
    max_new_tokens: int = 256

    def parameters(self) -> Mapping[str, object]:
        """All of it."""
        return {
            "task": self.task.name,
            "task_fingerprint": self.task.fingerprint,
            "smoothing": self.smoothing.name,
            "smoothing_version": self.smoothing.version,
            "smoothing_fingerprint": self.smoothing.fingerprint,
            "prompt_format": self.prompt_format,
            "max_new_tokens": self.max_new_tokens,
        }


@dataclass(frozen=True)
class Settings:
    """Everything, beside the model and what is read."""

    mode: str  # llm: a model describes; join: the anchors as they are; raw: the whole texts as they are
    wording: Wording | None = None  # with llm
    of: str = "anchors"  # with llm: or texts, whole
    unit: str = "span"  # of anchors: spans, whole words, or the scorer's tokens
    describe: str = "both"  # each history, and each query's histories together; or one of the two

    def __post_init__(self) -> None:
        """A model has to be asked with something."""
        if self.mode == "llm" and self.wording is None:
            raise ValueError("a model is asked with nothing")

    @property
    def whole(self) -> bool:
        """Whether anchors do not count."""
        return self.mode == "raw" or (self.mode == "llm" and self.of == "texts")

    def parameters(self) -> Mapping[str, object]:
        """The settings that are looked at."""
        looked_at: dict[str, object] = {"mode": self.mode, "describe": self.describe}
        if not self.whole:
            looked_at["unit"] = self.unit
        if self.mode == "llm" and self.wording:
            looked_at |= {"of": self.of, **self.wording.parameters()}
        return looked_at
