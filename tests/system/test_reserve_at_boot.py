"""Files of sysctl.d, portwait's own and those of others: what is said of them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.support.programs import portwait
from tests.support.reserved_ports import RESERVED

if TYPE_CHECKING:
    from tests.support.mounts import Host

pytestmark = pytest.mark.usefixtures("net")

OTHERS = "/usr/lib/sysctl.d/50-vendor.conf"
FIRST, SECOND = "/usr/lib/sysctl.d/50-first.conf", "/usr/lib/sysctl.d/60-second.conf"
UNIT = "/etc/systemd/system/sysinit.target.wants/portwait-reserve@4990-5000.service"
PLACE = "/etc/sysctl.d/zzz-portwait.conf"


class TestAtBoot:
    """What is said of the file."""

    @pytest.mark.parametrize(
        ("words", "others", "expected"),
        [
            (["reserve", "5000"], "", "{} is as it was: it reserves 5000"),
            (["reserve", "5001"], "", "{} is written: it reserves 5000-5001"),
            (["reserve", "5000"], "4000", "{} is as it was: it reserves 5000, and repeats 4000 from other files"),
            (["release", "5000"], "4000", "{} is removed"),
            (["release", "6000"], "", "{} is as it was, because 6000 was not among portwait's own: it reserves 5000"),
            (
                ["release", "40,41"],
                "40-41",
                (
                    "{} is as it was, because 40-41 were not among portwait's own: it reserves 5000, and repeats 40-41 "
                    "from other files"
                ),
            ),
        ],
        ids=["again", "more", "beside-others", "the-last", "not-ours", "of-another-file"],
    )
    def test_says_what_it_holds_and_why(self, host: Host, words: list[str], others: str, expected: str) -> None:
        """Rule: whatever was asked, what is reserved at boot can be read from the answer."""
        if others:
            host.write(OTHERS, f"{RESERVED}={others}\n")
        host.run(*portwait("reserve", "--persist", "5000"))
        done = host.run(*portwait(words[0], "--persist", *words[1:]))
        assert f"at boot: {expected.format(PLACE)}" in done.stdout.splitlines()

    @pytest.mark.parametrize(
        ("ours", "others", "released", "note"),
        [
            ("5000", {FIRST: "40", SECOND: "41"}, "40,41", "other files of sysctl.d reserve 40-41 again at boot"),
            ("", {FIRST: "40", SECOND: "41"}, "40,41", "other files of sysctl.d reserve 41 again at boot"),
            ("", {FIRST: "40"}, "41", ""),
            ("5000", {FIRST: "5000"}, "5000", "other files of sysctl.d reserve 5000 again at boot"),
            ("5000", {}, "5000", ""),
            ("5000", {UNIT: ""}, "5000", "portwait-reserve@.service, which is enabled, reserves 5000 again at boot"),
        ],
        ids=["repeated", "the-last-wins", "another", "ours-and-theirs", "nobody", "a-unit"],
    )
    def test_says_what_is_reserved_again_at_boot(
        self, host: Host, ours: str, others: dict[str, str], released: str, note: str
    ) -> None:
        """Rule: it names what the next boot will reserve all the same: the file that wins then, and enabled units."""
        for name, value in others.items():
            host.write(name, f"{RESERVED}={value}\n" if value else "")
        if ours:
            host.run(*portwait("reserve", "--persist", ours))
        done = host.run(*portwait("release", "--persist", released))
        assert [line for line in done.stdout.splitlines() if "again at boot" in line] == [f"note: {note}"] * bool(note)


class TestFilesOfOthers:
    """What somebody has put into sysctl.d."""

    @pytest.mark.parametrize("words", [("reserve", "--persist", "30010"), ("audit", "--window", "0.1s"), ("reserve",)])
    def test_a_fifo_or_a_giant_stops_nobody(self, host: Host, words: tuple[str, ...]) -> None:
        """Rule: what cannot be read is named, and the rest is done."""
        os.mkfifo(host.path("/etc/sysctl.d/10-fifo.conf"))
        with host.path("/etc/sysctl.d/20-sparse.conf").open("wb") as sparse:
            sparse.truncate(3 << 30)
        host.write(OTHERS, f"{RESERVED}=8080\n")
        done = host.run(*portwait(*words))
        text = " ".join(done.stdout.split())
        assert "note: /etc/sysctl.d/10-fifo.conf cannot be read and was left out: it is no regular file" in text
        assert "note: /etc/sysctl.d/20-sparse.conf cannot be read and was left out: it is too large" in text
        assert words != ("reserve", "--persist", "30010") or "repeats 8080 from other files" in text
