"""`python -m steerx_cli.demo FOLDER`: write the demo data (`make demo-data`)."""

import sys
from pathlib import Path

from steerx_cli.demo.people import write_people

if __name__ == "__main__":
    write_people(Path(sys.argv[1]), count=60, each=8, seed=0)
