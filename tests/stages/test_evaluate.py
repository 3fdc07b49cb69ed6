"""The scores of every answer, each column held to another way to compute it."""

import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import nan
from pathlib import Path
from typing import Any

import pytest
import sacrebleu
import torch
from rouge_score.rouge_scorer import RougeScorer

import answers
import steerx_cli.report.reading as reading
import steerx_cli.stages.evaluate as stage
from answers import ancestor, answer, ask, asked, give
from encoders import write_encoder
from scorers import Row, rows_of
from steerx_cli.core.artifacts import read_footer
from steerx_cli.core.errors import Interrupted
from steerx_cli.core.order import user_order
from steerx_cli.core.progress import Silent
from steerx_cli.core.provenance import Shard
from steerx_cli.core.schemas import METRICS
from steerx_cli.lm.models import ModelRequest, identify
from steerx_cli.lm.templates import load_task
from steerx_cli.metrics.meteor import Meteor
from steerx_cli.metrics.scorers import UNTRAINED
from steerx_cli.report.sums import Asked
from steerx_cli.stages.evaluate.settings import BertScoreSettings, Settings
from steerx_cli.tools.merge import run as merge
from support import stop_before

TEXT = Settings(("rouge1", "rougeL", "meteor", "bleu"), meteor_split="simple")
ROUGE = Settings(("rouge1",))
WORDS = "a quiet film of two old friends who don't say much, and it's well-made; the best they did. I'd see it twice!"
SCORED = ("rouge1", "rougeL", "meteor", "bleu", "bleu_counts")
FOREIGN = "{} mostly outside ASCII, of which ROUGE sees little, and BLEU unless another --tokenize is named"
TROUBLES = {
    "answers that came to another method": 2,
    "answers that failed": 1,
    "empty answers": 2,
    "blank references, against which everything scores 0": 1,
    FOREIGN.format("answers"): 1,
    FOREIGN.format("references"): 1,
}
SYSTEMS = ("non-perso", "rag", "cos λ 0.5", "cos λ -1", "steerx-cas γ2 0.1, the mean vector")
STEERED = {"tau": 0.7, "gamma1": 0.4, "layer": 2, "variant": "the mean vector"}  # what steerx-cas has beside γ2


def text(*of: object) -> str:
    """Some words that belong together, others for each thing."""
    draw = random.Random(repr(of))
    found = WORDS.split()
    start = draw.randrange(len(found) - 6)
    return " ".join(found[start : start + draw.randint(4, 14)] + draw.choices(found, k=draw.randint(0, 5)))


def queries() -> list[Row]:
    """Six users with three queries whose ids are their own only, and what they wrote."""
    rows = [asked(user, name, text(user, name)) for user in "abcdef" for name in "210"]
    by = {(row["user_id"], row["query_id"]): row for row in rows}
    for user in "ab":
        by[user, "2"]["split"] = "development"
    by["b", "1"]["reference"] = None
    by["a", "2"]["reference"] = None
    by["d", "0"]["reference"] = " \n"
    by["e", "0"]["reference"] = "東京へ行く。"
    return rows


QUERIES = queries()


def given() -> list[list[Row]]:
    """A file's rows for each of four methods, among them blank answers, failed ones, and those of another method."""
    found = [
        answers.answers(QUERIES, method, lambda row, of, by=method: text(by, row["user_id"], row["query_id"], of), some)  # type: ignore[misc]
        for method, some in (("steerx-cas", (0.1,)), ("non-perso", (None,)), ("cos", (0.5, -1.0)), ("rag", (None,)))
    ]
    at = {(*map(row.get, ("method", "user_id", "query_id", "lam")),): row for rows in found for row in rows}
    at["rag", "a", "1", None]["response"] = " \t"
    at["non-perso", "e", "0", None]["response"] = "東京へ行く。行く。行く。"
    at["non-perso", "f", "0", None]["response"] = "go and go and go and go and go"
    at["non-perso", "f", "1", None]["response"] = "Well-made, isn't it?"
    at["non-perso", "f", "2", None]["response"] = "Well"
    at["cos", "c", "0", -1.0] |= {"response": "", "finish": "failed", "basis": "non-perso"}
    at["cos", "c", "1", 0.5] |= {"finish": "limit", "basis": "rag"}
    at["steerx-cas", "c", "1", None] |= {"finish": "window"}
    return found


@dataclass(frozen=True)
class Place:
    """A folder of queries, and the files of answers to them."""

    folder: Path
    files: list[Path]

    def run(self, settings: Settings = TEXT, output: str = "metrics", **scope: Any) -> tuple[list[Row], dict[str, int]]:
        """The rows that are written, and what is counted."""
        path = self.folder / f"{output}.parquet"
        summary = answers.evaluate(self.folder, self.files, settings, path, **{"overwrite": True, **scope})
        return rows_of(path), dict(summary.counts)


def place(folder: Path, rows: list[Row], files: list[list[Row]], **parameters: Any) -> Place:
    """Queries and answers as files."""
    footer = ask(folder, rows)
    return Place(folder, [give(folder, footer, some, **parameters) for some in files])


def of_world(folder: Path, files: list[list[Row]]) -> Place:
    """The queries here, and answers to them, of which the first file was steered with vectors."""
    footer, scores = ask(folder, QUERIES), ancestor("scores", method="causal", tau=STEERED["tau"])
    profiles = ancestor("profiles", {"scores": scores}, mode="llm", of="anchors")
    vectors = ancestor("vectors", {"profiles": profiles}, gamma1=STEERED["gamma1"])
    steered = give(folder, footer, files[0], parents={"vectors": vectors}, layer=STEERED["layer"], vectors_of="mean")
    return Place(folder, [steered, *(give(folder, footer, some) for some in files[1:])])


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return of_world(tmp_path_factory.mktemp("world"), given())


@pytest.fixture(scope="module")
def scored(world: Place) -> list[Row]:
    return world.run(output="scored")[0]


# --- every column -----------------------------------------------------------------------------------------------------


def words(answer: str) -> list[str]:
    """Words of English and of Japanese."""
    return re.findall(r"[a-z0-9]+(?:['-][a-z0-9]+)*|[\u3040-\u9fff]", answer.lower())


def runs(found: list[str], length: int) -> list[str]:
    """Words side by side."""
    return [" ".join(found[at : at + length]) for at in range(len(found) - length + 1)]


def expected(row: Row, reference: str, name: str) -> Row:
    """The row of an answer, by the libraries and by counting."""
    said, own = row["response"], words(row["response"])
    rouge = RougeScorer(["rouge1", "rougeL"]).score(reference, said)
    bleu = sacrebleu.sentence_bleu(said, [reference], use_effective_order=True)
    fours, twos = runs(own, 4), runs(own, 2)
    taken = ("user_id", "query_id", "method", "lam", "gamma2", "basis", "finish")
    return {
        **{column: row[column] for column in taken},
        **(STEERED if row["method"] == "steerx-cas" else dict.fromkeys(STEERED)),
        "system": name,
        "rouge1": rouge["rouge1"].fmeasure,
        "rougeL": rouge["rougeL"].fmeasure,
        "meteor": Meteor("simple").score(said, reference),
        "bleu": bleu.score,
        "bleu_counts": [bleu.sys_len, bleu.ref_len, *bleu.counts, *bleu.totals],
        **dict.fromkeys(("bertscore", "label", "true_label", "rating", "true_rating")),
        "empty": said.strip() == "",
        "words": len(own),
        "reference_words": len(words(reference)),
        "repeated4": sum(four in fours[:at] for at, four in enumerate(fours)) / len(fours) if fours else 0.0,
        "distinct2": len({*twos}) / len(twos) if twos else None,
    }


def all_expected(split: str) -> list[Row]:
    """Users in their order, each one's queries in theirs, under each the systems in theirs."""
    found: list[Row] = []
    at = {(*map(row.get, ("method", "user_id", "query_id", "lam")),): row for rows in given() for row in rows}
    named: list[tuple[str, float | None]] = [("non-perso", None), ("rag", None), ("cos", 0.5), ("cos", -1.0)]
    named.append(("steerx-cas", None))
    for row in sorted(QUERIES, key=lambda row: user_order(row["user_id"])):
        if row["split"] not in ((split,) if split != "all" else ("test", "development")) or row["reference"] is None:
            continue
        for (method, lam), name in zip(named, SYSTEMS, strict=True):
            answered = at[method, row["user_id"], row["query_id"], lam]
            found.append(expected(answered, row["reference"], name))
    return found


@pytest.mark.parametrize(("split", "rows"), [("test", 15), ("development", 1), ("all", 16)])
def test_every_column_is_that_of_the_libraries(split: str, rows: int, world: Place) -> None:
    found, counts = world.run(replace(TEXT, split=split))
    wanted = all_expected(split)
    assert len(found) == rows * len(SYSTEMS)
    for row, other in zip(found, wanted, strict=True):
        assert {*row} == {*other}
        for column, value in other.items():
            near = pytest.approx(value, rel=1e-12, abs=1e-12) if isinstance(value, float) else value
            assert row[column] == near, column
    without = {"test": 1, "development": 1, "all": 2}[split]
    troubles = {} if split == "development" else TROUBLES
    assert counts == {"queries without a reference, left out": without, **troubles}


def test_texts_tell_every_measure_apart(scored: list[Row]) -> None:
    """Without which the tests here would show nothing."""
    assert {row["finish"] for row in scored} == {"end", "limit", "window", "failed"}
    for column in ("rouge1", "rougeL", "meteor", "bleu", "words", "reference_words"):
        assert len({row[column] for row in scored}) >= 10, column
    assert min(row["repeated4"] for row in scored) == 0.0
    assert max(row["repeated4"] for row in scored) > 0.5
    assert None in {row["distinct2"] for row in scored}
    assert sum(row["rouge1"] != row["rougeL"] for row in scored) > 10


def test_nothing_scores_for_blank_failed_and_against_blank(scored: list[Row]) -> None:
    nothing = [row for row in scored if row["empty"] or not row["reference_words"]]
    assert len(nothing) == 7
    for row in nothing:
        assert [row[column] for column in SCORED[:4]] == [0.0] * 4
    assert [row["system"] for row in scored if row["finish"] == "failed"] == ["cos λ -1"]


def test_a_score_that_was_not_asked_for_is_null(world: Place, scored: list[Row]) -> None:
    for metric, columns in [("rouge1", {"rouge1"}), ("meteor", {"meteor"}), ("bleu", {"bleu", "bleu_counts"})]:
        found, _ = world.run(replace(TEXT, metrics=(metric,)))
        kept = [{column: None if column in {*SCORED} - columns else row[column] for column in row} for row in scored]
        assert found == kept


def test_only_what_cannot_read_other_scripts_tells_of_them(world: Place) -> None:
    for metric, told in [("rouge1", True), ("rougeL", True), ("bleu", True), ("meteor", False)]:
        _, counts = world.run(replace(TEXT, metrics=(metric,)))
        assert (FOREIGN.format("references") in counts) == told


def test_tokenize_is_bleu_s_and_nothing_else_s(world: Place, scored: list[Row]) -> None:
    found, _ = world.run(replace(TEXT, tokenize="char"))
    by = {(row["user_id"], row["query_id"]): row["reference"] for row in QUERIES}
    at = {(*map(row.get, ("method", "user_id", "query_id", "lam")),): row for rows in given() for row in rows}
    for row, other in zip(found, scored, strict=True):
        said = at[row["method"], row["user_id"], row["query_id"], row["lam"]]["response"]
        reference = by[row["user_id"], row["query_id"]]
        bleu = sacrebleu.sentence_bleu(said, [reference], tokenize="char", use_effective_order=True)
        assert row["bleu"] == pytest.approx(bleu.score)
        assert {**row, "bleu": 0, "bleu_counts": []} == {**other, "bleu": 0, "bleu_counts": []}


def test_the_footer_says_how_it_was_scored(world: Place) -> None:
    world.run()
    footer = read_footer(world.folder / "metrics.parquet", METRICS)
    parameters, version = footer.record.parameters, sacrebleu.__version__
    assert parameters == {
        "split": "test",
        "metrics": ["rouge1", "rougeL", "meteor", "bleu"],
        "signatures": [
            "rouge1[rouge_score0.1.2|f1|stem:no]",
            "rougeL[rouge_score0.1.2|f1|stem:no]",
            "meteor[nltk3.9|simple+ptb|wn3.0]",
            f"bleu[nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:{version}]",
            f"sentence-bleu[nrefs:1|case:mixed|eff:yes|tok:13a|smooth:exp|version:{version}]",
        ],
        "chunk_users": 64,
        "limit": None,
    }
    assert (footer.record.stage, footer.users, footer.record.models) == ("evaluate", 6, {})
    assert {*footer.record.inputs} == {"queries", "non-perso", "rag", "cos", "steerx-cas, the mean vector"}
    assert {*footer.record.inputs.values()} <= {*footer.ancestry}


# --- matching ---------------------------------------------------------------------------------------------------------


def test_answers_are_matched_by_id_and_never_by_place(scored: list[Row], tmp_path: Path) -> None:
    mixed = given()
    for rows in mixed:
        random.Random(0).shuffle(rows)
    other = of_world(tmp_path, mixed)
    assert [rows_of(path) for path in other.files] != [sorted_by_user(rows) for rows in given()]
    found, _ = other.run()
    assert sorted(found, key=place_of) == sorted(scored, key=place_of)
    examples = list(dict.fromkeys((row["user_id"], row["query_id"]) for row in scored))
    assert list(dict.fromkeys((row["user_id"], row["query_id"]) for row in found)) == examples


def sorted_by_user(rows: list[Row]) -> list[Row]:
    """In the shared order of users."""
    return sorted(rows, key=lambda row: user_order(row["user_id"]))


def place_of(row: Row) -> tuple[str, ...]:
    """What names a row."""
    return row["user_id"], row["query_id"], row["system"]


def test_every_strength_of_a_file_is_a_system(tmp_path: Path) -> None:
    rows = [asked(user, "0", text(user)) for user in "ab"]
    files = [
        answers.answers(rows, method, lambda row, of, by=method: text(by, row["user_id"], of), some)  # type: ignore[misc]
        for method, some in (("steerx-cas", (0.1, -0.2, 0.0)), ("steerx-cos", (2.0, 0.5)))
    ]
    found, _ = place(tmp_path, rows, files).run(ROUGE)
    names = ["steerx-cos λ 2", "steerx-cos λ 0.5", "steerx-cas γ2 0.1", "steerx-cas γ2 -0.2", "steerx-cas γ2 0"]
    assert [row["system"] for row in found] == names * 2
    strengths = [(2.0, None), (0.5, None), (None, 0.1), (None, -0.2), (None, 0.0)]
    assert [(row["lam"], row["gamma2"]) for row in found] == strengths * 2
    rouge = RougeScorer(["rouge1"])
    for row in found:
        strength = row["gamma2"] if row["lam"] is None else row["lam"]
        said = text(row["method"], row["user_id"], strength)
        assert row["rouge1"] == pytest.approx(rouge.score(text(row["user_id"]), said)["rouge1"].fmeasure)


def test_strengths_that_agree_to_six_digits_are_two_systems(tmp_path: Path) -> None:
    rows = [asked("a", "0", text("a"))]
    close = answers.answers(rows, "cos", lambda _, of: text(of), (0.3333333, 0.33333333))
    found, _ = place(tmp_path, rows, [close]).run(ROUGE)
    assert [row["lam"] for row in found] == [0.3333333, 0.33333333]
    assert len({row["system"] for row in found}) == 2


def test_a_limit_scores_the_first_users_only(world: Place, scored: list[Row]) -> None:
    first = sorted("abcdef", key=user_order)[:2]
    found, _ = world.run(limit=2)
    assert found == [row for row in scored if row["user_id"] in first]


# --- labels and ratings -----------------------------------------------------------------------------------------------

Answers = Mapping[str, list[str]]


def of_task(folder: Path, task: str, said: Mapping[str, tuple[str, list[str]]]) -> tuple[list[Row], Mapping[str, int]]:
    """Score two systems' answers to each user's query, of a task."""
    rows = [asked(user, "0", reference) for user, (reference, _) in said.items()]
    files = [
        answers.answers(rows, method, lambda row, _, at=number: said[row["user_id"]][1][at])  # type: ignore[misc]
        for number, method in enumerate(("non-perso", "rag"))
    ]
    about = load_task(task)
    metrics = ("accuracy", "macro-f1", "mcc") if about.labels else ("mae", "rmse")
    return place(folder, rows, files, task=task).run(Settings(metrics, task=about))


@pytest.mark.parametrize(
    ("task", "said", "label"),
    [
        ("lamp-1", {"a": ("[1]", ["[1]", "[2]"])}, ["[1]", "[2]"]),
        ("lamp-1", {"a": (" [2]\n", ["\t[1] ", "[2]."])}, ["[1]", None]),
        ("lamp-1", {"a": ("[1]", ["", "1"])}, [None, None]),
        ("lamp-2", {"a": ("sci-fi", ["Sci-fi", " twist ending"])}, [None, "twist ending"]),
        ("lamp-2", {"a": ("based on a book", ["book", "true story\n"])}, [None, "true story"]),
    ],
)
def test_an_answer_is_a_label_or_none(
    task: str, said: dict[str, tuple[str, list[str]]], label: list[str | None], tmp_path: Path
) -> None:
    rows, counts = of_task(tmp_path, task, said)
    assert [row["label"] for row in rows] == label
    assert {row["true_label"] for row in rows} == {said["a"][0].strip()}
    assert {row["rouge1"] for row in rows} | {row["rating"] for row in rows} == {None}
    assert counts.get("answers that are none of the task's labels", 0) == label.count(None)
    footer = read_footer(tmp_path / "metrics.parquet", METRICS)
    assert footer.record.parameters["task"] == task
    assert footer.record.parameters["labels"] == [*load_task(task).labels]


def test_an_answer_that_is_no_rating_counts_as_the_worst(tmp_path: Path) -> None:
    said = {
        "a": ("4", ["3", "4.0"]),
        "b": (" 2.0\n", [" 5 ", "five"]),
        "c": ("5", ["", "nan"]),
        "d": ("1", ["3 stars", "7"]),
        "e": ("3", ["?", "-1"]),
    }
    rows, counts = of_task(tmp_path, "lamp-3", said)
    found = {row["user_id"]: [each["rating"] for each in rows if each["user_id"] == row["user_id"]] for row in rows}
    assert found == {"a": [3.0, 4.0], "b": [5.0, 5.0], "c": [1.0, 1.0], "d": [5.0, 7.0], "e": [5.0, -1.0]}
    true = {"a": 4.0, "b": 2.0, "c": 5.0, "d": 1.0, "e": 3.0}
    assert {row["user_id"]: row["true_rating"] for row in rows} == true
    assert counts["answers that are no rating, and count as the worst"] == 5
    assert {row["label"] for row in rows} == {None}
    assert read_footer(tmp_path / "metrics.parquet", METRICS).record.parameters["ratings"] == [1, 5]


# --- chunks, shards, stops --------------------------------------------------------------------------------------------


def test_chunks_change_no_row(world: Place, scored: list[Row]) -> None:
    for chunk_users in (1, 4):
        assert world.run(chunk_users=chunk_users)[0] == scored


def test_merged_shards_are_the_whole_to_the_byte(world: Place, scored: list[Row], tmp_path: Path) -> None:
    world.run(output="cut", chunk_users=2)
    whole = (world.folder / "cut.parquet").read_bytes()
    for index in (1, 2):
        path = tmp_path / f"metrics-{index:05d}-of-00002.parquet"
        answers.evaluate(world.folder, world.files, TEXT, path, chunk_users=2, shard=Shard(index, 2))
    merge([tmp_path], tmp_path / "metrics.parquet", False, False, Silent())
    assert (tmp_path / "metrics.parquet").read_bytes() == whole
    assert rows_of(tmp_path / "metrics.parquet") == scored


@pytest.mark.parametrize("chunk", [1, 2, 6])
def test_stopped_before_any_chunk_it_ends_with_the_same_bytes(
    chunk: int, world: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.run(output="ones", chunk_users=1)
    output = tmp_path / "metrics.parquet"
    with monkeypatch.context() as patch:
        stop_before(chunk, stage, patch)
        with pytest.raises(Interrupted):
            answers.evaluate(world.folder, world.files, TEXT, output, chunk_users=1)
    assert not output.exists()
    summary = answers.evaluate(world.folder, world.files, TEXT, output, chunk_users=1)
    assert (summary.status, summary.users, summary.users_now) == ("finished", 6, 7 - chunk)
    assert output.read_bytes() == (world.folder / "ones.parquet").read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.parquet"]


def test_the_same_command_again_scores_nothing(world: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output = tmp_path / "metrics.parquet"
    assert answers.evaluate(world.folder, world.files, ROUGE, output, dry_run=True).status == "would run"
    first = answers.evaluate(world.folder, world.files, ROUGE, output)
    before = output.read_bytes()
    monkeypatch.setattr(stage, "prepare", lambda *_: pytest.fail("scored again"))
    again = answers.evaluate(world.folder, [*reversed(world.files)], ROUGE, output)
    assert (first.status, again.status, again.rows) == ("finished", "up to date", 15 * len(SYSTEMS))
    assert output.read_bytes() == before


# --- BERTScore --------------------------------------------------------------------------------------------------------

LAYER = 2
LETTERS = {"a": "a b c d", "b": "e f a"}
SAID = {"non-perso": {"a": "a b d", "b": ""}, "rag": {"a": "g h a b c d", "b": "e f a"}}


@pytest.fixture(scope="module")
def judges(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("judges")
    write_encoder(folder / "new", "bert", trained=False)
    write_encoder(folder / "trained", "bert", trained=True)
    return folder


def judged(model: Path) -> Settings:
    """BERTScore and ROUGE-1."""
    judge = BertScoreSettings(ModelRequest(str(model), dtype="float32", device="cpu"), LAYER)
    return Settings(("rouge1", "bertscore"), bertscore=judge)


@pytest.fixture(scope="module")
def letters(tmp_path_factory: pytest.TempPathFactory) -> Place:
    rows = [asked(user, "0", reference) for user, reference in LETTERS.items()]
    files = [answers.answers(rows, by, lambda row, _, by=by: SAID[by][row["user_id"]]) for by in SAID]  # type: ignore[misc]
    return place(tmp_path_factory.mktemp("letters"), rows, files)


def obvious(folder: Path) -> Callable[[str, str], float]:
    """The mean of each own token's most similar one in the other text, both ways, one text at a time."""
    from transformers import AutoModel, AutoTokenizer

    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()

    def states(said: str) -> torch.Tensor:
        with torch.no_grad():
            found = model(**tokenizer(said, return_tensors="pt"), output_hidden_states=True).hidden_states[LAYER][0]
        return torch.nn.functional.normalize(found, dim=-1)

    def f1(said: str, reference: str) -> float:
        if not said.strip():
            return 0.0
        alike = states(said) @ states(reference).T
        precision, recall = alike.amax(1)[1:-1].mean(), alike.amax(0)[1:-1].mean()
        return float(2 * precision * recall / (precision + recall))

    return f1


@pytest.mark.parametrize("name", ["new", "trained"])
def test_bertscore_is_in_every_row(name: str, judges: Path, letters: Place) -> None:
    rows, counts = letters.run(judged(judges / name))
    f1 = obvious(judges / name)
    for row in rows:
        wanted = f1(SAID[row["system"]][row["user_id"]], LETTERS[row["user_id"]])
        assert row["bertscore"] == pytest.approx(wanted, abs=1e-5)
    assert len({row["bertscore"] for row in rows}) == 4
    assert counts.get(UNTRAINED, 0) == (4 if name == "new" else 0)
    footer = read_footer(letters.folder / "metrics.parquet", METRICS)
    identity = identify(ModelRequest(str(judges / name), dtype="float32"))
    assert footer.record.models == {"bertscore": identity.as_record()}


def test_where_the_bertscore_model_lies_is_no_part_of_its_signature(judges: Path, letters: Place) -> None:
    letters.run(judged(judges / "trained"))
    footer = read_footer(letters.folder / "metrics.parquet", METRICS)
    signature = footer.record.parameters["signatures"][1]
    assert signature.startswith(f"bertscore[trained|L{LAYER}|no-idf|raw|float32|bert-score")


def test_bertscore_of_no_judge_is_in_no_table(judges: Path, letters: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def shown() -> tuple[list[str], str, str]:
        table = reading.read_table(letters.folder / "metrics.parquet", Asked(samples=100))
        scores = [column.name for column in table.of_kind("score")]
        return scores, " ".join(table.signatures), " ".join(table.notes)

    letters.run(judged(judges / "trained"))
    scores, signatures, notes = shown()
    assert scores == ["rouge1", "bertscore"]
    assert "bertscore[" in signatures
    assert "BERTScore" not in notes
    demo = identify(ModelRequest(str(judges / "trained"))).weights
    with monkeypatch.context() as patch:
        patch.setattr(reading, "DEMO_WEIGHTS", demo)
        scores, signatures, notes = shown()
    assert (scores, "bertscore[" in signatures) == (["rouge1"], False)
    assert "BERTScore is left out: its model is the demo's, which knows one small world" in notes
    letters.run(judged(judges / "new"))
    scores, signatures, notes = shown()
    assert (scores, "bertscore[" in signatures) == (["rouge1"], False)
    assert "BERTScore is left out: nobody trained its model, all of whose norms are ones" in notes
    assert UNTRAINED not in notes


def test_the_demo_s_model_is_known_by_its_weights() -> None:
    model = Path(__file__).parents[2] / "data" / "demo" / "model"
    assert identify(ModelRequest(str(model))).weights == reading.DEMO_WEIGHTS


def test_texts_longer_than_the_model_takes_are_counted(judges: Path, tmp_path: Path) -> None:
    rows = [asked("a", "0", "a b " * 40)]
    files = [[answer(rows[0], "rag", "c d " * 40)], [answer(rows[0], "non-perso", "c")]]
    found, counts = place(tmp_path, rows, files).run(judged(judges / "trained"))
    assert counts["texts of which the BERTScore model took the beginning only"] == 2
    assert min(row["bertscore"] or nan for row in found) > -1


# --- the table --------------------------------------------------------------------------------------------------------


def test_the_table_tells_what_was_counted(world: Place) -> None:
    for split, about in (("test", "split test"), ("all", "all that have a reference")):
        _, counts = world.run(replace(TEXT, split=split))
        table = reading.read_table(world.folder / "metrics.parquet", Asked(samples=100))
        assert table.about == about
        notes = [f"{name}: {count:,}" for name, count in counts.items()]
        assert [*table.notes][: len(notes)] == notes
        assert [row.name for row in table.rows] == [*SYSTEMS]
        settings = [{name: getattr(row, name) for name in STEERED} for row in table.rows]
        assert settings == [*[dict.fromkeys(STEERED)] * 4, STEERED]
        assert [column.name for column in table.of_kind("score")] == ["rouge1", "rougeL", "meteor", "bleu"]
        names = ["rouge1", "rougeL", "meteor", "bleu", "sentence-bleu"]
        assert [signature.partition("[")[0] for signature in table.signatures] == names
        mean = table.rows[2].cells["rougeL"].score.value
        own = [row["rougeL"] for row in rows_of(world.folder / "metrics.parquet") if row["system"] == "cos λ 0.5"]
        assert mean == pytest.approx(sum(own) / len(own))
