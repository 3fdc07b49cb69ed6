"""What a reader sees of a table: each number with its decimals, its interval and its mark, and the sentences below."""

from dataclasses import replace
from math import inf, nan

import pytest

from reported import (
    FOUR,
    NAMES,
    NOTES,
    PAPER,
    SIGNATURES,
    TOLD,
    cell,
    compare,
    controlled,
    counts,
    frame,
    paper,
    several,
    system,
    users,
)
from steerx_cli.report.grids import NOTHING, Entry, Grid, explained, grids, page, readable_p
from steerx_cli.report.rivals import Rival
from steerx_cli.report.sums import Asked, Interval
from steerx_cli.report.table import Cell, Column, Row, Table

pytestmark = pytest.mark.filterwarnings("error")


def by_title(table: Table) -> dict[str, Grid]:
    """The parts of a table."""
    return {grid.title: grid for grid in grids(table)}


def entry(grid: Grid, name: str, head: str) -> Entry:
    """What stands in a place."""
    return grid.entries[[*grid.names].index(name)][[*grid.head].index(head)]


def of_cells(column: Column, *cells: Cell, against: str | None = "a") -> Table:
    """A table of one measure of systems that are called a, b, c, …"""
    rows = [Row(name, name, None, None, {column.name: own}) for name, own in zip("abcdefgh", cells, strict=False)]
    return Table([column], rows, 12, 6, Asked(), against, "", (), ())


METEOR = Column("meteor", "METEOR", "score", 4)
BLEU = Column("bleu", "BLEU", "score", 2)
IMPROVEMENT = Column("impr", "Impr.", "improvement", 2, percent=True)
NONE = Interval(nan, nan, nan)


def test_a_score_stands_above_its_interval_with_one_decimal_less() -> None:
    cells = Cell(Interval(0.12345, 0.1, 0.14999), best=True), Cell(Interval(0.1, 0.0996, 1), like_the_best=True)
    (grid,) = (found for found in grids(of_cells(METEOR, *cells)) if found.title == "scores")
    assert (grid.head, grid.names) == (["METEOR"], ["a", "b"])
    assert grid.entries == [
        [Entry("0.1235", ("0.100…0.150",), best=True)],
        [Entry("0.1000", ("0.100…1.000",), like_the_best=True)],
    ]
    found = entry(by_title(of_cells(BLEU, Cell(Interval(1.9381, 1.25, 12.96))))["scores"], "a", "BLEU")
    assert found == Entry("1.94", ("1.2…13.0",))
    narrow = replace(BLEU, decimals=1)
    assert entry(by_title(of_cells(narrow, Cell(Interval(1.9381, 1.25, 12.96))))["scores"], "a", "BLEU").below == (
        "1.2…13.0",
    )


def test_a_difference_has_its_sign_its_interval_and_its_adjusted_p() -> None:
    table = of_cells(
        METEOR,
        Cell(Interval(0.2, 0.1, 0.3)),
        Cell(Interval(0.3, 0.2, 0.4), Interval(0.1, -0.02, 0.21), p=0.01, p_holm=0.04, best=True),
        Cell(Interval(0.1, 0.0, 0.2), Interval(-0.1, -0.2, -0.05), p=0.0001, p_holm=0.0005, like_the_best=True),
        Cell(Interval(0.1, 0.0, 0.2), Interval(-0.1, -0.2, -0.05)),
        Cell(Interval(0.1, 0.0, 0.2)),
        Cell(Interval(0.1, 0.0, 0.2), NONE),
    )
    grid = by_title(table)["differences to a"]
    assert grid.names == [*"bcdef"]
    assert [entries for (entries,) in grid.entries] == [
        Entry("+0.1000", ("-0.020…+0.210", "p 0.040")),
        Entry("-0.1000", ("-0.200…-0.050", "p < 0.001")),
        Entry("-0.1000", ("-0.200…-0.050",)),
        Entry("–"),
        Entry("–"),
    ]


@pytest.mark.parametrize(
    ("p", "text"),
    [(1, "1.000"), (0.0499, "0.050"), (0.001, "0.001"), (0.00099, "< 0.001"), (1e-9, "< 0.001"), (0.25, "0.250")],
)
def test_p_has_three_decimals_or_is_smaller(p: float, text: str) -> None:
    assert readable_p(p) == text


def test_an_improvement_is_in_per_cent_and_what_is_not_defined_or_not_there_is_a_dash() -> None:
    cells = (
        Cell(Interval(0, 0, 0)),
        Cell(Interval(28.874, 20.04, 33.35)),
        Cell(NONE),
        Cell(Interval(inf, 1, inf)),
    )
    table = replace(of_cells(IMPROVEMENT, *cells), columns=[METEOR, IMPROVEMENT])
    assert [found.text for (found,) in by_title(table)["improvement over a"].entries] == ["28.87 %", "–", "–"]
    assert [found.below for (found,) in by_title(table)["improvement over a"].entries][:2] == [("20.0…33.4",), ()]
    assert by_title(table)["scores"].entries == [[Entry("–")]] * 4


def test_what_the_answers_look_like_has_shares_in_per_cent_and_no_intervals() -> None:
    rows = frame(
        system(
            "a",
            users(8),
            meteor=0.5,
            finish=["end", "limit", "window", "failed"] * 2,
            words=[10, 21] * 4,
            reference_words=20,
            repeated4=0.12345,
            distinct2=None,
        )
    )
    grid = by_title(compare(rows, "meteor"))["the answers"]
    assert grid.head == ["words", "÷ ref.", "cut", "empty", "failed", "repeats", "distinct"]
    (entries,) = grid.entries
    assert [found.text for found in entries] == ["15.5", "0.78", "50.0 %", "0.0 %", "25.0 %", "12.3 %", NOTHING]
    assert all(found == Entry(found.text) for found in entries)


def test_every_part_has_its_systems_and_measures_and_single_answers_bleu_is_in_none() -> None:
    table = compare(several(), *FOUR)
    found = by_title(table)
    titles = ["ROUGE-1", "METEOR", "BLEU", "BERTScore"]
    assert {title: (grid.names, grid.head) for title, grid in found.items()} == {
        "scores": ([*NAMES], titles),
        "differences to non-perso": ([*NAMES[1:]], titles),
        "improvement over non-perso": ([*NAMES[1:]], ["Impr.", "Impr. w/o BLEU"]),
        "the answers": ([*NAMES], ["words", "÷ ref.", "cut", "empty", "failed", "repeats", "distinct"]),
    }
    for grid in found.values():
        assert [len(entries) for entries in grid.entries] == [len(grid.head)] * len(grid.names)
    for name in NAMES:
        marked = entry(found["scores"], name, "METEOR")
        own = cell(table, name, "meteor")
        assert (marked.best, marked.like_the_best) == (own.best, own.like_the_best)
        assert marked.text == f"{own.score.value:.4f}"
        assert marked.below == (f"{own.score.low:.3f}…{own.score.high:.3f}",)


def test_parts_that_have_nothing_to_say_are_left_out() -> None:
    assert [*by_title(compare(several(["rag", "cos"]), *FOUR))] == ["scores", "the answers"]
    assert [*by_title(compare(several(["non-perso"]), *FOUR))] == ["scores", "the answers"]
    assert [*by_title(compare(several(), "rougeL"))] == ["scores", "differences to non-perso", "the answers"]
    baseline = by_title(compare(several(), "meteor", against="cas γ2 1"))
    assert [*baseline] == ["scores", "differences to cas γ2 1", "improvement over cas γ2 1", "the answers"]
    assert "cas γ2 1" not in baseline["differences to cas γ2 1"].names


def test_a_method_stands_beside_its_strongest_control_with_the_name_of_it() -> None:
    title, measures = "differences to the strongest control", [METEOR, BLEU]
    found: list[dict[str, Rival]] = [
        {"meteor": Rival("random anchors", Interval(0.1, -0.02, 0.21), 0.04), "bleu": Rival("all tokens", NONE, None)},
        {"meteor": Rival("the mean vector", Interval(-0.1, -0.2, -0.05), 0.0005)},
        {},
    ]
    cells = dict.fromkeys(("meteor", "bleu"), Cell(Interval(0.2, 0.1, 0.3)))
    rows = [Row(name, name, None, None, cells, rivals=of) for name, of in zip("abc", found, strict=True)]
    table = Table(measures, rows, 12, 6, Asked(), "a", "", (), ())
    assert by_title(table)[title] == Grid(
        title,
        ["METEOR", "BLEU"],
        ["a", "b"],
        [
            [Entry("+0.1000", ("-0.020…+0.210", "p 0.040", "random anchors")), Entry("–", ("all tokens",))],
            [Entry("-0.1000", ("-0.200…-0.050", "p < 0.001", "the mean vector")), Entry("–")],
        ],
    )
    assert [*by_title(table)] == ["scores", "differences to a", title, "the answers"]


def test_the_strongest_controls_stand_behind_the_baseline_and_a_sentence_says_what_they_are() -> None:
    table = compare(controlled(), "rouge1", "meteor")
    title = "differences to the strongest control"
    parts = ["scores", "differences to non-perso", "improvement over non-perso", title, "the answers"]
    assert [*by_title(table)] == parts
    found = by_title(table)[title]
    assert found.names == ["steerx-cos λ 0.5"]
    for head, measure in (("ROUGE-1", "rouge1"), ("METEOR", "meteor")):
        of = table.rows[1].rivals[measure]
        shown = entry(found, "steerx-cos λ 0.5", head)
        assert shown.text == f"{of.difference.value:+.4f}"
        assert of.p_holm is not None
        assert shown.below == (
            f"{of.difference.low:+.3f}…{of.difference.high:+.3f}",
            f"p {readable_p(of.p_holm)}",
            of.name,
        )
    told = [*explained(table)]
    assert told[4] == (
        "strongest control: by each score the best of those that know nothing of the user or of the causal effect; "
        "p adjusted by Holm over all of the method's controls"
    )
    assert [sentence.partition(":")[0] for sentence in told[3:6]] == ["=", "strongest control", "Impr."]


def test_without_a_control_nothing_is_told_of_any() -> None:
    rows = controlled()
    for table in (compare(rows.filter(~rows["variant"].is_not_null()), "meteor"), compare(rows)):
        assert "differences to the strongest control" not in by_title(table)
        assert not [sentence for sentence in explained(table) if sentence.startswith("strongest")]


def test_a_page_is_all_parts_and_all_sentences() -> None:
    for table in (compare(several(), *FOUR, told=TOLD), compare(controlled(), "meteor")):
        assert (page(table).grids, page(table).told) == ([*grids(table)], [*explained(table)])


def test_the_papers_numbers_stand_as_in_the_paper() -> None:
    found = by_title(compare(paper(*FOUR), *FOUR))
    for name, (rouge, meteor, bleu, bertscore, told) in PAPER.items():
        texts = [entry(found["scores"], name, head).text for head in ("ROUGE-1", "METEOR", "BLEU", "BERTScore")]
        assert texts == [f"{rouge:.4f}", f"{meteor:.4f}", f"{bleu:.2f}", f"{bertscore:.4f}"]
        if told is not None:
            improved = entry(found["improvement over non-perso"], name, "Impr.").text
            assert float(improved.removesuffix(" %")) == pytest.approx(told, abs=0.02)


def test_the_improvement_over_a_baseline_of_zero_is_a_dash() -> None:
    rows = frame(system("non-perso", users(8), meteor=0.0), system("b", users(8), meteor=0.5))
    assert entry(by_title(compare(rows, "meteor"))["improvement over non-perso"], "b", "Impr. (1 of 4)") == Entry("–")


def test_the_sentences_below_say_what_the_numbers_are() -> None:
    table = compare(several(), *FOUR, told=TOLD, samples=1000, seed=7, confidence=0.9)
    assert [*explained(table)] == [
        "36 answers of each system, for 12 users: split test",
        "a…b: the 90 % interval, percentiles of 1,000 bootstrap samples of whole users, seed 7",
        "p: approximate randomisation, whole users swapped 1,000 times, two-sided, adjusted by Holm over the systems, "
        "each score by itself",
        "=: not told from the best, which is bold (the same p, above 0.1)",
        "Impr.: the mean over ROUGE-1, METEOR, BLEU and BERTScore, of those that are there, of the relative gain over "
        "non-perso",
        "÷ ref.: the answers' words ÷ the references'",
        "repeats: of an answer's 4-grams, those it has said before; distinct: of its 2-grams, the different ones",
        *NOTES,
        *SIGNATURES,
    ]


def test_a_confidence_of_parts_of_a_per_cent_is_told() -> None:
    told = [*explained(compare(several(["rag", "cos"]), "meteor", confidence=0.999))]
    assert told[1].startswith("a…b: the 99.9 % interval")
    assert told[3].endswith("above 0.001)")


def test_the_sentences_below_are_silent_of_what_is_not_there() -> None:
    def starts(*names: str, metric: str = "meteor") -> list[str]:
        return [sentence.partition(":")[0] for sentence in explained(compare(several(names), metric))]

    assert next(explained(compare(several(["rag"]), "meteor"))) == "36 answers of each system, for 12 users"
    rest = ["÷ ref.", "repeats"]
    assert starts("rag")[1:] == ["a…b", *rest]
    assert starts("rag", "cos")[1:] == ["a…b", "p", "=", *rest]
    assert starts("non-perso", "cos", metric="rougeL")[1:] == ["a…b", "p", "=", *rest]


def test_a_baseline_alone_is_told_nothing_of_improvements() -> None:
    table = compare(several(["non-perso"]), *FOUR)
    assert not [sentence for sentence in explained(table) if sentence.startswith("Impr.")]


def test_without_a_score_there_are_only_the_answers() -> None:
    assert [*by_title(compare(several(), told=TOLD))] == ["the answers"]


def test_without_a_score_nothing_is_told_of_comparing_them() -> None:
    starts = [sentence.partition(":")[0] for sentence in explained(compare(several(), told=TOLD))]
    assert starts[1:3] == ["÷ ref.", "repeats"]


def test_a_number_has_an_interval_only_where_both_are_defined() -> None:
    cells = Cell(Interval(0.5, nan, nan)), Cell(NONE)
    grid = next(grids(of_cells(METEOR, *cells)))
    assert grid.entries == [[Entry("0.5000")], [Entry("–")]]


def test_a_dash_has_no_interval() -> None:
    assert next(grids(of_cells(METEOR, Cell(Interval(nan, 0.1, 0.2))))).entries == [[Entry("–")]]


def test_large_counts_are_readable() -> None:
    rows = frame(system("a", users(600, 2), bleu_counts=[counts(2)] * 1200))
    assert next(explained(compare(rows, "bleu", samples=100))) == "1,200 answers of each system, for 600 users"


def test_a_number_without_end_is_short() -> None:
    measure = replace(METEOR, name="mae", title="MAE", lower_is_better=True)
    (grid,) = (g for g in grids(of_cells(measure, Cell(Interval(5.6e199, 1.0, 6e199)))) if g.title == "scores")
    assert grid.entries == [[Entry("5.6e+199", ("1…6e+199",))]]
    assert entry(by_title(of_cells(measure, Cell(Interval(inf, 1.0, 2.0))))["scores"], "a", "MAE").text == NOTHING
