"""The demo's own little command line: what it says and its exit codes."""

from collections.abc import Callable
from pathlib import Path

import pytest

from steerx_cli.core.errors import Interrupted, SteerxError
from steerx_cli.demo.__main__ import main


def test_each_step_says_what_it_wrote(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[tuple[object, ...]] = []
    monkeypatch.setattr("steerx_cli.demo.files.write_world", lambda *given: asked.append(given))
    monkeypatch.setattr("steerx_cli.demo.build.make_model", lambda *given: asked.append(given[:2]))
    monkeypatch.setattr("steerx_cli.demo.build.check_model", lambda *given: asked.append(given[:1]))
    assert main(["world", str(tmp_path)]) == 0
    assert main(["model", str(tmp_path), "--work", "work"]) == 0
    assert main(["gate", str(tmp_path)]) == 0
    assert asked == [(tmp_path, 0), (tmp_path / "model", Path("work")), (tmp_path,)]
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.splitlines() == [
        f"wrote {tmp_path}",
        "training three quarters of an hour on two cores from the start; checkpoints on the way",
        f"wrote {tmp_path}/model",
        f"wrote {tmp_path}/README.md",
    ]


@pytest.mark.parametrize(
    ("raised", "code", "said"),
    [
        (SteerxError("no: do"), 2, "Error: no: do\n"),
        (Interrupted("it goes on"), 130, "Stopped: it goes on\n"),
        (KeyboardInterrupt(), 130, "Stopped: run the same command again\n"),
    ],
)
def test_what_ends_early_is_told_in_one_sentence(
    raised: BaseException,
    code: int,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(*given: object) -> Callable[[], None]:
        raise raised

    monkeypatch.setattr("steerx_cli.demo.files.write_world", fail)
    assert main(["world", str(tmp_path)]) == code
    assert capsys.readouterr().err == said


def test_a_folder_without_a_model_says_which_target_makes_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["gate", str(tmp_path)]) == 2
    assert capsys.readouterr().err.endswith("`make demo-model` trains it\n")
