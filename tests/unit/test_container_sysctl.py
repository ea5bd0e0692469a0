"""The lines for whoever starts a container: valid in the formats they are for."""

from __future__ import annotations

import pytest
import yaml

from portwait.advice import container_sysctl

NAME, VALUE = "net.ipv4.ip_local_reserved_ports", "8080,30000-30010"


@pytest.mark.parametrize(
    ("form", "path"),
    [
        (container_sysctl.compose, ("sysctls", NAME)),
        (container_sysctl.kubernetes, ("securityContext", "sysctls", 0)),
    ],
    ids=["compose", "kubernetes"],
)
def test_the_lines_are_yaml_and_say_it(form: object, path: tuple[object, ...]) -> None:
    """The value is text, for a lone port would be read as a number."""
    found = yaml.safe_load("\n".join(form(NAME, VALUE)[1:]))  # type: ignore[operator]  # one of the two above
    for step in path:
        found = found[step]
    assert found in (VALUE, {"name": NAME, "value": VALUE})


def test_a_lone_port_stays_text() -> None:
    """As it must be in both."""
    assert container_sysctl.kubernetes("n", "30010")[-1].strip() == 'value: "30010"'
    assert container_sysctl.compose("n", "30010")[-1].strip() == 'n: "30010"'


def test_all_of_them_with_the_word_on_host_networking() -> None:
    """There the same lines are refused, and the node is the place."""
    lines = container_sysctl.lines(NAME, VALUE)
    assert f"  --sysctl {NAME}={VALUE}" in lines
    assert "on the node itself" in lines[-1]
