"""Which socket can hold a port for which service."""

from __future__ import annotations

import itertools
import socket
from typing import TYPE_CHECKING

import pytest

from portwait.bind.hold import LAST, Forms, Hold, forms
from portwait.diagnosis.overlap import overlaps
from portwait.model.sockets import KernelSocket
from portwait.model.targets import parse

if TYPE_CHECKING:
    from portwait.bind.hold import Form, Mode
    from portwait.model.targets import Family, Target

WORDS: list[tuple[str, Family]] = [
    ("30010", 0),
    ("30010", 4),
    ("30010", 6),
    ("[::]:30010", 0),
    ("[::]:30010", 6),
    ("[::1]:30010", 0),
    ("[fe80::1%eth0]:30010", 0),
    ("0.0.0.0:30010", 0),
    ("127.0.0.1:30010", 0),
    ("[::ffff:127.0.0.1]:30010", 0),
    (f"{LAST}:30010", 0),
]
TCP = [target for word, family in WORDS for target in parse([word], family)]
UDP = [target for word, family in WORDS for target in parse([f"{word}/udp"], family)]
ADDRESSES: dict[Form, tuple[str, bool | None]] = {
    "v6only": ("::", True),
    "dual": ("::", False),
    "any4": ("0.0.0.0", None),  # noqa: S104  # nothing is bound
    "last": (LAST, None),
    "udp": (LAST, None),
}

V6ONLY_THEN_LAST = Forms(("v6only",), ("v6only", "last"))
FULL = Forms(("dual", "any4"), ("dual", "any4", "v6only", "last"))
TABLE = [
    # word, family, mode, SO_REUSEADDR, forms
    ("30010", 0, "default", True, V6ONLY_THEN_LAST),
    ("[::]:30010", 0, "default", True, V6ONLY_THEN_LAST),
    ("30010", 0, "default", False, Forms()),
    ("30010", 4, "default", True, V6ONLY_THEN_LAST),
    ("0.0.0.0:30010", 0, "default", True, V6ONLY_THEN_LAST),
    ("30010", 4, "default", False, Forms(("v6only",), ("v6only",))),  # a plain probe would meet the other one
    ("0.0.0.0:30010", 0, "default", False, Forms(("v6only",), ("v6only",))),
    (f"{LAST}:30010", 0, "default", False, Forms(("v6only",), ("v6only",))),
    ("127.0.0.1:30010", 0, "default", True, Forms(("v6only", "last"), ("v6only", "last"))),
    ("127.0.0.1:30010", 0, "default", False, Forms(("v6only", "last"), ("v6only", "last"))),
    ("30010", 6, "default", True, Forms(("last", "v6only"), ("last", "v6only"))),
    ("30010", 6, "default", False, Forms(("last",), ("last",))),
    ("[::1]:30010", 0, "default", True, Forms(("last", "v6only"), ("last", "v6only"))),
    ("[::1]:30010", 0, "default", False, Forms(("last",), ("last",))),
    ("30010", 0, "full", True, FULL),
    ("30010", 4, "full", True, FULL),
    ("[::1]:30010", 0, "full", True, FULL),
    ("30010/udp", 0, "default", True, Forms()),
    ("30010/udp", 4, "default", False, Forms()),
    ("30010/udp", 0, "full", True, Forms(("udp",), ("udp",))),
    ("127.0.0.1:30010/udp", 0, "full", True, Forms(("udp",), ("udp",))),
]


def as_socket(form: Form, target: Target) -> KernelSocket:
    """Describe a hold's socket as the tables would."""
    address, v6only = ADDRESSES[form]
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return KernelSocket(
        family, target.protocol, "CLOSE", None, address, target.port, "", 0, 0, 1, 0, 1, 0, v6only=v6only
    )


@pytest.mark.parametrize(("word", "family", "mode", "reuseaddr", "expected"), TABLE, ids=str)
def test_the_forms_of_a_hold(word: str, family: Family, mode: Mode, reuseaddr: bool, expected: Forms) -> None:
    """Best first; what harms no service may stay at exec, the others stand while portwait waits."""
    assert forms(parse([word], family)[0], mode, reuseaddr=reuseaddr) == expected


@pytest.mark.parametrize("target", TCP + UDP, ids=lambda target: f"{target}-{target.family}")
def test_without_a_hold_there_is_none(target: Target) -> None:
    """--no-hold binds nothing, neither for the wait nor at exec."""
    assert forms(target, "none") == forms(target, "none", reuseaddr=False) == Forms()


@pytest.mark.parametrize("target", TCP, ids=lambda target: f"{target}-{target.family}")
def test_the_default_hold_harms_no_service(target: Target) -> None:
    """A hold at exec is beside the service's address, or that is an IPv6 one whose service sets SO_REUSEADDR.

    IPv4 services count on it whether they set SO_REUSEADDR or not, for three well-known kinds do not.
    """
    for reuseaddr in (True, False):
        for form in forms(target, reuseaddr=reuseaddr).at_exec:
            assert not overlaps(target, as_socket(form, target)) or (reuseaddr and target.family != 4)


@pytest.mark.parametrize("target", TCP + UDP, ids=lambda target: f"{target}-{target.family}")
def test_the_guard_does_not_meet_its_own_hold(target: Target) -> None:
    """No default hold that stands while portwait waits is in the way of a probe without SO_REUSEADDR."""
    for form in forms(target, reuseaddr=False).meanwhile:
        assert not overlaps(target, as_socket(form, target))


@pytest.mark.parametrize("target", UDP, ids=lambda target: f"{target}-{target.family}")
def test_a_udp_hold_is_asked_for_by_name(target: Target) -> None:
    """A bound UDP socket receives, so the default has none."""
    assert forms(target) == Forms()
    assert forms(target, "full").at_exec == ("udp",)


@pytest.mark.parametrize("target", TCP + UDP, ids=lambda target: f"{target}-{target.family}")
def test_what_may_stay_may_stand_before(target: Target) -> None:
    """A form at exec is one of those for the wait, and both go from the best to the worst."""
    modes: tuple[Mode, ...] = ("default", "full", "none")
    for mode, reuseaddr in itertools.product(modes, (True, False)):
        found = forms(target, mode, reuseaddr=reuseaddr)
        assert [form for form in found.meanwhile if form in found.at_exec] == list(found.at_exec)
        assert ("udp" in found.meanwhile) <= (target.protocol == "udp")


def test_a_hold_is_only_planned_at_first() -> None:
    """Making one binds nothing; whether it is possible is known before."""
    hold = Hold(parse(["30010"])[0])
    assert (hold.possible, hold.ready, hold.form, hold.descriptors) == (True, False, None, ())
    assert not Hold(parse(["30010"])[0], reuseaddr=False).possible
    assert not Hold(parse(["30010/udp"])[0]).possible
    assert not Hold(parse(["30010"])[0], "none").possible
    hold.drop()  # what does not stand can be dropped
    assert hold.make_inheritable() is None
