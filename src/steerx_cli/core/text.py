"""Texts where they meet a terminal: nothing in them may move the cursor, change colours or reorder a line."""

import unicodedata

_JOINERS = "\u200c\u200d"  # parts of scripts and of emoji, harmless on their own


def visible(text: str) -> str:
    """The same text on one line, each control character shown as a sign or an escape."""
    return "".join(_sign(character) for character in text)


def _sign(character: str) -> str:
    category = unicodedata.category(character)
    if character == "\n" or category in ("Zl", "Zp"):
        return "⏎"
    if category == "Cc":
        code = ord(character)
        return chr(0x2400 + code) if code < 0x20 else "␡" if code == 0x7F else f"\\x{code:02x}"
    if category == "Cs" or (category == "Cf" and character not in _JOINERS):
        return f"\\u{ord(character):04x}"
    return character


def is_utf8(text: str) -> bool:
    """Whether a text can be stored; an argument that was not UTF-8 comes from the shell with its bytes in disguise."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
