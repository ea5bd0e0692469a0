"""Commands that start another one in another network."""

from __future__ import annotations

import pytest

from portwait.wait import wrappers

ELSEWHERE = [
    "ip netns exec blue server -n",
    "ip net e blue server",
    "/sbin/ip -all netns exec server",
    "ip vrf exec red server",
    "nsenter -t 1 -n server",
    "nsenter --target 1 --net server",
    "nsenter --target=1 --mount --net=/run/netns/blue -- server",
    "nsenter -n/run/netns/blue server",
    "nsenter -t 1 -a server",
    "nsenter --all -t 1 server",
    "unshare -n server",
    "unshare -Urn server",
    "unshare --user --net server",
    "unshare -S 0 -n server",
]
HERE = [
    "ip link set lo up",
    "ip -n blue link",
    "ip n exec",
    "ip netns list",
    "ip netns",
    "ip",
    "nsenter -t 1 -m server -n",
    "nsenter -t 1 -mn server",  # `n` is a file there
    "nsenter --target 1 --mount -- server --net",
    "nsenter",
    "unshare -Ur server -n",
    "unshare -w /n server",
    "unshare -w/n server",
    "unshare --mount server --net",
    "unshare",
    "sudo ip netns exec blue server",
    "server --net -n",
]


@pytest.mark.parametrize(("line", "is_elsewhere"), [*((line, True) for line in ELSEWHERE), *((x, False) for x in HERE)])
def test_which_command_changes_the_network(line: str, is_elsewhere: bool) -> None:
    """Rule: by the options in front of the command that it starts."""
    assert wrappers.starts_in_another_network(line.split()) is is_elsewhere
