"""Where files are: named, in folders as data sets lie in them, and in Hugging Face's cache; no test asks a network."""

import re
from collections.abc import Callable, Iterable
from fnmatch import fnmatch
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import sources
from sources import write_lines, write_parquet
from steerx_cli.core.errors import SteerxError
from steerx_cli.core.schemas import HISTORIES, QUERIES
from steerx_cli.core.sources import Source
from steerx_cli.tools.import_.files.places import find_data
from steerx_cli.tools.import_.texts import Split
from support import Steerx, contents

# As push_to_hub lays a data set out.
DPL = [
    f"{category}/{split}-00000-of-00001.parquet"
    for category in ("Books", "Books_and_Toys", "Movies_and_TV")
    for split in ("test", "train", "val")
]
LONGLAMP = [
    f"{task}_{setting}/{part}.parquet"
    for task in ("abstract_generation", "product_review", "topic_writing")
    for setting in ("temporal", "user")
    for part in ("test-00000-of-00001", "train-00000-of-00002", "train-00001-of-00002", "val-00000-of-00001")
]
NEVER = ["README.md", ".gitattributes", "dataset_infos.json", "dataset_info.json", "state.json", "loader.py"]
Asked = list[dict[str, Any]]
Publish = Callable[..., Asked]


def lay_out(folder: Path, names: Iterable[str]) -> Path:
    """Empty files in their folders."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


@pytest.fixture(autouse=True)
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")


@pytest.fixture
def publish(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Publish:
    """Publish data sets, each a folder by its id; what is asked for, and only that, is downloaded."""
    asked: Asked = []

    def publish(**published: Path) -> Asked:
        def download(name: str, *, repo_type: str, allow_patterns: list[str], local_files_only: bool) -> str:
            asked.append({"name": name, "local_files_only": local_files_only})
            assert repo_type == "dataset"
            source, snapshot = published[name.partition("/")[2]], tmp_path / "snapshots" / name
            for file in source.rglob("*"):
                place = str(file.relative_to(source))
                if file.is_file() and any(fnmatch(place, pattern) for pattern in allow_patterns):
                    (snapshot / place).parent.mkdir(parents=True, exist_ok=True)
                    (snapshot / place).write_bytes(file.read_bytes())
            return str(snapshot)

        monkeypatch.setattr("huggingface_hub.snapshot_download", download)
        return asked

    return publish


def found(
    name: str | Path, config: str | None = None, split: Split | None = None, top: Path | None = None
) -> list[str]:
    """What is found, by its place in the data set."""
    files = find_data([str(name)], config, split, training=False)
    return [str(file.relative_to(top or Path())) for file in files]


def refusal(name: str, config: str | None = None, split: Split | None = None, *, download: bool = True) -> str:
    with pytest.raises(SteerxError) as refused:
        find_data([name], config, split, training=False, download=download)
    return str(refused.value)


# --- data sets as they lie --------------------------------------------------------------------------------------------


def some(names: list[str], folder: str, *splits: str) -> list[str]:
    return [name for name in names if name.startswith(tuple(f"{folder}/{split}-" for split in splits))]


def test_several_configurations_are_not_mixed(tmp_path: Path, publish: Publish) -> None:
    publish(set=lay_out(tmp_path / "source", DPL))
    with pytest.raises(SteerxError, match=r"has several parts, Books, .*Movies_and_TV: name one with --config$"):
        found("some/set", None, "test")


@pytest.mark.parametrize(
    ("names", "config", "split", "wanted"),
    [
        (DPL, "Books", None, some(DPL, "Books", "test", "val")),
        (DPL, "Books", "test", some(DPL, "Books", "test")),
        (DPL, "Books", "development", some(DPL, "Books", "val")),
        (LONGLAMP, "topic_writing_user", None, some(LONGLAMP, "topic_writing_user", "test", "val")),
        (LONGLAMP, "product_review_temporal", "test", some(LONGLAMP, "product_review_temporal", "test")),
        # Without a configuration push_to_hub has one that is called default, and puts it into data/.
        (
            ["data/test-00000-of-00001.parquet", "data/train-00000-of-00001.parquet"],
            None,
            None,
            ["data/test-00000-of-00001.parquet"],
        ),
        (
            ["data/test-00000-of-00001.parquet", "other/test.parquet"],
            "default",
            None,
            ["data/test-00000-of-00001.parquet"],
        ),
        # Files of one folder, by the start of their names.
        (["Books_test.jsonl", "Books_train.jsonl", "Bookshops_test.jsonl"], "Books", None, ["Books_test.jsonl"]),
        (["raw/Books.jsonl.gz", "raw/Toys.jsonl.gz"], "Books", None, ["raw/Books.jsonl.gz"]),
        # As the hub itself converts data sets: the split is a folder.
        (["Books/test/0000.parquet", "Books/train/0000.parquet"], "Books", None, ["Books/test/0000.parquet"]),
        (["Books/test/0000.parquet", "Books/validation/0000.parquet"], "Books", "test", ["Books/test/0000.parquet"]),
        # A name that says nothing may hold any split.
        (["Books/full-00000-of-00001.parquet"], "Books", "test", ["Books/full-00000-of-00001.parquet"]),
        # What nobody has split is called train.
        (["data/train-00000-of-00001.parquet"], None, None, ["data/train-00000-of-00001.parquet"]),
        # What is hidden is nobody's data.
        (["a/test.jsonl", "a/.ipynb_checkpoints/test-checkpoint.jsonl", ".b/c.csv"], None, None, ["a/test.jsonl"]),
        # A word is not a part of another.
        (["constraints_test.jsonl", "strained.csv"], None, None, ["constraints_test.jsonl", "strained.csv"]),
    ],
)
def test_files_of_a_configuration_and_a_split(
    names: list[str], config: str | None, split: Split | None, wanted: list[str], tmp_path: Path, publish: Publish
) -> None:
    folder = lay_out(tmp_path / "source", [*names, *NEVER])
    asked = publish(set=folder)
    assert found("some/set", config, split, tmp_path / "snapshots" / "some" / "set") == wanted
    assert asked == [{"name": "some/set", "local_files_only": False}]
    assert found(folder, config, split, folder) == wanted


def test_what_no_format_reads_is_not_downloaded(tmp_path: Path, publish: Publish) -> None:
    publish(set=lay_out(tmp_path / "source", [*DPL, "README.md", "pictures/Books.png", "model.safetensors"]))
    find_data(["some/set"], "Movies_and_TV", None, training=False)
    there = [path.name for path in (tmp_path / "snapshots").rglob("*") if path.is_file()]
    assert len(there) == 3
    assert all(name.endswith(".parquet") for name in there)


def test_signs_in_a_configuration_are_itself(tmp_path: Path, publish: Publish) -> None:
    publish(set=lay_out(tmp_path / "source", ["C[a]/test.parquet", "Ca/test.parquet"]))
    assert [file.parent.name for file in find_data(["some/set"], "C[a]", None, training=False)] == ["C[a]"]


@pytest.mark.parametrize(("config", "split"), [("Toys", None), ("Books", "test"), ("Book", None)])
def test_nothing_of_what_was_asked(config: str, split: Split | None, tmp_path: Path, publish: Publish) -> None:
    folder = lay_out(tmp_path / "source", ["Books/val-00000-of-00001.parquet", *NEVER])
    said = f"{folder} has no file to import: name files, or another --config or --split"
    assert refusal(str(folder), config, split) == said
    publish(set=folder)
    (tmp_path / "snapshots" / "some" / "set").mkdir(parents=True)
    assert "has no file to import: name files, or another --config or --split" in refusal("some/set", config, split)


def test_an_empty_folder(tmp_path: Path) -> None:
    assert "has no file to import" in refusal(str(tmp_path / "here"))


# --- what a name is ---------------------------------------------------------------------------------------------------


def test_files_and_folders_go_before_ids(tmp_path: Path, publish: Publish) -> None:
    asked = publish()
    lay_out(Path(), ["some/set/test.jsonl", "some/rows.jsonl", "other/notes", "deep/a/b/test.csv"])
    assert found("some/set") == ["some/set/test.jsonl"]
    assert found("some/rows.jsonl") == ["some/rows.jsonl"]
    assert found("other/notes") == ["other/notes"]  # that it has no suffix is said when it is read
    with pytest.raises(SteerxError, match=r"^other/absent.csv does not exist: name a file that is there$"):
        found("other/absent.csv")
    assert found("deep") == ["deep/a/b/test.csv"]
    assert asked == []


NOTHING = "is no file, no folder and no id of a data set of Hugging Face's: name one of these"


@pytest.mark.parametrize(
    "name", ["", "nowhere", "./some/set", "/some/set", "a/b/c", "bad name/set", "some/", "~/set", "-/x"]
)
def test_what_is_neither_file_nor_id(name: str, publish: Publish) -> None:
    asked = publish()
    assert refusal(name) == f"{name!r} {NOTHING}"
    assert asked == []


@pytest.mark.parametrize("name", ["some/set--two", "some/set..two", "some/set.", "zoë/set", f"some/{'x' * 120}"])
def test_what_the_hub_takes_for_no_id(name: str) -> None:
    assert refusal(name) == f"{name!r} {NOTHING}"


# --- a hub that says no -----------------------------------------------------------------------------------------------

WAY_OUT = ", or download its files where there is a network and name them"


def test_offline_says_so_and_names_the_way_out() -> None:
    assert refusal("some/set") == (
        "the data set 'some/set' cannot be had from Hugging Face: it is not wholly in the cache here and "
        f"HF_HUB_OFFLINE is set; unset it{WAY_OUT}"
    )


def test_no_network_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import errors

    http = import_module(errors.HfHubHTTPError.__bases__[0].__module__.partition(".")[0])  # httpx, or what follows it

    def fail(*_: object, **__: object) -> None:
        raise http.ConnectError("[Errno -3] Temporary failure in name resolution\nand more")

    monkeypatch.setattr("huggingface_hub.HfApi.repo_info", fail)
    assert refusal("some/set") == (
        "the data set 'some/set' cannot be had from Hugging Face: ConnectError: [Errno -3] Temporary failure in name "
        f"resolution; check the network{WAY_OUT}"
    )


@pytest.mark.parametrize(
    ("kind", "cause"),
    [
        ("GatedRepoError", "access to it has to be granted; ask on its page and run `hf auth login`"),
        ("RepositoryNotFoundError", "no such id, or a private one; check it, run `hf auth login`"),
        ("HfHubHTTPError", "OSError: 503 from the server; check the network"),
    ],
)
def test_an_id_that_is_unknown_or_closed(kind: str, cause: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import errors

    def refuse(*_: object, **__: object) -> str:
        error = getattr(errors, kind)
        raise error.__new__(error, "no") from OSError("503 from the server\nand more")

    monkeypatch.setattr("huggingface_hub.snapshot_download", refuse)
    said = f"the data set 'some/set' cannot be had from Hugging Face: {cause}{WAY_OUT}"
    assert refusal("some/set") == said


def test_a_dry_run_asks_for_no_download(tmp_path: Path, publish: Publish) -> None:
    asked = publish(set=lay_out(tmp_path / "source", ["test.jsonl"]))
    find_data(["some/set"], None, None, training=False, download=False)
    assert asked == [{"name": "some/set", "local_files_only": True}]


def test_a_dry_run_on_what_is_not_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    assert refusal("some/set", download=False) == (
        "the data set 'some/set' is not wholly in the cache here, and a dry run downloads nothing: "
        "leave --dry-run out, or download its files where there is a network and name them"
    )


# --- as it is typed ---------------------------------------------------------------------------------------------------


@pytest.fixture
def dpl(tmp_path: Path, publish: Publish) -> Asked:
    """DPL's two data sets, of two categories."""
    main, meta = tmp_path / "main", tmp_path / "meta"
    lay_out(main, DPL)
    lay_out(meta, ["Books/full-00000-of-00001.parquet", "Movies_and_TV/full-00000-of-00001.parquet"])
    for number, name in enumerate(DPL):
        write_parquet(
            main / name, [{**row, "user_id": f"{name} {row['user_id']}"} for row in sources.dpl(4, 3, number)]
        )
    write_parquet(meta / "Books/full-00000-of-00001.parquet", sources.dpl_metadata())
    write_lines(meta / "Movies_and_TV/full-00000-of-00001.parquet", [{"asin": "not read"}])
    return publish(main=main, meta=meta)


def test_dpl_s_data_sets_by_their_ids(dpl: Asked, alone: Path, steerx: Steerx) -> None:
    given = ["import", "dpl", "some/main", "--metadata", "some/meta", "--config", "Books", "--data", "data"]
    assert steerx(*given, "--dry-run").code == 0
    assert not (alone / "data").exists()
    assert [entry["local_files_only"] for entry in dpl] == [True, True]
    ended = steerx(*given)
    assert (ended.code, ended.out) == (0, ""), ended.err
    assert "metadata do not have" not in ended.err
    histories, queries = (
        Source(artifact, alone / "data" / f"{artifact.name}.parquet") for artifact in (HISTORIES, QUERIES)
    )
    assert (histories.footer.rows, queries.footer.rows) == (2 * 4 * 3, 2 * 4)
    rows = queries.read(0, 8).to_pylist()
    assert {(row["split"], re.split(r"[/-]", row["user_id"])[1]) for row in rows} == {
        ("test", "test"),
        ("development", "val"),
    }
    assert all(row["user_id"].startswith("Books/") and row["input"].startswith("Film ") for row in rows)


def test_what_cannot_be_had_leaves_nothing(alone: Path, steerx: Steerx) -> None:
    before = contents(alone)
    for name in ("some/set", "nowhere", "absent.parquet", "some/set--two"):
        code, out, err = steerx("import", "dpl", name, "--data", "data")
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert err.startswith("Error: ")
    assert contents(alone) == before
