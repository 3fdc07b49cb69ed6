"""Scores by hand: rows of `metrics`, and the table of them."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias, cast

import numpy as np
import polars as pl
import pyarrow as pa

from steerx_cli.core.schemas import METRICS
from steerx_cli.report.sums import Asked
from steerx_cli.report.table import NOTHING, Cell, Row, Table, Told, tabulate

Rows: TypeAlias = list[dict[str, Any]]

FOUR = ("rouge1", "meteor", "bleu", "bertscore")
SIGNATURES = ("rouge1[rouge_score0.1.2|f1|stem:no]", "bleu[nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:2.6.0]")
NOTES = ("empty: 3", "BERTScore is left out: nobody trained its model, all of whose norms are ones")
TOLD = Told("split test", SIGNATURES, NOTES)
NAMES = (
    "non-perso",
    "rag",
    "cas γ2 1",
    "steerx-cas γ2 1",
    "steerx-cos λ 0.5",
    "steerx-cos λ 0.5, random anchors",
)
HOSTILE = (
    "a|b*c_d`e`~~f~~",
    "[red]x[/red]",
    "$(rm -r) & 100 % #1 {x} ^2 ~y \\z",
    "<b>fat</b><script>",
    "[to](http://there)",
    "λ 0.5, γ2 1, τ 0.7",
)
# What Table 1 of the paper says of Qwen3-8B in review generation: ROUGE-1, METEOR, BLEU, BERTScore, Impr.
PAPER = {
    "non-perso": (0.2903, 0.1911, 1.9381, 0.4646, None),
    "rag": (0.3061, 0.2090, 2.8455, 0.4810, 16.29),
    "cas": (0.3119, 0.2099, 2.8429, 0.4880, 17.25),
    "steerx-cas": (0.3118, 0.2140, 3.1307, 0.4898, 21.59),
    "cos": (0.3149, 0.2168, 3.1092, 0.4839, 21.63),
    "steerx-cos": (0.3156, 0.2238, 3.5912, 0.4848, 28.87),
}


def users(count: int, each: int = 1) -> list[str]:
    """Whose the examples are: so many of each of so many users."""
    return [f"u{user}" for user in range(count) for _ in range(each)]


def system(
    name: str,
    whose: Sequence[str],
    method: str | None = None,
    lam: float | None = None,
    gamma2: float | None = None,
    **columns: Any,
) -> Rows:
    """A system's rows, one for each example; a column is a list with one for each, or one value for all."""
    usual = {"finish": "end", "empty": False, "words": 10, "reference_words": 8, "repeated4": 0.0, "distinct2": 1.0}
    of = {"system": name, "method": method or name, "basis": method or name, "lam": lam, "gamma2": gamma2}
    given = {key: value if isinstance(value, list) else [value] * len(whose) for key, value in columns.items()}
    return [
        usual | of | {"user_id": user, "query_id": f"q{at}"} | {key: values[at] for key, values in given.items()}
        for at, user in enumerate(whose)
    ]


def frame(*systems: Rows) -> pl.DataFrame:
    """The rows of several systems as `metrics` holds them."""
    rows = [row for own in systems for row in own]
    return cast(pl.DataFrame, pl.from_arrow(pa.Table.from_pylist(rows, schema=METRICS.columns)))


def counts(bleu: float) -> list[int]:
    """Counts of an answer, as long as its reference, that give this BLEU."""
    of = 10**8
    return [of, of, *[round(of * bleu / 100)] * 4, *[of] * 4]


def together(means: Sequence[float], count: int, seed: int = 0, spread: float = 0.1, own: float = 0.02) -> Any:
    """Scores of so many examples by several systems, which are high for the same ones: [systems, examples]."""
    draw = np.random.default_rng(seed)
    shared = draw.normal(0, spread, count)
    return np.array([mean + shared + draw.normal(0, own, count) for mean in means]).clip(0.001, 1)


def paper(*metrics: str) -> pl.DataFrame:
    """The paper's numbers, each answer's the same."""

    def of(values: Sequence[Any]) -> Iterator[tuple[str, Any]]:
        for metric, value in zip(FOUR, values, strict=False):
            if metric in metrics:
                yield ("bleu_counts", [counts(value)] * 8) if metric == "bleu" else (metric, value)

    return frame(*(system(name, users(8), **dict(of(values))) for name, values in PAPER.items()))


def several(names: Sequence[str] = NAMES, seed: int = 0) -> pl.DataFrame:
    """Systems with scores of the sizes that are usual, the later the better, for twelve users."""
    whose, places = users(12, 3), range(len(names))
    scores = {
        metric: together([first + step * at for at in places], len(whose), seed + number)
        for number, (metric, first, step) in enumerate(
            [("rouge1", 0.29, 0.006), ("rougeL", 0.2, 0.0), ("meteor", 0.19, 0.02), ("bertscore", 0.46, 0.003)]
        )
    }
    return frame(
        *(
            system(
                name,
                whose,
                method=name.partition(" ")[0],
                bleu_counts=[counts(1.9 + 0.3 * at + example % 5) for example in range(len(whose))],
                bleu=2.0 + at,
                **{metric: of[at].tolist() for metric, of in scores.items()},
            )
            for at, name in enumerate(names)
        )
    )


def controlled() -> pl.DataFrame:
    """A method with three controls, of which one is the strongest by ROUGE-1 and one by METEOR; what is no control of
    it, above and below them; and a baseline."""
    whose = users(12, 3)
    variants = (None, "another's description", "random anchors", "all tokens", "the true habits")
    rouge1 = together([0.33, 0.3, 0.32, 0.31, 0.35], len(whose), seed=1)
    meteor = together([0.22, 0.21, 0.2, 0.19, 0.25], len(whose), seed=2)
    found = [system("non-perso", whose, rouge1=0.29, meteor=0.19)]
    for at, variant in enumerate(variants):
        name = f"steerx-cos λ 0.5{'' if variant is None else f', {variant}'}"
        tau = 1.0 if variant not in ("all tokens", "the true habits") else None
        of = {"rouge1": rouge1[at].tolist(), "meteor": meteor[at].tolist()}
        found.append(system(name, whose, "steerx-cos", lam=0.5, tau=tau, variant=variant, **of))
    found.append(system("steerx-cos λ 1", whose, "steerx-cos", lam=1.0, tau=1.0, rouge1=0.3, meteor=0.2))
    return frame(*found)


def compare(
    rows: pl.DataFrame, *metrics: str, labels: Sequence[str] = (), told: Told = NOTHING, samples: int = 200, **how: Any
) -> Table:
    """The table of some rows, with few samples."""
    return tabulate(rows, metrics, labels, Asked(samples=samples, **how), told)


def rows_of(table: Table) -> Mapping[str, Row]:
    """The systems of a table by their names."""
    return {row.name: row for row in table.rows}


def cell(table: Table, name: str, measure: str) -> Cell:
    """What is known of a measure of a system."""
    return rows_of(table)[name].cells[measure]
