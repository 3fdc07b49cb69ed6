"""`python -m steerx_cli` and the `steerx` script."""

import io
import os
import sys
from typing import NoReturn


def main() -> None:
    """Run steerx and leave with its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal that knows only ASCII is no error
    # Threads of torch that wait for one another keep their cores busy with it, which is very slow where another program
    # wants one of them; asleep they cost a little where none does.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        from steerx_cli.app import main as run

        code = run()
    except KeyboardInterrupt:
        code = 130
    _leave(code)


def _leave(code: int) -> NoReturn:
    """End at once: everything is written, and a library's thread was seen to crash while they all end themselves."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BrokenPipeError:
            pass  # whoever read has gone
        except OSError as error:
            code = code or 2
            os.write(2, f"Error: cannot write what there is to tell: {error.strerror}\n".encode())
    os._exit(code)


if __name__ == "__main__":
    main()
