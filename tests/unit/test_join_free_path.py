"""The joined module of the free path makes the same modules as their own files do."""

from __future__ import annotations

import ast
import subprocess
import sys
import types
from pathlib import Path

import pytest

from tests.support.programs import DEADLINE
from tools import join_free_path

_PACKAGE = Path(__file__).parents[2] / "portwait"

_MADE = """
import sys
source, folder, names = sys.argv[1], sys.argv[2], sys.argv[3:]
package = sys.modules["portwait"] = type(sys)("portwait")
package.__path__ = [folder]
space = {"__name__": "portwait._free_path"}
exec(compile(open(source).read(), source, "exec"), space)
space["load"]()
for name in names:
    module = sys.modules["portwait." + name]
    for key, value in sorted(vars(module).items()):
        if not key.startswith("__"):
            print(name, key, getattr(value, "__module__", None), getattr(value, "__qualname__", None))
import portwait.options.reader  # a module that is not joined, in a package that is
assert portwait.options.reader.__file__.startswith(folder)
assert not {"annotations", "typing", "__future__"} & {*vars(sys.modules["portwait.cli"]), *sys.modules} - {"__future__"}
"""
"""Loads the joined module, and tells what each module has in it."""


@pytest.fixture(scope="module")
def joined(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Join the modules of the checkout."""
    file = tmp_path_factory.mktemp("joined") / "_free_path.py"
    file.write_text(join_free_path.join(_PACKAGE))
    return file


def test_each_module_has_its_own_names(joined: Path) -> None:
    """All that a module binds, under the name that it has there, and nothing of another module."""
    words = [sys.executable, "-I", "-c", _MADE, str(joined), str(_PACKAGE), *join_free_path.MODULES]
    made = subprocess.run(words, capture_output=True, text=True, timeout=DEADLINE, check=False)
    assert made.returncode == 0, made.stderr
    theirs = []
    for name in join_free_path.MODULES:
        module = __import__(f"portwait.{name}", fromlist=["*"])
        typed = _bound_for_types_only(Path(module.__file__ or ""))
        for key, value in sorted(vars(module).items()):
            is_submodule = isinstance(value, types.ModuleType) and value.__name__ == f"portwait.{name}.{key}"
            if not key.startswith("__") and key not in typed and not is_submodule:
                theirs.append(
                    f"{name} {key} {getattr(value, '__module__', None)} {getattr(value, '__qualname__', None)}"
                )
    ours = [line for line in made.stdout.splitlines() if not _is_submodule(line)]
    assert ours == theirs


def _bound_for_types_only(file: Path) -> set[str]:
    """Find the names that a module binds by `from __future__`, and without a value."""
    names = {"annotations"}
    for node in ast.parse(file.read_text()).body:
        if isinstance(node, ast.AnnAssign) and node.value is None and isinstance(node.target, ast.Name):
            names.add(node.target.id)
    return names


def _is_submodule(line: str) -> bool:
    name, key, *_ = line.split()
    return f"{name}.{key}" in join_free_path.MODULES


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
        ("class A:\n    x: int\n    y: int = 2", "class A:\n    y = 2"),
        ("def f():\n    x: int\n    return lambda: x", "def f():\n    return lambda: x"),
        (
            "try:\n    import a\nexcept ImportError as error:\n    a = None",
            "try:\n    import a\nexcept ImportError as error:\n    a = None",
        ),
        ("for x in (1, 2):\n    pass", "for x in (1, 2):\n    pass"),
        ("", "pass"),
    ],
)
def test_what_is_left_of_a_module(source: str, rest: str) -> None:
    """Code alone, and it does the same: no docstring, no annotation, nothing that only a type checker reads."""
    function = ast.parse(join_free_path._as_function("module", source)).body[0]
    assert isinstance(function, ast.FunctionDef)
    body = [node for node in function.body if not isinstance(node, ast.Global)]
    assert ast.dump(ast.Module(body, [])) == ast.dump(ast.parse(rest))
