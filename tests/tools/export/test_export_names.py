"""The names of exported files: safe everywhere, and no two ids share one."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exports import export, from_gguf, names, numbers, row, write
from steerx_cli.tools.export.names import file_name


@pytest.mark.parametrize(
    ("user", "query", "name"),
    [
        ("person-54", "person-54-next-1", "person-54--person-54-next-1.gguf"),
        ("a1_b.c", None, "a1_b.c.gguf"),
        ("a" * 44, "b" * 44, f"{'a' * 44}--{'b' * 44}.gguf"),
    ],
)
def test_a_plain_id_is_the_name(user: str, query: str | None, name: str) -> None:
    assert file_name(user, query, "gguf") == name


@pytest.mark.parametrize(
    ("user", "query", "start"),
    [
        ("Ann", None, "Ann"),  # another may be called ann
        ("a b", None, "a_b"),
        ("a/b\\c:d,e", None, "a_b_c_d_e"),
        ("é東\n", None, "___"),
        ("", None, "_"),
        ("", "", "_--"),
        (".hidden", None, "_.hidden"),
        ("..", None, "_.."),
        ("-rf", None, "_-rf"),
        ("con", None, "_con"),
        ("NUL.txt", None, "_NUL.txt"),
        ("aux.a", "b", "_aux.a--b"),
        ("com7", None, "_com7"),
        ("x" * 500, "y" * 500, f"{'x' * 44}--{'y' * 44}"),
        ("a--b", "c", "a--b--c"),
        ("a", "b--c", "a--b--c"),
        ("a-", "b", "a---b"),
        ("a", "-b", "a---b"),
        ("a--b", None, "a--b"),
        (f"a-{'0' * 16}", None, f"a-{'0' * 16}"),
    ],
)
def test_any_other_id_gets_a_hash(user: str, query: str | None, start: str) -> None:
    name = file_name(user, query, "gguf")
    assert name.startswith(f"{start}-")
    assert len(name) == len(f"{start}-") + 16 + len(".gguf")


NASTY = st.lists(
    st.sampled_from(["a", "A", "b", "-", "--", ".", "_", "con", "NUL", "/", "\\", ":", "é", "\0", "0" * 16, "x" * 43])
    | st.characters(codec="utf-8"),
    max_size=5,
).map("".join)
PAIRS = st.tuples(NASTY, st.none() | NASTY)


@settings(max_examples=500, deadline=None)
@given(st.lists(PAIRS, min_size=2, max_size=8, unique=True))
def test_names_are_safe_everywhere_and_nobody_s_are_the_same(pairs: list[tuple[str, str | None]]) -> None:
    made = [file_name(user, query, "safetensors") for user, query in pairs]
    stems = [name.removesuffix(".safetensors") for name in made]
    # Whoever's ids are another's name is somebody else, too.
    named: list[tuple[str, str | None]] = [(stem, None) for stem in stems]
    halves = [(user, query) for user, _, query in (stem.partition("--") for stem in stems)]
    distinct = {*pairs, *named, *halves}
    folded = {file_name(user, query, "safetensors").lower() for user, query in distinct}
    assert len(folded) == len(distinct)
    for name in folded:
        assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-_.")
        assert len(name) <= 120
        assert name[0] not in ".-"
        assert name.split(".")[0] not in {"con", "prn", "aux", "nul", "com1", "lpt9"}


@settings(max_examples=20, deadline=None)
@given(st.lists(NASTY, min_size=1, max_size=6, unique=True))
def test_people_of_any_name_get_files_of_their_own(tmp_path_factory: pytest.TempPathFactory, users: list[str]) -> None:
    folder = tmp_path_factory.mktemp("people")
    export(write(folder / "vectors.parquet", [row(user) for user in users]), to=folder / "out")
    assert len(names(folder / "out")) == len(users)
    for user in users:
        tensors, facts = from_gguf(folder / "out" / file_name(user, None, "gguf"))
        assert facts["controlvector.steerx.user"] == user
        assert tensors["direction.3"].tobytes() == numbers(user, None, 4).tobytes()
