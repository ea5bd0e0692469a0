"""Run the benchmarks, and write results.json, results.md and pictures.

As root: `python -m benchmarks` (about an hour), `python -m benchmarks --quick` (a minute). With names of parts, as in
`python -m benchmarks free_path explain`, their tables replace those in the folder. STARTS and SLOW_STARTS in the
environment are how often the storm restarts its two services (1000 and 100).

portwait is installed into a fresh environment from this checkout. Everything runs in network and PID namespaces of its
own and ends with them.
"""

from __future__ import annotations

import argparse
import datetime
import importlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks import host, report, timing

PARTS = ("free_path", "waiting", "targets", "explain", "restarts")
ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    """Run each part in its own namespaces, then write."""
    options = argparse.ArgumentParser(prog="python -m benchmarks", description=(__doc__ or "").partition("\n")[0])
    options.add_argument("parts", nargs="*", metavar="PART", help=f"only these of {', '.join(PARTS)}")
    options.add_argument("--quick", action="store_true", help="a minute: small sizes, few runs")
    options.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results", help="the folder to write to")
    options.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
    given = options.parse_args()
    if unknown := set(given.parts) - set(PARTS):
        options.error(f"no such part: {', '.join(unknown)}")
    if given.inside is not None:
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        module = importlib.import_module(f"benchmarks.{given.parts[0]}")
        given.inside.write_text(json.dumps(module.measure(os.environ[host.PROGRAMS], quick=given.quick)))
        return
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)  # programs that run as nobody are in there
        programs = timing.fresh_environment(f"{folder}/environment")
        os.environ[timing.OTHERS] = timing.environment_of_others(f"{folder}/others")
        results: dict[str, Any] = {
            "schema": 1,
            "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d"),
            "quick": given.quick,
            "machine": report.surroundings(programs),
            "tables": [],
        }
        before = given.output / "results.json"
        if given.parts and before.exists():
            results["tables"] = json.loads(before.read_text())["tables"]
        for part in given.parts or PARTS:
            tables = _run(part, programs, Path(folder), quick=given.quick)
            names = [table["name"] for table in tables]
            results["tables"] = [table for table in results["tables"] if table["name"] not in names] + tables
            print(report.markdown({**results, "tables": tables}, []).partition("\n## ")[2], flush=True)
    report.write(given.output, results)
    print(f"written to {given.output}")


def _run(part: str, programs: str, folder: Path, *, quick: bool) -> list[dict[str, Any]]:
    """Run one part as the first process of private network and PID namespaces."""
    print(f"== {part}", flush=True)
    answer = folder / f"{part}.json"
    inner = [sys.executable, "-m", "benchmarks", part, "--inside", str(answer), *(["--quick"] if quick else [])]
    argv = ["unshare", "--net", "--pid", "--fork", "--kill-child", "--mount-proc", "--", *inner]
    try:
        subprocess.run(argv, cwd=ROOT, env={**os.environ, host.PROGRAMS: programs}, check=True)
    finally:
        host.remove_cgroups()
    tables: list[dict[str, Any]] = json.loads(answer.read_text())
    return tables


if __name__ == "__main__":
    main()
