"""Runs on a server that end before they are done, at any instant: nothing is lost, and nothing asked for twice."""

import json
import os
import signal
import socket
import threading
from collections import Counter
from functools import partial
from itertools import count
from pathlib import Path

import pytest

import support
from scorers import rows_of, write
from servers import LONG, TROUBLES, Call, Clock, Sent, Serve, answer, failing
from smoothers import LLM, die_at_answer, expected, people, prompts, smooth_served, told
from steerx_cli.core.errors import SteerxError
from steerx_cli.lm.endpoint import KEPT, TRIED_AGAIN
from support import Steerx, child, forked, python

EVERYONE = people()
TEXTS = prompts(EVERYONE)


pytestmark = pytest.mark.usefixtures("clock")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write(tmp_path, {"scores": EVERYONE})


def whole(serve: Serve, data: Path) -> bytes:
    """The file of a run that nothing disturbed."""
    smooth_served(data, serve(answer).url, data / "whole.parquet")
    assert rows_of(data / "whole.parquet") == expected(EVERYONE, LLM, partial(told, LLM))
    return (data / "whole.parquet").read_bytes()


def kept(data: Path) -> int:
    """How many answers there are of a run that ended early."""
    (answers,) = data.glob("out.parquet.parts/*/answers.jsonl")
    return answers.read_bytes().count(b"\n")


# --- the server gives up ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("trouble", ["a page", "nothing", "cut", "unavailable"])
def test_what_was_answered_before_the_server_broke_is_not_asked_again(
    trouble: str, serve: Serve, data: Path, clock: Clock
) -> None:
    """Not even of another server: where it stands is no part of what is made."""
    first = serve(lambda call: answer(call) if call.text in TEXTS[:4] else TROUBLES[trouble])
    with pytest.raises(SteerxError) as refused:
        smooth_served(data, first.url, data / "out.parquet")
    assert str(refused.value).startswith(f"the server {first.url} gives no usable answer (attempts: 6, the last: ")
    assert str(refused.value).endswith("see to it; the same command continues with what was answered")
    assert first.asked == {**dict.fromkeys(TEXTS[:4], 1), TEXTS[4]: 6}
    assert not (data / "out.parquet").exists()
    second = serve(answer)
    summary = smooth_served(data, second.url, data / "out.parquet")
    assert (second.asked, first.answered + second.answered) == (Counter(TEXTS[4:]), Counter(TEXTS))
    assert summary.notes == (f"{KEPT}: 4",)
    assert (data / "out.parquet").read_bytes() == whole(serve, data)
    assert not [*data.glob("*.parts")]


def test_a_server_that_is_not_there_is_told(data: Path, serve: Serve) -> None:
    with socket.socket() as taken:  # bound, so that nobody else listens there
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
        with pytest.raises(SteerxError, match=rf"^the server {url} gives no usable answer .* ConnectError: "):
            smooth_served(data, url, data / "out.parquet")
    server = serve(answer)
    assert smooth_served(data, server.url, data / "out.parquet").notes == ()
    assert server.asked == Counter(TEXTS)


def test_the_next_run_tells_what_it_did_not_ask_for(serve: Serve, data: Path, alone: Path, steerx: Steerx) -> None:
    (alone / "none.toml").write_text("")
    given = ("--preset", "none.toml", "--task", "review", "--model", "m", "--scores", data / "scores.parquet")

    def run(server: str, *more: object) -> support.Ended:
        return steerx("smooth", *given, "--concurrency", 1, "--endpoint", server, *more)

    limited = serve(lambda call: failing(402, "no credit") if len(limited.calls) >= 5 else answer(call))
    code, out, err = run(limited.url)
    assert (code, out) == (2, "")
    assert err == (
        f"Error: the server {limited.url} takes no requests (HTTP 402: no credit): see what it needs; "
        "the same command continues\n"
    )
    again = serve(lambda call: failing(500) if call.time == 1 and len(again.calls) < 4 else answer(call))
    ended = run(again.url, "--json")
    summary = json.loads(ended.out)
    assert (ended.code, ended.err, summary["status"]) == (0, "", "finished")
    assert summary["notes"] == [f"{KEPT}: 4", f"{TRIED_AGAIN}: 2"]
    assert not {KEPT, TRIED_AGAIN} & {*summary["counts"]}
    assert json.loads(run(again.url, "--json").out)["status"] == "up to date"
    assert len(again.calls) == len(TEXTS) - 4 + 2


# --- killed -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("at", "concurrency", "chunk_users"), [(1, 1, 64), (6, 1, 1), (8, 3, 64)])
def test_killed_while_the_server_is_late_it_asks_for_what_is_missing(
    at: int, concurrency: int, chunk_users: int, serve: Serve, data: Path
) -> None:
    there, hold = threading.Event(), threading.Event()

    def late(call: Call) -> Sent:
        if len(first.calls) >= at:
            there.set()
            hold.wait(LONG)
        return answer(call)

    first, second = serve(late), serve(answer)
    process = child(smooth_served, data, first.url, data / "out.parquet", concurrency, chunk_users)
    try:
        assert there.wait(LONG)
        os.kill(process.pid or 0, signal.SIGKILL)
        process.join()
    finally:
        hold.set()
        process.kill()
    assert process.exitcode == -signal.SIGKILL
    answered = kept(data) if at > 1 else 0
    assert answered == at - 1 if concurrency == 1 else at - concurrency <= answered < at
    summary = smooth_served(data, second.url, data / "out.parquet", chunk_users=chunk_users)
    assert len(second.asked) == len(TEXTS) - answered
    assert {*second.asked.values()} == {1}
    assert {*TEXTS} - {*second.asked} <= {*first.asked}
    assert rows_of(data / "out.parquet") == expected(EVERYONE, LLM, partial(told, LLM))
    assert any(note.startswith(KEPT) for note in summary.notes) == (at > 1)
    assert not [*data.glob("*.parts")]


MOMENTS = ("before", "torn", "after")


def kill_at_every_answer(data: Path, folder: Path, url: str) -> None:
    """Be killed before, while and after each answer is kept, and resume; says how often."""
    expected, kills = folder / "whole.parquet", 0
    assert forked(smooth_served, data, url, expected) == 0
    for moment in MOMENTS:
        for number in count(1):
            output = folder / f"{moment}-{number}.parquet"
            if not forked(die_at_answer, number, moment, data, url, output):
                break
            assert forked(smooth_served, data, url, output) == 0
            assert output.read_bytes() == expected.read_bytes(), output.name
            kills += 1
    assert not [*folder.glob("*.parts")]
    print(kills)


def test_killed_at_any_answer_it_asks_for_it_again_only_if_it_was_not_kept(serve: Serve, tmp_path: Path) -> None:
    scores = people("ad")
    data, asked, server = write(tmp_path / "few", {"scores": scores}), prompts(scores), serve(answer)
    script = (
        f"import sys\nsys.path[:0] = {[str(Path(support.__file__).parent), str(Path(__file__).parent)]!r}\n"
        "from pathlib import Path\nimport pandas, pyarrow.acero, steerx_cli.stages.smooth.profiles\n"  # once for all
        "from test_smooth_stopped import kill_at_every_answer\n"
        "kill_at_every_answer(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])"
    )
    code, out, err = python(script, str(data), str(tmp_path), server.url)
    assert code == 0, err
    kills = len(MOMENTS) * len(asked)
    assert int(out) == kills > 20
    # Once by each run with its resumption; once by those that nothing stops; and once more by the two in which an
    # answer had come and was not kept.
    assert server.asked == dict.fromkeys(asked, kills + 1 + len(MOMENTS) + 2)


# --- two at once ------------------------------------------------------------------------------------------------------


def test_a_second_run_on_the_same_output_stops_and_asks_nothing(serve: Serve, data: Path) -> None:
    there, hold = threading.Event(), threading.Event()

    def late(call: Call) -> Sent:
        there.set()
        hold.wait(LONG)
        return answer(call)

    server, other = serve(late), serve(answer)
    process = child(smooth_served, data, server.url, data / "out.parquet")
    try:
        assert there.wait(LONG)
        with pytest.raises(SteerxError) as refused:
            smooth_served(data, other.url, data / "out.parquet")
        assert not hold.is_set()
    finally:
        hold.set()
        process.join(LONG)
    output = data / "out.parquet"
    assert str(refused.value) == f"another steerx is writing {output}: wait for it, or name another --output or --run"
    assert (process.exitcode, other.calls, server.asked) == (0, [], Counter(TEXTS))
    assert output.read_bytes() == whole(serve, data)
