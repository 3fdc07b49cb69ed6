"""The metrics as `evaluate.Metric`s, for `evaluate.combine` and whatever else takes those.

    import evaluate
    from steerx_cli.metrics.hub import Bleu, Meteor, Rouge1

    together = evaluate.combine([Rouge1(), Meteor(split="simple"), Bleu()])
    together.compute(predictions=["a quiet film"], references=["a quiet, slow film"])

They need no network, keep everything in memory, and give the same numbers as `steerx evaluate`, BLEU from 0 to 100.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from tempfile import TemporaryDirectory
from typing import Any

import evaluate
import polars as pl
from datasets import Features, Value

from steerx_cli.core.errors import SteerxError
from steerx_cli.metrics import bertscore, labels, meteor, punkt, rouge, scorers
from steerx_cli.metrics.measures import Measure, score_measures


class SteerxMetric(evaluate.Metric):  # type: ignore[misc]  # it has no types
    """What they have in common: two texts in, one number out."""

    name_of_ours: str

    def __init__(self) -> None:
        self._scorer: scorers.Scorer | None = None
        with TemporaryDirectory() as place:  # it wants a folder, and writes nothing there
            super().__init__(keep_in_memory=True, cache_dir=place)

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=type(self).__doc__ or "",
            citation="",
            inputs_description="predictions: answers. references: one for each.",
            features=Features({"predictions": Value("string"), "references": Value("string")}),
        )

    def __getstate__(self) -> Mapping[str, Any]:
        return {**self.__dict__, "_scorer": None}

    def add_batch(self, *, predictions: Any = None, references: Any = None, **more: Any) -> None:
        """Take texts; evaluate itself looks at the first only, and makes texts of numbers."""
        for what, texts in (("predictions", predictions), ("references", references)):
            if isinstance(texts, str) or not hasattr(texts, "__len__"):
                raise SteerxError(f"{what} are no list of texts: give a list of strings")
            wrong = sum(not isinstance(text, str) for text in texts)
            if wrong:
                raise SteerxError(f"{wrong} of {len(texts)} {what} are no texts: give strings")
        super().add_batch(predictions=predictions, references=references, **more)

    def add(self, *, prediction: Any = None, reference: Any = None, **more: Any) -> None:
        """Take one text and its reference."""
        self.add_batch(predictions=[prediction], references=[reference], **more)

    def _compute(self, predictions: Sequence[str], references: Sequence[str]) -> dict[str, float]:
        if not predictions:
            raise SteerxError(f"{self.name_of_ours} of no answers is nothing: give some")
        self._check(references)
        self._scorer = self._scorer or self._load()
        rows = pl.DataFrame(dict(self._scorer(predictions, references, Counter())), infer_schema_length=None)
        measure = self._measure()
        return {self.name_of_ours: measure.of(measure.parts(rows).sum(0))}

    def _check(self, references: Sequence[str]) -> None:
        """Refuse references that the metric cannot read."""

    def _measure(self) -> Measure:
        return score_measures()[self.name_of_ours]

    def _load(self) -> scorers.Scorer:
        raise NotImplementedError


class Rouge1(SteerxMetric):
    """ROUGE-1 F1, as rouge_score computes it; the plain mean."""

    name_of_ours = "rouge1"

    def _load(self) -> scorers.Scorer:
        return scorers.each(rouge1=rouge.rouge1)


class RougeL(SteerxMetric):
    """ROUGE-L F1, as rouge_score computes it; the plain mean."""

    name_of_ours = "rougeL"

    def _load(self) -> scorers.Scorer:
        return scorers.each(rougeL=rouge.rouge_l)


class Meteor(SteerxMetric):
    """METEOR as NLTK 3.9 computes it; with split="simple" one of its own, without NLTK's Punkt model."""

    name_of_ours = "meteor"

    def __init__(self, split: str = "punkt", download: bool = False) -> None:
        super().__init__()
        self._how = split, download

    def _load(self) -> scorers.Scorer:
        split, download = self._how
        if split == "punkt" and not download and punkt.find_model() is None:
            raise SteerxError(
                "NLTK's data has no punkt_tab here: Meteor(download=True) fetches it, NLTK_DATA names a folder with "
                'it, and Meteor(split="simple") does without, under its own name'
            )
        return scorers.each(meteor=meteor.Meteor(split, download).score)


class Bleu(SteerxMetric):
    """sacrebleu's corpus BLEU."""

    name_of_ours = "bleu"

    def __init__(self, tokenize: str = "13a") -> None:
        super().__init__()
        self._tokenize = tokenize

    def _load(self) -> scorers.Scorer:
        return scorers.by_bleu(self._tokenize)


class BertScore(SteerxMetric):
    """BERTScore's F1, raw; by default of the paper's model."""

    name_of_ours = "bertscore"

    def __init__(
        self, model: str = bertscore.PAPER[0], layer: int | None = None, batch_tokens: int = 8192, **how: Any
    ) -> None:
        """`how` is what else `lm.models.ModelRequest` takes: revision, device, pickled, …"""
        super().__init__()
        self._how = model, layer, batch_tokens, {"dtype": "float32", **how}

    def _load(self) -> scorers.Scorer:
        from steerx_cli.lm.models import ModelRequest

        model, layer, batch_tokens, how = self._how
        return scorers.by_bertscore(ModelRequest(model, **how), bertscore.layer_of(model, layer), batch_tokens)


class _OfLabels(SteerxMetric):
    def __init__(self, known: Sequence[str]) -> None:
        super().__init__()
        self._known = tuple(known)

    def _check(self, references: Sequence[str]) -> None:
        wrong = sum(labels.label_of(text, self._known) is None for text in references)
        if wrong:
            raise SteerxError(f"{wrong} of {len(references)} references are none of the labels: name all labels")

    def _measure(self) -> Measure:
        return score_measures(self._known)[self.name_of_ours]

    def _load(self) -> scorers.Scorer:
        return scorers.by_label(self._known)


class Accuracy(_OfLabels):
    """The share of answers that are the true label."""

    name_of_ours = "accuracy"


class MacroF1(_OfLabels):
    """The mean over all labels of each one's F1."""

    name_of_ours = "macro-f1"


class Mcc(_OfLabels):
    """Matthews' correlation of given and true labels."""

    name_of_ours = "mcc"


class _OfRatings(SteerxMetric):
    def __init__(self, lowest: int = 1, highest: int = 5) -> None:
        super().__init__()
        self._ends = lowest, highest

    def _check(self, references: Sequence[str]) -> None:
        wrong = sum(labels.number_of(text) is None for text in references)
        if wrong:
            raise SteerxError(f"{wrong} of {len(references)} references are no numbers: give ratings")

    def _load(self) -> scorers.Scorer:
        return scorers.by_rating(*self._ends)


class Mae(_OfRatings):
    """The mean distance of given and true ratings."""

    name_of_ours = "mae"


class Rmse(_OfRatings):
    """The root of the mean squared distance of given and true ratings."""

    name_of_ours = "rmse"
