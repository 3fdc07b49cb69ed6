"""The methods, and everything else that decides what is written."""

from collections.abc import Mapping
from dataclasses import dataclass

from steerx_cli.core.errors import SteerxError
from steerx_cli.core.strengths import refuse_unweighable
from steerx_cli.lm.frames import PromptFormat
from steerx_cli.lm.sampling import Sampling
from steerx_cli.lm.steer import Steering
from steerx_cli.lm.templates import Task

# The streams of a method: the prompt with the histories, with the description, with nothing of the user.
H, S, NONE = "H", "S", "∅"
STREAMS = {
    "non-perso": (NONE,),
    "rag": (H,),
    "cos": (H, NONE),
    "steerx-cos": (H, S, NONE),
    "cas": (H,),
    "steerx-cas": (H,),
}
VECTOR = "a"  # what is added to hidden states
BY_LOGITS, BY_VECTOR = ("cos", "steerx-cos"), ("cas", "steerx-cas")
NEEDS = {method: (*streams, *([VECTOR] if method in BY_VECTOR else [])) for method, streams in STREAMS.items()}
# What a method comes to without one of them: F_S = 0 and a = 0 are RAG, and without histories nothing is known of the
# user.
WITHOUT = {H: "non-perso", S: "rag", VECTOR: "rag"}


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
    gamma2s: tuple[float | None, ...] = (
        None,
    )  # None where it has no γ2; one of both has one value, so they count once
    steering: Steering | None = None  # where a vector is added; None where the method has none
    over: str = "queries"  # or histories, whose own inputs are answered
    profiles_of: str = "own"  # or other: the description is another user's
    described_by: str = "query"  # S is the description of all histories together; or history, those of each
    vectors_of: str = "own"  # or other: the vector is another user's; or mean: that of all users
    missing: str = "fallback"  # or error: what is done without histories, a description or a vector
    prompt_format: PromptFormat = "chat"
    max_new_tokens: int = 512
    sampling: Sampling | None = None
    seed: int = 0
    batch_size: int = 32
    batch_tokens: int = 8192
    raw: bool = False  # the descriptions are the histories themselves
    unit: bool = False  # the vectors were built with the length 1, and what cas takes of them is given it, too

    def __post_init__(self) -> None:
        """Refuse what makes no sense together, before anything is read."""
        if self.over == "histories" and self.method != "non-perso":
            raise SteerxError(
                f"--over histories asks for texts in which nothing is of the user, and --method {self.method} steers: "
                "name --method non-perso"
            )
        for flag, strengths in (("--lam", self.lams), ("--gamma2", self.gamma2s)):
            for strength in strengths:
                if strength is not None:
                    refuse_unweighable(flag, strength)
            if len(set(strengths)) < len(strengths):
                raise SteerxError(f"a {flag} is given twice: each is a row of its own")

    @property
    def strengths(self) -> list[tuple[float | None, float | None]]:
        """λ and γ2 of each row that a question gets."""
        return [(lam, gamma2) for lam in self.lams for gamma2 in self.gamma2s]

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
        needs = NEEDS[self.method]
        if self.method in BY_LOGITS:
            looked_at["lam"] = list(self.lams)
        if self.steering:
            looked_at |= {"gamma2": list(self.gamma2s), "vectors_of": self.vectors_of}
            looked_at |= {"layer": self.steering.layer, "positions": self.steering.positions}
        if H in needs:
            looked_at["missing"] = self.missing
        if S in needs:
            looked_at |= {"profiles_of": self.profiles_of, "described_by": self.described_by}
        if self.sampling:
            looked_at |= {"temperature": self.sampling.temperature, "top_p": self.sampling.top_p}
        if self.sampling or self.draws_donors:
            looked_at["seed"] = self.seed
        return looked_at

    @property
    def vector_column(self) -> str:
        """Which of the vectors' columns is added: Eq. 5's by itself, or Eq. 17's."""
        return "from_histories" if self.method == "cas" else "vector"

    @property
    def draws_donors(self) -> bool:
        """Whether each user gets what is another's."""
        needs = NEEDS[self.method]
        return (S in needs and self.profiles_of == "other") or (VECTOR in needs and self.vectors_of == "other")
