"""The socket tables through psutil, for systems without netlink."""

from __future__ import annotations

import contextlib
from typing import Any

import psutil
import pytest

from portwait._psutil.tables import PsutilTables
from portwait.diagnosis import tables
from portwait.diagnosis.blockers import diagnose
from portwait.model.targets import parse
from tests.support.states import LOOPBACK, listening, outbound_established

pytestmark = pytest.mark.usefixtures("net")

PORT = 30010


def test_the_tables_are_read_once_for_all_blockers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Psutil reads a table whole, and looks into every process: once for a diagnosis, however many blockers it has."""
    monkeypatch.setattr(tables, "open_tables", lambda: (PsutilTables(), "no netlink"))
    read: list[str] = []
    original = psutil.net_connections

    def counted(kind: str) -> Any:
        read.append(kind)
        return original(kind)

    monkeypatch.setattr(psutil, "net_connections", counted)
    targets = parse([str(PORT), f"{PORT + 1}", f"{PORT}/udp"])
    with contextlib.ExitStack() as stack:
        for _ in range(20):
            stack.enter_context(outbound_established(PORT))
        stack.enter_context(listening(PORT + 1, address=LOOPBACK))
        diagnosis = diagnose(targets)
    assert [len(diagnosis.blockers[target]) for target in targets] == [20, 1, 0]
    assert sorted(read) == ["tcp", "udp"]
