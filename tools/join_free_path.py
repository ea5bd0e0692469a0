"""Join the modules of the free path into one module, `portwait._free_path`, when a wheel is built: a hook of hatchling.

A start on a free port loads 15 small modules. The interpreter needs 0.08 ms to find and read the file of each, which
together is more than everything else that portwait does then. The wheel has the modules as they are, and this one that
makes all of them from one file. Where it is missing, in a checkout say, they are loaded one by one.

Each module becomes a function in which every name is global; to load the module is to run that function's code in the
module's own namespace. What only readers and type checkers need is left out: docstrings and annotations.
"""

from __future__ import annotations

import ast
import symtable
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

MODULES = (
    "errors",
    "options",
    "options.record",
    "cli",
    "commands",
    "handoff",
    "bind",
    "model",
    "model.value",
    "model.targets",
    "bind.hold",
    "model.verdict",
    "bind.probe",
    "bind.survey",
    "commands.guard",
)
"""What a start on a free port loads, each after what it imports; a test compares it with what is really loaded."""

HEAD = '''\
"""The modules that a start on a free port needs, joined when the wheel was built; see tools/join_free_path.py."""

import sys


def load() -> None:
    """Make each module that is not loaded yet."""
    folder = sys.modules["portwait"].__path__[0]
    for name, is_package, body in BODIES:
        if name in sys.modules:
            continue
        parent, _, own = name.rpartition(".")
        module = type(sys)(name)
        path = folder + name[len("portwait") :].replace(".", "/")
        if is_package:
            module.__path__ = [path]
        module.__package__ = name if is_package else parent
        module.__file__ = path + ("/__init__.py" if is_package else ".py")
        sys.modules[name] = module
        try:
            exec(body.__code__, module.__dict__)
        except BaseException:
            del sys.modules[name]
            raise
        setattr(sys.modules[parent], own, module)
'''


class JoinFreePath(BuildHookInterface[Any]):
    """Adds the joined module to a wheel that people install."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Write it to a file outside the checkout, and tell where it belongs."""
        if version == "editable":
            return
        file = Path(tempfile.mkdtemp(prefix="portwait-build-"), "_free_path.py")
        file.write_text(join(Path(self.root, "portwait")), encoding="utf-8")
        build_data["force_include"][str(file)] = "portwait/_free_path.py"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:  # noqa: ARG002  # as hatchling calls it
        """Remove the file."""
        for source, place in build_data["force_include"].items():
            if place == "portwait/_free_path.py":
                Path(source).unlink()
                Path(source).parent.rmdir()


def join(package: Path) -> str:
    """Write the source of the joined module, from those in the folder of the package."""
    parts = [HEAD]
    rows = []
    for module in MODULES:
        file = package.joinpath(*module.split("."))
        is_package = file.is_dir()
        source = (file / "__init__.py" if is_package else file.with_suffix(".py")).read_text(encoding="utf-8")
        function = module.replace(".", "__")
        parts.append(_as_function(function, source))
        rows.append(f"    ({f'portwait.{module}'!r}, {is_package}, {function}),\n")
    parts.append(f"BODIES = (\n{''.join(rows)})\n")
    return "\n\n".join(parts)


def _as_function(name: str, source: str) -> str:
    """Turn a module's source into that of a function whose code can run as the module's."""
    tree = ast.fix_missing_locations(_Strip().visit(ast.parse(source)))
    names = sorted(
        symbol.get_name()
        for symbol in symtable.symtable(ast.unparse(tree), name, "exec").get_symbols()
        if symbol.is_assigned() or symbol.is_imported()
    )
    body = [*([ast.Global(names)] if names else []), *tree.body] or [ast.Pass()]
    nothing = ast.arguments(posonlyargs=[], args=[], kwonlyargs=[], kw_defaults=[], defaults=[])
    function = ast.FunctionDef(name, nothing, body, decorator_list=[])
    return ast.unparse(ast.fix_missing_locations(ast.Module([function], type_ignores=[])))


class _Strip(ast.NodeTransformer):
    """Leaves out docstrings, annotations, and what only a type checker imports."""

    def visit_Expr(self, node: ast.Expr) -> ast.Expr | None:
        """Leave out a string that stands alone: a docstring."""
        return None if isinstance(node.value, ast.Constant) and isinstance(node.value.value, str) else node

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.ImportFrom | None:
        """Leave out `from __future__ import annotations`, because no annotation is left."""
        return None if node.module == "__future__" else node

    def visit_If(self, node: ast.If) -> ast.AST | None:
        """Leave out a type checker's imports."""
        if isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            return None
        return self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.Assign | None:
        """Turn an annotation with a value into an assignment, and leave out one without."""
        return None if node.value is None else ast.Assign([node.target], self.visit(node.value))

    def visit_arg(self, node: ast.arg) -> ast.arg:
        """Leave out the annotation of a parameter."""
        node.annotation = None
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        """Leave out the annotation of what a function returns; its body may have been a docstring alone."""
        node.returns = None
        self.generic_visit(node)
        node.body = node.body or [ast.Pass()]
        return node

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.ClassDef:
        """Fill a body that was a docstring alone."""
        self.generic_visit(node)
        node.body = node.body or [ast.Pass()]
        return node
