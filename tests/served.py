"""`steerx` for tests that start it often: every command is a fresh fork of a Python in which all of it is loaded."""

import array
import importlib
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from steerx_cli.__main__ import main

LOADED = (
    *("app", "core.job", "demo.files", "lm.causal", "lm.decode", "report.formats", "metrics.scorers"),
    *("stages.retrieve", "stages.score_tokens.effects", "stages.smooth.local", "stages.build_vector.vectors"),
    *("stages.generate.writing", "stages.evaluate.scoring", "tools.show", "tools.select", "tools.choose"),
)
LATE = (  # what is loaded at the first use
    *("transformers.models.qwen3.modeling_qwen3", "transformers.models.auto.tokenization_auto", "nltk.stem.porter"),
    *("transformers.convert_slow_tokenizer", "pyarrow.dataset", "typer._adapters", "matplotlib.figure", "bm25s"),
    *("matplotlib.backends.backend_svg", "platformdirs"),
)

# The command as make finds it: hands over what it was called with, and ends as the fork does. Both are in one process
# group, so that whoever kills the command kills what it does; nothing is done before they are.
_COMMAND = """#!{python} -IS
import array, json, os, socket, sys
server = socket.socket(socket.AF_UNIX)
server.connect({place!r})
told = {{"words": sys.argv, "folder": os.getcwd(), "environment": dict(os.environ), "group": os.getpgrp()}}
server.sendmsg([b"."], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0, 1, 2]))])
server.sendall(json.dumps(told).encode() + b"\\n")
server.recv(1)  # it is in the group
server.sendall(b".")
ended = server.recv(1)
sys.exit(ended[0] if ended else 1)
"""


@contextmanager
def served(folder: Path) -> Iterator[Path]:
    """A folder with `steerx` and `python` in it, while a server runs that answers for them."""
    bin, place = folder / "bin", folder / "server"
    bin.mkdir(parents=True)
    for name in ("steerx", "python"):
        command = bin / name
        command.write_text(_COMMAND.format(python=sys.executable, place=str(place)))
        command.chmod(0o755)
    with subprocess.Popen([sys.executable, __file__, place], stdout=subprocess.PIPE) as server:
        assert server.stdout
        server.stdout.readline()  # it listens
        try:
            yield bin
        finally:
            server.kill()


def serve(place: str) -> None:
    """Load everything, then fork for each command."""
    for module in (*LATE, *(f"steerx_cli.{name}" for name in LOADED)):
        importlib.import_module(module)
    importlib.import_module("transformers.conversion_mapping").get_checkpoint_conversion_mapping(
        ""
    )  # compiles patterns
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the forks but who asked for them
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(place)
        listener.listen()
        print(flush=True)
        while True:
            client, _ = listener.accept()
            if not os.fork():
                _answer(client)
            client.close()


def _answer(client: socket.socket) -> None:
    """One fork waits for the other, which may end in any way."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    files = array.array("i")
    _, ((_, _, passed),), _, _ = client.recvmsg(1, socket.CMSG_SPACE(3 * files.itemsize))
    files.frombytes(passed)
    told = json.loads(client.makefile("rb").readline())
    os.setpgid(0, told["group"])
    client.sendall(b".")
    if not client.recv(1):  # it was killed
        os._exit(1)
    worker = os.fork()
    if worker:
        ended = os.waitstatus_to_exitcode(os.waitpid(worker, 0)[1])
        client.sendall(bytes([ended % 256]))
        os._exit(0)
    for number, file in enumerate(files):
        os.dup2(file, number)
    sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False)  # noqa: SIM115 - by number
    os.chdir(told["folder"])
    os.environ.clear()
    os.environ.update(told["environment"])
    _run(*told["words"])


def _run(called: str, *words: str) -> None:
    """What the program, or a module of it, does with these words."""
    if Path(called).name == "steerx":
        sys.argv = [called, *words]
        main()
    flag, module, *rest = words
    assert flag == "-m"
    sys.argv = [module, *rest]
    code = 1
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as ended:
        code = int(ended.code or 0)
    finally:
        if sys.exc_info()[0] is not None:
            traceback.print_exc()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    serve(sys.argv[1])
