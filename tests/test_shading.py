"""`steerx show` on effects and scores: every character is there, shaded by its token's Δ, and harms no terminal."""

import json
import re
from collections.abc import Iterator
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.color import Color, ColorSystem
from rich.console import Console
from rich.text import Text

from steerx_cli.core.outputs import Output, write_whole
from steerx_cli.core.provenance import Record
from steerx_cli.core.schemas import EFFECTS, SCORES
from steerx_cli.core.text import visible
from steerx_cli.shading import FEW, MANY, STEPS, Shades, legend, shaded, step, units
from support import Steerx

Row = dict[str, Any]
Piece = tuple[str, list[float]]  # a part of a text and the Δ of each token that covers it

CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\u200b]")
TAU = 2.0
TEXT: list[Piece] = [
    ("Stop", [2.5]),
    (" scrolling", [2.0]),
    (" now.", [0.49]),
    ("\n\n", [-0.5]),
    ("A", [1.0]),
    (" cheap", [-1.0]),
    ("\t", [0.5]),
    ("👍🏽", [0.1, 4.2, -3.0]),
    (" cafe", [0.0]),
    ("\u0301", [0.0]),
    (" 今回の", [-2.2]),
    ("作品", [-4.0]),
    ("\x1b[31m", [-0.1]),
    (" and so on", []),
]


def row_of(pieces: list[Piece], **others: Any) -> Row:
    """A row of `scores` in which these pieces follow one another; those without a token are outside all."""
    row: Row = {"user_id": "someone", "query_id": "someone-next", "item_id": "someone-1", "rank": 2}
    row |= {"lam": None, "gamma2": None}
    row |= {"response": "".join(text for text, _ in pieces), "others": ["someone-2"], "basis": "method"}
    row |= {"context_cut": 0, "response_cut": 0, "starts": [], "ends": [], "tokens": [], "delta": []}
    places = [0, *accumulate(len(text) for text, _ in pieces)]
    tokens = [(*place, *piece) for place, piece in zip(pairwise(places), pieces, strict=True)]
    for start, end, text, effects in tokens:
        row["starts"] += [start] * len(effects)
        row["ends"] += [end] * len(effects)
        row["tokens"] += [text] * len(effects)
        row["delta"] += effects
    row["spans"] = spans([(start, end) for start, end, text, effects in tokens if text and max([*effects, 0.0]) >= TAU])
    row["anchors"] = [effect >= TAU for effect in row["delta"]]
    row["token_ids"] = list(range(len(row["tokens"])))
    row["log_p_history"] = [-1.0] * len(row["tokens"])
    row["log_p_empty"] = [-1.5] * len(row["tokens"])
    return row | others


def spans(anchors: list[tuple[int, int]]) -> list[dict[str, int]]:
    """Neighbours joined into one."""
    starts = [start for start, _ in anchors if start not in {end for _, end in anchors}]
    ends = [end for _, end in anchors if end not in {start for start, _ in anchors}]
    return [{"start": start, "end": end} for start, end in zip(starts, ends, strict=True)]


def without_anchors(row: Row) -> Row:
    """The same as a row of `effects`."""
    return {name: row[name] for name in EFFECTS.columns.names}


def write(*rows: Row) -> Path:
    """An artifact in the working folder; `scores` where the rows have anchors."""
    artifact = SCORES if "anchors" in rows[0] else EFFECTS
    place = Path(f"{artifact.name}.parquet")
    table = pa.Table.from_pylist(list(rows), schema=artifact.columns)
    record = Record(artifact.name, artifact.version, "score-tokens", "0.1.0", {})
    write_whole(Output(place, artifact, overwrite=True), record, [table], 1)
    return place


@pytest.fixture(autouse=True)
def here(alone: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder; what colours there are, each test says."""
    for variable in ("NO_COLOR", "COLORTERM"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    return alone


@pytest.fixture
def colours(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal with colours."""
    monkeypatch.setenv("FORCE_COLOR", "1")


def lines_of_text(out: str) -> list[str]:
    """The lines of the first row's text, from below its headline to the largest effects."""
    lines = out.splitlines()
    first = next(number for number, line in enumerate(lines) if "row 1" in line)
    last = next(number for number, line in enumerate(lines) if "largest Δ" in line)
    return lines[first + 1 : last]


def looks(text: Text) -> Iterator[tuple[str, int | None, bool]]:
    """Each character that is printed, its background, and whether it is underlined."""
    console = Console()
    for place, character in enumerate(text.plain):
        style = text.get_style_at_offset(console, place)
        yield character, style.bgcolor.number if style.bgcolor else None, bool(style.underline)


def background(text: Text, part: str) -> set[int | None]:
    """The backgrounds below a part of a text that is in it once."""
    assert text.plain.count(part) == 1
    start = text.plain.index(part)
    return {number for _, number, _ in list(looks(text))[start : start + len(part)]}


# --- the shades -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("effect", "expected"),
    [(0, 0), (0.49, 0), (0.5, 1), (0.99, 1), (1, 2), (2, 3), (3.99, 3), (4, 4), (99, 4), (float("inf"), 4)],
)
def test_a_shade_begins_at_its_number_of_nats(effect: float, expected: int) -> None:
    assert (step(effect), step(-effect)) == (expected, -expected)


def test_what_is_no_number_has_no_shade() -> None:
    assert step(float("nan")) == 0


def luminance(number: int) -> float:
    """The relative luminance of a colour (WCAG 2)."""
    parts = [value / 255 for value in Color.parse(f"color({number})").get_truecolor()]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: float, other: float) -> float:
    """WCAG's contrast of two luminances, 1 to 21."""
    return (max(one, other) + 0.05) / (min(one, other) + 0.05)


@pytest.mark.parametrize("number", [*MANY.more, *MANY.less])
def test_a_shade_is_seen_on_black_and_on_white_and_its_text_is_read(number: int) -> None:
    assert contrast(luminance(number), luminance(16)) >= 4.5
    assert contrast(luminance(number), 0.0) >= 1.5
    assert contrast(luminance(number), 1.0) >= 1.5


@pytest.mark.parametrize("shades", [MANY, FEW])
def test_more_and_less_have_no_colour_in_common(shades: Shades) -> None:
    assert len(shades.more) == len(shades.less) == len(STEPS)
    assert not set(shades.more) & set(shades.less)
    for more, less in zip(shades.more, shades.less, strict=True):
        _, _, blue = Color.parse(f"color({more})").get_truecolor()
        red, _, other = Color.parse(f"color({less})").get_truecolor()
        assert blue < other
        assert red < other, "blue outweighs red in one of them only"


def test_the_few_colours_are_those_that_every_terminal_has() -> None:
    for number in [*FEW.more, *FEW.less]:
        assert Color.parse(f"color({number})").downgrade(ColorSystem.STANDARD).number == number


def test_tokens_are_shaded_by_their_effects() -> None:
    text = shaded(row_of(TEXT), MANY)
    expected = {"Stop scrolling": 208, "now": None, "⏎\n⏎": 146, "A": 215, "cheap": 110, "␉": 180, "cafe": None}
    expected |= {"今回の": 75, "作品": 33, "[31m": None, "and so on": None}
    assert {part: background(text, part) for part in expected} == {part: {shade} for part, shade in expected.items()}


def test_the_largest_effect_of_the_tokens_of_one_emoji_is_its_shade() -> None:
    assert background(shaded(row_of(TEXT), MANY), "👍🏽") == {MANY.more[3]}
    assert background(shaded(row_of([("👍🏽", [1.0, -2.5])]), MANY), "👍🏽") == {MANY.less[2]}


def test_every_row_has_the_same_scale() -> None:
    alone, beside = row_of([("word", [1.2])]), row_of([("word", [1.2]), (" other", [40.0])])
    assert background(shaded(alone, MANY), "word") == background(shaded(beside, MANY), "word") == {MANY.more[1]}


def test_a_background_has_its_foreground_and_what_is_outside_tokens_is_dim() -> None:
    text, console = shaded(row_of(TEXT), MANY), Console()
    for place in range(len(text)):
        style = text.get_style_at_offset(console, place)
        assert (style.color is None) == (style.bgcolor is None)
        assert bool(style.dim) == (place >= text.plain.index(" and so on"))


def test_without_a_comparison_nothing_is_shaded() -> None:
    row = row_of(TEXT, delta=None, log_p_history=None)
    assert {number for _, number, _ in looks(shaded(row, MANY))} == {None}


# --- the anchors ------------------------------------------------------------------------------------------------------


def test_anchors_are_underlined_and_the_space_before_a_word_is_not() -> None:
    row = row_of([("So", [0.0]), (" noisy", [3.0]), (" films", [0.0])])
    assert "".join(character for character, _, underlined in looks(shaded(row, MANY)) if underlined) == "noisy"
    assert not any(underlined for _, _, underlined in looks(shaded(without_anchors(row), MANY)))


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        ([("So", [0.0]), (" noisy", [3.0]), (" films", [])], "So ⟦noisy⟧ films"),
        ([("So", [0.0]), ("\n\n", [3.0]), ("then", [0.0])], "So⟦⏎\n⏎⟧\nthen"),
        ([("cafe", [3.0]), ("\u0301s", [0.0])], "⟦cafe\u0301⟧s"),
        ([("👩", [0.0]), ("\u200d", [3.0]), ("👧 here", [0.0])], "⟦👩\u200d👧⟧ here"),
        ([("all", [3.0])], "⟦all⟧"),
        ([("none", [0.0])], "none"),
        ([("", [])], ""),
    ],
)
def test_without_colours_anchors_stand_in_brackets(pieces: list[Piece], expected: str) -> None:
    assert shaded(row_of(pieces), None).plain == expected


def test_a_span_beyond_the_text_marks_what_is_there() -> None:
    assert shaded(row_of([("end", [3.0])], spans=[{"start": 1, "end": 9}]), None).plain == "e⟦nd⟧"


# --- any text ---------------------------------------------------------------------------------------------------------

TEXTS = st.text("ab \n\t\r\x1b\x9b\u2028\u202e\u200d\u0301\ufe0f👩🏽🎬今é⏎⟦", max_size=6) | st.text(max_size=6)
PIECES = st.lists(st.tuples(TEXTS, st.lists(st.floats(-9, 9, width=32), max_size=3)), max_size=8)


@given(PIECES)
def test_every_character_of_any_text_is_shown_once_and_does_no_harm(pieces: list[Piece]) -> None:
    text = shaded(row_of(pieces), MANY)
    assert text.plain.replace("\n", "") == visible("".join(piece for piece, _ in pieces))
    assert not CONTROL.search(text.plain)


@given(PIECES)
def test_brackets_are_all_that_is_added_without_colours(pieces: list[Piece]) -> None:
    row = row_of([(piece.replace("⟦", "").replace("⟧", ""), effects) for piece, effects in pieces])
    plain = shaded(row, None).plain
    assert re.sub("[⟦⟧]", "", plain) == shaded(row, MANY).plain
    assert re.fullmatch(r"([^⟦⟧]*⟦[^⟦⟧]+⟧)*[^⟦⟧]*", plain)


@given(TEXTS)
def test_what_a_terminal_draws_as_one_is_not_torn(text: str) -> None:
    parts = [text[unit] for unit in units(text)]
    assert "".join(parts) == text
    assert not any(part.startswith(("\u0301", "\ufe0f", "\u200d", "🏽")) for part in parts[1:])
    assert not any(part.endswith("\u200d") for part in parts[:-1])


@given(st.lists(st.floats(-9, 9, width=32), min_size=1, max_size=20))
def test_each_letter_has_the_shade_of_its_own_token(effects: list[float]) -> None:
    shades = [number for _, number, _ in looks(shaded(row_of([("x", [effect]) for effect in effects]), MANY))]
    for effect, shade in zip(effects, shades, strict=True):
        colours = MANY.more if effect > 0 else MANY.less
        reached = [colour for least, colour in zip((0.5, 1, 2, 4), colours, strict=True) if abs(effect) >= least]
        assert shade == (reached[-1] if reached else None)


# --- the command ------------------------------------------------------------------------------------------------------


def test_a_terminal_with_colours_shows_them(steerx: Steerx, colours: None) -> None:
    code, out, err = steerx("show", write(row_of(TEXT)))
    assert (code, err) == (0, "")
    text = "\n".join(lines_of_text(out))
    assert re.search(r"\x1b\[1;4;38;5;16;48;5;208mStop scrolling\x1b\[0m now\.", text)
    assert re.search(r"\x1b\[38;5;16;48;5;33m作品\x1b\[0m␛\[31m\x1b\[2m and so on\x1b\[0m", text)
    assert "⟦" not in out
    for least in ("0.5", "1", "2", "4"):
        assert re.search(rf"48;5;\d+m ≥{least} \x1b\[0m", out)
        assert re.search(rf"48;5;\d+m ≤−{least} \x1b\[0m", out)


def test_a_terminal_of_sixteen_colours_has_shades_of_its_own(
    steerx: Steerx, colours: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    text = "\n".join(lines_of_text(steerx("show", write(row_of(TEXT))).out))
    assert "\x1b[1;4;30;103mStop scrolling\x1b[0m now." in text
    assert "\x1b[30;46m cheap\x1b[0m" in text


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_without_colours_anchors_are_plain_to_see(
    steerx: Steerx, colours: None, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    out = steerx("show", write(row_of(TEXT))).out
    assert not re.search(r"\x1b\[[\d;]*[34][\d;]*8;5", out)
    assert "⟦Stop scrolling⟧" in re.sub(r"\x1b\[[\d;]*m", "", out)


def test_where_there_is_no_terminal_the_text_is_plain(steerx: Steerx) -> None:
    code, out, err = steerx("show", write(row_of(TEXT)))
    assert (code, err) == (0, "")
    assert lines_of_text(out) == [
        "  ⟦Stop scrolling⟧ now.⏎",
        "  ⏎",
        "  A cheap␉⟦👍🏽⟧ cafe\u0301 今回の作品␛[31m and so on",
    ]
    assert not CONTROL.search(out)
    assert "⟦ ⟧ anchor; Δ in nats: the largest as numbers, all of them where there are colours" in out


def test_the_line_above_tells_which_text_it_is(steerx: Steerx) -> None:
    row = row_of(TEXT, context_cut=12, response_cut=3)
    told = "rank 2, others 1, tokens 15, anchors 3, basis method, context cut by 12, text cut by 3"
    assert f"row 1  someone · someone-next · someone-1  {told}\n" in steerx("show", write(row)).out
    told = "rank 2, others 1, tokens 15, context cut by 12, text cut by 3"
    assert f"row 1  someone · someone-next · someone-1  {told}\n" in steerx("show", write(without_anchors(row))).out


def test_a_generation_is_named_by_its_strength(steerx: Steerx) -> None:
    row = row_of([("word", [0.0])], item_id=None, rank=None, lam=0.25, others=["someone-1", "someone-2"], basis="none")
    told = "row 1  someone · someone-next  λ 0.25, others 2, tokens 1, anchors 0, basis none\n"
    assert told in steerx("show", write(row)).out


def test_a_row_without_a_comparison_says_so(steerx: Steerx) -> None:
    row = row_of([("all", [0.0])], delta=None, log_p_history=None, others=[], basis="whole", anchors=[True])
    out = steerx("show", write(row | {"spans": [{"start": 0, "end": 3}]})).out
    assert "others 0, tokens 1, anchors 1, basis whole, no Δ for want of others\n  ⟦all⟧\n" in out
    assert re.search(r"^  largest Δ +$", out, re.MULTILINE)


def test_the_largest_effects_are_told_as_numbers(steerx: Steerx) -> None:
    out = steerx("show", write(row_of(TEXT))).out
    told = "👍🏽 +4.20 · 作品 -4.00 · Stop +2.50 · 今回の -2.20 · scrolling +2.00 · A +1.00 · cheap -1.00 · ⏎⏎ -0.50"
    assert re.search(rf"^  largest Δ +{re.escape(told)} · ␉ \+0\.50 · ", out, re.MULTILINE)


def test_what_the_text_does_not_tell_is_below_it_in_short(steerx: Steerx) -> None:
    out = steerx("show", write(row_of(TEXT), row_of(TEXT, item_id="someone-3", rank=3))).out
    row = out.split("row 2  ")[1].split("\n⟦ ⟧")[0]
    names = re.findall(r"^  ([a-z_]+) {2,}", row, re.MULTILINE)
    assert names == [
        "others",
        "token_ids",
        "tokens",
        "starts",
        "ends",
        "log_p_history",
        "log_p_empty",
        "delta",
        "spans",
    ]
    assert "  delta          2.5, 2, 0.49, -0.5, 1, -1, 0.5, 0.1, 4.2, -3, 0, 0, -2.2, -4, -0.1\n" in row
    assert out.count("⟦ ⟧ anchor") == 1


@pytest.mark.parametrize("width", [24, 40, 80])
@pytest.mark.parametrize("forced", [False, True])
def test_no_line_of_a_text_is_wider_than_the_terminal(
    steerx: Steerx, monkeypatch: pytest.MonkeyPatch, width: int, forced: bool
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    if forced:
        monkeypatch.setenv("FORCE_COLOR", "1")
    row = row_of(TEXT * 9 + [("日本語の長い文章" * 9, [2.4]), ("x" * 300, [-1.0])], query_id="query " * 30)
    out = re.sub(r"\x1b\[[\d;]*m", "", steerx("show", write(row)).out)
    assert [line for line in out.splitlines() if cell_len(line) > width] == []
    joined = re.sub(r"[\s⟦⟧]", "", "".join(lines_of_text(out)))
    assert joined.endswith(re.sub(r"\s", "", visible(row["response"]))), "the line above may take several"


def test_markup_in_a_text_is_printed_as_it_is(steerx: Steerx) -> None:
    row = row_of([("[red]angry[/red]", [0.0]), (" :smile: [/]", [0.0])], user_id="[bold]someone")
    out = steerx("show", write(row)).out
    assert lines_of_text(out) == ["  [red]angry[/red] :smile: [/]"]
    assert "row 1  [bold]someone · " in out


def test_control_characters_in_ids_are_shown_as_signs(steerx: Steerx) -> None:
    row = row_of(TEXT, user_id="a\x1b[31m", query_id="b\n", item_id="c\u202e", basis="d\x9b", others=["e\x07"])
    out = steerx("show", write(row)).out
    assert not CONTROL.search(out)
    assert "row 1  a␛[31m · b⏎ · c\\u202e  " in out


def test_without_rows_there_is_no_legend(steerx: Steerx) -> None:
    out = steerx("show", write(row_of(TEXT)), "--rows", 0).out
    assert "row 1" not in out
    assert "in nats" not in out


def test_effects_have_a_legend_without_anchors(steerx: Steerx) -> None:
    assert "anchor" not in steerx("show", write(without_anchors(row_of(TEXT)))).out
    assert "anchor" not in legend(MANY, with_anchors=False).plain


def test_json_holds_no_text(steerx: Steerx, colours: None) -> None:
    out = steerx("show", write(row_of(TEXT)), "--json").out
    assert sorted(json.loads(out)) == ["artifact", "columns", "footer", "place"]
    assert "scrolling" not in out
    assert "\x1b" not in out
