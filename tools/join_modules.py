"""Join many small modules into one, `portwait._free_path` and `portwait._explain_path`, when a wheel is built.

A start on a free port loads 16 small modules, and explaining a held port 82 more. The interpreter needs 0.08 ms to find
and read the file of each: more than all that portwait does when the port is free. The wheel has the modules as they
are, and these two that make all of them from one file each. Where they are missing, in a checkout say, the modules are
loaded one by one. This is a build hook of hatchling.

Each module becomes a function in which every name is global; to load the module is to run that function's code in the
module's own namespace. What only readers and type checkers need is left out: docstrings and most annotations.
"""

from __future__ import annotations

import ast
import symtable
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

if TYPE_CHECKING:
    from collections.abc import Sequence

MODULES = {
    "_free_path": """
        errors options options.record cli commands handoff bind model model.value model.targets
        model.verdict bind.probe bind.hold bind.survey commands.continuing commands.guard
    """.split(),  # noqa: SIM905  # a list of one name a line would hide the rest
    "_explain_path": """
        advice.container_sysctl model.ports text text.escape advice.shell_commands advice.own_settings
        model.record text.stdout text.plural advice.stopping host host.machine advice.facts diagnosis
        model.owner diagnosis.owners diagnosis.tables host.supervisors host.ask host.systemd_units
        model.port_settings model.case advice host.port_settings options.row options.table text.durations
        options.values options.environment options.reader reports text.secret_names text.masking
        reports.document reports.sockets text.layout reports.target reports.summary text.terminal wait
        diagnosis.evictable diagnosis.interfaces model.kind diagnosis.kinds diagnosis.overlap model.blocker
        diagnosis.other_ends diagnosis.blockers host.addresses wait.inspection commands.explain
        _linux _linux.kernel _linux.netns model.sockets
        _linux.wire _linux.ends _linux.sockdiag _linux.procfs _linux.descriptors _linux.all_cores
        _linux.cgroup_tree _linux.socket_owners _linux.cgroups _linux.sysctl advice.tanuki advice.tanuki.config
        host.untrusted_file advice.trust advice.tanuki.rules advice.rules.address advice.rules.bound advice.rules.evict
        advice.rules.inherited
        advice.rules.kernel_sockets advice.rules.leftovers advice.rules.listener advice.port_range
        advice.rules.outbound advice.rules.permission advice.rules.visibility advice.rules
    """.split(),  # noqa: SIM905  # likewise
}
"""What a start on a free port loads, and what explaining a held one loads more, each after what it imports.

Tests compare both with what is really loaded.
"""

OLD = """\
portwait needs Python 3.9 or newer, and this is Python %d.%d.
Install the .deb, the .rpm or the tar.gz of a release instead: they bring their own Python (docs/install.md)."""

HEAD = '''\
"""Modules of portwait, joined when the wheel was built; see tools/join_modules.py."""

import sys


def load() -> None:
    """Make each module that is not loaded yet."""
    folder = sys.modules["portwait"].__path__[0]
    made = {}
    for name, is_package, _ in BODIES:
        if name not in sys.modules:
            made[name] = module = type(sys)(name)
            path = folder + name[len("portwait") :].replace(".", "/")
            if is_package:
                module.__path__ = [path]
            module.__package__ = name if is_package else name.rpartition(".")[0]
            module.__file__ = path + ("/__init__.py" if is_package else ".py")
            sys.modules[name] = module
    for name in made:
        parent, _, own = name.rpartition(".")
        __import__(parent)  # it may be none of these
        setattr(sys.modules[parent], own, made[name])
    try:
        for name, _, body in BODIES:
            if name in made:
                exec(body.__code__, made[name].__dict__)
                del made[name]
    finally:
        for name in made:  # what was not made is as if it had never been loaded
            parent, _, own = name.rpartition(".")
            delattr(sys.modules[parent], own)
        for name in made:
            del sys.modules[name]
'''


class JoinModules(BuildHookInterface[Any]):
    """Adds the joined modules to a wheel that people install."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Write them to a folder outside the checkout, and tell where they belong."""
        if sys.version_info < (3, 9):  # noqa: UP036  # pip builds first, and asks for the oldest Python afterwards
            sys.exit(OLD % sys.version_info[:2])
        if version == "editable":
            return
        self._folder = tempfile.TemporaryDirectory(prefix="portwait-build-")
        for name, modules in MODULES.items():
            file = Path(self._folder.name, f"{name}.py")
            file.write_text(join(Path(self.root, "portwait"), modules), encoding="utf-8")
            build_data["force_include"][str(file)] = f"portwait/{name}.py"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:  # noqa: ARG002  # its API
        """Remove the folder."""
        if version != "editable":
            self._folder.cleanup()


def join(package: Path, modules: Sequence[str]) -> str:
    """Write the source of a joined module, from these of the package in that folder."""
    parts = [HEAD]
    rows = []
    for module in modules:
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
    """Leaves out docstrings, what only a type checker imports, and annotations, those of a class's fields aside."""

    def __init__(self) -> None:
        """Begin; `_fields` are the annotations that stay."""
        self._fields: set[ast.AnnAssign] = set()

    def visit_Expr(self, node: ast.Expr) -> ast.Expr | None:
        """Leave out a string that stands alone: a docstring."""
        if isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            return None
        self.generic_visit(node)
        return node

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.ImportFrom | None:
        """Leave out `from __future__ import annotations`, because no annotation is left."""
        return None if node.module == "__future__" else node

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.AST:
        """Turn an f-string into a call of format: written by a Python from 3.12 on, an older one may not read it."""
        arguments: list[ast.expr] = []
        template = self._template(node, arguments)
        if not arguments:
            return ast.Constant(template.format())
        return ast.Call(ast.Attribute(ast.Constant(template), "format", ast.Load()), arguments, keywords=[])

    def _template(self, node: ast.expr, arguments: list[ast.expr]) -> str:
        text = ""
        for part in node.values if isinstance(node, ast.JoinedStr) else ():
            if isinstance(part, ast.FormattedValue):
                arguments.append(self.visit(part.value))
                conversion = f"!{chr(part.conversion)}" if part.conversion > 0 else ""
                specification = self._template(part.format_spec, arguments) if part.format_spec else ""
                text += f"{{{conversion}{f':{specification}' if specification else ''}}}"
            elif isinstance(part, ast.Constant):
                text += str(part.value).replace("{", "{{").replace("}", "}}")
        return text

    def visit_If(self, node: ast.If) -> ast.AST | list[ast.AST]:
        """Leave out what a type checker imports; what everybody else does instead stays."""
        if isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            return [self.visit(each) for each in node.orelse]
        return self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.Assign | ast.AnnAssign | None:
        """Turn an annotation with a value into an assignment, and leave out one without; fields of classes stay."""
        if node in self._fields:
            self.generic_visit(node)
            return node
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
        """Keep the annotations of fields, as text: some classes read them. A body may have been a docstring alone."""
        fields = [each for each in node.body if isinstance(each, ast.AnnAssign)]
        for field in fields:
            field.annotation = ast.Constant(ast.unparse(field.annotation))
        self._fields.update(fields)
        self.generic_visit(node)
        node.body = node.body or [ast.Pass()]
        return node
