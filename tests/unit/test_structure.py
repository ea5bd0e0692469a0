"""The shape of the package: what may import what, and who is whose door.

The floors are those of docs/architecture.md. A new module needs no line here unless it is a package of its own.
"""

from __future__ import annotations

import ast
import importlib.util
import re
import subprocess
import sys
import sysconfig
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

import portwait
from portwait.options.record import GUARD, VERBS
from tests.support.programs import DEADLINE
from tests.support.scripts import load

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE = Path(portwait.__file__).parent
JOINED = ("_free_path", "_explain_path")
"""The modules that are made of others when the wheel is built."""

PATHS = {
    ".".join(("portwait", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__"): path
    for path in PACKAGE.rglob("*.py")
    if path.stem not in JOINED
}
MODULES = sorted(PATHS)

FLOORS: tuple[tuple[str, ...], ...] = (
    ("errors", "_version"),
    ("model",),
    ("text", "handoff"),
    ("_linux", "_psutil", "bind", "log"),
    ("host", "options"),
    ("diagnosis", "systemd"),
    ("advice",),
    ("reports",),
    ("wait",),
    ("eviction", "reserved", "api"),
    ("audit",),
    ("commands",),
    ("cli",),
    ("__main__", "__init__"),
)
"""From the ground up. A package or module imports from floors below its own only; a package also from itself."""

DOORS = {
    "psutil": "portwait._psutil",
    "structlog": "portwait.log",
    "tenacity": "portwait.wait.schedule",
}
"""The one module, or package, that loads each library."""


ENDERS = (
    *("portwait.__main__", "portwait.cli", "portwait.wait.signals", "portwait.wait.narrator"),
    *("portwait._linux.all_cores", "portwait._linux.socket_flags"),
)
"""The modules that end a process; the narrator, the workers of a search and who reads flags end their own."""


class Import(NamedTuple):
    """One module that another one names."""

    name: str
    line: int
    typed: bool
    """Whether only a type checker follows it."""
    top: bool
    """Whether it is followed as soon as the module is imported."""


@cache
def tree(module: str) -> ast.Module:
    return ast.parse(PATHS[module].read_text(), str(PATHS[module]))


@cache
def imports(module: str) -> tuple[Import, ...]:
    """List what a module imports, a submodule by its own name."""
    return tuple(_imports(tree(module).body, typed=False, top=True))


def _imports(statements: list[ast.stmt], *, typed: bool, top: bool) -> Iterator[Import]:
    for statement in statements:
        if isinstance(statement, ast.Import):
            for alias in statement.names:
                yield Import(alias.name, statement.lineno, typed, top)
        elif isinstance(statement, ast.ImportFrom):
            assert statement.level == 0, "imports are absolute"
            assert statement.module is not None
            for alias in statement.names:
                inner = f"{statement.module}.{alias.name}"
                yield Import(inner if inner in PATHS else statement.module, statement.lineno, typed, top)
        else:
            guarded = isinstance(statement, ast.If) and ast.unparse(statement.test) == "TYPE_CHECKING"
            inside = isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef))
            for block in ("body", "orelse", "finalbody"):
                yield from _imports(
                    getattr(statement, block, []),
                    typed=typed or (guarded and block == "body"),
                    top=top and not inside,
                )
            for handler in getattr(statement, "handlers", []):
                yield from _imports(handler.body, typed=typed, top=top and not inside)


def ours(module: str) -> tuple[Import, ...]:
    return tuple(
        one for one in imports(module) if one.name.partition(".")[0] == "portwait" and room(one.name) not in JOINED
    )


def room(module: str) -> str:
    """Name the package, or the single module, that stands on a floor: `diagnosis` for portwait.diagnosis.kinds."""
    return module.split(".")[1] if "." in module else "__init__"


def floor(module: str) -> int:
    return next(number for number, rooms in enumerate(FLOORS) if room(module) in rooms)


def within(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


every_module = pytest.mark.parametrize("module", MODULES)


def test_the_modules_are_found() -> None:
    """The rules below are about something."""
    assert len(MODULES) > 30
    assert {"portwait", "portwait.cli", "portwait.commands.guard", "portwait._linux.wire"} <= set(MODULES)
    assert {one.name for one in imports("portwait.bind.probe")} >= {"_socket", "errno", "portwait.model.targets"}
    assert [one.top for one in imports("portwait.cli") if one.name == "portwait.commands.guard"] == [False]
    assert all(one.typed for one in imports("portwait.bind.hold") if one.name == "typing")
    assert {room(module) for module in MODULES} == {each for rooms in FLOORS for each in rooms}


@every_module
def test_imports_go_down(module: str) -> None:
    """A package imports only from floors below its own; imports for types count too."""
    if module == "portwait":  # the facade, which names what others are made of
        return
    upwards = [one for one in ours(module) if room(one.name) != room(module) and floor(one.name) >= floor(module)]
    assert upwards == []
    assert "portwait" not in [one.name for one in ours(module)], "the facade is for other programs"


@every_module
def test_verbs_stand_side_by_side(module: str) -> None:
    """No verb imports another one."""
    if within(module, "portwait.commands"):
        verbs = {f"portwait.commands.{verb}" for verb in (GUARD, *VERBS)} - {module}
        assert [one for one in ours(module) if one.name in verbs] == []


def test_no_import_goes_round() -> None:
    """Not even one that is only followed when it is needed."""
    graph = {module: {one.name for one in ours(module) if not one.typed} for module in MODULES if module != "portwait"}
    while leaves := {module for module, others in graph.items() if not others & graph.keys()}:
        graph = {module: others for module, others in graph.items() if module not in leaves}
    assert {module: others & graph.keys() for module, others in graph.items()} == {}


def is_standard(library: str) -> bool:
    """Say whether a module is part of Python; 3.9 has no list of them."""
    if listed := getattr(sys, "stdlib_module_names", None):
        return library in listed
    spec = importlib.util.find_spec(library)
    place = spec.origin if spec and spec.origin else ""
    return place in ("built-in", "frozen") or (
        place.startswith(sysconfig.get_path("stdlib")) and "site-packages" not in place
    )


@every_module
def test_each_library_has_one_door(module: str) -> None:
    """And no other library is imported at all; types of a library are its door's business, too."""
    for one in imports(module):
        library = one.name.partition(".")[0]
        if library in DOORS:
            assert within(module, DOORS[library]), f"{library} is imported in line {one.line}"
        else:
            for_types = one.typed and library == "typing_extensions"  # a type checker brings it
            assert library == "portwait" or is_standard(library) or for_types, library


@pytest.mark.parametrize("library", DOORS)
def test_each_door_is_used(library: str) -> None:
    """A dependency that nobody imports is none."""
    assert any(one.name.partition(".")[0] == library for module in MODULES for one in imports(module))


@every_module
def test_kernel_numbers_live_in_one_place(module: str) -> None:
    """Only `_linux` takes bytes apart, and only its `kernel` has the numbers; elsewhere options have names."""
    if not within(module, "portwait._linux"):
        assert [one for one in imports(module) if one.name in ("struct", "ctypes")] == []
        assert [one for one in ours(module) if one.name in ("portwait._linux.kernel", "portwait._linux.wire")] == []
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            named = {"setsockopt": 2, "getsockopt": 2, "socket": 3, "fcntl": 2, "ioctl": 2, "prctl": 1, "flock": 2}
            for argument in node.args[: named.get(node.func.attr, 0)]:
                assert not isinstance(argument, ast.Constant), f"line {node.lineno} has a number for a name"


@every_module
def test_only_the_command_line_prints_and_ends(module: str) -> None:
    """What goes to stdout is the service's, and a status is decided in one place."""
    for node in ast.walk(tree(module)):
        line = f"line {getattr(node, 'lineno', 0)}"
        if isinstance(node, ast.Name):
            assert node.id not in ("print", "exit", "quit", "input", "breakpoint"), line
        elif isinstance(node, ast.Attribute):
            name = ast.unparse(node)
            if name in ("sys.stdout.write", "sys.stdout.buffer", "sys.__stdout__", "sys.stderr"):
                assert module == "portwait.cli", line
            if name in ("sys.exit", "os._exit"):
                assert module in ENDERS, line


@every_module
def test_a_module_says_what_it_is_for(module: str) -> None:
    """In its docstring, from the first line on."""
    assert ast.get_docstring(tree(module))


@every_module
def test_a_module_is_short(module: str) -> None:
    """One reason each; 300 lines are more than one."""
    assert len(PATHS[module].read_text().splitlines()) <= 300


@pytest.mark.parametrize("name", portwait.__all__)
def test_every_public_name_is_there_and_explained(name: str) -> None:
    """Each is loaded from its home, with words for who uses it."""
    value = getattr(portwait, name)
    if name == "__version__":
        assert isinstance(value, str)
        return
    assert value.__doc__
    assert value.__name__ == name
    assert value is getattr(importlib.import_module(value.__module__), name)


def test_the_public_names_are_those_that_type_checkers_see() -> None:
    """The lazy facade and what type checkers read of it name the same."""
    typed = {
        alias.asname
        for node in ast.walk(tree("portwait"))
        if isinstance(node, ast.ImportFrom) and node.module != "__future__"
        for alias in node.names
    } - {None}
    assert typed == set(portwait.__all__)


def test_a_shell_can_list_the_public_names() -> None:
    """Rule: dir() names each before it is loaded, for a shell that completes names."""
    script = "import portwait; print(*dir(portwait))"
    listed = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout.split()
    assert set(portwait.__all__) <= set(listed)


def test_a_public_name_is_no_modules() -> None:
    """A submodule's import would take the name's place in the package."""
    assert {f"portwait.{name}" for name in portwait.__all__} & set(MODULES) == set()


def test_what_is_not_there_is_an_attribute_error() -> None:
    """As of any module."""
    with pytest.raises(AttributeError, match="module 'portwait' has no attribute 'nonsense'"):
        _ = portwait.nonsense


def test_importing_the_package_costs_next_to_nothing() -> None:
    """Its names are loaded when they are first used; tests/system/test_free_path.py follows them through the guard."""
    program = (
        "import sys; sys.path[:0] = sys.argv[1:]; old = {*sys.modules}; import portwait; print({*sys.modules} - old)"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program, PACKAGE.parent],
        capture_output=True,
        check=True,
        timeout=DEADLINE,
        text=True,
    )
    assert ast.literal_eval(done.stdout) <= {"portwait", "__future__"}


def test_no_test_here_needs_a_network_of_its_own() -> None:
    """These tests need no root. Whatever asks for the `net` fixture, or makes namespaces, belongs to tests/system."""
    asking = re.compile(r"""usefixtures\("net"|\bnet: None|import .*private_network""")
    others = sorted(Path(__file__).parent.glob("test_*.py"))
    others.remove(Path(__file__))
    assert [path.name for path in others if asking.search(path.read_text())] == []


def test_nothing_imports_what_the_packed_folder_has_not() -> None:
    """contrib/docker/pack.py leaves modules out, for size and for the libraries behind them."""
    pack = load("contrib/docker/pack.py")
    imported = {
        (module, name.partition(".")[0])
        for module in MODULES
        for node in ast.walk(tree(module))
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert len(imported) > 300
    without = {("portwait._linux.pidfd", "ctypes")}  # which says so where it is missing; there is another way then
    assert {(module, name) for module, name in imported if name in pack.UNUSED} == without
