"""Which answers are scored, and how."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version

from steerx_cli.core.errors import SteerxError
from steerx_cli.core.provenance import fingerprint
from steerx_cli.lm.models import ModelRequest
from steerx_cli.lm.templates import Task, load_task, task_names
from steerx_cli.metrics import bleu, meteor, rouge

TEXT = ("rouge1", "rougeL", "meteor", "bleu", "bertscore")
OF_LABELS, OF_RATINGS = ("accuracy", "macro-f1", "mcc"), ("mae", "rmse")
_OF_EACH = {"bleu": ("sentence-bleu",)}  # what a metric of all answers is of each
ALL = (*TEXT, *OF_LABELS, *OF_RATINGS)


def task_of(written: Collection[str], given: Task | None, *, typed: bool) -> Task | None:
    """The task of the answers: the one that is typed, else theirs, if it ships with steerx or is the preset's."""
    if given and typed and len(written) > 1:
        raise SteerxError(
            f"the answers were written for several tasks ({', '.join(sorted(written))}): name the files of one, or no "
            "--task"
        )
    if given and typed and given.name not in written:
        raise SteerxError(
            f"the answers were written for the task {', '.join(sorted(written))}, not {given.name}: name that --task, "
            "or leave it out"
        )
    if given and given.name in written:
        return given
    own = [name for name in written if name in task_names()]
    return load_task(own[0]) if len(written) == 1 and own else None


def metrics_of(task: Task | None, named: Sequence[str], *, typed: bool) -> tuple[str, ...]:
    """The metrics that are typed, else those of a preset that fit what the task asks for, else all that do."""
    for name in named:
        if name not in ALL:
            raise SteerxError(f"there is no --metric {name}: name one of {', '.join(ALL)}")
    fitting = OF_LABELS if task and task.labels else OF_RATINGS if task and task.ratings else TEXT
    return tuple(dict.fromkeys(name for name in named if typed or name in fitting)) or fitting


@dataclass(frozen=True)
class BertScoreSettings:
    """Which model compares tokens, and where in it they are compared."""

    model: ModelRequest
    layer: int
    batch_tokens: int = 8192
    name: str = ""  # its id, or its folder's own last name, once that is known


@dataclass(frozen=True)
class Settings:
    """Everything that decides the scores of an answer."""

    metrics: tuple[str, ...]
    split: str = "test"  # development, test or all
    task: Task | None = None
    tokenize: str = "13a"  # of sacrebleu's
    meteor_split: str = "punkt"  # or simple
    download_punkt: bool = False
    bertscore: BertScoreSettings | None = None

    def __post_init__(self) -> None:
        """Refuse what the task has no answers for."""
        for names, has, what in ((OF_LABELS, self.labels, "labels"), (OF_RATINGS, self.ratings, "ratings")):
            wanted = [name for name in self.metrics if name in names]
            if wanted and not has:
                raise SteerxError(
                    f"--metric {wanted[0]} is of {what}, and {self._task_name}: name a --task whose file lists its "
                    f"{what}, such as {'lamp-2' if what == 'labels' else 'lamp-3'}"
                )

    @property
    def _task_name(self) -> str:
        return f"the task {self.task.name} has none" if self.task else "the answers' task is not known"

    @property
    def labels(self) -> tuple[str, ...]:
        """All that an answer may be."""
        return self.task.labels if self.task else ()

    @property
    def ratings(self) -> tuple[int, ...]:
        """The lowest and the highest."""
        return self.task.ratings if self.task else ()

    @property
    def by_punkt(self) -> bool:
        """Whether METEOR is wanted, of sentences by Punkt."""
        return "meteor" in self.metrics and self.meteor_split == "punkt"

    def needs(self, names: Sequence[str]) -> bool:
        """Whether any of these metrics is wanted."""
        return any(name in names for name in self.metrics)

    def parameters(self) -> Mapping[str, object]:
        """The settings that are looked at, as far as no model is needed to know them."""
        looked_at: dict[str, object] = {"split": self.split, "metrics": list(self.metrics)}
        if self.task and self.needs((*OF_LABELS, *OF_RATINGS)):
            looked_at["task"] = self.task.name
            looked_at |= {name: list(of) for name, of in (("labels", self.labels), ("ratings", self.ratings)) if of}
        if self.bertscore:
            looked_at["batch_tokens"] = self.bertscore.batch_tokens
        return looked_at | {"signatures": [f"{name}[{of}]" for name, of in self.signatures().items()]}

    def signatures(self) -> Mapping[str, str]:
        """What each metric's numbers hang on."""
        labels = f"LaMP|{len(self.labels)} labels {fingerprint(list(self.labels))[:6]}"
        ratings = f"LaMP|{'-'.join(map(str, self.ratings))}"
        ways: Mapping[str, Callable[[], str]] = {
            "rouge1": lambda: rouge.LIKE,
            "rougeL": lambda: rouge.LIKE,
            "meteor": lambda: meteor.signature(self.meteor_split),
            "bleu": lambda: bleu.signature(self.tokenize),
            "sentence-bleu": lambda: bleu.signature(self.tokenize, of_sentences=True),
            "bertscore": self._bertscore_signature,
            **dict.fromkeys(OF_LABELS, lambda: labels),
            **dict.fromkeys(OF_RATINGS, lambda: ratings),
        }
        named = dict.fromkeys(name for metric in self.metrics for name in (metric, *_OF_EACH.get(metric, ())))
        return {name: ways[name]() for name in named}

    def _bertscore_signature(self) -> str:
        assert self.bertscore
        versions = "|".join(f"{name}{version(name)}" for name in ("bert-score", "transformers"))
        model = self.bertscore.model
        return f"{self.bertscore.name}|L{self.bertscore.layer}|no-idf|raw|{model.dtype}|{versions}"
