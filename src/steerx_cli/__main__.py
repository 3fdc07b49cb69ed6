"""`python -m steerx_cli` and the `steerx` script."""

import sys


def main() -> None:
    """Run steerx and leave with its exit code."""
    try:
        from steerx_cli.app import main as run

        code = run()
    except KeyboardInterrupt:
        code = 130
    sys.exit(code)


if __name__ == "__main__":
    main()
