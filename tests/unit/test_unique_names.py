"""House rules that a reader relies on: unique class names, no module circles, docstrings that state."""

from __future__ import annotations

import ast
from collections import defaultdict
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]
#: A distribution of its own, which is imported by another name.
_CLIENT = _ROOT / "infra" / "client"


def _parsed(root: Path, *packages: str) -> dict[str, ast.Module]:
    return {
        ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__"): ast.parse(
            path.read_text(encoding="utf-8")
        )
        for package in packages
        for path in sorted((root / package).rglob("*.py"))
        if root == _CLIENT or not path.is_relative_to(_CLIENT)
    }


_APPLICATION = _parsed(_ROOT, "contracts", "stages", "infra")
_LIBRARY = _parsed(_CLIENT, "understudy_client")
_TREES = {**_APPLICATION, **_LIBRARY}


def _imports(name: str, tree: ast.Module) -> set[str]:
    """Modules that a module imports anywhere, for types alone too; not the packages that they are in."""
    found: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                found |= {each.name for each in names}
            case ast.ImportFrom(module=str(module), names=names):
                inner = {f"{module}.{each.name}" for each in names}
                found |= (inner & _TREES.keys()) or {module}
            case _:
                pass
    return (found & _TREES.keys()) - {name}


def test_every_module_is_looked_at() -> None:
    assert {"contracts.events", "stages.fallback.handle", "infra.runner.execution"} <= _APPLICATION.keys()
    assert {"understudy_client", "understudy_client.client"} <= _LIBRARY.keys()
    assert "contracts.errors" in _imports("contracts.events", _TREES["contracts.events"])


@pytest.mark.parametrize("trees", [_APPLICATION, _LIBRARY], ids=["application", "client"])
def test_public_class_names_are_unique(trees: dict[str, ast.Module]) -> None:
    places: defaultdict[str, list[str]] = defaultdict(list)
    for module, tree in trees.items():
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(module)
    assert {name: found for name, found in places.items() if len(found) > 1} == {}


def test_no_modules_import_each_other_in_a_circle() -> None:
    TopologicalSorter({name: _imports(name, tree) for name, tree in _TREES.items()}).prepare()


@pytest.mark.parametrize("name", _TREES)
def test_a_module_opens_with_a_statement(name: str) -> None:
    docstring = ast.get_docstring(_TREES[name])
    assert docstring is not None or not _TREES[name].body, "no docstring"
    first = (docstring or "").partition("\n\n")[0]
    assert "?" not in first
