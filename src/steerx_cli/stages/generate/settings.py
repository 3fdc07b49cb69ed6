"""The methods, and everything else that decides what is written."""

from collections.abc import Mapping
from dataclasses import dataclass

from steerx_cli.core.errors import SteerxError
from steerx_cli.lm.frames import PromptFormat
from steerx_cli.lm.sampling import Sampling
from steerx_cli.lm.templates import Task

# The streams of a method: the prompt with the histories, with the description, with nothing of the user.
H, S, NONE = "H", "S", "∅"
STREAMS = {"non-perso": (NONE,), "rag": (H,), "cos": (H, NONE), "steerx-cos": (H, S, NONE)}
MOST = 10_000  # of λ: beyond it, nothing is left of the histories' own logits but their rounding
# What a method comes to without one of them: F_S = 0 is RAG, and without histories nothing is known of the user.
WITHOUT = {H: "non-perso", S: "rag"}


def weights(method: str, lam: float | None) -> Mapping[str, float]:
    """Steered logits = Σ weight · logits of a stream."""
    if lam is None or len(STREAMS[method]) == 1:  # Eq. 2's terms by themselves
        return {STREAMS[method][0]: 1.0}
    if method == "cos":  # Eq. 3: H + λ (H − ∅)
        return {H: 1 + lam, NONE: -lam}
    return {H: 1.0, S: lam, NONE: -lam}  # Eq. 15 and 16: H + λ (S − ∅)


@dataclass(frozen=True)
class Settings:
    """Everything that decides what is written, beside the model and what it reads."""

    method: str
    task: Task
    lams: tuple[float | None, ...] = (None,)  # None where the method has no λ
    over: str = "queries"  # or histories, whose own inputs are answered
    profiles_of: str = "own"  # or other: the description is another user's
    missing: str = "fallback"  # or error: what is done without histories or a description
    prompt_format: PromptFormat = "chat"
    max_new_tokens: int = 512
    sampling: Sampling | None = None
    seed: int = 0
    batch_size: int = 32
    batch_tokens: int = 8192
    raw: bool = False  # the descriptions are the histories themselves

    def __post_init__(self) -> None:
        """Refuse what makes no sense together, before anything is read."""
        if self.over == "histories" and self.method != "non-perso":
            raise SteerxError(
                f"--over histories asks for texts in which nothing is of the user, and --method {self.method} steers: "
                "name --method non-perso"
            )
        for lam in self.lams:
            if lam is not None and not abs(lam) <= MOST:
                raise SteerxError(f"--lam {lam:g} cannot be weighed in float32: choose one from {-MOST} to {MOST}")
        if len(set(self.lams)) < len(self.lams):
            raise SteerxError("a --lam is given twice: each is a row of its own")

    def parameters(self) -> Mapping[str, object]:
        """The settings that are looked at."""
        looked_at: dict[str, object] = {
            "method": self.method,
            "over": self.over,
            "task": self.task.name,
            "task_fingerprint": self.task.fingerprint,
            "prompt_format": self.prompt_format,
            "max_new_tokens": self.max_new_tokens,
            "batch_size": self.batch_size,
            "batch_tokens": self.batch_tokens,
        }
        streams = STREAMS[self.method]
        if len(streams) > 1:
            looked_at["lam"] = list(self.lams)
        if H in streams:
            looked_at["missing"] = self.missing
        if S in streams:
            looked_at["profiles_of"] = self.profiles_of
        if self.sampling:
            looked_at |= {"temperature": self.sampling.temperature, "top_p": self.sampling.top_p}
        if self.sampling or (S in streams and self.profiles_of == "other"):
            looked_at["seed"] = self.seed
        return looked_at
