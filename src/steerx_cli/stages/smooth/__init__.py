"""`steerx smooth`: anchors → a style description of their user (Eq. 14)."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, Self

from steerx_cli.core.errors import SteerxError
from steerx_cli.core.job import Compute, Job, Work
from steerx_cli.core.progress import Progress
from steerx_cli.core.schemas import EFFECTS, PROFILES, SCORES
from steerx_cli.core.scope import Scope
from steerx_cli.core.sources import Source
from steerx_cli.core.summary import Summary
from steerx_cli.lm.models import ModelRequest, pinned
from steerx_cli.stages.smooth.settings import Settings

if TYPE_CHECKING:
    from steerx_cli.lm.exchange import Server

STAGE = "smooth"


# --- who describes ----------------------------------------------------------------------------------------------------


class Smoother(Protocol):
    """Whoever makes descriptions of pieces."""

    def named(self, *, download: bool) -> tuple[Self, Mapping[str, Mapping[str, str]]]:
        """The very model that is meant, and what a provenance keeps of it."""

    def parameters(self) -> Mapping[str, object]:
        """What else decides its words."""

    def prepare(self, settings: Settings, parts: Path) -> Compute:
        """Get ready, and give what is done with each chunk."""

    def notes(self) -> Sequence[str]:
        """What this run met with; it is no part of what was made."""


@dataclass(frozen=True)
class OnThisMachine:
    """A model that is loaded, and how much it does at once."""

    model: ModelRequest
    batch_size: int = 32
    batch_tokens: int = 8192

    def named(self, *, download: bool) -> tuple[Self, Mapping[str, Mapping[str, str]]]:
        """The commit is held on to."""
        model, record = pinned(self.model, download=download)
        return replace(self, model=model), {"smoother": record}

    def parameters(self) -> Mapping[str, object]:
        """As for everything that goes through a model side by side."""
        return {"batch_size": self.batch_size, "batch_tokens": self.batch_tokens}

    def prepare(self, settings: Settings, parts: Path) -> Compute:  # noqa: ARG002 - chunks are kept, nothing else
        """Load the model."""
        from steerx_cli.lm.causal import CausalLM
        from steerx_cli.lm.decode import Decoding
        from steerx_cli.lm.frames import make_frame
        from steerx_cli.stages.smooth.local import Local
        from steerx_cli.stages.smooth.profiles import Profiles

        assert settings.wording
        lm = CausalLM.load(self.model)
        frame = make_frame(settings.wording.prompt_format, lm.tokenizer)
        return Profiles(settings, Local(lm, frame, Decoding(self.batch_size, self.batch_tokens)))

    def notes(self) -> Sequence[str]:
        """Nothing."""
        return ()


@dataclass(frozen=True)
class OnServer:
    """A model on a server, asked through the API that OpenAI's servers have."""

    server: "Server"
    tally: Counter[str] = field(default_factory=Counter)

    def named(self, *, download: bool) -> tuple[Self, Mapping[str, Mapping[str, str]]]:  # noqa: ARG002 - nothing to
        """A server tells neither weights nor their format; where it stands, and a folder there, is no part of what was
        made."""
        name = Path(self.server.model).name if self.server.model.startswith(("/", ".", "~")) else self.server.model
        told = {"id": name, "revision": "served", "weights": "unknown", "dtype": "unknown"}
        return self, {"smoother": told}

    def parameters(self) -> Mapping[str, object]:
        """How many requests are under way at once changes nothing."""
        return {}

    def prepare(self, settings: Settings, parts: Path) -> Compute:
        """What was answered is kept until all is done, so that nothing is asked again after a stop."""
        from steerx_cli.lm.endpoint import Asker, key_from_environment
        from steerx_cli.lm.journal import Journal
        from steerx_cli.stages.smooth.profiles import Profiles
        from steerx_cli.stages.smooth.writers import Served

        answers, key = parts / "answers.jsonl", key_from_environment()
        has_answered = answers.exists()
        asker = Asker(self.server, key, Journal(answers))
        return Profiles(settings, Served(asker, self.tally, has_answered=has_answered))

    def notes(self) -> Sequence[str]:
        """How often it was asked again, and what need not be asked."""
        return [f"{name}: {number:,}" for name, number in sorted(self.tally.items()) if number]


@dataclass(frozen=True)
class Nobody:
    """The user's own words are put together."""

    def named(self, *, download: bool) -> tuple[Self, Mapping[str, Mapping[str, str]]]:  # noqa: ARG002 - nothing to
        """There is no model."""
        return self, {}

    def parameters(self) -> Mapping[str, object]:
        """None."""
        return {}

    def prepare(self, settings: Settings, parts: Path) -> Compute:  # noqa: ARG002 - nothing to keep
        """Nothing is loaded."""
        from steerx_cli.stages.smooth.profiles import Profiles

        return Profiles(settings, None)

    def notes(self) -> Sequence[str]:
        """Nothing."""
        return ()


# --- the stage --------------------------------------------------------------------------------------------------------


def refuse_generations(scores: Source) -> None:
    """What a model wrote says nothing of its user."""
    records = (entry["record"] for entry in scores.footer.ancestry.values())
    if any(each["artifact"] == EFFECTS.name and each["parameters"].get("over") == "generations" for each in records):
        raise SteerxError(
            f"{scores.where} has scores of texts that a model wrote: name those of histories, which "
            "`steerx score-tokens --over histories` writes"
        )


def run(settings: Settings, smoother: Smoother, scores: Path, scope: Scope, progress: Progress) -> Summary:
    """Read anchors, have them described, write the descriptions."""
    source = Source(SCORES, scores)
    refuse_generations(source)
    smoother, models = smoother.named(download=not scope.dry_run)
    parameters = {**settings.parameters(), **smoother.parameters()}
    job = Job(Work(STAGE, PROFILES, "scores", {"scores": source}, parameters, models), scope)
    summary = job.run(partial(smoother.prepare, settings, job.parts), progress)
    return replace(summary, notes=(*summary.notes, *smoother.notes()))
