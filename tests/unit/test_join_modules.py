"""The joined modules make the same modules as their own files do."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.programs import DEADLINE
from tools import join_modules

if TYPE_CHECKING:
    from collections.abc import Iterable

_PACKAGE = Path(__file__).parents[2] / "portwait"

_TELL = """
import sys
folder, *sources = sys.argv[1:]
package = sys.modules["portwait"] = type(sys)("portwait")
package.__path__ = [folder]

def tell(name):
    for key, value in sorted(vars(sys.modules[name]).items()):
        if not key.startswith("__") and f"{name}.{key}" not in sys.modules:
            print(name, key, getattr(value, "__module__", None), getattr(value, "__qualname__", None))
"""
"""Says what a module has in it: its names, and whose classes and functions they are."""

_JOINED = """
for source in sources:
    space = {"__name__": source}
    exec(compile(open(source).read(), source, "exec"), space)
    space["load"]()
    for name, _, _ in space["BODIES"]:
        tell(name)
assert not {"typing", "dataclasses"} & {*sys.modules}
import portwait.options.suggestions  # a module that is not joined, in a package that is
assert portwait.options.suggestions.__file__.startswith(folder)
"""

_APART = """
for source in sources:
    for name in source.split():
        __import__(f"portwait.{name}")
    for name in source.split():
        tell(f"portwait.{name}")
"""


def test_each_module_has_its_own_names(tmp_path: Path) -> None:
    """All that a module binds, under the name that it has there, and nothing of another module."""
    files = [tmp_path / f"{name}.py" for name in join_modules.MODULES]
    for file in files:
        file.write_text(join_modules.join(_PACKAGE, join_modules.MODULES[file.stem]))
    made = _told(_JOINED, map(str, files))
    for_types = {"annotations", *_bound_without_a_value()}
    apart = _told(_APART, map(" ".join, join_modules.MODULES.values()))
    assert made == [line for line in apart if line.split()[1] not in for_types]


def test_a_joined_module_can_be_read_by_an_older_python() -> None:
    """The Python that builds the wheel may nest quotes in an f-string; so there is none."""
    for modules in join_modules.MODULES.values():
        joined = join_modules.join(_PACKAGE, modules)
        assert not [node for node in ast.walk(ast.parse(joined)) if isinstance(node, ast.JoinedStr)]


def _told(program: str, words: Iterable[str]) -> list[str]:
    argv = [sys.executable, "-I", "-c", _TELL + program, str(_PACKAGE), *words]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=DEADLINE, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def _bound_without_a_value() -> set[str]:
    """Find the names that modules annotate and do not bind."""
    names = set()
    for file in _PACKAGE.rglob("*.py"):
        for node in ast.parse(file.read_text()).body:
            if isinstance(node, ast.AnnAssign) and node.value is None and isinstance(node.target, ast.Name):
                names.add(node.target.id)
    return names


@pytest.mark.parametrize(
    ("source", "rest"),
    [
        ("'''What it does.'''\nLIMIT: int = 3\n'''Seconds.'''", "LIMIT = 3"),
        ("from __future__ import annotations\nimport os", "import os"),
        ("if TYPE_CHECKING:\n    import typing\nx = 1", "x = 1"),
        (
            "def f(a: int, *b: str, c: int = 2) -> int:\n    '''Add.'''\n    return a",
            "def f(a, *b, c=2):\n    return a",
        ),
        ("class A:\n    '''Nothing.'''", "class A:\n    pass"),
        ("class A:\n    x: int\n    y: int | None = 2", "class A:\n    x: 'int'\n    y: 'int | None' = 2"),
        ("if TYPE_CHECKING:\n    import a\nelse:\n    x: int = 2", "x = 2"),
        ("def f():\n    x: int\n    return lambda: x", "def f():\n    return lambda: x"),
        (
            "try:\n    import a\nexcept ImportError as error:\n    a = None",
            "try:\n    import a\nexcept ImportError as error:\n    a = None",
        ),
        ("x = f'{a}'", "x = '{}'.format(a)"),
        ("x = f'{{{a!r:>{b + 1}.3}}} {c:,.0f}'", "x = '{{{!r:>{}.3}}} {:,.0f}'.format(a, b + 1, c)"),
        ("x = f'{f(f\"{a}\")}{{}}'", "x = '{}{{}}'.format(f('{}'.format(a)))"),
        ("x = f'{{}}'", "x = '{}'"),
        ("for x in (1, 2):\n    pass", "for x in (1, 2):\n    pass"),
        ("", "pass"),
    ],
)
def test_what_is_left_of_a_module(source: str, rest: str) -> None:
    """Code alone, and it does the same: no docstring, no annotation, nothing that only a type checker reads."""
    function = ast.parse(join_modules._as_function("module", source)).body[0]
    assert isinstance(function, ast.FunctionDef)
    body = [node for node in function.body if not isinstance(node, ast.Global)]
    assert ast.dump(ast.Module(body, [])) == ast.dump(ast.parse(rest))


def test_an_older_python_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What pip says of `requires-python` comes after the build, and names no way out."""
    hook = join_modules.JoinModules(str(tmp_path), {}, None, None, str(tmp_path), "wheel")  # type: ignore[arg-type]
    monkeypatch.setattr(sys, "version_info", (3, 8, 18))
    with pytest.raises(SystemExit, match=r"this is Python 3\.8\.\n.* \.deb, .* bring their own Python"):
        hook.initialize("standard", {})
