"""Our file in sysctl.d, below a root of its own: what it says, when it is refused, and what is left then."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from portwait.model import ports
from portwait.reserved import boot_file, sysctld
from portwait.reserved.boot_file import LONGEST, PLACE, PersistError
from portwait.reserved.runtime import KEY

if TYPE_CHECKING:
    from collections.abc import Callable

PORT = ((30010, 30010),)
DIGEST_OF_8080 = "40c0f1e5"
VENDOR, LATER, CONF = "/usr/lib/sysctl.d/50-vendor.conf", "/etc/sysctl.d/zzzz.conf", "/etc/sysctl.conf"


class Root:
    """A root of the file system with nothing in it but what a test puts there."""

    def __init__(self, path: Path) -> None:
        self.name = str(path)

    def write(self, name: str, text: str) -> None:
        path = Path(self.name + name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def tree(self) -> dict[str, str]:
        """Read every file, by its name."""
        return {
            str(path).removeprefix(self.name): path.read_text()
            for path in Path(self.name).rglob("*")
            if path.is_file() and not path.is_symlink()
        }

    def value(self) -> str | None:
        """Read what our file sets the key to, by a plain look at its lines."""
        lines = self.tree().get(PLACE, "").splitlines()
        return next((line.removeprefix(f"{KEY}=") for line in lines if not line.startswith("#")), None)

    def reserve(self, text: str) -> boot_file.Persisted:
        return boot_file.reserve(ports.parse(text), root=self.name)

    def release(self, text: str) -> boot_file.Persisted:
        return boot_file.release(ports.parse(text), root=self.name)

    def drift(self) -> boot_file.Drift | None:
        return boot_file.drift(sysctld.read(self.name))


@pytest.fixture
def root(tmp_path: Path) -> Root:
    return Root(tmp_path)


class TestWrites:
    def test_ours_alone(self, root: Root) -> None:
        """Rule: one line without a space, of root, readable by all, nothing else in the folder."""
        assert root.reserve("30010,30012-30014").changed
        assert root.value() == "30010,30012-30014"
        status = Path(root.name + PLACE).stat()
        assert (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid) == (0o644, os.geteuid(), os.getegid())
        assert list(root.tree()) == [PLACE]

    def test_it_says_what_it_is_and_where_it_comes_from(self, root: Root) -> None:
        """Rule: whoever opens it learns who wrote it, what is whose, and that nothing here is to be edited."""
        root.write(VENDOR, f"{KEY} = 8080\n")
        root.reserve("30010")
        assert root.tree()[PLACE].splitlines() == [
            "# Written by portwait: change it with `portwait reserve --persist` and `portwait release --persist`.",
            "# The file that comes last sets the key alone, so this one repeats what the files below said.",
            "# ours: 30010",
            f"# from: {VENDOR} {DIGEST_OF_8080}",
            "net.ipv4.ip_local_reserved_ports=8080,30010",
        ]

    def test_the_union_with_every_other_file(self, root: Root) -> None:
        """Rule: also of those that another file hides by coming later, for it may go one day."""
        root.write(VENDOR, f"{KEY} = 8080\n")
        root.write("/run/sysctl.d/60-x.conf", f"{KEY} = 9090-9099\n")
        root.write("/usr/local/lib/sysctl.d/10-y.conf", "net/ipv4/ip_local_reserved_ports=7070\n")
        root.reserve("30010")
        assert root.value() == "7070,8080,9090-9099,30010"

    def test_ports_that_touch_are_a_range(self, root: Root) -> None:
        """Rule: whoever they come from."""
        root.write(VENDOR, f"{KEY} = 30009\n")
        root.reserve("30010")
        root.reserve("30011")
        assert root.value() == "30009-30011"

    def test_twice_is_once(self, root: Root) -> None:
        """Rule: idempotent; a file that is right is not touched."""
        root.reserve("30010")
        before = Path(root.name + PLACE).stat()
        assert not root.reserve("30010").changed
        assert Path(root.name + PLACE).stat().st_ino == before.st_ino

    def test_a_mode_that_is_wrong_is_put_right(self, root: Root) -> None:
        """Rule: a file that some programs cannot read is no file."""
        root.reserve("30010")
        Path(root.name + PLACE).chmod(0o600)
        assert root.reserve("30010").changed
        assert stat.S_IMODE(Path(root.name + PLACE).stat().st_mode) == 0o644

    def test_many_ports_of_ours_below_many_of_theirs_are_remembered(self, root: Root) -> None:
        """Rule: comments are wrapped, and joined again as they were."""
        root.write(VENDOR, f"{KEY}=20000-60000\n")
        odd = ports.show((port, port) for port in range(20001, 24000, 2))
        root.reserve(odd)
        mine = boot_file.ours(sysctld.read(root.name))
        assert mine is not None
        assert ports.show(mine.asked) == odd
        assert max(map(len, root.tree()[PLACE].splitlines())) < 1100


class TestRelease:
    def test_takes_out_ours_and_leaves_theirs(self, root: Root) -> None:
        """Rule: what another file says stays, also where we had asked for it too."""
        root.write(VENDOR, f"{KEY}=8080,30010\n")
        root.reserve("30010,30020")
        root.release("30010")
        assert root.value() == "8080,30010,30020"

    def test_the_last_port_takes_the_file_with_it(self, root: Root) -> None:
        """Rule: nothing of ours, no file of ours."""
        root.write(VENDOR, f"{KEY}=8080\n")
        before = root.tree()
        root.reserve("30010")
        assert root.release("30000-30020").changed
        assert root.tree() == before

    def test_what_is_not_there_is_nothing_to_do(self, root: Root) -> None:
        """Rule: idempotent."""
        assert not root.release("30010").changed
        assert root.tree() == {}


def refused(act: Callable[[], object], root: Root, *words: str) -> None:
    """Be refused in one line that has these words, with every file as it was."""
    before = root.tree()
    with pytest.raises(PersistError) as error:
        act()
    text = str(error.value)
    assert all(word in text for word in (*words, "nothing was changed")), text
    assert "\n" not in text
    assert root.tree() == before


class TestRefuses:
    @pytest.mark.parametrize("name", [LATER, "/usr/lib/sysctl.d/zzzz.conf", CONF], ids=["later", "vendor", "conf"])
    def test_a_file_that_would_override_is_named(self, root: Root, name: str) -> None:
        """Rule: a file that does not win is worse than none, for it looks as if it did."""
        root.write(name, f"# reserved\n{KEY}=8080\n")
        refused(lambda: root.reserve("30010"), root, f"{name}:2", "move that line")

    def test_a_broken_value_behind_ours_overrides_too(self, root: Root) -> None:
        """Rule: systemd-sysctl would write only that one, and the kernel refuse it."""
        root.write(LATER, f'{KEY}="8080"\n')
        refused(lambda: root.reserve("30010"), root, f"{LATER}:1")

    def test_a_dash_behind_ours_overrides_too(self, root: Root) -> None:
        """Rule: systemd-sysctl would forget our line."""
        root.write(LATER, f"-{KEY}\n")
        refused(lambda: root.reserve("30010"), root, f"{LATER}:1")

    @pytest.mark.parametrize("value", ["8080,30010", "30000-31000", "1-65535"])
    def test_a_later_file_that_says_as_much_is_no_harm(self, root: Root, value: str) -> None:
        """Rule: what counts is what is reserved in the end."""
        root.write(LATER, f"{KEY}={value}\n")
        root.reserve("30010")
        assert root.value() == ports.show(ports.merge([*ports.parse(value), *PORT]))

    def test_a_pattern_behind_ours_is_no_harm(self, root: Root) -> None:
        """Rule: a key that is spelled out beats every pattern."""
        root.write(LATER, "net.ipv4.ip_local_reserved*=8080\n")
        root.reserve("30010")
        assert root.value() == "8080,30010"

    def test_a_broken_value_before_ours_is_no_harm_and_is_named(self, root: Root) -> None:
        """Rule: it is never written, and nothing can be taken over from it."""
        root.write(VENDOR, f"{KEY}=8080, 8081\nnot a setting\n")
        persisted = root.reserve("30010")
        assert [str(line) for line in persisted.plan.broken] == [f"{VENDOR}:1"]
        assert root.value() == "30010"

    def test_a_list_that_procps_would_cut(self, root: Root) -> None:
        """Rule: a line that only one of both programs loads whole is refused; one byte less is not."""
        fits = ports.show((port, port) for port in range(10001, 10001 + 2 * 682, 2)) + ",20"
        assert len(fits) == LONGEST
        root.reserve(fits)
        refused(lambda: root.reserve("200"), root, "4098 bytes", "4094")

    def test_a_link_in_our_place(self, root: Root) -> None:
        """Rule: it is not followed and not replaced: somebody meant something by it."""
        root.write("/etc/elsewhere", "precious\n")
        Path(root.name + "/etc/sysctl.d").mkdir()
        Path(root.name + PLACE).symlink_to("../elsewhere")
        refused(lambda: root.reserve("30010"), root, PLACE, "is a symbolic link")
        assert Path(root.name + PLACE).is_symlink()

    @pytest.mark.parametrize("target", ["/dev/null", "nowhere"])
    def test_a_mask_in_our_place(self, root: Root, target: str) -> None:
        """Rule: whoever masks our file does not want it."""
        Path(root.name + "/etc/sysctl.d").mkdir(parents=True)
        Path(root.name + PLACE).symlink_to(target)
        refused(lambda: root.reserve("30010"), root, "is a symbolic link")

    def test_a_file_that_is_not_ours(self, root: Root) -> None:
        """Rule: only what portwait has written is portwait's to write."""
        root.write(PLACE, f"{KEY}=1\n")
        refused(lambda: root.reserve("30010"), root, "is there and is not portwait's")
        refused(lambda: root.release("1"), root, "is there and is not portwait's")

    def test_a_file_of_our_name_in_another_folder(self, root: Root) -> None:
        """Rule: ours would hide it whole, whatever else it sets."""
        root.write("/run/sysctl.d/zzz-portwait.conf", "vm.swappiness=1\n")
        refused(lambda: root.reserve("30010"), root, "/run/sysctl.d/zzz-portwait.conf", "would hide it")

    def test_a_folder_in_our_place(self, root: Root) -> None:
        """Rule: nothing but a regular file is replaced."""
        Path(root.name + PLACE).mkdir(parents=True)
        refused(lambda: root.reserve("30010"), root, "is not a regular file")

    @pytest.mark.parametrize("step", ["write", "fsync", "rename"])
    def test_a_disk_that_is_full(self, root: Root, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
        """Rule: whichever step fails, what was there is there, and nothing else."""
        root.reserve("30020")

        def fail(*_: object, **__: object) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(os, step, fail)
        refused(lambda: root.reserve("30010"), root, "No space left on device")


class TestDrift:
    def test_none_where_nothing_has_changed(self, root: Root) -> None:
        """Rule: a file that is right has nothing to report."""
        root.write(VENDOR, f"{KEY}=8080\n")
        root.reserve("30010")
        assert root.drift() == boot_file.Drift((), (), (), None)

    def test_none_where_there_is_no_file_of_ours(self, root: Root) -> None:
        """Rule: nobody else's file can drift."""
        root.write(PLACE, f"{KEY}=8080\n")
        assert root.drift() is None

    @pytest.mark.parametrize(
        ("name", "value", "missing", "stale"),
        [
            (VENDOR, "8080,9090", "9090", ""),
            (VENDOR, "9090", "9090", "8080"),
            (VENDOR, "", "", "8080"),
            (VENDOR, "30010", "", "8080"),
            ("/run/sysctl.d/x.conf", "7070", "7070", ""),
        ],
        ids=["more", "other", "none", "ours", "new-file"],
    )
    def test_what_others_have_changed(self, root: Root, name: str, value: str, missing: str, stale: str) -> None:
        """Rule: the file is named, and so are the ports that ours lacks, and those that nobody asks for any more."""
        root.write(VENDOR, f"{KEY}=8080\n")
        root.reserve("30010")
        root.write(name, f"{KEY}={value}\n")
        drift = root.drift()
        assert drift is not None
        assert (drift.sources, ports.show(drift.missing), ports.show(drift.stale)) == ((name,), missing, stale)

    def test_a_file_that_came_later_and_wins(self, root: Root) -> None:
        """Rule: the worst of all, and named with its line."""
        root.reserve("30010")
        root.write(CONF, f"{KEY}=1\n")
        drift = root.drift()
        assert drift is not None
        assert drift.overridden == f"{CONF}:1"

    def test_writing_anew_heals_it(self, root: Root) -> None:
        """Rule: the cure that is named is one."""
        root.write(VENDOR, f"{KEY}=8080\n")
        root.reserve("30010")
        root.write(VENDOR, f"{KEY}=9090\n")
        root.reserve("30010")
        assert root.value() == "9090,30010"
        assert root.drift() == boot_file.Drift((), (), (), None)


def test_what_is_reserved_after_a_boot(root: Root) -> None:
    """Rule: what the file that wins says, and what enabled units of ours are called after; nothing else."""
    wants = Path(root.name) / "etc/systemd/system/sysinit.target.wants"
    wants.mkdir(parents=True)
    for name in ("portwait-reserve@30000-30100", "portwait-reserve@8080", "portwait-reserve@x", "portwait-hold@9090"):
        (wants / f"{name}.service").symlink_to("/usr/lib/systemd/system/any@.service")
    root.write(VENDOR, f"{KEY}=7070\n")
    assert ports.show(boot_file.at_boot(sysctld.read(root.name), root.name)) == "7070,8080,30000-30100"


@pytest.mark.parametrize(("systemd", "expected"), [(True, "7070"), (False, "8080")])
def test_who_sets_it_at_boot_decides_what_is_reserved_then(root: Root, systemd: bool, expected: str) -> None:
    """Rule: systemd does not read /etc/sysctl.conf; procps, which does it without systemd, reads it last."""
    root.write(VENDOR, f"{KEY}=7070\n")
    root.write(sysctld.CONF, f"{KEY}=8080\n")
    assert ports.show(boot_file.at_boot(sysctld.read(root.name), root.name, systemd=systemd)) == expected


def test_a_hostile_file_name_stays_within_its_comment(root: Root) -> None:
    """Rule: no line of our file is anybody else's."""
    name = "/etc/sysctl.d/10\nkernel.core_pattern=|x\n.conf"
    root.write(name, f"{KEY}=8080\n")
    root.reserve("30010")
    assert [line for line in root.tree()[PLACE].splitlines() if not line.startswith("# ")] == [f"{KEY}=8080,30010"]
    assert root.drift() == boot_file.Drift((), (), (), None)


@pytest.mark.parametrize(("text", "checksum"), [("", "811c9dc5"), ("a", "e40c292c"), ("foobar", "bf9cf968")])
def test_the_checksum_is_fnv_1a(text: str, checksum: str) -> None:
    """By the values that its authors give."""
    assert boot_file._checksum(text) == checksum
