"""The figures of both READMEs and docs/performance.md, out of results.json.

`python -m benchmarks.readme` writes them anew.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from benchmarks.host import EACH

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "results.json"
BLOCK = re.compile(r"(?s)(?<=<!-- benchmarks -->\n).*?(?=<!-- end -->)")

SIZE = 2000
"""Of the host that the README speaks of, in processes."""

ENGLISH = """\
| what | portwait | others |
| --- | --- | --- |
| start a command, the port free | {start:.0f} ms, {start_ratio:.2f} x an empty Python | |
| who has the port? {connections} connections, {processes} processes, the owner has a user of its own | \
{explain:.0f} ms | `ss -tanp sport = :P` {ss:,.0f} ms, `lsof -iTCP:P` {lsof:,.0f} ms |
| the same, where nothing helps to find the owner, and it is the last of all | {last:.0f} ms | likewise |
| from the port's release to the service | {wake:.1f} ms | a loop that tries `bind()` every 100 ms: {loop:.0f} ms |
| {starts} restarts in a storm of connections | {got} start | bare {bare}, check first and then start {check} |
"""
CHINESE = """\
| 项目 | portwait | 其他办法 |
| --- | --- | --- |
| 端口空闲时启动命令 | {start:.0f} 毫秒，是空 Python 的 {start_ratio:.2f} 倍 | |
| 谁占了端口？{connections} 条连接、{processes} 个进程，占用者有自己的用户 | {explain:.0f} 毫秒 | \
`ss -tanp sport = :P` {ss:,.0f} 毫秒，`lsof -iTCP:P` {lsof:,.0f} 毫秒 |
| 同上，但没有任何线索可以缩小范围 | {last:.0f} 毫秒 | 同上 |
| 从端口空出来到服务启动 | {wake:.1f} 毫秒 | 每 100 毫秒试一次 `bind()` 的循环：{loop:.0f} 毫秒 |
| 在连接风暴里重启 {starts} 次 | 成功 {got} 次 | 直接启动 {bare} 次，先检查再启动 {check} 次 |
"""
GOALS = """\
| what | goal | measured |
| --- | --- | --- |
| start a command, the port free | at most 1.15 x an empty Python | {start_ratio:.2f} x |
| the same with options, or with variables set | at most 1.4 x | {options_ratio:.2f} x |
| `explain`, {connections} connections, {processes} processes, the owner has a cgroup of its own | \
at most 1.4 x the least that is possible; 12 x faster than `ss`, 25 x than `lsof` | \
{cgroup_ratio:.2f} x; {cgroup_ss:.1f} x, {cgroup_lsof:.1f} x |
| the same, the owner has a user of its own | likewise | {explain_ratio:.2f} x; {explain_ss:.1f} x, \
{explain_lsof:.1f} x |
| the same, one cgroup and one user, the owner is in the middle | 4 x faster than `ss`, 10 x than `lsof` | \
{middle_ss:.1f} x, {middle_lsof:.1f} x |
| the same, the owner is the last of all | 2.5 x, 6 x | {last_ss:.1f} x, {last_lsof:.1f} x |
| the owner's siblings have 40,000 descriptors | no longer than without | {siblings_ratio:.2f} x |
| `explain`, `evict` and the guard: 50,000 targets | at most 12 x the time of 5,000, and 2 s | {targets_ratio:.1f} x, \
{targets:.1f} s |
| `audit`, {connections} connections | the window + 1 s | the window + {audit:.1f} s |
| from the port's release to the first line of the service | 3 ms to its `exec` | {wake:.1f} ms |
| the same where the kernel sends no event | at most 120 ms | {no_event:.0f} ms |
| processor time while waiting | no more than a loop that tries `bind()` every 100 ms | {cpu:.2f} % of a core, \
the loop {cpu_loop:.2f} % |
| the same on a host that closes 10,000 sockets a second | likewise | {busy:.2f} %, {busy_loop:.2f} % |
| restarts of a service in a storm of connections | all of {starts} start | {got}; bare {bare}, \
check first and then start {check} |
| restarts of a JVM, which takes 2 s to bind | all of {slow_starts} | {slow_got}; bare {slow_bare}, \
check first {slow_check} |
| restarts of a unit by systemd, with `--fdstore` | all of {unit_starts} | {unit_got}; bare {unit_bare} |
"""
PAGES = {"README.md": ENGLISH, "README.zh-CN.md": CHINESE, "docs/performance.md": GOALS}


def figures(results: dict[str, Any]) -> dict[str, Any]:
    """Pick out of the results what the pages show."""
    tables = {table["name"]: table["rows"] for table in results["tables"]}
    free, wake, targets = tables["free_path"], tables["wake"], tables["growth_targets"]
    return {
        "start": free["portwait 30010 -- true"],
        "start_ratio": free["portwait 30010 -- true"] / free["python -c pass"],
        "options_ratio": max(
            value / free["python -c pass"] for name, value in free.items() if "-- true" in name and "portwait" in name
        ),
        "connections": f"{SIZE * EACH:,}",
        "processes": f"{SIZE:,}",
        **_explain(tables[f"explain_{SIZE}"]),
        "targets": max(value for name, value in targets.items() if name.endswith(", 50,000 targets")) / 1000,
        "targets_ratio": max(
            value / targets[name.replace(" 50,000 ", " 5,000 ")]
            for name, value in targets.items()
            if name.endswith(", 50,000 targets")
        ),
        "wake": wake["portwait"],
        "loop": wake["a loop that tries bind() every 100 ms"],
        "no_event": tables["wake_no_event"]["portwait"],
        **dict(zip(("cpu", "cpu_loop", "busy", "busy_loop"), tables["cpu"].values())),
        **_starts("", tables["storm"]),
        **_starts("slow_", tables["storm_slow"]),
        "unit_starts": f"{tables['storm_systemd']['bare start']['starts']:,}",
        "unit_got": f"{tables['storm_systemd']['portwait --fdstore']['got']:,}",
        "unit_bare": tables["storm_systemd"]["bare start"]["got"],
    }


def _explain(rows: dict[str, float]) -> dict[str, float]:
    [ss] = [value for name, value in rows.items() if name.startswith("ss -tanp ")]
    [lsof] = [value for name, value in rows.items() if name.startswith("lsof ")]
    cgroup, floor = rows["portwait explain: own cgroup"], next(iter(rows.values()))
    figures = {"ss": ss, "lsof": lsof, "audit": rows["portwait audit --window 0s"] / 1000}
    owners = {"cgroup": "own cgroup", "explain": "own user", "middle": "middle of all", "last": "last of all"}
    for key, owner in owners.items():
        took = rows[f"portwait explain: {owner}"]
        figures |= {key: took, f"{key}_ratio": took / floor, f"{key}_ss": ss / took, f"{key}_lsof": lsof / took}
    siblings = rows["portwait explain: own cgroup, siblings with 40,000 descriptors"]
    return {**figures, "siblings_ratio": siblings / cgroup}


def _starts(prefix: str, rows: dict[str, Any]) -> dict[str, Any]:
    """Count a storm's starts; of portwait's ways the one that got the port least often."""
    return {
        f"{prefix}starts": f"{rows['bare start']['starts']:,}",
        f"{prefix}got": f"{min(row['got'] for name, row in rows.items() if name.startswith('portwait')):,}",
        f"{prefix}bare": rows["bare start"]["got"],
        f"{prefix}check": rows["check, then start"]["got"],
    }


def block(page: str, results: dict[str, Any]) -> str:
    """Write a page's table."""
    return PAGES[page].format(**figures(results))


def main() -> None:
    """Write the tables of all pages anew."""
    results = json.loads(RESULTS.read_text())
    for page in PAGES:
        path = ROOT / page
        table = block(page, results)
        path.write_text(BLOCK.sub(lambda _: table, path.read_text()))  # noqa: B023  # called at once


if __name__ == "__main__":
    main()
