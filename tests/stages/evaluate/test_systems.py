"""What systems are called: the method, its strength, and as little else as tells one from another."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from answers import Parents, ancestor, answers, ask, asked, give
from steerx_cli.core.errors import SteerxError
from steerx_cli.core.methods import VARIANTS
from steerx_cli.core.provenance import Footer
from steerx_cli.core.schemas import METRICS
from steerx_cli.stages.evaluate import Compared
from steerx_cli.stages.evaluate.systems import System

ROWS = [asked("a", "0", "a quiet film"), asked("b", "0", "a loud film")]
METHODS = ["non-perso", "rag", "cos", "steerx-cos", "cas", "steerx-cas"]
WAYS = [
    ("profiles_of", "other", "another's description"),
    ("vectors_of", "other", "another's vector"),
    ("vectors_of", "mean", "the mean vector"),
    ("anchors", "random", "random anchors"),
    ("anchors", "surprisal", "surprisal anchors"),
    ("anchors", "all", "all tokens"),
    ("anchors", "lexicon", "a lexicon's words"),
    ("mode", "join", "without smoothing"),
    ("mode", "raw", "without tokens"),
    ("of", "texts", "whole texts smoothed"),
    ("stage", "demo-habits", "the true habits"),
]


class Folder:
    """Files of answers to the same queries."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.queries = ask(folder, ROWS)

    def give(
        self, name: str, method: str, strengths: Sequence[float] = (), parents: Parents | None = None, **how: Any
    ) -> Path:
        """One file."""
        rows = answers(ROWS, method, lambda _, of: f"{name} {of}", [*strengths] or [None])
        return give(self.folder, self.queries, rows, name, parents, **how)

    def open(self, *files: Path) -> Compared:
        """All of them."""
        return Compared.open(self.folder / "queries.parquet", files)

    def names(self, *files: Path) -> list[str]:
        """What their systems are called."""
        return [system.name for system in self.open(*files).systems]

    def system(self, file: Path) -> System:
        """The only one of a file."""
        (found,) = self.open(file).systems
        return found


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def chain(
    tau: float | None = 1.0,
    mode: str = "llm",
    top_k: int = 2,
    anchors: str = "causal",
    seed: int = 0,
    **of_profiles: Any,
) -> dict[str, Footer]:
    """Where a file by steerx-cos comes from; without a τ anchors are a share of the tokens."""
    retrieved = ancestor("retrieved", top_k=top_k, retriever="bm25")
    effects = ancestor("effects", {"retrieved": retrieved}, effect_context="own")
    cut: dict[str, Any] = {"top_percent": 5.0} if tau is None else {"tau": tau}
    cut = cut if anchors in ("causal", "random", "surprisal") else {}
    cut |= {"seed": seed} if anchors == "random" else {}
    scores = ancestor("scores", {"effects": effects}, method=anchors, **cut)
    profiles = ancestor("profiles", {"scores": scores}, mode=mode, **of_profiles)
    return {"retrieved": retrieved, "profiles": profiles}


def habits() -> dict[str, Footer]:
    """The same with descriptions that nobody had to find."""
    footer = ancestor("profiles", seed=1)
    return {**chain(), "profiles": replace(footer, record=replace(footer.record, stage="demo-habits"))}


def built(parents: Parents, gamma1: float = 0.4) -> dict[str, Footer]:
    """Where a file by cas or steerx-cas comes from."""
    return {"retrieved": parents["retrieved"], "vectors": ancestor("vectors", parents, gamma1=gamma1)}


def varied(by: str, value: str) -> tuple[dict[str, Footer], dict[str, Any]]:
    """Where descriptions come from that have one thing which is not the user's own, and how they are steered with."""
    if by.endswith("_of"):
        return chain(), {by: value}
    return (habits() if by == "stage" else chain(**{by: value})), {}  # type: ignore[arg-type]


def test_a_method_s_only_file_is_called_as_the_method(folder: Folder) -> None:
    for method in METHODS:
        of = () if method in ("non-perso", "rag") else (0.7,)
        path = folder.give(method, method, of, chain(), profiles_of="own", vectors_of="own", seed=3)
        sign = {"cos": " λ 0.7", "cas": " γ2 0.7"}.get(method.removeprefix("steerx-"), "")
        assert folder.names(path) == [method + sign]
        assert [*folder.open(path).roles] == [method]


def test_each_strength_is_a_system_in_the_file_s_order(folder: Folder) -> None:
    compared = folder.open(folder.give("cos", "cos", (0.5, 2.0, -1.0)), folder.give("cas", "cas", (0.25, 0.0)))
    assert [(system.name, system.role, system.method, system.lam, system.gamma2) for system in compared.systems] == [
        ("cos λ 0.5", "cos", "cos", 0.5, None),
        ("cos λ 2", "cos", "cos", 2.0, None),
        ("cos λ -1", "cos", "cos", -1.0, None),
        ("cas γ2 0.25", "cas", "cas", None, 0.25),
        ("cas γ2 0", "cas", "cas", None, 0.0),
    ]


@pytest.mark.parametrize(
    ("method", "name", "values"),
    [
        ("steerx-cos", "described-by", ("query", "history")),
        ("steerx-cas", "positions", ("generated", "last")),
        ("cas", "layer", (2, 20)),
        ("cos", "max-new-tokens", (512, 64)),
    ],
)
def test_two_files_of_a_method_are_told_apart_by_a_parameter(
    method: str, name: str, values: tuple[object, object], folder: Folder
) -> None:
    ways: list[dict[str, Any]] = [{name.replace("-", "_"): value} for value in values]
    files = [folder.give(f"x{number}", method, (0.5,), **way) for number, way in enumerate(ways)]
    sign = "γ2" if "cas" in method else "λ"
    assert folder.names(*files) == [f"{method} {sign} 0.5, {name} {value}" for value in values]
    assert [*folder.open(*files).roles] == [f"{method}, {name} {value}" for value in values]
    assert folder.names(*reversed(files)) == [f"{method} {sign} 0.5, {name} {value}" for value in reversed(values)]


@pytest.mark.parametrize(
    ("told", "ways"),
    [
        ("tau {}", {"tau": (0.5, 1.0)}),
        ("profiles describe {}", {"describe": ("both", "query")}),
        ("retrieved top-k {}", {"top_k": (2, 8)}),
    ],
)
def test_what_was_read_tells_two_files_apart(told: str, ways: dict[str, tuple[Any, Any]], folder: Folder) -> None:
    ((name, values),) = ways.items()
    files = [folder.give(f"x{value}", "steerx-cos", (0.5, 1.0), chain(**{name: value})) for value in values]
    found = [f"steerx-cos λ {lam}, {told.format(value)}" for value in values for lam in ("0.5", "1")]
    assert folder.names(*files) == found


def test_what_vectors_were_built_with_tells_two_files_apart(folder: Folder) -> None:
    files = [
        folder.give(f"x{gamma1}", "steerx-cas", (0.1,), {"vectors": ancestor("vectors", chain(), gamma1=gamma1)})
        for gamma1 in (0.4, 1.0)
    ]
    assert folder.names(*files) == ["steerx-cas γ2 0.1, vectors gamma1 0.4", "steerx-cas γ2 0.1, vectors gamma1 1.0"]


def test_the_model_tells_two_files_apart(folder: Folder) -> None:
    files = [folder.give(name, "rag", generator=name) for name in ("small", "large")]
    assert folder.names(*files) == ["rag, generator small", "rag, generator large"]


def test_of_several_differences_one_is_told_where_it_is_enough(folder: Folder) -> None:
    files = [
        folder.give("x", "steerx-cos", (0.5,), chain(tau=0.5, top_k=2), described_by="query", max_new_tokens=64),
        folder.give("y", "steerx-cos", (0.5,), chain(tau=1.0, top_k=8), described_by="history", max_new_tokens=64),
    ]
    assert folder.names(*files) == ["steerx-cos λ 0.5, described-by query", "steerx-cos λ 0.5, described-by history"]


def test_more_than_one_is_told_where_it_takes_them(folder: Folder) -> None:
    files = [
        folder.give(f"x{of}{tau}", "steerx-cos", (0.5,), chain(tau=tau), described_by=of)
        for of in ("query", "history")
        for tau in (0.5, 1.0)
    ]
    assert folder.names(*files) == [
        f"steerx-cos λ 0.5, described-by {of}, tau {tau}" for of in ("query", "history") for tau in (0.5, 1.0)
    ]


def test_what_only_one_file_has_is_told_of_it_alone(folder: Folder) -> None:
    files = [folder.give("x", "rag"), folder.give("y", "rag", temperature=0.5, seed=1)]
    assert folder.names(*files) == ["rag", "rag, temperature 0.5"]


def test_how_much_was_done_at_once_tells_nothing_apart(folder: Folder) -> None:
    files = [
        folder.give("x", "rag", batch_size=1, batch_tokens=1, limit=3, temperature=0.5),
        folder.give("y", "rag", batch_size=2, batch_tokens=2, limit=4, temperature=0.7),
    ]
    assert folder.names(*files) == ["rag, temperature 0.5", "rag, temperature 0.7"]


def test_another_wording_is_told_by_its_task_and_never_by_a_fingerprint(folder: Folder) -> None:
    files = [
        folder.give("x", "rag", task_fingerprint="aaa", task="review"),
        folder.give("y", "rag", task_fingerprint="bbb", task="topic"),
    ]
    assert folder.names(*files) == ["rag, task review", "rag, task topic"]
    files = [
        folder.give("v", "rag", task_fingerprint="aaa", temperature=0.5),
        folder.give("w", "rag", task_fingerprint="bbb", temperature=0.7),
    ]
    assert folder.names(*files) == ["rag, temperature 0.5", "rag, temperature 0.7"]


def test_files_that_nothing_else_tells_apart_are_told_by_what_they_are(folder: Folder) -> None:
    files = [folder.give(name, "rag", batch_size=size) for name, size in (("x", 1), ("y", 2))]
    found = [source.footer.fingerprint[:8] for source in folder.open(*files).roles.values()]
    assert folder.names(*files) == [f"rag, made {name}" for name in found]


def test_the_same_strengths_in_two_files_are_systems_of_their_own(folder: Folder) -> None:
    files = [folder.give("x", "cos", (0.5, 1.0), seed=1), folder.give("y", "cos", (1.0,), seed=2)]
    assert folder.names(*files) == ["cos λ 0.5, seed 1", "cos λ 1, seed 1", "cos λ 1, seed 2"]


@pytest.mark.parametrize("copied", [False, True])
def test_the_same_answers_twice_are_refused(copied: bool, folder: Folder) -> None:
    path = folder.give("rag", "rag")
    other = folder.folder / "copy.parquet" if copied else path
    other.write_bytes(path.read_bytes())
    with pytest.raises(SteerxError) as refused:
        folder.open(path, other, folder.give("cos", "cos", (0.5,)))
    assert str(refused.value) == f"{path} and {other} were written in the same way: name one of them"


def test_a_copy_among_others_of_its_method_is_refused(folder: Folder) -> None:
    path, third = folder.give("x", "rag", seed=1), folder.give("z", "rag", seed=2)
    other = folder.folder / "copy.parquet"
    other.write_bytes(path.read_bytes())
    with pytest.raises(SteerxError) as refused:
        folder.open(third, other, path)
    assert str(refused.value) == f"{other} and {path} were written in the same way: name one of them"


def test_methods_come_in_their_usual_order_whatever_the_files_do(folder: Folder) -> None:
    files = [folder.give(method, method, () if method in METHODS[:2] else (1.0,)) for method in METHODS]
    usual = ["non-perso", "rag", "cos λ 1", "steerx-cos λ 1", "cas γ2 1", "steerx-cas γ2 1"]
    assert folder.names(*files) == folder.names(*files[::-1]) == folder.names(*files[3:], *files[:3]) == usual


def test_a_method_that_is_not_known_comes_last(folder: Folder) -> None:
    files = [folder.give("own", "own-way"), folder.give("rag", "rag"), folder.give("own2", "own-way", seed=2)]
    assert folder.names(*files) == ["rag", "own-way", "own-way, seed 2"]


def test_without_any_file_there_is_nothing_to_compare(folder: Folder) -> None:
    with pytest.raises(SteerxError) as refused:
        folder.open()
    assert str(refused.value) == "there are no answers to score: name files that `steerx generate` writes"


# --- variants, and the settings of a system ---------------------------------------------------------------------------


def test_every_variant_there_is_is_tried_here() -> None:
    assert {(by, value): words for by, value, words in WAYS} == VARIANTS


@pytest.mark.parametrize(("by", "value", "words"), WAYS)
def test_a_variant_is_named_by_what_it_is_alone_and_beside_the_method(
    by: str, value: str, words: str, folder: Folder
) -> None:
    method, sign = ("steerx-cas", "γ2") if by == "vectors_of" else ("steerx-cos", "λ")
    parents, how = varied(by, value)
    own = folder.give("own", method, (0.5, 1.0), chain(), **dict.fromkeys(how, "own"))
    other = folder.give("other", method, (0.5, 1.0), parents, **how)
    named = [f"{method} {sign} {strength}, {words}" for strength in ("0.5", "1")]
    assert folder.names(other) == named
    assert folder.names(other, own) == [*named, f"{method} {sign} 0.5", f"{method} {sign} 1"]
    assert [system.variant for system in folder.open(own, other).systems] == [None, None, words, words]
    assert [*folder.open(own, other).roles] == [method, f"{method}, {words}"]


@pytest.mark.parametrize("remixed", [False, True])
@pytest.mark.parametrize(("by", "value", "words"), [way for way in WAYS if not way[0].endswith("_of")])
def test_what_vectors_were_built_from_makes_a_variant_of_steerx_cas_and_none_of_cas(
    by: str, value: str, words: str, remixed: bool, folder: Folder
) -> None:
    parents = built(varied(by, value)[0], gamma1=0.4)
    if remixed:
        parents["vectors"] = ancestor("vectors", {"vectors": parents["vectors"]}, gamma1=0.2)
    system = folder.system(folder.give("steerx-cas", "steerx-cas", (1.0,), parents, layer=2, vectors_of="own"))
    assert (system.name, system.variant) == (f"steerx-cas γ2 1, {words}", words)
    assert (system.gamma1, system.layer) == (0.2 if remixed else 0.4, 2)
    system = folder.system(folder.give("cas", "cas", (1.0,), parents, layer=2, vectors_of="own"))
    assert (system.name, system.variant) == ("cas γ2 1", None)
    assert (system.tau, system.gamma1, system.layer) == (None, None, 2)


@pytest.mark.parametrize(("value", "words"), [("other", "another's vector"), ("mean", "the mean vector")])
def test_cas_has_the_variants_of_vectors(value: str, words: str, folder: Folder) -> None:
    system = folder.system(folder.give("cas", "cas", (1.0,), built(chain(anchors="random")), vectors_of=value))
    assert (system.name, system.variant) == (f"cas γ2 1, {words}", words)


def test_several_things_that_are_not_the_user_s_own_are_one_variant(folder: Folder) -> None:
    both = folder.give("x", "steerx-cos", (0.5,), chain(anchors="random", mode="join"), profiles_of="other")
    words = "another's description, random anchors, without smoothing"
    assert folder.system(both).variant == words
    assert folder.names(both) == [f"steerx-cos λ 0.5, {words}"]
    vectors = folder.give("y", "steerx-cas", (0.5,), built(chain(anchors="all")), vectors_of="mean")
    assert folder.names(vectors) == ["steerx-cas γ2 0.5, the mean vector, all tokens"]


@pytest.mark.parametrize(
    ("whole", "words"), [({"mode": "raw"}, "without tokens"), ({"of": "texts"}, "whole texts smoothed")]
)
def test_descriptions_of_whole_texts_hang_on_no_anchors(whole: dict[str, str], words: str, folder: Folder) -> None:
    for anchors in ("causal", "random", "all"):
        of = chain(anchors=anchors, **whole)  # type: ignore[arg-type]
        system = folder.system(folder.give(anchors, "steerx-cos", (0.5,), of))
        assert (system.variant, system.tau) == (words, None)


def test_all_variants_of_a_method_beside_it_have_names_of_their_own(folder: Folder) -> None:
    files, named = [folder.give("own", "steerx-cos", (0.5,), chain(), profiles_of="own")], ["steerx-cos λ 0.5"]
    for by, value, words in WAYS:
        if by != "vectors_of":
            parents, how = varied(by, value)
            files.append(folder.give(words, "steerx-cos", (0.5,), parents, **{"profiles_of": "own", **how}))
            named.append(f"steerx-cos λ 0.5, {words}")
    assert folder.names(*files) == named
    assert len({*named}) == len(files) == 10


def test_what_a_variant_tells_is_not_told_again(folder: Folder) -> None:
    files = [
        folder.give("x", "steerx-cos", (0.5,), chain(tau=0.5), profiles_of="own"),
        folder.give("y", "steerx-cos", (0.5,), chain(tau=1.0, mode="join"), profiles_of="other", seed=1),
    ]
    assert folder.names(*files) == ["steerx-cos λ 0.5", "steerx-cos λ 0.5, another's description, without smoothing"]


def test_a_variant_s_files_are_told_apart_as_a_method_s(folder: Folder) -> None:
    files = [
        folder.give(f"{of}{tau}", "steerx-cos", (0.5,), chain(tau=tau), profiles_of=of)
        for of in ("own", "other")
        for tau in (0.5, 1.0)
    ]
    assert folder.names(*files) == [
        f"steerx-cos λ 0.5{words}, tau {tau}" for words in ("", ", another's description") for tau in (0.5, 1.0)
    ]
    assert [system.tau for system in folder.open(*files).systems] == [0.5, 1.0] * 2
    drawn = [folder.give(f"seed{seed}", "steerx-cos", (0.5,), chain(anchors="random", seed=seed)) for seed in (1, 2)]
    assert folder.names(*drawn) == [f"steerx-cos λ 0.5, random anchors, seed {seed}" for seed in (1, 2)]
    assert {system.variant for system in folder.open(*drawn).systems} == {"random anchors"}


@pytest.mark.parametrize(
    ("method", "parents", "settings"),
    [
        *((method, {"retrieved": chain()["retrieved"]}, (None, None, None)) for method in ("non-perso", "rag", "cos")),
        ("steerx-cos", chain(tau=0.5), (0.5, None, None)),
        ("steerx-cos", chain(tau=None), (None, None, None)),
        ("steerx-cos", chain(tau=0.5, anchors="surprisal"), (0.5, None, None)),
        ("steerx-cos", chain(tau=0.5, anchors="all"), (None, None, None)),
        ("steerx-cos", chain(tau=0.5, mode="join"), (0.5, None, None)),
        ("steerx-cos", habits(), (None, None, None)),
        ("cas", built(chain(tau=0.5), gamma1=0.4), (None, None, 20)),
        ("steerx-cas", built(chain(tau=0.5), gamma1=0.4), (0.5, 0.4, 20)),
        ("steerx-cas", built({"retrieved": chain()["retrieved"]}, gamma1=1.0), (None, 1.0, 20)),
    ],
)
def test_a_system_has_the_settings_that_its_method_looks_at(
    method: str, parents: Parents, settings: tuple[float | None, ...], folder: Folder
) -> None:
    of_layer = {"layer": 20, "vectors_of": "own"} if "cas" in method else {}
    system = folder.system(folder.give(method, method, () if method in METHODS[:2] else (0.7,), parents, **of_layer))
    assert (system.tau, system.gamma1, system.layer) == settings
    lam, gamma2 = (0.7 if sign in method else None for sign in ("cos", "cas"))
    assert system.columns == {
        "system": system.name,
        "method": method,
        "lam": lam,
        "gamma2": gamma2,
        **dict(zip(("tau", "gamma1", "layer"), settings, strict=True)),
        "variant": system.variant,
    }
    assert {*system.columns} <= {*METRICS.columns.names}
