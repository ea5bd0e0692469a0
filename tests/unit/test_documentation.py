"""README, man page and help say the same of the options, and the texts are well-formed."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from portwait.options.record import GUARD
from portwait.options.table import rows_of
from tests.support.packages import needs

_ROOT = Path(__file__).parents[2]


def _options() -> list[str]:
    rows = rows_of(GUARD)
    listed = [row.other[0] for row in rows if row.other and row.other[2]]
    return sorted({*listed, *(flag for row in rows for flag in row.flags)} - {"--reuseaddr"})


def _page() -> str:
    """Read the manual, without its fonts."""
    return re.sub(r"\\f[BIRP]", "", (_ROOT / "man" / "portwait.1").read_text().replace("\\-", "-"))


def _names(text: str, option: str) -> bool:
    return re.search(rf"(?<![\w-]){re.escape(option)}(?![\w-])", text) is not None


@pytest.mark.parametrize("option", _options())
def test_the_man_page_has_every_option(option: str) -> None:
    """Whoever reads the man page learns of every option of the guard."""
    assert _names(_page(), option)


@pytest.mark.parametrize("page", ["README.md", "README.zh-CN.md"])
@pytest.mark.parametrize(
    "option", [option for option in _options() if option not in ("-h", "--help", "-V", "--version")]
)
def test_the_readme_has_every_option(option: str, page: str) -> None:
    """Likewise the README, its long form or its short one."""
    pairs = {"--quiet": "-q", "--verbose": "-v"}
    text = (_ROOT / page).read_text()
    assert _names(text, pairs.get(option, option))


@pytest.mark.parametrize("verb", ["explain", "evict"])
def test_the_man_page_has_every_option_of_a_verb_that_asks_about_targets(verb: str) -> None:
    """In the paragraph on the verb; the rest on each is the guard's."""
    _, _, after = _page().partition(".SH VERBS\n")
    paragraph = after.partition(f".TP\n.B {verb}\n")[2].partition(".TP\n")[0]
    told = subprocess.check_output([sys.executable, "-m", "portwait", verb, "--help"], text=True)
    options = re.findall(r"^  (?:-\w, )?(--?[\w-]+)", told.partition("\noptions:\n")[2], re.MULTILINE)
    names = {"--quiet": "-q", "--reuseaddr": "--no-reuseaddr"}
    assert len(options) > 4
    missing = [each for each in options if each != "--help" and not _names(paragraph, names.get(each, each))]
    assert missing == []


def test_what_comes_from_the_table_of_options_is_up_to_date() -> None:
    """The manual's options, docs/environment.md and the help; `python tools/write_options.py` writes them."""
    tool = [sys.executable, str(_ROOT / "tools" / "write_options.py"), "--check"]
    done = subprocess.run(tool, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_man_page_is_well_formed() -> None:
    """The page has nothing that a strict reader of man pages warns of."""
    needs("mandoc", "mandoc")
    done = subprocess.run(
        ["mandoc", "-Tlint", "-Wwarning", str(_ROOT / "man" / "portwait.1")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout + done.stderr == ""


def test_the_readme_installs_the_man_page_from_where_the_wheel_puts_it() -> None:
    """A virtual environment's share/man is not searched, so `man portwait` takes a link, where root's man looks."""
    [place] = re.findall(r'^"man/portwait.1" = "(.+)"$', (_ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert f"ln -sf /opt/portwait/{place} /usr/local/share/man/man1/\n" in (_ROOT / "README.md").read_text()


def test_what_the_readme_links_to_is_there() -> None:
    """No link of the README, of docs/ or of contrib/ leads nowhere."""
    for page in (*_ROOT.glob("*.md"), *_ROOT.glob("docs/*.md"), *_ROOT.glob("contrib/*/README.md")):
        for link in re.findall(r"\]\((?!https?:)([^)#]+)\)", page.read_text()):
            assert (page.parent / link).exists(), f"{page}: {link}"


def test_no_page_has_the_marks_of_an_unsolved_merge() -> None:
    """What git leaves in a file where two changes meet is read by nobody who formats the page."""
    folders = ("contrib", "docs", "man")
    pages = [*_ROOT.glob("*.md"), *(each for folder in folders for each in (_ROOT / folder).rglob("*"))]
    marked = re.compile(rb"^(?:<{7} |={7}$|>{7} )", re.MULTILINE)
    assert len(pages) > 40
    assert [page.name for page in pages if page.is_file() and marked.search(page.read_bytes())] == []
