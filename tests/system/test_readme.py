"""What the README tells a newcomer to type does what it says there."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from tests.support.programs import portwait, running

_README = Path(__file__).parents[2] / "README.md"


def test_the_cure_of_the_demonstration_works(tmp_path: Path) -> None:
    """The kernel picks the port for the client, the guard waits, and what it tells to type lets the service start."""
    (demonstration,) = re.findall(r"(?s)```sh\nsudo (unshare .*?)```", _README.read_text())
    cure = "portwait evict 30010"
    assert f"In that shell, `{cure}`" in _README.read_text()
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "portwait").symlink_to(portwait()[0])
    shell = ["sh", "-c", f"cd {tmp_path} && exec {demonstration}"]
    with running(shell, stdin=subprocess.PIPE) as program:
        program.complains("is held by an outbound connection: python3")
        program.complains(cure)
        program.complains("waiting for 30010/tcp")
        program.tell(cure)
        program.says("30010/tcp is free: 1 evicted")
        program.complains("; starting python3")
        program.tell("exit")
        assert program.status() == 0
