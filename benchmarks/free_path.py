"""What the guard costs a service whose port is free, beside an empty Python of the same environment.

    python benchmarks/free_path.py [RUNS]      default 60

Makes a plain virtual environment, as users do, for .pth files of other packages would run at every start.
"""

from __future__ import annotations

import sys
import tempfile

import timing
from timing import Contender

EMPTY = "python -c pass"


def main() -> None:
    """Measure and print."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 60
    with tempfile.TemporaryDirectory() as folder:
        programs = timing.fresh_environment(folder)
        portwait = f"{programs}/portwait"
        commands = {
            EMPTY: [f"{programs}/python", "-c", "pass"],
            "portwait 30010 -- true": [portwait, "30010", "--", "true"],
            "portwait 127.0.0.1:30010 30011 -- true": [portwait, "127.0.0.1:30010", "30011", "--", "true"],
            "portwait --timeout 2m 30010 -- true": [portwait, "--timeout", "2m", "30010", "--", "true"],
            "portwait --evict 30010 -- true": [portwait, "--evict", "30010", "--", "true"],
            "portwait 30010": [portwait, "30010"],
            "true": ["true"],
        }
        figures = timing.measure({name: Contender(argv, runs) for name, argv in commands.items()})
        timing.show("whole processes, the port free", figures, EMPTY)


if __name__ == "__main__":
    main()
