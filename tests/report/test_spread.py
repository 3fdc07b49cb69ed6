"""How far runs are apart: which seeds and draws they are of, numbers by another computation, and sentences."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product
from math import nan
from typing import Any

import pytest

from reported import SIGNATURES, compare, controlled, frame, system, users
from steerx_cli.core.errors import SteerxError
from steerx_cli.core.provenance import Footer, Record
from steerx_cli.report.grids import NOTHING, Entry, Grid, Page
from steerx_cli.report.spread import Run, crossing, number, page, refuse_unlike, run_of, spread
from steerx_cli.report.sums import Interval
from steerx_cli.report.table import Column, Table, Told

WHOSE = users(6, 2)
NAMES = ("non-perso", "rag", "steerx-cos λ 0.5")


def table(means: Sequence[float] = (0.2, 0.25, 0.3), names: Sequence[str] = NAMES, **how: Any) -> Table:
    """Systems whose answers all have the same METEOR."""
    found = frame(*(system(name, WHOSE, meteor=mean) for name, mean in zip(names, means, strict=True)))
    return compare(found, "meteor", samples=100, **how)


def run(of: Table, seed: int | None = None, draw: str = "", **how: Any) -> Run:
    seeds = () if seed is None else (seed,)
    decided = frozenset({"score-tokens"} if seeds else ())
    return replace(Run(f"runs/{seed}{draw}", seeds, draw, decided, (), frozenset(), of), **how)


def crossed(means: Mapping[tuple[int, str], float]) -> list[Run]:
    """Runs in which the last system has these scores."""
    return [run(table((0.2, 0.25, mean)), seed, draw) for (seed, draw), mean in means.items()]


def entry(shown: Page, title: str, name: str, head: str = "METEOR") -> Entry:
    grid = by_title(shown)[title]
    return grid.entries[[*grid.names].index(name)][[*grid.head].index(head)]


def by_title(shown: Page) -> dict[str, Grid]:
    return {grid.title: grid for grid in shown.grids}


# --- where a run comes from -------------------------------------------------------------------------------------------


def record(stage: str, artifact: str, inputs: Mapping[str, Footer] | None = None, **parameters: Any) -> Footer:
    """An artifact of some parents, with all their ancestry."""
    parents = inputs or {}
    made = Record(artifact, 1, stage, "1", parameters, {role: of.fingerprint for role, of in parents.items()})
    lineage = {name: entry for parent in parents.values() for name, entry in parent.lineage().items()}
    return Footer(made, 1, 1, "0", ancestry=lineage)


def scored(draw: str | None = "1/3", anchors: int | None = 4, of: Mapping[str, Any] | None = None) -> Footer:
    """Scores of answers that are steered with what random anchors gave, for a share of the users."""
    queries = record("import", "queries", seed=11)
    if draw:
        queries = record("select", "queries", {"queries": queries}, split="all", draw=draw, seed=0)
    scores = record("score-tokens", "scores", {"queries": queries}, **({} if anchors is None else {"seed": anchors}))
    generations = record("generate", "generations", {"scores": scores}, **{"method": "cos", **(of or {})})
    return record("evaluate", "metrics", {"queries": queries, "cos": generations}, split="test")


def test_a_run_s_draw_and_seed_are_read_from_its_provenance() -> None:
    found = run_of(scored("2/3"), "a", table())
    assert (found.seeds, found.seed, found.draw, found.temperatures) == ((4,), 4, "2/3", ())
    assert found.decided == {"score-tokens"}


def test_a_run_for_all_users_has_no_draw_and_without_chance_there_is_no_seed() -> None:
    found = run_of(scored(None, anchors=None), "a", table())
    assert (found.seeds, found.seed, found.draw) == ((), None, "")


def test_seeds_that_differ_in_one_run_are_all_told_and_none_is_the_run_s() -> None:
    found = run_of(scored(of={"seed": 9}), "a", table())
    assert (found.seeds, found.seed) == ((4, 9), None)
    assert run_of(scored(of={"seed": 4}), "a", table()).seed == 4


def test_the_seed_of_a_draw_or_of_the_data_is_no_run_s_seed() -> None:
    queries = record("select", "queries", {"queries": record("import", "queries", seed=3)}, draw="1/2", seed=7)
    found = run_of(record("evaluate", "metrics", {"queries": queries}), "a", table())
    assert (found.seeds, found.draw) == ((), "1/2 by seed 7")


def test_texts_are_sampled_if_a_temperature_is_in_the_provenance() -> None:
    assert run_of(scored(of={"temperature": 0.7, "seed": 4}), "a", table()).temperatures == (0.7,)


def test_what_else_parts_runs_is_named() -> None:
    def differing(*footers: Footer) -> list[str]:
        told = page([run_of(of, f"{at}", table()) for at, of in enumerate(footers)]).told
        return [line for line in told if line.startswith("the runs differ")]

    first = scored("1/3")
    assert differing(first, scored("2/3", anchors=5)) == []
    assert differing(first, scored("1/3", 5, of={"max_new_tokens": 9, "batch_size": 3})) == [
        "the runs differ in more than seeds and draws: max-new-tokens of generate"
    ]
    other = record("evaluate", "metrics", {"queries": record("import", "queries", seed=12)}, split="test")
    (told,) = differing(first, other)
    assert told.endswith(": method of generate, seed of import, the data")


def test_a_split_that_was_selected_is_told_of_and_all_is_none() -> None:
    def chosen(split: str) -> Run:
        queries = record("select", "queries", {"queries": record("import", "queries")}, split=split)
        return run_of(record("evaluate", "metrics", {"queries": queries}), split, table())

    whole = run_of(record("evaluate", "metrics", {"queries": record("import", "queries")}), "w", table())
    assert "the runs differ" not in " ".join(page([whole, chosen("all")]).told)
    assert "the runs differ in more than seeds and draws: split of select" in page([whole, chosen("test")]).told


def test_models_are_told_apart_by_their_weights() -> None:
    def by(weights: str) -> Run:
        made = Record("metrics", 1, "evaluate", "1", {}, {}, {"bertscore": {"id": "m", "weights": weights}})
        return run_of(Footer(made, 1, 1, "0"), weights, table())

    assert (
        "the runs differ in more than seeds and draws: the bertscore model, the data" in page([by("a"), by("b")]).told
    )


# --- numbers over runs ------------------------------------------------------------------------------------------------


def test_mean_and_standard_deviation_are_over_all_runs() -> None:
    values = [0.21, 0.25, 0.2, 0.31]
    found = spread(values, None)
    assert found.mean == pytest.approx(statistics.fmean(values))
    assert found.sd == pytest.approx(statistics.stdev(values))
    assert (found.over_seeds, found.over_draws, found.known) == (None, None, True)
    assert not spread([0.2, nan], None).known


def test_what_seeds_and_what_draws_do_is_told_apart_where_each_has_each() -> None:
    values = {(0, "1/2"): 0.2, (0, "2/2"): 0.32, (1, "1/2"): 0.24, (1, "2/2"): 0.3, (2, "1/2"): 0.27, (2, "2/2"): 0.29}
    runs = crossed(values)
    places = crossing(runs)
    assert places == [[0, 1], [2, 3], [4, 5]]
    found = spread([*values.values()], places)
    by_seed = [statistics.fmean(values[seed, draw] for draw in ("1/2", "2/2")) for seed in (0, 1, 2)]
    by_draw = [statistics.fmean(values[seed, draw] for seed in (0, 1, 2)) for draw in ("1/2", "2/2")]
    assert found.over_seeds == pytest.approx(statistics.stdev(by_seed))
    assert found.over_draws == pytest.approx(statistics.stdev(by_draw))


@pytest.mark.parametrize(
    "of",
    [
        [(0, "1/2"), (0, "2/2")],  # one seed
        [(0, ""), (1, "")],  # all users
        [(0, "1/2"), (0, "2/2"), (1, "1/2")],  # one is missing
        [(0, "1/2"), (0, "2/2"), (1, "1/2"), (1, "1/2")],  # one is there twice
        [(None, "1/2"), (None, "2/2"), (1, "1/2"), (1, "2/2")],  # no seed
    ],
)
def test_seeds_and_draws_are_not_told_apart_where_they_cannot_be(of: Sequence[tuple[int | None, str]]) -> None:
    assert crossing([run(table(), seed, draw) for seed, draw in of]) is None


# --- for readers ------------------------------------------------------------------------------------------------------

SIX = {(seed, draw): 0.3 + 0.01 * seed + 0.03 * (draw == "2/2") for seed, draw in product((0, 1, 2), ("1/2", "2/2"))}


def test_a_score_stands_above_its_spread_its_ends_and_what_seeds_and_draws_do() -> None:
    shown = page(crossed(SIX))
    values = [*SIX.values()]
    assert entry(shown, "scores over 6 runs", "steerx-cos λ 0.5") == Entry(
        f"{statistics.fmean(values):.4f}",
        (f"sd {statistics.stdev(values):.4f}", "0.3000…0.3500", "seeds 0.0100", f"draws {0.03 / 2**0.5:.4f}"),
    )
    same = Entry("0.2500", ("sd 0.0000", "0.2500…0.2500", "seeds 0.0000", "draws 0.0000"))
    assert entry(shown, "scores over 6 runs", "rag") == same


def test_without_both_there_is_only_the_spread_over_all_runs() -> None:
    shown = page(crossed({(0, ""): 0.3, (1, ""): 0.32}))
    assert entry(shown, "scores over 2 runs", NAMES[2]) == Entry("0.3100", ("sd 0.0141", "0.3000…0.3200"))
    assert not [line for line in shown.told if line.startswith("seeds: ")]


def test_a_difference_says_in_how_many_runs_it_is_above_0() -> None:
    shown = page(crossed({(0, ""): 0.3, (1, ""): 0.19, (2, ""): 0.2, (3, ""): 0.21}))
    found = entry(shown, "differences to non-perso", NAMES[2])
    assert found == Entry("+0.0250", (found.below[0], "-0.0100…+0.1000", "2 of 4"))
    assert by_title(shown)["differences to non-perso"].names == ["rag", NAMES[2]]
    assert "n of m: in so many runs the difference is above 0" in shown.told


def test_another_baseline_is_that_of_the_tables() -> None:
    shown = page([run(table((0.2, 0.25, mean), against="rag"), at) for at, mean in enumerate((0.3, 0.31))])
    assert entry(shown, "differences to rag", NAMES[2]).text == "+0.0550"


def test_without_a_baseline_nothing_is_told_of_differences() -> None:
    names = ["rag", "cos λ 0.5", NAMES[2]]
    shown = page([run(table((0.2, 0.25, mean), names), at) for at, mean in enumerate((0.3, 0.31))])
    assert [*by_title(shown)] == ["scores over 2 runs"]
    assert not [line for line in shown.told if line.startswith("n of m")]
    alone = page([run(table((mean,), ["non-perso"]), at) for at, mean in enumerate((0.3, 0.31))])
    assert [*by_title(alone)] == ["scores over 2 runs"]


def test_errors_are_better_below_0() -> None:
    def of(*errors: float) -> Table:
        rows = (
            system(name, WHOSE, rating=3.0 + error, true_rating=3.0) for name, error in zip("ab", errors, strict=True)
        )
        return compare(frame(*rows), "mae", samples=100, against="a")

    shown = page([run(of(0.5, 0.4), 0), run(of(0.5, 0.6), 1), run(of(0.5, 0.1), 2)])
    assert entry(shown, "differences to a", "b", "MAE").below[-1] == "2 of 3"
    assert "n of m: in so many runs the difference is above 0, of MAE below it" in shown.told


def test_a_method_stands_beside_its_strongest_control_whichever_that_is() -> None:
    found = compare(controlled(), "rouge1", "meteor", samples=100)
    shown = page([run(found, 0), run(found, 1)])
    name = "steerx-cos λ 0.5"
    (row,) = (row for row in found.rows if row.name == name)
    rival = row.rivals["rouge1"]
    below = entry(shown, "differences to the strongest control", name, "ROUGE-1")
    assert below.text == f"{rival.difference.value:+.4f}"
    assert below.below[-2:] == ("2 of 2", rival.name)
    assert by_title(shown)["differences to the strongest control"].names == [name]
    others = {"rouge1": replace(rival, name="all tokens"), "meteor": row.rivals["meteor"]}
    rows = [replace(each, rivals=others) if each is row else each for each in found.rows]
    shown = page([run(found, 0), run(replace(found, rows=rows), 1), run(found, 2)])
    told = entry(shown, "differences to the strongest control", name, "ROUGE-1").below
    assert told[-3:] == ("3 of 3", f"{rival.name} 2", "all tokens 1")
    assert any(line.startswith("strongest control: in each run") for line in shown.told)


def test_a_score_that_a_run_does_not_have_is_a_dash() -> None:
    def with_value(value: float) -> Table:
        found = table()
        last = found.rows[-1]
        cell = replace(last.cells["meteor"], score=Interval(value, nan, nan), difference=Interval(value, nan, nan))
        return replace(found, rows=[*found.rows[:-1], replace(last, cells={**last.cells, "meteor": cell})])

    shown = page([run(with_value(0.3), 0), run(with_value(nan), 1)])
    assert entry(shown, "scores over 2 runs", NAMES[2]) == Entry(NOTHING)
    assert entry(shown, "differences to non-perso", NAMES[2]) == Entry(NOTHING)


def test_a_large_number_is_short() -> None:
    column = Column("mae", "MAE", "score", 4)
    assert number(5.4321e199, column) == "5.43e+199"
    assert number(0.12345, column, "+") == "+0.1235"
    assert number(-0.00001, column) == "0.0000"


# --- sentences --------------------------------------------------------------------------------------------------------


def test_the_sentences_say_over_what_the_numbers_are() -> None:
    told = page(crossed(SIX)).told
    assert [*told] == [
        "6 runs: seeds 0, 1, 2; draws 1/2, 2/2 of the users",
        "in each run 12 answers of each system, for 6 users",
        "sd: the standard deviation over the runs, by n − 1; a…b: the lowest and the highest",
        "seeds: the sd of the 3 seeds' means, each over all draws; draws: of the 2 draws' means, each over all seeds",
        "n of m: in so many runs the difference is above 0",
        "texts were written greedily: a seed decides which anchors are random, and nothing else; where seeds is 0, the "
        "runs of one draw are one and the same",
    ]


def first(*runs: Run) -> str:
    return page(runs).told[0]


def test_the_first_sentence_says_which_runs_there_are() -> None:
    of = table()
    assert first(run(of, 3), run(of, 0)) == "2 runs: seeds 0, 3; all users"
    assert first(run(of, None, "1/2"), run(of, None, "2/2")) == (
        "2 runs: nothing in them hangs on a seed; draws 1/2, 2/2 of the users"
    )
    assert first(run(of, 1, "1/2"), run(of, None, "1/2")) == "2 runs: seed 1, 1 without any; draw 1/2 of the users"
    assert first(run(of, 1, "1/2"), run(of, 1)) == "2 runs: seed 1; draws all, 1/2 of the users"
    several = replace(run(of), seeds=(1, 2), where="runs/a")
    assert first(run(of, 1), several) == "2 runs: seeds cannot be told apart, since runs/a has 1, 2; all users"


def test_what_a_seed_decides_is_told_where_texts_are_written_greedily() -> None:
    def told(*runs: Run) -> list[str]:
        return [line for line in page(runs).told if line.startswith("texts were")]

    of, every = table(), frozenset({"generate", "score-tokens", "retrieve"})
    assert told(run(of, 0, decided=every), run(of, 1)) == [
        "texts were written greedily: a seed decides which histories are retrieved at random and which anchors are "
        "random and whose description or vector is another's, and nothing else"
    ]
    assert told(run(of, None, "1/2"), run(of, None, "2/2")) == ["texts were written greedily: no seed decides anything"]
    assert told(run(of, 0, temperatures=(0.7,)), run(of, 1, temperatures=(0.7, 1.0))) == [
        "texts were sampled, at temperature 0.7, 1: they are others than those that are written greedily"
    ]


def test_runs_of_other_sizes_are_told_from_the_smallest_to_the_largest() -> None:
    sizes = [replace(table(), examples=examples, users=people) for examples, people in ((1200, 600), (14, 7), (12, 7))]
    told = page([run(of, at) for at, of in enumerate(sizes)]).told
    assert told[1] == "in each run 12 to 1,200 answers of each system, for 7 to 600 users"


def test_signatures_are_told_and_why_bertscore_is_not_there() -> None:
    notes = ["empty: 3", "BERTScore is left out: nobody trained its model, all of whose norms are ones"]
    signatures = ["meteor[nltk]", *SIGNATURES]
    found = table(told=Told("split test", signatures, notes))
    told = page([run(found, 0), run(found, 1)]).told
    assert told[1].endswith("for 6 users: split test")
    assert [*told[-2:]] == [notes[1], "meteor[nltk]"]
    assert "empty" not in " ".join(told)


# --- refusals ---------------------------------------------------------------------------------------------------------


def refused(*tables: Table) -> str:
    with pytest.raises(SteerxError) as error:
        refuse_unlike([replace(run(of), where=f"runs/{name}") for name, of in zip("abc", tables, strict=False)])
    return str(error.value)


def test_runs_of_the_same_systems_in_any_order_are_alike() -> None:
    other = table((0.3, 0.2, 0.25), [NAMES[2], *NAMES[:2]])
    refuse_unlike([run(table()), run(other)])
    shown = page([run(table()), run(other, 1)])
    assert entry(shown, "scores over 2 runs", NAMES[2]).text == "0.3000"
    assert entry(shown, "scores over 2 runs", "rag").text == "0.2500"


def test_systems_that_are_not_in_all_runs_are_named() -> None:
    fewer = table((0.2, 0.3), ["non-perso", NAMES[2]])
    assert refused(table(), table(), fewer) == "rag is in runs/a, not in runs/c: score the same systems in every run"
    assert refused(fewer, table()) == "rag is in runs/b, not in runs/a: score the same systems in every run"
    many = table([0.2] * 7, ["non-perso", *(f"cos λ {at}" for at in range(6))])
    assert refused(many, table([0.2], ["non-perso"])) == (
        "cos λ 0; cos λ 1; cos λ 2; cos λ 3 and 2 more are in runs/a, not in runs/b: score the same systems in every "
        "run"
    )


def test_runs_by_other_scores_are_refused() -> None:
    both = compare(frame(system("rag", WHOSE, meteor=0.1, rouge1=0.2)), "meteor", "rouge1", samples=100)
    one = compare(frame(system("rag", WHOSE, meteor=0.1, rouge1=0.2)), "meteor", samples=100)
    assert refused(both, one) == "runs/a has METEOR, ROUGE-1, and runs/b METEOR: score all runs by the same --metric"


def test_scores_of_other_signatures_are_refused() -> None:
    tables = [replace(table(), signatures=[of]) for of in ("meteor[nltk3.9|punkt]", "meteor[nltk3.9|simple]")]
    assert refused(*tables) == (
        "runs/a and runs/b have scores of other kinds (meteor[nltk3.9|punkt], meteor[nltk3.9|simple]): score all runs "
        "in the same way"
    )
