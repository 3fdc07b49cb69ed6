"""`python -m steerx_cli` and the `steerx` script."""

import io
import sys


def main() -> None:
    """Run steerx and leave with its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal that knows only ASCII is no error
    try:
        from steerx_cli.app import main as run

        code = run()
    except KeyboardInterrupt:
        code = 130
    sys.exit(code)


if __name__ == "__main__":
    main()
