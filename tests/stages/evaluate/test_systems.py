"""What systems are called: the method, its strength, and as little else as tells one from another."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from answers import Parents, ancestor, answers, ask, asked, give
from steerx_cli.core.errors import SteerxError
from steerx_cli.core.provenance import Footer
from steerx_cli.stages.evaluate import Compared

ROWS = [asked("a", "0", "a quiet film"), asked("b", "0", "a loud film")]
METHODS = ["non-perso", "rag", "cos", "steerx-cos", "cas", "steerx-cas"]


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


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def chain(tau: float = 1.0, mode: str = "model", top_k: int = 2, **of_profiles: Any) -> dict[str, Footer]:
    """Where a file by steerx-cos comes from."""
    retrieved = ancestor("retrieved", top_k=top_k, retriever="bm25")
    effects = ancestor("effects", {"retrieved": retrieved}, effect_context="own")
    scores = ancestor("scores", {"effects": effects}, tau=tau)
    profiles = ancestor("profiles", {"scores": scores}, mode=mode, **of_profiles)
    return {"retrieved": retrieved, "profiles": profiles}


def test_a_method_s_only_file_is_called_as_the_method(folder: Folder) -> None:
    for method in METHODS:
        of = () if method in ("non-perso", "rag") else (0.7,)
        path = folder.give(method, method, of, chain(), profiles_of="other", seed=3)
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
        ("steerx-cos", "profiles-of", ("own", "other")),
        ("steerx-cas", "vectors-of", ("own", "mean")),
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
        ("profiles mode {}", {"mode": ("model", "raw")}),
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
        folder.give("x", "steerx-cos", (0.5,), chain(tau=0.5, mode="raw"), profiles_of="own", max_new_tokens=64),
        folder.give("y", "steerx-cos", (0.5,), chain(tau=1.0, mode="model"), profiles_of="other", max_new_tokens=64),
    ]
    assert folder.names(*files) == ["steerx-cos λ 0.5, profiles-of own", "steerx-cos λ 0.5, profiles-of other"]


def test_more_than_one_is_told_where_it_takes_them(folder: Folder) -> None:
    files = [
        folder.give(f"x{of}{tau}", "steerx-cos", (0.5,), chain(tau=tau), profiles_of=of)
        for of in ("own", "other")
        for tau in (0.5, 1.0)
    ]
    assert folder.names(*files) == [
        f"steerx-cos λ 0.5, profiles-of {of}, tau {tau}" for of in ("own", "other") for tau in (0.5, 1.0)
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
