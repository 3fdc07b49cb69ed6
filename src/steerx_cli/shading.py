"""A person's text as it is shown on a terminal: each token shaded by its effect Δ, the anchors marked."""

import unicodedata
from collections.abc import Iterator, Mapping
from itertools import groupby, pairwise
from typing import Any, NamedTuple

from rich.text import Text

from steerx_cli.core.text import visible

Row = Mapping[str, Any]  # of effects or scores

STEPS = (0.5, 1.0, 2.0, 4.0)  # nats; a shade is the same Δ in every row, and begins where a τ would
LARGEST = 12  # how many tokens are also told with their numbers

_BLACK = 16
_IDS = ("user_id", "query_id", "item_id")
_TOLD = (*_IDS, "rank", "lam", "gamma2", "response", "context_cut", "response_cut", "anchors", "basis")
_ZERO_WIDTH_JOINER = "\u200d"
_SKIN_TONES = "🏻🏼🏽🏾🏿"
_LINE_ENDS = "\n\u2028\u2029"


class Shades(NamedTuple):
    """Backgrounds by number, from the weakest step to the strongest."""

    more: tuple[int, ...]  # Δ > 0
    less: tuple[int, ...]  # Δ < 0


# Orange and blue, which the colour-blind tell apart. The weak ones are greyish and none is much lighter than another,
# so they look weak on a dark background and on a light one.
MANY = Shades(more=(180, 215, 208, 202), less=(146, 110, 75, 33))
FEW = Shades(more=(3, 3, 11, 11), less=(6, 6, 14, 14))  # where a terminal has 16 colours: yellow and cyan


class Look(NamedTuple):
    """How a part of the text is shown."""

    step: int  # how many of STEPS its Δ reaches, negative where Δ is
    token: bool
    anchor: bool


def step(effect: float) -> int:
    """Which shade an effect has; 0 is none."""
    reached = sum(abs(effect) >= least for least in STEPS)
    return reached if effect > 0 else -reached


# --- from a row to looks ----------------------------------------------------------------------------------------------


def effects_of(row: Row) -> list[float]:
    """Each token's Δ; 0 throughout where there was nothing to compare with."""
    return [0.0] * len(row["tokens"]) if row["delta"] is None else list(row["delta"])


def by_character(row: Row) -> list[float | None]:
    """Each character's Δ: the largest, up or down, of the tokens that share it; None outside all tokens."""
    found: list[float | None] = [None] * len(row["response"])
    for start, end, effect in zip(row["starts"], row["ends"], effects_of(row), strict=True):
        for place in range(start, min(end, len(found))):
            found[place] = max(found[place] or 0.0, effect, key=abs)
    return found


def anchored(row: Row) -> set[int]:
    """The characters in anchors, without the white space around a word."""
    places: set[int] = set()
    for span in row.get("spans", ()):
        text = row["response"][span["start"] : span["end"]]
        lead = len(text) - len(text.lstrip()) if text.strip() else 0
        places.update(range(span["start"] + lead, span["start"] + lead + len(text.strip() or text)))
    return places


def units(text: str) -> Iterator[slice]:
    """What a terminal draws as one: a letter with its marks, an emoji with what is joined to it."""
    starts = [place for place in range(len(text)) if place == 0 or not _joined(text[place - 1], text[place])]
    for start, end in pairwise([*starts, len(text)]):
        yield slice(start, end)


def _joined(before: str, character: str) -> bool:
    joins = _ZERO_WIDTH_JOINER in (before, character) or character in _SKIN_TONES
    return joins or unicodedata.category(character).startswith("M")


def looks(row: Row) -> Iterator[tuple[str, Look]]:
    """The text bit by bit, harmless to the terminal, its line ends both shown and kept."""
    effects, anchors = by_character(row), anchored(row)
    for unit in units(row["response"]):
        told = [effect for effect in effects[unit] if effect is not None]
        anchor = any(place in anchors for place in range(unit.start, unit.stop))
        text = row["response"][unit]
        look = Look(step(max(told, key=abs, default=0.0)), bool(told), anchor)
        yield visible(text) + "\n" * (text[0] in _LINE_ENDS), look


# --- from looks to a terminal -----------------------------------------------------------------------------------------


def style(look: Look, shades: Shades) -> str:
    """What rich calls it; the foreground is set with the background, for both kinds of terminals."""
    words = [] if look.token else ["dim"]
    if look.anchor:
        words.append("bold underline")
    if look.step:
        words.append(_background(look.step, shades))
    return " ".join(words)


def _background(reached: int, shades: Shades) -> str:
    numbers = shades.more if reached > 0 else shades.less
    return f"color({_BLACK}) on color({numbers[abs(reached) - 1]})"


def shaded(row: Row, shades: Shades | None) -> Text:
    """The whole text; without shades the anchors stand in brackets."""
    text = Text()
    for anchor, run in groupby(looks(row), key=lambda piece: piece[1].anchor):
        part = Text()
        for look, pieces in groupby(run, key=lambda piece: piece[1]):
            part.append("".join(piece for piece, _ in pieces), style(look, shades or MANY))
        text.append_text(_bracketed(part) if anchor and shades is None else part)
    return text


def _bracketed(part: Text) -> Text:
    """In brackets that no text of a person is likely to have; the last one stands before a line end."""
    ended = part.plain.endswith("\n")
    if ended:
        part.right_crop(1)
    return Text.assemble("⟦", part, "⟧", "\n" * ended)


def legend(shades: Shades | None, with_anchors: bool) -> Text:
    """What the shades and marks mean."""
    if shades is None:
        marks = "⟦ ⟧ anchor; " if with_anchors else ""
        return Text(
            f"{marks}Δ in nats: the largest as numbers, all of them where there are colours (FORCE_COLOR=1)", "dim"
        )
    text = Text("Δ in nats")
    for reached in [*range(-len(STEPS), 0), *range(1, len(STEPS) + 1)]:
        sign = "≤−" if reached < 0 else "≥"
        text.append("  ").append(f" {sign}{STEPS[abs(reached) - 1]:g} ", _background(reached, shades))
    if with_anchors:
        text.append("  ").append("anchor", style(Look(0, True, True), shades))
    return text.append("  ").append("in no token", style(Look(0, False, False), shades))


# --- the lines around the text ----------------------------------------------------------------------------------------


def headline(number: int, row: Row) -> Text:
    """Which text this is, and in a few words how it was measured."""
    ids = " · ".join(visible(row[name]) for name in _IDS if row[name] is not None)
    return Text.assemble((f"row {number}", "bold"), f"  {ids}  ", (", ".join(_details(row)), "dim"))


def _details(row: Row) -> Iterator[str]:
    if row["rank"] is not None:
        yield f"rank {row['rank']}"
    if row["lam"] is not None:
        yield f"λ {row['lam']:g}"
    if row["gamma2"] is not None:
        yield f"γ2 {row['gamma2']:g}"
    yield f"others {len(row['others']):,}"
    yield f"tokens {len(row['tokens']):,}"
    if "anchors" in row:
        yield f"anchors {sum(row['anchors']):,}"
        yield f"basis {visible(row['basis'])}"
    if row["delta"] is None:
        yield "no Δ for want of others"
    if row["context_cut"]:
        yield f"context cut by {row['context_cut']:,}"
    if row["response_cut"]:
        yield f"text cut by {row['response_cut']:,}"


def largest(row: Row) -> str:
    """The largest effects, up or down, as numbers: of tokens that share their characters, the largest one."""
    found: dict[tuple[int, int], float] = {}
    for start, end, effect in zip(row["starts"], row["ends"], effects_of(row), strict=True):
        found[start, end] = max(found.get((start, end), 0.0), effect, key=abs)
    first = sorted(found.items(), key=lambda token: -abs(token[1]))[:LARGEST]
    told = [f"{visible(row['response'][slice(*place)]).strip() or '␣'} {effect:+.2f}" for place, effect in first]
    return "" if row["delta"] is None else " · ".join(told)


def remaining(row: Row) -> dict[str, Any]:
    """The columns that neither the text nor the line above it tells."""
    return {name: value for name, value in row.items() if name not in _TOLD}
