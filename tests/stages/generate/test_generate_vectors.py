"""What is written under vectors, against the obvious decoder: one question at a time, no cache, float64."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from builders import HOW, build, described, people
from scorers import SHORT, Plain, Row, generate, rows_of, save_model
from steered import BOTH, CAS, ENDS, EVERYONE, EVERYWHERE, RAG, STEERX, answers, check, of, put, same
from steerx_cli.lm.frames import PromptFormat
from steerx_cli.lm.steer import Positions, Steering
from steerx_cli.stages.build_vector.settings import Mix
from steerx_cli.stages.generate.settings import Settings


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("models") / "tiny", ends=ENDS)


@pytest.fixture(scope="module")
def plain(model: Path) -> Plain:
    return Plain.load(model)


@pytest.fixture
def data(model: Path, tmp_path: Path) -> Path:
    return put(tmp_path, model)


# --- every way --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("prompt_format", ["plain", "chat"])
@BOTH
def test_every_answer_is_that_of_plain_passes(
    how: Settings, prompt_format: PromptFormat, model: Path, data: Path, plain: Plain
) -> None:
    how = replace(how, prompt_format=prompt_format)
    rows, counts = generate(data, model, how)
    check(rows, how, plain)
    assert counts["answers"] == len(rows) == 20
    assert counts["tokens written"] == sum(map(len, answers(rows)))


@pytest.mark.parametrize("layer", [1, 2])
@pytest.mark.parametrize("positions", EVERYWHERE)
@BOTH
def test_a_vector_is_added_where_it_is_told_to(
    how: Settings, positions: Positions, layer: int, model: Path, data: Path, plain: Plain
) -> None:
    how = replace(how, steering=Steering(layer, positions))
    check(generate(data, model, how)[0], how, plain)


def test_whatever_is_chosen_tells(model: Path, data: Path) -> None:
    """Without which the tests here would show nothing."""
    ways = [replace(how, steering=Steering(1, positions)) for how in (CAS, STEERX) for positions in EVERYWHERE]
    ways += [replace(how, steering=Steering(2)) for how in (CAS, STEERX)]
    found = [str(answers(of(generate(data, model, how)[0], "a", "b"))) for how in (*ways, RAG)]
    assert len({*found}) == len(ways) + 1


@BOTH
def test_behind_the_last_block_nothing_sees_the_prompt_s_earlier_tokens(how: Settings, model: Path, data: Path) -> None:
    everywhere = [replace(how, steering=Steering(2, positions)) for positions in ("all", "generated")]
    assert same(*(generate(data, model, each)[0] for each in everywhere))


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_whatever_the_family(family: str, tmp_path: Path) -> None:
    model = save_model(tmp_path / family, family, ends=ENDS)
    how = replace(STEERX, steering=Steering(2))
    check(generate(put(tmp_path, model), model, how)[0], how, Plain.load(model))


@pytest.mark.parametrize(("batch_size", "batch_tokens"), [(1, 9000), (5, 300), (64, 10**6)])
def test_answers_side_by_side_are_those_one_by_one(
    batch_size: int, batch_tokens: int, model: Path, data: Path, plain: Plain
) -> None:
    how = replace(STEERX, batch_size=batch_size, batch_tokens=batch_tokens)
    check(generate(data, model, how)[0], how, plain)


@BOTH
def test_several_gamma2_at_once_are_each_of_them_alone(how: Settings, model: Path, data: Path) -> None:
    how = replace(how, gamma2s=(2.0, 0.0, -1.0, 0.4))
    rows, counts = generate(data, model, how)
    run = 0
    for gamma2 in how.gamma2s:
        alone, its_counts = generate(data, model, replace(how, gamma2s=(gamma2,)))
        assert [row for row in rows if row["gamma2"] == gamma2] == alone
        run += its_counts["tokens run through the model"]
    assert counts["tokens run through the model"] < run / 2, "they share the reading of the prompts"


# --- what comes to the same -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("positions", EVERYWHERE)
@BOTH
def test_gamma2_of_0_is_rag(how: Settings, positions: Positions, model: Path, data: Path) -> None:
    rows, _ = generate(data, model, replace(how, gamma2s=(0.0,), steering=Steering(1, positions)))
    assert same(rows, generate(data, model, RAG)[0])


def built(data: Path, model: Path, gamma1: float, **changed: Any) -> list[Row]:
    """The people's vectors, as the other stage builds them."""
    return build(data, model, replace(HOW, mix=Mix(gamma1), **changed))[0]


def test_gamma1_of_1_is_cas(model: Path, data: Path) -> None:
    built(data, model, 1.0)
    cas, steerx = (generate(data, model, how)[0] for how in (CAS, STEERX))
    assert same(cas, steerx)
    assert not same(of(cas, "a")[::2], of(generate(data, model, RAG)[0], "a"))
    built(data, model, 0.4)
    again, mixed = (generate(data, model, how)[0] for how in (CAS, STEERX))
    assert same(cas, again), "which looks at the histories' part alone, whatever γ1 is"
    assert not same(cas, mixed)


@pytest.mark.parametrize("gamma1", [0.0, 0.4, 3.0])
def test_descriptions_that_are_the_histories_are_cas(gamma1: float, model: Path, tmp_path: Path) -> None:
    tables = people({user: SHORT[at : at + 3] for at, user in enumerate("abc")})
    texts = {(row["user_id"], row["item_id"]): row["response"] for row in tables["retrieved"]}
    tables["profiles"] = [
        described(row["query_id"], row, texts[row["user_id"], row["item_id"]]) for row in tables["retrieved"]
    ]
    data = put(tmp_path, model, tables)
    assert {row["basis"] for row in built(data, model, gamma1)} == {"steerx"}
    assert same(*(generate(data, model, how)[0] for how in (CAS, STEERX)))


@pytest.mark.parametrize("scope", ["query", "user"])
def test_vectors_that_were_built_steer_as_they_stand_in_their_file(
    scope: str, model: Path, data: Path, plain: Plain
) -> None:
    """All of a user's queries by one vector, or each by its own."""
    rows = built(data, model, 0.4, scope=scope, pool="mean")
    assert len(rows) == {"query": 16, "user": 8}[scope]
    for how in (CAS, STEERX):
        check(generate(data, model, how)[0], how, plain, EVERYONE | {"vectors": rows_of(data / "vectors.parquet")})


def test_with_real_weights_too(material: Path, tmp_path: Path) -> None:
    model = material / "stories260K"
    data, how = put(tmp_path, model), replace(STEERX, steering=Steering(3), gamma2s=(1.0,))
    built(data, model, 0.4, layers=(3,))
    rows, _ = generate(data, model, how)
    check(rows, how, Plain.load(model), EVERYONE | {"vectors": rows_of(data / "vectors.parquet")})
