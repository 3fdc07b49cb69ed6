"""What the demo's page says came out: each claim by its own difference and p, and nothing told that chance explains."""

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from reported import Rows, frame, rows_of, system, users
from steerx_cli.core.errors import SteerxError
from steerx_cli.core.order import user_order
from steerx_cli.core.outputs import Output, write_whole
from steerx_cli.core.provenance import Record
from steerx_cli.core.schemas import CHOICES, METRICS, Artifact
from steerx_cli.demo import results
from steerx_cli.demo.results import CONTRARY, HOLDS, OF_METHODS, UNTOLD, Claim, counted, grid_of, held
from steerx_cli.metrics.statistics import holm
from steerx_cli.report.reading import read_table
from steerx_cli.report.sums import Asked

WHOSE = sorted(users(40), key=user_order)
MEANS = {  # METEOR of each system: what is more than 0.05 apart is told
    ("non-perso", None): 0.1,
    ("rag", None): 0.4,
    ("cos", None): 0.4,
    ("cas", None): 0.5,
    ("cas", "another's vector"): 0.5,
    ("steerx-cos", None): 0.3,
    ("steerx-cos", "random anchors"): 0.2,
    ("steerx-cos", "another's description"): 0.1,
    ("steerx-cos", "the true habits"): 0.9,
    ("steerx-cas", None): 0.6,
    ("steerx-cas", "the mean vector"): 0.7,
    ("steerx-cas", "the true habits"): 0.6,
}


def scored(method: str, variant: str | None, mean: float) -> Rows:
    draw = np.random.default_rng([*f"{method} {variant}".encode()])
    values = (mean + draw.normal(0, 0.02, len(WHOSE))).tolist()
    strength = {"cos": {"lam": 0.5}, "cas": {"gamma2": 1.0}}.get(method.removeprefix("steerx-"), {})
    name = method if variant is None else f"{method}, {variant}"
    return system(name, WHOSE, method, variant=variant, meteor=values, rouge1=values[::-1], **strength)


def write(place: Path, artifact: Artifact, table: pa.Table, **parameters: object) -> Path:
    record = Record(artifact.name, artifact.version, "test", version("steerx"), parameters)
    write_whole(Output(place, artifact), record, [table], len(WHOSE))
    return place


@pytest.fixture
def metrics(tmp_path: Path) -> Path:
    rows = frame(*(scored(*who, mean) for who, mean in MEANS.items())).to_arrow()
    told = {"split": "test", "metrics": ["rouge1", "meteor"], "signatures": []}
    return write(tmp_path / "metrics.parquet", METRICS, rows.cast(METRICS.columns), **told)


def said(claims: Sequence[Claim], metrics: Path) -> dict[str, str]:
    return {each.claim.words: each.says("meteor") for each in held(claims, metrics, read_table(metrics, Asked()))[1]}


def test_a_claim_holds_or_its_contrary_does_or_it_cannot_be_told(metrics: Path) -> None:
    assert said(OF_METHODS, metrics) == {
        "rag > non-perso": HOLDS,
        "cas > rag": HOLDS,
        "cos > rag": UNTOLD,
        "steerx-cas > cas": HOLDS,
        "steerx-cos > cos": CONTRARY,
        "steerx-cas > rag": HOLDS,
        "steerx-cos > rag": CONTRARY,
        "cas > its strongest control": UNTOLD,
        "steerx-cas > its strongest control": CONTRARY,
        "steerx-cos > its strongest control": HOLDS,
        "steerx-cas, the true habits > steerx-cas": UNTOLD,
        "steerx-cos, the true habits > steerx-cos": HOLDS,
        "steerx-cas, the true habits > rag": HOLDS,
        "steerx-cos, the true habits > rag": HOLDS,
    }


def test_p_is_adjusted_over_all_claims_of_a_table_and_all_controls(metrics: Path) -> None:
    _, found = held(OF_METHODS, metrics, read_table(metrics, Asked()))
    rivals = rows_of(read_table(metrics, Asked()))["steerx-cos"].rivals
    assert [len(each.rivals["meteor"].p_values) for each in found if each.rivals] == [1, 1, 2]
    for measure in ("rouge1", "meteor"):
        plain = [
            (at, p)
            for at, each in enumerate(found)
            for p in ([each.cells[measure].p] if not each.rivals else each.rivals[measure].p_values)
        ]
        adjusted = holm({place: p for place, (_, p) in enumerate(plain) if p is not None})
        first = {at: place for place, (at, _) in reversed([*enumerate(plain)])}
        assert [each.cells[measure].p_holm for each in found] == [adjusted[first[at]] for at in range(len(found))]
        other = read_table(metrics, Asked(against="steerx-cos, random anchors"))
        assert rivals[measure].name == "random anchors"
        assert rivals[measure].p_values[0] == rows_of(other)["steerx-cos"].cells[measure].p
    (alone,) = held([Claim(("cos", None), ("rag", None))], metrics, read_table(metrics, Asked()))[1]
    assert alone.cells["meteor"].p_holm == alone.cells["meteor"].p


def test_a_row_has_the_difference_its_interval_and_p_and_is_bold_where_it_is_told(metrics: Path) -> None:
    columns, found = held(OF_METHODS, metrics, read_table(metrics, Asked()))
    grid = grid_of(columns, found)
    assert (grid.head, len(grid.names)) == (["ROUGE-1", "METEOR"], len(OF_METHODS))
    rows = dict(zip(grid.names, grid.entries, strict=True))
    for name, told in said(OF_METHODS, metrics).items():
        assert rows[name][1].best == (told != UNTOLD)
    first = rows["rag > non-perso"][1]
    assert first.text.startswith("+0.3")
    assert (len(first.below), first.below[1]) == (2, "p 0.001")
    assert rows["steerx-cos > its strongest control"][1].below[-1] == "random anchors"
    assert [*counted(columns, found)][1] == (
        "METEOR: of 14 claims 8 hold, of 3 the contrary does, and 3 cannot be told"
    )


def test_a_system_that_is_not_there_is_told_of(metrics: Path) -> None:
    for better, worse in (("cos", "nobody"), ("nobody", "cos")):
        with pytest.raises(SteerxError, match="0 systems are nobody, where one is to be compared: `make demo-results`"):
            held([Claim((better, None), (worse, None))], metrics, read_table(metrics, Asked()))


def test_the_page_and_the_pictures_are_replaced_and_nothing_else(
    tmp_path: Path, metrics: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "run/results").mkdir(parents=True)
    metrics.rename(tmp_path / "run/results/table-controls.parquet")
    for name in results.PICTURES:
        (tmp_path / f"run/results/{name}.svg").write_text(name)
    monkeypatch.setattr(
        results, "sections", lambda run, _: results._methods("The methods", run / "results/table-controls.parquet")
    )
    page = tmp_path / "README.md"
    for before in ("what was there", "what is there"):
        page.write_text(f"above\n{results._BEGIN}\n{before}\n{results._END}\nbelow\n")
        results.write_results(tmp_path, tmp_path / "run", [])
        text = page.read_text()
        assert text.startswith(f"above\n{results._BEGIN}\n### The methods\n")
        assert text.endswith(f"{results._END}\nbelow\n")
        assert before not in text
        assert "| steerx-cas \\> its strongest control | " in text
    assert {path.name: path.read_text() for path in (tmp_path / "figures").iterdir()} == {
        f"{name}.svg": name for name in results.PICTURES
    }


def test_what_was_chosen_is_told_with_how_many_were_tried(tmp_path: Path) -> None:
    nothing = dict.fromkeys(("lam", "gamma2", "tau", "gamma1", "layer"))
    rows = [
        {
            "method": "steerx-cos",
            **nothing,
            "lam": lam,
            "tau": 0.7,
            "score": lam / 2,
            "answers": 9,
            "chosen": lam == 0.4,
        }
        for lam in (0.2, 0.4)
    ]
    write(tmp_path / "steerx-cos.parquet", CHOICES, pa.Table.from_pylist(rows, CHOICES.columns))
    assert [*results._chosen(tmp_path)] == [
        "Chosen on development users by METEOR:",
        "- steerx-cos: λ 0.4, τ 0.7, of 2 settings (METEOR 0.2000)\n",
    ]
