"""The figures of README.md and README.zh-CN.md, out of results.json: `python -m benchmarks.readme` writes them anew."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

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
PAGES = {"README.md": ENGLISH, "README.zh-CN.md": CHINESE}


def figures(results: dict[str, Any]) -> dict[str, Any]:
    """Pick out of the results what the README shows."""
    tables = {table["name"]: table["rows"] for table in results["tables"]}
    free, wake, storm = tables["free_path"], tables["wake"], tables["storm"]
    who = tables[f"explain_{SIZE}"]
    [ss] = [value for name, value in who.items() if name.startswith("ss -tanp ")]
    [lsof] = [value for name, value in who.items() if name.startswith("lsof ")]
    ours = [row for name, row in storm.items() if name.startswith("portwait")]
    return {
        "start": free["portwait 30010 -- true"],
        "start_ratio": free["portwait 30010 -- true"] / free["python -c pass"],
        "connections": f"{SIZE * 50:,}",
        "processes": f"{SIZE:,}",
        "explain": who["portwait explain: own user"],
        "last": who["portwait explain: last of all"],
        "ss": ss,
        "lsof": lsof,
        "wake": wake["portwait"],
        "loop": wake["a loop that tries bind() every 100 ms"],
        "starts": f"{storm['bare start']['starts']:,}",
        "got": f"{min(row['got'] for row in ours):,}",
        "bare": storm["bare start"]["got"],
        "check": storm["check, then start"]["got"],
    }


def block(page: str, results: dict[str, Any]) -> str:
    """Write a page's table."""
    return PAGES[page].format(**figures(results))


def main() -> None:
    """Write the tables of both pages anew."""
    results = json.loads(RESULTS.read_text())
    for page in PAGES:
        path = ROOT / page
        table = block(page, results)
        path.write_text(BLOCK.sub(lambda _: table, path.read_text()))  # noqa: B023  # called at once


if __name__ == "__main__":
    main()
