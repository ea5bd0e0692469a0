"""Results of the benchmarks: tables with a base, written as JSON and as Markdown, and drawn."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
from pathlib import Path
from typing import Any

from benchmarks import timing

TOOLS = {
    "ss": ["ss", "-V"],
    "lsof": ["dpkg-query", "-W", "-f", "${Version}", "lsof"],
    "fuser": ["dpkg-query", "-W", "-f", "${Version}", "psmisc"],
    "netstat": ["dpkg-query", "-W", "-f", "${Version}", "net-tools"],
    "java": ["java", "-version"],
    "systemd": ["systemctl", "--version"],
    "wait-for-it": ["dpkg-query", "-W", "-f", "${Version}", "wait-for-it"],
    "timeout": ["dpkg-query", "-W", "-f", "${Version}", "coreutils"],
    "tini": ["tini", "--version"],
}


_VERSION_OF = "import importlib.metadata; print(importlib.metadata.version({!r}))"


def table(name: str, title: str, unit: str, base: str, rows: dict[str, Any], *, goal: str = "") -> dict[str, Any]:
    """Build one table. `rows` are numbers in `unit`, or for `starts` how many of how many; ratios are to `base`."""
    return {"name": name, "title": title, "unit": unit, "base": base, "goal": goal, "rows": rows}


def surroundings(programs: str) -> dict[str, Any]:
    """Describe the machine, its kernel, and the versions of everything that is compared."""
    cpu = next(
        (line.partition(":")[2].strip() for line in _read("/proc/cpuinfo") if line.startswith("model name")), "?"
    )
    memory = next(int(line.split()[1]) for line in _read("/proc/meminfo") if line.startswith("MemTotal"))
    versions = {name: _version(argv) for name, argv in TOOLS.items() if shutil.which(name)}
    if wait_on := shutil.which("wait-on"):
        versions["wait-on"] = json.loads((Path(wait_on).resolve().parents[1] / "package.json").read_text())["version"]
    if timing.is_here(killport := timing.killport()):
        python = Path(killport).with_name("python")
        versions["killport"] = _version([str(python), "-c", _VERSION_OF.format("killport")])
    versions["portwait"] = _version([f"{programs}/portwait", "--version"])
    versions["psutil"] = _version([f"{programs}/python", "-c", _VERSION_OF.format("psutil")])
    return {
        "processor": f"{cpu}, {os.cpu_count()} cores",
        "memory": f"{memory / 2**20:.0f} GiB",
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load": f"{os.getloadavg()[0]:.1f}",
        "versions": versions,
    }


def _read(path: str) -> list[str]:
    return Path(path).read_text().splitlines()


def _version(argv: list[str]) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    words = (done.stdout or done.stderr).strip().splitlines()
    return words[0].rpartition("@")[2].rpartition(", ")[2].strip() if words else "?"


def write(folder: Path, results: dict[str, Any]) -> None:
    """Write results.json, results.md and the pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.json").write_text(json.dumps(results, indent=2) + "\n")
    drawn = _draw(folder, results["tables"])
    (folder / "results.md").write_text(markdown(results, drawn))


def markdown(results: dict[str, Any], drawn: list[str]) -> str:
    """Write it for people."""
    around = results["machine"]
    lines = [
        "# Benchmarks",
        "",
        f"`python -m benchmarks{' --quick' if results['quick'] else ''}`, {results['date']}.",
        "",
    ]
    lines += [f"- {name}: {around[name]}" for name in ("processor", "memory", "kernel", "python", "load")]
    lines += [f"- {name} {version}" for name, version in sorted(around["versions"].items())]
    lines += [
        "",
        "Wall time of whole processes, the median, unless a title says otherwise. The ratio is to the first row.",
    ]
    for each in results["tables"]:
        lines += ["", f"## {each['title']}", ""]
        lines += [f"Goal: {each['goal']}.", ""] if each["goal"] else []
        if each["unit"] == "starts":
            lines += ["| way | got the port | median | slowest |", "| --- | --- | --- | --- |"]
            lines += [
                f"| {name} | {row['got']:,} of {row['starts']:,} | {row['median_ms']:.0f} ms | {_slowest(row)} |"
                for name, row in each["rows"].items()
            ]
            continue
        if each["name"].startswith("growth"):
            lines += [f"| what | {each['unit']} |", "| --- | --- |"]
            lines += [f"| {name} | {value:.1f} |" for name, value in each["rows"].items()]
            continue
        base = each["rows"][each["base"]]
        lines += [f"| what | {each['unit']} | ratio |", "| --- | --- | --- |"]
        lines += [f"| {name} | {value:.2f} | {value / base:.2f} |" for name, value in each["rows"].items()]
    lines += ["", *(f"![{name}]({name}.svg)\n" for name in drawn)]
    return "\n".join(lines).rstrip() + "\n"


def _slowest(row: dict[str, Any]) -> str:
    return "" if row["slowest_ms"] is None else f"{row['slowest_ms']:.0f} ms"


def _draw(folder: Path, tables: list[dict[str, Any]]) -> list[str]:
    """Draw what a reader would rather see than read; nothing without matplotlib (group `benchmarks`)."""
    try:
        import matplotlib as mpl
    except ImportError:
        print("no pictures: pip install --group benchmarks")
        return []
    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "portwait"
    from matplotlib import pyplot as plt

    drawn = []
    for each in tables:
        if each["unit"] == "starts":
            figure, axes = plt.subplots(figsize=(8, 0.5 * len(each["rows"]) + 1.4))
            names = list(each["rows"])[::-1]
            failed = [100 * (1 - each["rows"][name]["got"] / each["rows"][name]["starts"]) for name in names]
            bars = axes.barh(names, failed, color="#c0392b")
            axes.bar_label(bars, [f"{value:.0f} %" for value in failed], padding=3)
            axes.set_xlim(0, 110)
            axes.set_xlabel("starts that failed, per cent")
        elif each["name"].startswith("growth"):
            figure, axes = plt.subplots(figsize=(8, 4))
            lines: dict[str, list[tuple[int, float]]] = {}
            for name, value in each["rows"].items():
                what, _, size = name.rpartition(", ")
                lines.setdefault(what, []).append((int(size.replace(",", "").split()[0]), value))
            for what, points in lines.items():
                axes.plot(*zip(*points), marker="o", label=what)  # Python 3.9
            axes.set_xscale("log")
            axes.set_yscale("log")
            axes.set_xlabel(each["axis"])
            axes.set_ylabel(each["unit"])
            axes.legend()
        elif each["name"].startswith("wake"):
            figure, axes = plt.subplots(figsize=(8, 2.4))
            bars = axes.barh(list(each["rows"])[::-1], list(each["rows"].values())[::-1], color="#2c7fb8")
            axes.bar_label(bars, fmt="%.1f ms", padding=3)
            axes.set_xscale("log")
            axes.set_xlabel("milliseconds from the blocker's close to the service")
        else:
            continue
        axes.set_title(each["title"], fontsize=10)
        figure.tight_layout()
        figure.savefig(folder / f"{each['name']}.svg", metadata={"Date": None})
        plt.close(figure)
        drawn.append(each["name"])
    return drawn
