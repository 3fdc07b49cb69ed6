"""Which words of a text a lexicon has, against one regular expression for each entry; and files as people have them."""

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steerx_cli.core.errors import SteerxError
from steerx_cli.stages.score_tokens.lexicon import Lexicon, lexicon_names, load_lexicon

SHIPPED = Path(__file__).parents[3] / "src" / "steerx_cli" / "lexicons"


def plain(folder: Path, *entries: str) -> Lexicon:
    """The lexicon of a word list with these lines."""
    (folder / "words.txt").write_text("\n".join(entries), encoding="utf-8")
    return load_lexicon(str(folder / "words.txt"))


def matches(lexicon: Lexicon, text: str) -> list[str]:
    """The words that it finds."""
    return [text[start:end] for start, end in lexicon.spans(text)]


# --- matching ---------------------------------------------------------------------------------------------------------


def expression(entry: str) -> re.Pattern[str]:
    """An entry in lower case as one regular expression: words are bounded, everything else is itself."""
    starred = re.search(r"\w\*$", entry) is not None
    found = ""
    for part in re.findall(r"\w+(?:'\w+)*|\s+|.", entry.removesuffix("*") if starred else entry):
        if re.match(r"\w", part):
            found += rf"(?<!\w)(?<!\w'){part}(?!\w)(?!'\w)"
        else:
            found += r"\s+" if part.isspace() else r"(?:(?<!\w)'|'(?!\w))" if part == "'" else re.escape(part)
    ending = r"(?!\w)(?!'\w)"
    return re.compile(found.removesuffix(ending) + r"(?:\w|'(?=\w))*" + ending if starred else found)


def obvious(entries: list[str], text: str) -> list[tuple[int, int]]:
    """Every entry tried at every place, the longest taken."""
    lower, found, at = text.lower().replace("’", "'"), [], 0
    expressions = [expression(entry.lower().replace("’", "'")) for entry in entries]
    while at < len(lower):
        ends = [match.end() for some in expressions if (match := some.match(lower, at))]
        if ends:
            found.append((at, max(ends)))
        at = max(ends, default=at + 1)
    return found


TEXTS = st.lists(st.sampled_from([*"aBé'’-:* ", "\n ", "a", "b"]), max_size=16).map("".join)
ENTRIES = st.lists(TEXTS.map(lambda text: " ".join(text.split())).filter(bool), min_size=1, max_size=8)


@settings(max_examples=400, deadline=None)
@given(ENTRIES, TEXTS)
def test_matches_are_those_of_one_expression_for_each_entry(
    tmp_path_factory: pytest.TempPathFactory, entries: list[str], text: str
) -> None:
    assert plain(tmp_path_factory.getbasetemp(), *entries).spans(text) == obvious(entries, text)


@pytest.mark.parametrize(
    ("entry", "text", "found"),
    [
        ("don't", "Don’t! DON'T, donʼt; dont, don", ["Don’t", "DON'T", "donʼt"]),
        ("don", "don't don", ["don"]),
        ("café", "Cafe\u0301 CAFÉ cafe", ["Cafe\u0301", "CAFÉ"]),
        ("cafe\u0301", "café", ["café"]),
        ("straße", "STRASSE Straße STRAẞE", ["STRASSE", "Straße", "STRAẞE"]),
        (
            "well-known",
            "well-known well\u2010known well\u2011known, well known",
            ["well-known", "well‐known", "well‑known"],
        ),
        ("kind of", "Kind \n OF, kind-of kindof kind of", ["Kind \n OF", "kind of"]),
        ("kind of*", "kind offer, kind of, kindof", ["kind offer", "kind of"]),
        ("happ*", "happy Happier unhappy happ happen's", ["happy", "Happier", "happ", "happen's"]),
        (":)", "good:) (:)", [":)", ":)"]),
        (":*", ":* :a :", [":*"]),
        ("f**k", "F**K fork", ["F**K"]),
        ("goin'", "goin' going goin", ["goin'"]),
        ("हिन्दी", "हिन्दी में हिन्द", ["हिन्दी"]),
        ("喜欢", "我很喜欢它", ["喜欢"]),
        ("👩‍👧", "👩 👩‍👧 👧", ["👩‍👧"]),
    ],
)
def test_spellings_signs_and_scripts(tmp_path: Path, entry: str, text: str, found: list[str]) -> None:
    assert matches(plain(tmp_path, entry), text) == found


def test_the_longest_entry_goes_first_and_none_stands_over_another(tmp_path: Path) -> None:
    lexicon = plain(tmp_path, "a", "a b", "a b c*", "b c", "c")
    assert matches(lexicon, "a b c a b d b c c") == ["a b c", "a b", "b c", "c"]


# --- files ------------------------------------------------------------------------------------------------------------

DIC = "%\n1\tposemo\n2\tnegemo\n125\taffect\n%\nhappy\t1\t125\nsad*\t02\t125\nkind of\t125\n"


def test_a_dic_is_read_whole_or_by_category(tmp_path: Path) -> None:
    path = tmp_path / "own.dic"
    path.write_text(DIC)
    whole, part = load_lexicon(str(path)), load_lexicon(str(path), ["negemo"])
    assert (whole.name, whole.entries, whole.categories) == ("own.dic", (("happy",), ("kind", " of"), ("sad*",)), ())
    assert (part.entries, part.categories) == ((("sad*",),), ("negemo",))
    both = load_lexicon(str(path), ["negemo", "posemo"])
    assert both == load_lexicon(str(path), ["posemo", "negemo"]), "the order of the choice is no other choice"
    assert both.categories == ("posemo", "negemo")
    assert both.entries == (("happy",), ("sad*",))


@pytest.mark.parametrize(
    "content",
    [
        DIC.replace("\n", "\r\n").encode(),
        DIC.replace("\n", "\r").encode(),
        b"\xef\xbb\xbf" + DIC.encode(),
        DIC.replace("\t", " ").encode(),
        DIC.replace("\t", " \t\t ").replace("\n", " \n\n\t\n").encode(),
        f"# a note\n{DIC}# another".encode(),
        DIC.replace("posemo", "posemo (Positive Emotion)").encode(),
        DIC.replace("happy\t1\t125", "happy\t1\nHappy\t125").encode(),
    ],
    ids=["CRLF", "CR", "mark", "spaces", "blanks", "comments", "explained", "twice"],
)
def test_a_dic_is_read_as_files_are(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.dic").write_bytes(DIC.encode())
    (tmp_path / "b.dic").write_bytes(content)
    for chosen in ([], ["posemo"], ["affect"], ["negemo"]):
        one, other = (load_lexicon(str(tmp_path / name), chosen) for name in ("a.dic", "b.dic"))
        assert (one.entries, one.categories) == (other.entries, other.categories)


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "cp1252", "utf-8-sig"])
def test_a_file_may_be_utf_8_or_of_windows(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "words").write_bytes("schön\nnaïve*".encode(encoding))
    assert matches(load_lexicon(str(tmp_path / "words")), "Schön und Naïveté, schon") == ["Schön", "Naïveté"]


def test_a_category_has_the_words_of_those_indented_under_it(tmp_path: Path) -> None:
    path = tmp_path / "own.dic"
    path.write_text(
        "%\n1\taffect (Affect)\n\t2\tgood (Good)\n\t\t3\tjoy\n\t4\tbad\n5\tother\n%\na\t1\nb\t2\nc\t3\nd\t4\ne\t5"
    )
    expected = {"affect": "abcd", "good": "bc", "joy": "c", "bad": "d", "other": "e"}
    assert {name: "".join(word for (word,) in load_lexicon(str(path), [name]).entries) for name in expected} == expected


def test_conditions_of_liwc_are_told_of_and_not_looked_at(tmp_path: Path) -> None:
    path, header = tmp_path / "own.dic", "".join(f"{n}\tc{n}\n" for n in (2, 125, 126, 131, 135, 253, 464))
    path.write_text(f"%\n{header}%\nlike\t(02 134)125/464\t(02 134)126\t253\nkind <of>131/125 <of>135/126\nof\t2\n")
    assert load_lexicon(str(path)).conditional == 2
    found = {name: load_lexicon(str(path), [name]) for name in ("c2", "c126", "c131", "c464", "c253")}
    words = {name: (" ".join(word for (word,) in some.entries), some.conditional) for name, some in found.items()}
    expected = {"c2": ("of", 0), "c126": ("kind like", 2), "c131": ("kind", 1), "c464": ("like", 1)}
    assert words == {**expected, "c253": ("like", 1)}


def test_a_plain_list_has_an_entry_a_line_and_comments(tmp_path: Path) -> None:
    lexicon = plain(tmp_path, "# mine", "", "  Good ", "good", "well  done", "happ*")
    assert lexicon.entries == (("good",), ("happ*",), ("well", " done"))
    assert (lexicon.name, lexicon.categories, lexicon.conditional) == ("words.txt", (), 0)


PLAIN = "is no word of a plain list: write one a line, or begin a .dic with a line of %"
NO_ENTRY = "is no entry: write a word, a tab and the numbers of its categories"
NO_CATEGORY = "is no category: write a number of its own, a tab and a name"


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"%\n1\tgood\nfine\t1", " has no line of % after its categories: put one there"),
        (b"%\n1\tgood\nfine\n%\nfine\t1", f", line 3, {NO_CATEGORY}"),
        (b"%\n1\tgood\n01\tbad\n%\nfine\t1", f", line 3, {NO_CATEGORY}"),
        (b"%\r\n1\tgood\r\n%\r\n\r\nfine\r\n", f", line 5, {NO_ENTRY}"),
        (b"%\n1\tgood\n%\nfine\tgood", f", line 4, {NO_ENTRY}"),
        (b"%\n1\tgood\n%\nfine\t1\n%\n", f", line 5, {NO_ENTRY}"),
        (b"%\n1\tgood\n%\nfine\t1\nbad\t1\t3", ", line 5, names the category 3, which is not above: add it there"),
        (b"fine\ngood\t1", f", line 2, {PLAIN}"),
        (b"1\tgood\n%\nfine\t1", f", line 1, {PLAIN}"),
        (b"DicTerm,good\nfine,X", f", line 1, {PLAIN}"),
        (b"# nothing\n\n", " has no entry: name another, or fill it"),
        (b"%\n1\tgood\n%\n", " has no entry: name another, or fill it"),
        ("%\n1\tgood\n%\nfine\t1".encode("utf-16"), " is neither UTF-8 nor Windows-1252: save it as UTF-8"),
        (b"\x81\xff", " is neither UTF-8 nor Windows-1252: save it as UTF-8"),
    ],
)
def test_what_cannot_be_read_is_refused_by_its_line(tmp_path: Path, content: bytes, sentence: str) -> None:
    path = tmp_path / "own.dic"
    path.write_bytes(content)
    with pytest.raises(SteerxError) as raised:
        load_lexicon(str(path))
    assert str(raised.value) == f"the lexicon {path}{sentence}"


def test_unknown_lexicons_and_categories_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "own.dic"
    path.write_text("%\n1\tgood\n2\tbad\n%\nfine\t1")
    with pytest.raises(SteerxError, match=r"own\.dic has no category 'Good': name some of good, bad$"):
        load_lexicon(str(path), ["good", "Good"])
    with pytest.raises(SteerxError, match=r"own\.dic has no entry in these categories: name another, or fill it$"):
        load_lexicon(str(path), ["bad"])
    with pytest.raises(
        SteerxError, match=r"^the lexicon stile cannot be read \(.*\): name style, or a file of your own$"
    ):
        load_lexicon("stile")
    path.write_text("fine")
    with pytest.raises(
        SteerxError, match=r"own\.dic is a plain list of words, without categories: leave out --category$"
    ):
        load_lexicon(str(path), ["good"])


def test_a_lexicon_is_known_by_its_entries_and_not_by_its_place(tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    one, same = plain(tmp_path, "good", "Bad"), plain(tmp_path / "here", "# note", "bad", "good")
    other = plain(tmp_path, "good", "bad*")
    assert one == same
    assert one.parameters() == same.parameters() == {"lexicon": {"name": "words.txt", "fingerprint": one.fingerprint}}
    assert one.fingerprint != other.fingerprint


# --- the shipped one --------------------------------------------------------------------------------------------------


def test_the_shipped_lexicon_finds_each_of_its_entries() -> None:
    assert lexicon_names() == ["style"]
    lexicon = load_lexicon("style")
    lines = (SHIPPED / "style.dic").read_text(encoding="utf-8").splitlines()
    words = [line.split("\t")[0] for line in lines[lines.index("%", lines.index("%") + 1) + 1 :]]
    assert lexicon.name == "style"
    assert len(lexicon.entries) == len(words) == len(set(words)) > 300
    for word in words:
        text = re.sub(r"(?<=\w)\*$", "", word)
        assert lexicon.spans(text) == [(0, len(text))], word


def test_the_shipped_categories_are_chosen_by_name() -> None:
    lexicon = load_lexicon("style", ["hedge", "self"])
    text = "I think it may well be the best, perhaps. You'd love my table."
    assert matches(lexicon, text) == ["I think", "may", "perhaps", "my"]
    named = {"name": "style", "fingerprint": lexicon.fingerprint}
    assert lexicon.parameters() == {"lexicon": named, "category": "hedge,self"}
