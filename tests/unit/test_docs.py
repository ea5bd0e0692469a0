"""What docs/ says of the code, its files and its floors is so."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import pytest

from benchmarks import readme, report
from portwait.commands import unit
from portwait.diagnosis.evictable import Refusal
from portwait.eviction.actions import Action
from portwait.model.targets import Target
from portwait.systemd import dropin
from tests.unit.test_dropin import facts
from tests.unit.test_eviction import CLIENT, LIVE
from tests.unit.test_structure import FLOORS, MODULES, tree
from tools import join_modules

_ROOT = Path(__file__).parents[2]
_DOCS = _ROOT / "docs"
_PAGES = sorted([*_DOCS.glob("*.md"), *_ROOT.glob("README*.md"), *_ROOT.glob("CONTRIBUTING.md")])


def test_the_diagram_shows_the_floors() -> None:
    """Its numbered lines are the floors that the structure test holds, from the top down."""
    diagram = (_DOCS / "architecture.md").read_text().split("```")[1]
    lines = re.findall(r"^ *(\d+)  (\S+(?: {1,2}\S+)*?)(?:   .*)?$", diagram, re.MULTILINE)
    drawn = {int(number): tuple(names.split()) for number, names in lines}
    assert drawn == dict(enumerate(FLOORS, start=1))


@pytest.mark.parametrize("page", _PAGES, ids=lambda page: page.name)
def test_the_files_that_a_page_names_are_there(page: Path) -> None:
    """No page sends a reader to a file that has moved. Mend the page where you move a file."""
    named = set(re.findall(r"`((?:portwait|tests|contrib|benchmarks|docs|man)/[\w/.@-]+)`", page.read_text()))
    assert [name for name in sorted(named) if not (_ROOT / name).exists()] == []


def _listed(heading: str) -> set[str]:
    """Read the names in the first column of the table under a heading of docs/json.md."""
    section = (_DOCS / "json.md").read_text().partition(f"# {heading}\n")[2].partition("\n#")[0]
    rows = re.findall(r"^\| (`.*?) \|", section, re.MULTILINE)
    names = [name for row in rows for name in re.findall(r"`([\w-]+)`", row)]
    assert len(names) == len(set(names)), f"{heading}: a name is listed twice"
    return set(names)


def test_the_events_are_those_that_the_code_logs() -> None:
    """A new event needs a line in docs/json.md."""
    logged = {"held", "denied", "unavailable", "unknown", "changed"}  # the loop logs a target's verdict by its name
    for module in MODULES:
        if module == "portwait.log":  # it passes on the level, and the event's name behind it
            continue
        for node in ast.walk(tree(module)):
            if isinstance(node, ast.Call) and len(node.args) > 1 and isinstance(node.args[0], ast.Constant):
                called = node.func.attr if isinstance(node.func, ast.Attribute) else ast.unparse(node.func)
                if called in ("debug", "info", "warning", "error", "say"):
                    words = [str(each.value) for each in node.args[:2] if isinstance(each, ast.Constant)]
                    logged.add(words[words[0] in {"warning", "error"}])  # in front of the event, a level
            elif isinstance(node, ast.ClassDef) and node.name == "Action":
                [field] = [
                    each for each in node.body if isinstance(each, ast.AnnAssign) and "event" in ast.unparse(each)
                ]
                logged |= {str(each.value) for each in ast.walk(field) if isinstance(each, ast.Constant)}
    assert _listed("Events") == logged


@pytest.mark.parametrize(
    ("headings", "schemas"),
    [
        (["`portwait audit --json`"], ["audit"]),
        (["`portwait reserve --json`, `portwait release --json`"], ["changed", "reserved"]),
    ],
)
def test_the_keys_are_those_of_the_schemas(headings: list[str], schemas: list[str]) -> None:
    """The tests hold what the verbs print to these schemas."""
    texts = [(_ROOT / "tests" / "schemas" / f"{name}.json").read_text() for name in schemas]
    promised = {key for text in texts for key in json.loads(text)["properties"]}
    assert set.union(*map(_listed, headings)) == promised


def test_the_keys_of_a_port_are_those_of_the_schema() -> None:
    """Likewise, of one port of the audit."""
    schema = json.loads((_ROOT / "tests" / "schemas" / "audit.json").read_text())
    assert _listed("A port of the audit") == {*schema["properties"]["ports"]["items"]["properties"]}


def test_the_keys_of_an_action_are_those_that_it_writes() -> None:
    """A blocker's, and those of what was done about it; tests/system/test_readme.py asks the verbs for the others."""
    refusal = Refusal("code", "it is so", "do this")
    action = Action("not-signalled", Target("30010", 30010), LIVE, owner=CLIENT, signal="SIGTERM", refusal=refusal)
    assert _listed("A blocker") | _listed("Actions") == set(action.fields())


def test_the_keys_of_a_drop_in_are_those_that_unit_prints() -> None:
    """Each is there whatever the unit is like."""
    told = json.loads(unit._as_json(dropin.fit(facts()), ("30010",)))
    assert _listed("`portwait unit --json`") == set(told)


@pytest.mark.parametrize(
    ("file", "sentence"),
    [
        ("docs/architecture.md", "and these are {_free_path}."),
        ("docs/architecture.md", "`_explain_path.py` for the {_explain_path} that explain a held port."),
        ("docs/performance.md", "portwait's own part is {_free_path} modules,"),
        ("tools/join_modules.py", "loads {_free_path} small modules, and explaining a held port {_explain_path} more."),
    ],
)
def test_the_modules_are_counted_right(file: str, sentence: str) -> None:
    """Those that a wheel joins, in each sentence that says how many."""
    numbers = {name: len(modules) for name, modules in join_modules.MODULES.items()}
    assert sentence.format(**numbers) in (_ROOT / file).read_text()


def test_the_metrics_are_those_of_an_audit() -> None:
    """Every name that audit's Prometheus format can write."""
    written = {
        str(node.args[0].value)
        for node in ast.walk(tree("portwait.audit.prometheus"))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("_single", "_Family", "single", "Family")
        if isinstance(node.args[0], ast.Constant)
    }
    assert _listed("Metrics") == {f"portwait_{name}" for name in written}


@pytest.mark.parametrize("page", sorted(readme.PAGES))
def test_the_figures_are_those_of_the_benchmarks(page: str) -> None:
    """`python -m benchmarks.readme` writes them, out of the file that `python -m benchmarks` has written."""
    results = json.loads(readme.RESULTS.read_text())
    assert not results["quick"], "the README shows a full run"
    assert readme.BLOCK.findall((_ROOT / page).read_text()) == [readme.block(page, results)]


def test_the_results_read_as_they_were_measured() -> None:
    """results.md is results.json for people; its pictures are there."""
    folder = readme.RESULTS.parent
    text = (folder / "results.md").read_text()
    assert text == report.markdown(json.loads(readme.RESULTS.read_text()), re.findall(r"!\[(\w+)\]", text))
    for name in re.findall(r"\]\((\w+\.svg)\)", text):
        assert "<svg" in (folder / name).read_text()
