"""The wording of prompts: which files there are, what they can hold, and what is refused."""

from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steerx_cli.core.errors import SteerxError
from steerx_cli.lm.templates import check_placeholders, load_smoothing, load_task, put, task_names

TASKS = [
    "abstract",
    "generic",
    "lamp-1",
    "lamp-2",
    "lamp-3",
    "lamp-4",
    "lamp-5",
    "lamp-6",
    "lamp-7",
    "review",
    "topic",
]


def test_the_shipped_tasks_are_these_and_named_as_their_files() -> None:
    assert task_names() == TASKS
    assert [load_task(name).name for name in TASKS] == TASKS
    assert {load_task(name).version for name in TASKS} == {1}
    assert len({load_task(name).fingerprint for name in TASKS}) == len(TASKS)


SHIPPED = Path(__file__).parents[2] / "src" / "steerx_cli"
REVIEW = (SHIPPED / "tasks" / "review.toml").read_text(encoding="utf-8")
SMOOTHING = (SHIPPED / "prompts" / "smoothing.toml").read_text(encoding="utf-8")


def test_a_task_of_ones_own_is_known_by_its_content(tmp_path: Path) -> None:
    own, other = tmp_path / "own.toml", tmp_path / "other.toml"
    own.write_text(f"# mine\r\n{REVIEW}", encoding="utf-8", newline="")
    other.write_text(REVIEW.replace('label = "Review:"', 'label = "Verdict:"'), encoding="utf-8")
    assert load_task(str(own)) == load_task("review")
    assert load_task(str(own)).fingerprint == load_task("review").fingerprint
    assert load_task(str(other)).fingerprint != load_task("review").fingerprint


def test_what_answers_are_compared_with_is_no_part_of_the_wording(tmp_path: Path) -> None:
    own = tmp_path / "own.toml"
    own.write_text(REVIEW + 'labels = ["good", "bad"]\n', encoding="utf-8")
    assert load_task(str(own)).labels == ("good", "bad")
    assert load_task(str(own)).fingerprint == load_task("review").fingerprint
    of = {name: (len(load_task(name).labels), load_task(name).ratings) for name in TASKS}
    assert {name: found for name, found in of.items() if found != (0, ())} == {
        "lamp-1": (2, ()),
        "lamp-2": (15, ()),
        "lamp-3": (0, (1, 5)),
    }


def test_a_smoothing_prompt_of_ones_own_replaces_the_shipped_one(tmp_path: Path) -> None:
    own = tmp_path / "own.toml"
    own.write_text(SMOOTHING.replace("- {anchor}", "* {anchor}"), encoding="utf-8")
    assert load_smoothing(str(own)) == replace(load_smoothing(), anchor="* {anchor}")
    assert load_smoothing(str(own)).fingerprint != load_smoothing().fingerprint


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            REVIEW + 'colour = "red"\n',
            "the task file {file} has the unknown key 'colour': take it out, or name one of name, version, kind, "
            "required, optional, instruction, own_instruction, history_heading, empty_history, "
            "description_heading, label, input, item, labels, ratings",
        ),
        (
            REVIEW + "labels = [1, 2]\n",
            "the task file {file} has a key 'labels' that is not a list of texts: correct it",
        ),
        *(
            (
                REVIEW + f"ratings = {given}\n",
                "the task file {file} has a key 'ratings' that is not a list of two whole numbers, the lowest and the "
                "highest: correct it",
            )
            for given in ("[1, 3, 5]", "[5, 1]", '["1", "5"]', "[1.0, 5.0]", "[true, 5]", "3")
        ),
        (REVIEW.replace("label =", "# label ="), "the task file {file} lacks the key 'label': add it"),
        (
            REVIEW.replace("version = 1", "version = true"),
            "the task file {file} has a key 'version' that is not a whole number: correct it",
        ),
        (
            REVIEW.replace("required = []", 'required = "title"'),
            "the task file {file} has a key 'required' that is not a list of field names: correct it",
        ),
        (
            REVIEW.replace('label = "Review:"', 'label = " "'),
            "the task file {file} has a key 'label' that is not a text that is not blank: correct it",
        ),
        (
            REVIEW.replace("{rating}", "{stars}"),
            "the task file {file} has the unknown placeholder {stars} in its key 'input': "
            "correct it (known there: title, description, rating, headline)",
        ),
        (
            REVIEW.replace("the item given last", "{title}"),
            "the task file {file} has the unknown placeholder {title} in its key 'instruction': "
            "correct it (known there: none)",
        ),
        (
            REVIEW + 'own_instruction = "Review {title}."\n',
            "the task file {file} has the unknown placeholder {title} in its key 'own_instruction': "
            "correct it (known there: none)",
        ),
        (
            REVIEW + "own_instruction = 1\n",
            "the task file {file} has a key 'own_instruction' that is not a text that is not blank: correct it",
        ),
        (
            REVIEW.replace("{rating}", "{rating"),
            "the task file {file} (key 'input') has a brace that belongs to no placeholder: "
            "write a placeholder as {name}, and no other brace",
        ),
        ("name = ", "the task file {file} is not TOML: Invalid value (at end of document)"),
        (None, "the task file {file} cannot be read (No such file or directory): name a file that is there"),
    ],
)
def test_a_wrong_task_file_is_refused(text: str | None, sentence: str, tmp_path: Path) -> None:
    file = tmp_path / "own.toml"
    if text is not None:
        file.write_text(text, encoding="utf-8")
    with pytest.raises(SteerxError) as caught:
        load_task(str(file))
    assert str(caught.value) == sentence.replace("{file}", str(file))


def test_a_smoothing_prompt_without_its_anchors_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "own.toml"
    file.write_text(SMOOTHING.replace("- {anchor}", "-"), encoding="utf-8")
    with pytest.raises(SteerxError) as caught:
        load_smoothing(str(file))
    assert str(caught.value) == (
        f"the smoothing prompt {file} has no {{anchor}} in its key 'anchor': put it where an anchor's text belongs"
    )


def test_an_unknown_task_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(SteerxError) as caught:
        load_task("poem")
    assert str(caught.value) == f"there is no task 'poem': name one of {', '.join(TASKS)}, or a TOML file of your own"


@pytest.mark.parametrize("name", TASKS)
def test_only_where_histories_are_of_another_kind_have_they_an_instruction_of_their_own(name: str) -> None:
    task = load_task(name)
    assert (task.own_instruction != task.instruction) == (name in ("lamp-1", "lamp-7"))


def test_an_instruction_of_its_own_that_is_the_same_does_not_count(tmp_path: Path) -> None:
    own = tmp_path / "own.toml"
    own.write_text(f'{REVIEW}\nown_instruction = "{load_task("review").instruction}"\n', encoding="utf-8")
    assert load_task(str(own)).fingerprint == load_task("review").fingerprint


@pytest.mark.parametrize("values", [{"input": "secret", "points": "secret"}, {"title": " \n", "points": "secret"}])
def test_a_required_field_that_is_absent_or_blank_is_named_without_the_persons_text(values: dict[str, str]) -> None:
    task, has = load_task("abstract"), "input, points" if "input" in values else "points"
    for fill in (task.fill_input, task.fill_item):
        with pytest.raises(SteerxError) as caught:
            fill(values)
        assert str(caught.value) == (
            f"the task abstract needs text in the field 'title', and a row has text in: {has}; "
            "name that field when the data is imported, or choose another task"
        )


@pytest.mark.parametrize(("name", "known"), [("review", "title, description, rating, headline"), ("lamp-7", "input")])
@pytest.mark.parametrize("values", [{}, {"other": "secret"}, {"title": " ", "input": "\n"}])
def test_an_input_without_any_text_is_refused_and_an_item_is_not(name: str, known: str, values: dict[str, str]) -> None:
    assert load_task(name).fill_item(values) == ""
    with pytest.raises(SteerxError) as caught:
        load_task(name).fill_input(values)
    assert str(caught.value) == (
        f"a row has no text in any field that the task {name} draws on ({known}): "
        "name one of them when the data is imported, or choose another task"
    )


def test_blank_lines_between_lines_that_are_left_out_are_no_text(tmp_path: Path) -> None:
    own = tmp_path / "own.toml"
    own.write_text(REVIEW.replace("\nDescription", "\n\n\nDescription"), encoding="utf-8")
    assert load_task(str(own)).fill_item({}) == ""
    with pytest.raises(SteerxError, match="no text in any field"):
        load_task(str(own)).fill_input({})


@pytest.mark.parametrize("field", ["title", "description", "rating", "headline"])
def test_a_review_is_asked_for_with_whatever_there_is(field: str) -> None:
    assert load_task("review").fill_input({field: "This"}) == f"{field.title()}: This"


@pytest.mark.parametrize("template", ["", "all of it", "{title}", "{Review Text}: {a}\n{b}"])
def test_placeholders_are_no_fault(template: str) -> None:
    check_placeholders("--query-text", template)


@pytest.mark.parametrize("template", ["{", "a } b", "{title", "{{title}}", "{title}}", "{}", "}{"])
def test_a_brace_that_belongs_to_no_placeholder_is_refused(template: str) -> None:
    with pytest.raises(SteerxError) as caught:
        check_placeholders("--query-text", template)
    assert str(caught.value) == (
        "--query-text has a brace that belongs to no placeholder: write a placeholder as {name}, and no other brace"
    )


@settings(deadline=None)
@given(template=st.text(st.sampled_from("{}ab ")))
def test_a_template_without_fault_leaves_no_brace_behind(template: str) -> None:
    try:
        check_placeholders("this", template)
    except SteerxError:
        return
    assert not set("{}") & set(put(template, defaultdict(str)))
