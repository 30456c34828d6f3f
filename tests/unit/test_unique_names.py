"""The house rules that a reader relies on: one class by each name, no module circles."""

from __future__ import annotations

import ast
from collections import defaultdict
from graphlib import TopologicalSorter
from pathlib import Path

_ROOT = Path(__file__).parents[2]
_TREES = {
    ".".join(path.relative_to(_ROOT).with_suffix("").parts).removesuffix(".__init__"): ast.parse(
        path.read_text(encoding="utf-8")
    )
    for package in ("contracts", "stages", "infra")
    for path in sorted((_ROOT / package).rglob("*.py"))
    # A distribution of its own, which imports nothing of ours and says what it reads in the same words.
    if "understudy_client" not in path.parts
}


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
    assert {"contracts.events", "stages.fallback.handle", "infra.runner.execution"} <= _TREES.keys()
    assert "contracts.errors" in _imports("contracts.events", _TREES["contracts.events"])


def test_public_class_names_are_unique() -> None:
    places: defaultdict[str, list[str]] = defaultdict(list)
    for module, tree in _TREES.items():
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(module)
    assert {name: found for name, found in places.items() if len(found) > 1} == {}


def test_no_modules_import_each_other_in_a_circle() -> None:
    TopologicalSorter({name: _imports(name, tree) for name, tree in _TREES.items()}).prepare()
