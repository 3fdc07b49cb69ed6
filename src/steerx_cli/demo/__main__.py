"""`python -m steerx_cli.demo`: make the world, train its model, measure what that has learnt and what is found."""

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path

from steerx_cli import console
from steerx_cli.core.errors import Interrupted, SteerxError


def _arguments(words: Sequence[str] | None) -> Namespace:
    parser = ArgumentParser(prog="python -m steerx_cli.demo", description=__doc__)
    steps = parser.add_subparsers(dest="step", required=True)
    world = steps.add_parser("world", help="write histories, queries and truth")
    habits = steps.add_parser("habits", help="write everybody's true habits as profiles")
    model = steps.add_parser("model", help="train the model, or go on where that was stopped")
    gate = steps.add_parser("gate", help="measure the model, and write the table into README.md")
    anchors = steps.add_parser("anchors", help="hold anchors against the truth, and write the tables into README.md")
    results = steps.add_parser("results", help="hold the paper's claims against a full run, and write README.md")
    for step in (world, model, gate, anchors, results):
        step.add_argument("folder", type=Path, help="the world's folder")
    habits.add_argument("folder", type=Path, help="where profiles.parquet goes")
    model.add_argument("--work", type=Path, required=True, help="where checkpoints are kept on the way")
    anchors.add_argument("--run", type=Path, required=True, help="where the scores are, by context and method")
    results.add_argument("--run", type=Path, required=True, help="the run folder")
    results.add_argument("--repeated", type=Path, nargs="+", required=True, help="scores for several seeds and draws")
    return parser.parse_args(words)


def _do(arguments: Namespace) -> Path:
    folder: Path = arguments.folder
    if arguments.step == "world":
        from steerx_cli.demo.files import SEED, write_world

        write_world(folder, SEED)
        return folder
    if arguments.step == "habits":
        from steerx_cli.demo.files import SEED, write_habits

        write_habits(folder / "profiles.parquet", SEED)
        return folder / "profiles.parquet"
    if arguments.step == "anchors":
        from steerx_cli.demo.anchors import compare

        compare(folder, arguments.run)
        return folder / "README.md"
    if arguments.step == "results":
        from steerx_cli.demo.results import write_results

        write_results(folder, arguments.run, arguments.repeated)
        return folder / "README.md"
    from steerx_cli.demo.build import check_model, make_model

    with console.progress(quiet=False) as bar:
        if arguments.step == "model":
            console.say(
                "training", "three quarters of an hour on two cores from the start; checkpoints on the way", "dim"
            )
            make_model(folder / "model", arguments.work, bar)
            return folder / "model"
        check_model(folder, bar)
        return folder / "README.md"


def main(words: Sequence[str] | None = None) -> int:
    """Do one step; the exit codes are those of `steerx`."""
    try:
        console.say("wrote", str(_do(_arguments(words))), "dim")
    except Interrupted as interrupt:
        console.say("Stopped:", str(interrupt), "bold yellow")
        return 130
    except KeyboardInterrupt:
        console.say("Stopped:", "run the same command again", "bold yellow")
        return 130
    except SteerxError as error:
        console.say("Error:", str(error), "bold red")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
