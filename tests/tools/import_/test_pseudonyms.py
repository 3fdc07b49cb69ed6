"""Users under other names."""

import hmac
from pathlib import Path

import pytest

from steerx_cli.core.errors import SteerxError
from steerx_cli.tools.import_.pseudonyms import check_of, pseudonyms, read_key

KEY = b"0123456789abcdef"


def test_a_pseudonym_is_a_keyed_hash_of_the_id() -> None:
    assert pseudonyms(KEY)("Zoë") == hmac.new(KEY, "Zoë".encode(), "sha256").hexdigest()[:32]


def test_another_key_or_another_user_is_another_name() -> None:
    names = {pseudonyms(key)(user) for key in (KEY, KEY + b"0") for user in ("a", "b")}
    assert len(names) == 4
    assert pseudonyms(KEY)("a") == pseudonyms(KEY)("a")


def test_keys_are_told_apart_without_being_told() -> None:
    assert check_of(KEY) != check_of(KEY + b"0")
    assert len(check_of(KEY)) == 8


def test_the_key_comes_from_the_file_else_from_the_variable(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(KEY + b"\n")
    assert read_key(tmp_path / "key", "another key, long enough") == KEY
    assert read_key(None, f" {KEY.decode()} ") == KEY


@pytest.mark.parametrize("variable", [None, ""])
def test_without_a_key_the_way_to_one_is_told(variable: str | None) -> None:
    with pytest.raises(SteerxError, match="--key-file, or set STEERX_KEY"):
        read_key(None, variable)


def test_a_key_that_could_be_guessed_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SteerxError, match="openssl rand"):
        read_key(None, "fifteen letters")
    (tmp_path / "key").write_bytes(b"\n" * 40)
    with pytest.raises(SteerxError, match="openssl rand"):
        read_key(tmp_path / "key", None)


def test_a_key_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SteerxError, match=r"nowhere cannot be read \(No such file"):
        read_key(tmp_path / "nowhere", None)
