"""The joined modules make the same modules as their own files do."""

from __future__ import annotations

import ast
import subprocess
import sys
import types
from pathlib import Path

import pytest

from tests.support.programs import DEADLINE
from tools import join_modules

_PACKAGE = Path(__file__).parents[2] / "portwait"

_ALL = [f"portwait.{module}" for modules in join_modules.MODULES.values() for module in modules]

_MADE = """
import sys
folder, sources = sys.argv[1], sys.argv[2:]
package = sys.modules["portwait"] = type(sys)("portwait")
package.__path__ = [folder]
for source in sources:
    space = {"__name__": source}
    exec(compile(open(source).read(), source, "exec"), space)
    space["load"]()
    for name, _, _ in space["BODIES"]:
        for key, value in sorted(vars(sys.modules[name]).items()):
            if not key.startswith("__"):
                print(name, key, getattr(value, "__module__", None), getattr(value, "__qualname__", None))
assert not {"typing", "dataclasses"} & {*sys.modules}
import portwait.options.suggestions  # a module that is not joined, in a package that is
assert portwait.options.suggestions.__file__.startswith(folder)
"""
"""Loads the joined modules, and tells what each module has in it."""


def test_each_module_has_its_own_names(tmp_path: Path) -> None:
    """All that a module binds, under the name that it has there, and nothing of another module."""
    files = [tmp_path / f"{name}.py" for name in join_modules.MODULES]
    for file in files:
        file.write_text(join_modules.join(_PACKAGE, join_modules.MODULES[file.stem]))
    words = [sys.executable, "-I", "-c", _MADE, str(_PACKAGE), *map(str, files)]
    made = subprocess.run(words, capture_output=True, text=True, timeout=DEADLINE, check=False)
    assert made.returncode == 0, made.stderr
    theirs = []
    for name in _ALL:
        module = __import__(name, fromlist=["*"])
        typed = _bound_for_types_only(Path(module.__file__ or ""))
        for key, value in sorted(vars(module).items()):
            if not key.startswith("__") and key not in typed and not _is_submodule(name, key, value):
                kind = getattr(value, "__module__", None), getattr(value, "__qualname__", None)
                theirs.append(f"{name} {key} {kind[0]} {kind[1]}")
    ours = [line for line in made.stdout.splitlines() if ".".join(line.split()[:2]) not in _ALL]
    assert ours == theirs


def _bound_for_types_only(file: Path) -> set[str]:
    """Find the names that a module binds by `from __future__`, and without a value."""
    names = {"annotations"}
    for node in ast.parse(file.read_text()).body:
        if isinstance(node, ast.AnnAssign) and node.value is None and isinstance(node.target, ast.Name):
            names.add(node.target.id)
    return names


def _is_submodule(name: str, key: str, value: object) -> bool:
    return isinstance(value, types.ModuleType) and value.__name__ == f"{name}.{key}"


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
