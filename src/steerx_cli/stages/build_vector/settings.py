"""Everything that decides a vector."""

from collections.abc import Mapping
from dataclasses import dataclass

from steerx_cli.core.errors import SteerxError
from steerx_cli.core.strengths import refuse_unweighable
from steerx_cli.lm.frames import PromptFormat
from steerx_cli.lm.templates import Task

NEUTRAL = "steerx generate --method non-perso --over histories"  # what writes h̄_i


@dataclass(frozen=True)
class Mix:
    """What is decided without a model: how the parts are put together (Eq. 17)."""

    gamma1: float  # 1 is CAS: the histories alone
    normalize: bool = False  # the vector's length is 1

    def __post_init__(self) -> None:
        """Refuse what would leave nothing but rounding."""
        refuse_unweighable("--gamma1", self.gamma1)

    def parameters(self) -> Mapping[str, object]:
        """Both."""
        return {"gamma1": self.gamma1, "normalize": self.normalize}


@dataclass(frozen=True)
class Settings:
    """Everything, beside the model and what is read."""

    task: Task
    layers: tuple[int, ...]  # from 1: the output of decoder block ℓ
    mix: Mix
    scope: str = "query"  # or user: one vector from all of a user's retrieved histories
    pool: str = "last"  # a text's state: at its last token; or mean, over its tokens
    text: str = "prompted"  # each text stands behind its prompt; or alone
    described_by: str = "history"  # s_i is the description of the history; or query, that of all of them
    select: int | None = None  # so many histories are kept, those closest to the description
    prompt_format: PromptFormat = "chat"
    batch_tokens: int = 8192

    def __post_init__(self) -> None:
        """Refuse what makes no sense together, before anything is read."""
        if not self.layers:
            raise SteerxError("no --layer is given: name one, such as --layer 20, or use --preset")
        if min(self.layers) < 1:
            raise SteerxError(f"--layer is {min(self.layers)}: decoder blocks are counted from 1")
        if len(set(self.layers)) < len(self.layers):
            raise SteerxError("a --layer is given twice: each is a row of its own")

    @property
    def needs_descriptions(self) -> bool:
        """Whether they count: with γ1 = 1 they have no weight (CAS)."""
        return self.mix.gamma1 != 1 or self.select is not None

    def is_worded_as(self, parameters: Mapping[str, object]) -> bool:
        """Whether another run's prompts were worded as these, as far as that is known."""
        known = {"task_fingerprint": self.task.fingerprint, "prompt_format": self.prompt_format}
        return all(parameters.get(name, mine) == mine for name, mine in known.items())

    def parameters(self) -> Mapping[str, object]:
        """The settings that are looked at."""
        looked_at: dict[str, object] = {
            "layers": list(self.layers),
            **self.mix.parameters(),
            "scope": self.scope,
            "pool": self.pool,
            "text": self.text,
            "task": self.task.name,
            "task_fingerprint": self.task.fingerprint,
            "prompt_format": self.prompt_format,
            "batch_tokens": self.batch_tokens,
        }
        if self.needs_descriptions:
            looked_at |= {"described_by": self.described_by, "select_by_description": self.select}
        return looked_at
