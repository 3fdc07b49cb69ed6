"""`steerx evaluate`: its options and its help."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from steerx_cli import console
from steerx_cli.commands.options import (
    FILES,
    MODEL,
    TABLE,
    Against,
    Common,
    Confidence,
    Model,
    Samples,
    Seed,
    Telling,
    bundled,
    is_typed,
    refuse_typed,
)
from steerx_cli.core.errors import SteerxError
from steerx_cli.core.methods import STRENGTHS
from steerx_cli.core.places import find_input

if TYPE_CHECKING:
    from steerx_cli.report.sums import Asked
    from steerx_cli.stages.evaluate.settings import BertScoreSettings

SCORES = "What is scored"
# What decides the scores, and can no more be changed where they are read.
WITH_ANSWERS = (
    *("metric", "split", "tokenize", "meteor_split", "download_punkt", "task", "queries", "output", "overwrite"),
    *("bertscore_layer", "revision", "dtype", "device", "batch_tokens", "trust_remote_code", "pickled"),
    *("limit", "shard", "chunk_users", "dry_run", "run", "data"),
)


@dataclass(frozen=True)
class Judge(Model):
    """The model that compares tokens for BERTScore."""

    model: Annotated[
        str | None,
        typer.Option(
            "--bertscore-model",
            help="A Hugging Face id, or a local folder, for BERTScore; --revision to --pickled are of it.",
            metavar="ID_OR_PATH",
            rich_help_panel=MODEL,
        ),
    ] = "allenai/led-base-16384"
    dtype: Annotated[
        Literal["float32", "bfloat16", "float16"],
        typer.Option("--dtype", help="Number format of its states.", rich_help_panel=MODEL),
    ] = "float32"


@bundled
def evaluate(
    typed: typer.Context,
    model: Judge,
    common: Common,
    telling: Telling,
    generations: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Files of answers; else all generations-… of the run folder.",
            metavar="[FILE]...",
            show_default=False,
        ),
    ] = None,
    metric: Annotated[
        list[str] | None,
        typer.Option(
            "--metric",
            help="Which scores, as above.",
            show_default="what fits the task",
            rich_help_panel=SCORES,
        ),
    ] = None,
    split: Annotated[
        Literal["test", "development", "all"],
        typer.Option("--split", help="Which queries: settings are chosen on development.", rich_help_panel=SCORES),
    ] = "test",
    tokenize: Annotated[
        str,
        typer.Option(
            "--tokenize",
            help="BLEU's tokenizer, one of sacrebleu's: 13a, intl, zh, char, …",
            rich_help_panel=SCORES,
        ),
    ] = "13a",
    meteor_split: Annotated[
        Literal["punkt", "simple"],
        typer.Option(
            "--meteor-split",
            help="How METEOR finds sentences: by NLTK's Punkt model, or at end marks, under a name of its own.",
            rich_help_panel=SCORES,
        ),
    ] = "punkt",
    download_punkt: Annotated[
        bool,
        typer.Option(
            "--download-punkt",
            help="Fetch the Punkt model from NLTK if it is not here.",
            rich_help_panel=SCORES,
        ),
    ] = False,
    bertscore_layer: Annotated[
        int | None,
        typer.Option(
            "--bertscore-layer",
            help="Behind which of its layers tokens are compared.",
            min=1,
            show_default="bert_score's for the model",
            rich_help_panel=MODEL,
        ),
    ] = None,
    task: Annotated[
        str | None,
        typer.Option(
            "--task",
            help="What the answers were written for, if it is a task of your own: its labels or ratings.",
            metavar="NAME|FILE",
            show_default=False,
            rich_help_panel=SCORES,
        ),
    ] = None,
    output_format: Annotated[
        Literal["terminal", "markdown", "csv", "latex", "json", "none"],
        typer.Option("--format", help="How the table is written to stdout.", rich_help_panel=TABLE),
    ] = "terminal",
    against: Against = None,
    samples: Samples = 10_000,
    confidence: Confidence = 0.95,
    seed: Seed = 0,
    queries: Annotated[
        Path | None, typer.Option("--queries", help="What the users wrote, the references.", rich_help_panel=FILES)
    ] = None,
    metrics: Annotated[
        Path | None,
        typer.Option(
            "--metrics",
            help="Scores that are there: only their table is made.",
            show_default=False,
            rich_help_panel=FILES,
        ),
    ] = None,
) -> None:
    """Score answers against what the users wrote, and compare the systems that gave them.

    A system is a method with its parameters. Every score has an interval, every difference a p, by whole users.

    of texts    rouge1, rougeL, meteor, bleu, bertscore
    of labels   accuracy, macro-f1, mcc (LaMP-1, LaMP-2)
    of ratings  mae, rmse (LaMP-3), lower is better

    Impr. is the paper's: the mean relative gain of rouge1, meteor, bleu and bertscore over --against.

    Example: steerx evaluate --metric rouge1 --metric meteor --meteor-split simple
    """
    from steerx_cli.report.sums import Asked
    from steerx_cli.report.table import baseline

    asked = Asked(against, samples, confidence, seed)
    if telling.as_json and is_typed(typed, "output_format"):
        raise SteerxError("--json and --format both write to stdout: leave one of them out")
    if metrics is not None:
        refuse_answers(typed)
        _show(metrics, asked, "json" if telling.as_json else output_format)
        return
    from steerx_cli.lm.templates import load_task
    from steerx_cli.stages.evaluate import Compared, run
    from steerx_cli.stages.evaluate.settings import Settings, metrics_of, task_of

    files = generations or answers_in(common.run)
    compared = Compared.open(common.input("queries", queries), files)
    baseline([(system.name, system.method) for system in compared.systems], against)
    about = task_of(compared.tasks, load_task(task) if task else None, typed=is_typed(typed, "task"))
    chosen = metrics_of(about, metric or (), typed=is_typed(typed, "metric"))
    settings = Settings(
        metrics=chosen,
        split=split,
        task=about,
        tokenize=tokenize,
        meteor_split=meteor_split,
        download_punkt=download_punkt,
        bertscore=_bertscore(model, bertscore_layer) if "bertscore" in chosen else None,
    )
    scope = common.scope("metrics")
    console.telling(telling, lambda progress: run(settings, compared, scope, progress), first={"preset": common.preset})
    if not (telling.as_json or scope.dry_run or scope.shard):
        _show(scope.output, asked, output_format)


def refuse_answers(typed: typer.Context) -> None:
    """Nothing of what made the scores can be changed where they are read."""
    sentence = "--metrics reads scores that are there, and {} is for making them: leave one of them out"
    refuse_typed(typed, WITH_ANSWERS, sentence)
    refuse_typed(typed, ["model"], sentence.format("--bertscore-model"))
    if typed.params["generations"]:
        raise SteerxError("--metrics reads scores that are there: leave it out, or the files of answers")


def _bertscore(model: Judge, layer: int | None) -> "BertScoreSettings":
    from steerx_cli.metrics.bertscore import layer_of
    from steerx_cli.stages.evaluate.settings import BertScoreSettings

    request = model.request("allenai/led-base-16384")
    return BertScoreSettings(request, layer_of(request.name, layer), model.batch_tokens)


def _show(metrics: Path, asked: "Asked", output_format: str) -> None:
    from steerx_cli.report.formats import FORMATS
    from steerx_cli.report.grids import page
    from steerx_cli.report.reading import read_table

    if output_format == "none":
        return
    table = read_table(metrics, asked)
    if output_format == "terminal":
        console.page(page(table))
    else:
        console.text(FORMATS[output_format](table))


def answers_in(run: Path) -> list[Path]:
    """All files of answers of a run folder, the methods in their order; the shards of one stand for it."""
    if not any(run.glob("generations-*.parquet")):
        raise SteerxError(f"{run} has no generations-….parquet to score: name files that `steerx generate` writes")
    names = {re.sub(r"-\d{5}-of-\d{5}$", "", path.stem) for path in run.glob("generations-*.parquet")}
    return [find_input(name, None, run, None) for name in sorted(names, key=_in_order)]


def _in_order(name: str) -> tuple[int, str]:
    method = name.removeprefix("generations-")
    known = [*STRENGTHS]
    return (known.index(method) if method in known else len(known)), method
