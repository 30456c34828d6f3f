"""Comments beside names in the source.

The ``#:`` lines above a field are its documentation; docstrings are that of classes.
"""

from __future__ import annotations

import ast
import inspect
import re
from types import ModuleType

import msgspec

_MARK = "#:"


class ClassComments(msgspec.Struct, frozen=True, kw_only=True):
    """What one class says about itself and its fields."""

    docstring: str
    fields: dict[str, str]


def of(*modules: ModuleType) -> dict[str, ClassComments]:
    """What the classes of some modules say, by class name."""
    found: dict[str, ClassComments] = {}
    for module in modules:
        source = inspect.getsource(module)
        lines = source.splitlines()
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.ClassDef):
                docstring = (ast.get_docstring(node) or "").partition("\n\n")[0]
                found[node.name] = ClassComments(docstring=plain(docstring), fields=_fields(node, lines))
    return found


def plain(text: str) -> str:
    """A comment as Markdown on one line: double backquotes and roles of Sphinx become single ones."""
    text = re.sub(r":\w+:`~?([^`]+)`", r"`\1`", text)
    return " ".join(text.replace("``", "`").split())


def _fields(node: ast.ClassDef, lines: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for statement in node.body:
        match statement:
            case ast.AnnAssign(target=ast.Name(id=name)) | ast.Assign(targets=[ast.Name(id=name)]):
                found[name] = plain(_above(lines, statement.lineno - 1))
            case _:
                continue
    return found


def _above(lines: list[str], index: int) -> str:
    """The ``#:`` lines that end just above a line."""
    said: list[str] = []
    while index > 0 and lines[index - 1].strip().startswith(_MARK):
        index -= 1
        said.insert(0, lines[index].strip().removeprefix(_MARK).strip())
    return " ".join(said)
