"""What is refused before anything is scored: with how many it is of, and what to do about it."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

import steerx_cli.stages.evaluate.scoring as scoring
from answers import ancestor, answers, ask, asked, evaluate, give
from scorers import Row, rows_of
from steerx_cli.core.errors import SteerxError
from steerx_cli.core.order import user_order
from steerx_cli.core.provenance import Footer
from steerx_cli.lm.templates import load_task
from steerx_cli.stages.evaluate.settings import Settings
from support import contents

ROUGE = Settings(("rouge1",))
USERS = sorted("abcd", key=user_order)
LAST = "every system needs one answer to each query; write the answers again, or leave a file out"


def queries(reference: str | None = "a quiet film") -> list[Row]:
    """Two of each user, and one to choose settings on."""
    rows = [asked(user, name, reference) for user in USERS for name in "01"]
    return [*rows, asked(USERS[0], "2", reference, "development")]


QUERIES = queries()


def said(row: Row, of: float | None) -> str:
    """An answer."""
    return f"a film {of} of {row['user_id']}"


@pytest.fixture
def footer(tmp_path: Path) -> Footer:
    """The queries."""
    return ask(tmp_path, QUERIES)


Refused = Callable[..., str]


@pytest.fixture
def refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Refused:
    """What a run says; a dry one says it too, and neither loads or writes anything."""

    def refusal(files: Sequence[Path], settings: Settings = ROUGE, **scope: Any) -> str:
        before, output = contents(tmp_path), tmp_path / "metrics.parquet"
        sentences = []
        with monkeypatch.context() as patch:
            patch.setattr(scoring, "scorers", lambda _: pytest.fail("something was loaded"))
            for dry_run in (True, False):
                with pytest.raises(SteerxError) as found:
                    evaluate(tmp_path, files, settings, output, dry_run=dry_run, **scope)
                sentences.append(str(found.value))
                assert contents(tmp_path) == before
        assert sentences[0] == sentences[1]
        return sentences[0]

    return refusal


def misfit(folder: Path, *faults: str) -> str:
    """The sentence about rows that do not fit."""
    return f"what is to be scored does not fit {folder / 'queries.parquet'} ({'; '.join(faults)}): {LAST}"


# --- rows -------------------------------------------------------------------------------------------------------------


def test_missing_answers_are_refused(tmp_path: Path, footer: Footer, refused: Refused) -> None:
    rows = answers(QUERIES, "rag", said)
    files = [give(tmp_path, footer, rows), give(tmp_path, footer, answers(QUERIES, "non-perso", said)[2:])]
    sentence = misfit(tmp_path, "non-perso: queries without an answer: 2")
    assert refused(files) == refused(files, chunk_users=1) == sentence


def test_only_queries_of_the_split_with_a_reference_need_an_answer(tmp_path: Path, refused: Refused) -> None:
    rows = queries()
    rows[1]["reference"] = None
    footer = ask(tmp_path, rows)
    path = give(tmp_path, footer, answers([rows[0], *rows[2:-1]], "rag", said))
    assert evaluate(tmp_path, [path], ROUGE, tmp_path / "scored.parquet").rows == 7
    sentence = misfit(tmp_path, "rag: queries without an answer: 1")
    for split in ("all", "development"):
        assert refused([path], Settings(("rouge1",), split=split)) == sentence


def test_answers_to_unknown_queries_are_refused(tmp_path: Path, footer: Footer, refused: Refused) -> None:
    more = [asked(USERS[0], "9", ""), asked(USERS[3], "9", ""), asked(USERS[3], "8", "")]
    path = give(tmp_path, footer, answers([*QUERIES, *more], "rag", said))
    assert refused([path]) == misfit(tmp_path, "rag: answers to no query: 3")
    assert refused([path], limit=1) == misfit(tmp_path, "rag: answers to no query: 1")


def test_an_answer_to_what_only_others_were_asked_is_refused(tmp_path: Path, footer: Footer, refused: Refused) -> None:
    """Of all users only the first has a query of this id."""
    path = give(tmp_path, footer, answers([*QUERIES, {**QUERIES[-1], "user_id": USERS[1]}], "rag", said))
    assert refused([path]) == misfit(tmp_path, "rag: answers to no query: 1")


@pytest.mark.parametrize("stranger", ["x", "y", "z", "longer"])
def test_answers_for_users_who_asked_nothing_are_refused(
    stranger: str, tmp_path: Path, footer: Footer, refused: Refused
) -> None:
    rows = answers([*QUERIES, asked(stranger, "0", ""), asked(stranger, "1", "")], "cos", said, (0.5, 1.0))
    path = give(tmp_path, footer, rows)
    assert refused([path]) == refused([path], chunk_users=1) == misfit(tmp_path, "cos: answers to no query: 4")


def test_a_user_s_answer_is_no_answer_to_another_s_query_of_that_id(
    tmp_path: Path, footer: Footer, refused: Refused
) -> None:
    rows = answers(QUERIES[1:], "rag", said)
    path = give(tmp_path, footer, [*rows, {**rows[-1], "user_id": "x"}])
    sentence = misfit(tmp_path, "rag: queries without an answer: 1", "rag: answers to no query: 1")
    assert refused([path]) == sentence


def test_a_strength_that_some_queries_lack_is_refused(tmp_path: Path, footer: Footer, refused: Refused) -> None:
    rows = answers(QUERIES, "cos", said, (0.5, 1.0))
    lacking = [row for row in rows if (row["lam"], row["query_id"]) != (1.0, "1") or row["user_id"] == USERS[1]]
    assert refused([give(tmp_path, footer, lacking)]) == misfit(tmp_path, "cos λ 1: queries without an answer: 3")


def test_a_strength_that_no_parameter_names_is_no_answer(tmp_path: Path, footer: Footer, refused: Refused) -> None:
    path = give(tmp_path, footer, answers(QUERIES, "cas", said, (0.5,)), gamma2=[0.5, 0.7])
    assert refused([path]) == misfit(tmp_path, "cas γ2 0.7: queries without an answer: 8")


def test_second_answers_are_refused(tmp_path: Path, footer: Footer, refused: Refused) -> None:
    rows = answers(QUERIES, "cos", said, (0.5, 1.0))
    again = [{**row, "response": "b"} for row in rows if row["lam"] == 1.0][:3]
    assert refused([give(tmp_path, footer, [*rows, *again])]) == misfit(tmp_path, "cos λ 1: second answers: 3")


def test_all_that_does_not_fit_is_told_at_once(tmp_path: Path, footer: Footer, refused: Refused) -> None:
    files = [
        give(tmp_path, footer, answers([*QUERIES[1:], asked("x", "0", "")], "rag", said)),
        give(tmp_path, footer, answers(QUERIES[:4], "steerx-cas", said, (0.1,))),
    ]
    assert refused(files) == misfit(
        tmp_path,
        "rag: queries without an answer: 1",
        "steerx-cas γ2 0.1: queries without an answer: 4",
        "rag: answers to no query: 1",
    )


def test_thousands_are_told_with_commas(tmp_path: Path, refused: Refused) -> None:
    rows = [asked("a", f"{number}", "b") for number in range(1201)]
    path = give(tmp_path, ask(tmp_path, rows), answers(rows[:1], "rag", said))
    assert refused([path]) == misfit(tmp_path, "rag: queries without an answer: 1,200")


# --- files ------------------------------------------------------------------------------------------------------------


def test_answers_to_histories_are_refused(tmp_path: Path, footer: Footer, refused: Refused) -> None:
    path = give(tmp_path, footer, answers(QUERIES, "non-perso", said), "neutral", over="histories")
    other = give(tmp_path, footer, answers(QUERIES, "rag", said))
    assert refused([other, path]) == f"{path} has answers to histories' inputs: name answers to queries"


def test_answers_to_other_queries_are_refused(tmp_path: Path, footer: Footer, refused: Refused) -> None:
    others = ask(tmp_path, [{**row, "input": "y"} for row in QUERIES], "others")
    path = give(tmp_path, others, answers(QUERIES, "rag", said))
    assert refused([path]) == (
        f"{path} answers other queries than those in {tmp_path / 'queries.parquet'}: name its own with --queries, or "
        "write the answers again"
    )


def test_answers_of_the_first_users_only_are_refused(tmp_path: Path, footer: Footer, refused: Refused) -> None:
    path = give(tmp_path, footer, answers(QUERIES[:4], "rag", said), limit=2)
    sentence = f"{path} was made for the first 2 users: make it for all, or name --limit 2"
    assert refused([path]) == refused([path], limit=3) == sentence
    assert evaluate(tmp_path, [path], ROUGE, tmp_path / "scored.parquet", limit=2).rows == 4
    assert {row["user_id"] for row in rows_of(tmp_path / "scored.parquet")} == {*USERS[:2]}


def test_answers_from_what_was_made_for_the_first_users_only_are_refused(
    tmp_path: Path, footer: Footer, refused: Refused
) -> None:
    parents = {"retrieved": ancestor("retrieved", limit=2)}
    path = give(tmp_path, footer, answers(QUERIES, "rag", said), parents=parents)
    assert refused([path]) == f"{path} was made for the first 2 users: make it for all, or name --limit 2"


# --- references -------------------------------------------------------------------------------------------------------

LABELS = Settings(("accuracy",), task=load_task("lamp-2"))
RATINGS = Settings(("mae",), task=load_task("lamp-3"))


@pytest.mark.parametrize("settings", [LABELS, RATINGS])
def test_answers_to_another_task_are_not_compared_as_labels(
    settings: Settings, tmp_path: Path, footer: Footer, refused: Refused
) -> None:
    assert settings.task
    path = give(tmp_path, footer, answers(QUERIES, "rag", said), task="lamp-1")
    name = settings.task.name
    assert refused([path], settings) == f"{path} was written for the task lamp-1, not {name}: name that --task"
    assert evaluate(tmp_path, [path], ROUGE, tmp_path / "scored.parquet").rows == 8
    text = Settings(("rouge1",), task=settings.task)
    assert evaluate(tmp_path, [path], text, tmp_path / "text.parquet").rows == 8


@pytest.mark.parametrize(
    ("settings", "right", "wrong"),
    [(LABELS, " comedy\n", ["Comedy", "", "comedy."]), (RATINGS, " 4.0", ["four", " ", "inf"])],
)
def test_references_that_are_none_of_the_task_s_are_refused(
    settings: Settings, right: str, wrong: list[str], tmp_path: Path, refused: Refused
) -> None:
    rows = queries(right)
    for row, reference in zip(rows[2:], wrong, strict=False):
        row["reference"] = reference
    rows[-1]["reference"] = wrong[0]
    assert settings.task
    path = give(tmp_path, ask(tmp_path, rows), answers(rows, "rag", said), task=settings.task.name)
    fault = "references that are none of the task's labels, or no rating"
    assert refused([path], settings) == misfit(tmp_path, f"{fault}: 3")
    every = Settings(settings.metrics, "all", settings.task)
    assert refused([path], every, chunk_users=1) == misfit(tmp_path, f"{fault}: 4")


@pytest.mark.parametrize(("split", "of"), [("test", " of the split test"), ("all", "")])
def test_without_any_reference_there_is_nothing_to_compare(
    split: str, of: str, tmp_path: Path, refused: Refused
) -> None:
    rows = queries(None)
    path = give(tmp_path, ask(tmp_path, rows), answers(rows, "rag", said))
    assert refused([path], Settings(("rouge1",), split=split)) == (
        f"{tmp_path / 'queries.parquet'} has no query{of} with a reference, so there is nothing to compare answers "
        "with: name another --split, or import what the users wrote"
    )


def test_an_empty_split_is_refused(tmp_path: Path, refused: Refused) -> None:
    rows = QUERIES[:-1]
    path = give(tmp_path, ask(tmp_path, rows), answers(rows, "rag", said))
    found = refused([path], Settings(("rouge1",), split="development"))
    assert found.startswith(f"{tmp_path / 'queries.parquet'} has no query of the split development with a reference")
