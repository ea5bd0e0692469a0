"""README, man page and help say the same of the options, and the texts are well-formed."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from portwait import arguments

_ROOT = Path(__file__).parents[2]


def _options() -> list[str]:
    words = {option for action in arguments.parser()._actions for option in action.option_strings}
    opposites = {word for word in words if word.startswith("--no-") and f"--{word[5:]}" in words}
    return sorted(words - opposites - {"--reuseaddr"})


@pytest.mark.parametrize("option", _options())
def test_the_man_page_has_every_option(option: str) -> None:
    """Whoever reads the man page learns of every option of the guard."""
    page = (_ROOT / "man" / "portwait.1").read_text().replace("\\-", "-")
    assert re.search(rf"(?<![\w-]){re.escape(option)}(?![\w-])", page)


@pytest.mark.parametrize("option", [option for option in _options() if option not in ("-h", "--help", "--version")])
def test_the_readme_has_every_option(option: str) -> None:
    """Likewise the README, its long form or its short one."""
    pairs = {"--quiet": "-q", "--verbose": "-v"}
    text = (_ROOT / "README.md").read_text()
    assert re.search(rf"(?<![\w-]){re.escape(pairs.get(option, option))}(?![\w-])", text)


def test_the_man_page_is_well_formed() -> None:
    """The page has nothing that a strict reader of man pages warns of."""
    done = subprocess.run(
        ["mandoc", "-Tlint", "-Wwarning", str(_ROOT / "man" / "portwait.1")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout + done.stderr == ""


def test_what_the_readme_links_to_is_there() -> None:
    """No link of the README, nor of those in contrib, leads nowhere."""
    for page in (_ROOT / "README.md", *_ROOT.glob("contrib/*/README.md")):
        for link in re.findall(r"\]\((?!https?:)([^)#]+)\)", page.read_text()):
            assert (page.parent / link).exists(), f"{page}: {link}"
