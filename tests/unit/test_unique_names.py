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

Modules = dict[str, ast.Module]


def _parsed(root: Path, *packages: str) -> Modules:
    return {
        ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__"): ast.parse(
            path.read_text(encoding="utf-8")
        )
        for package in packages
        for path in sorted((root / package).rglob("*.py"))
        if root == _CLIENT or not path.is_relative_to(_CLIENT)
    }


@pytest.fixture(scope="module")
def application() -> Modules:
    return _parsed(_ROOT, "contracts", "stages", "infra")


@pytest.fixture(scope="module")
def library() -> Modules:
    return _parsed(_CLIENT, "understudy_client")


@pytest.fixture(scope="module")
def trees(application: Modules, library: Modules) -> Modules:
    return {**application, **library}


def _imports(name: str, trees: Modules) -> set[str]:
    """Modules that a module imports anywhere, for types alone too; not the packages that they are in."""
    found: set[str] = set()
    for node in ast.walk(trees[name]):
        match node:
            case ast.Import(names=names):
                found |= {each.name for each in names}
            case ast.ImportFrom(module=str(module), names=names):
                inner = {f"{module}.{each.name}" for each in names}
                found |= (inner & trees.keys()) or {module}
            case _:
                pass
    return (found & trees.keys()) - {name}


def test_every_module_is_looked_at(application: Modules, library: Modules, trees: Modules) -> None:
    assert {"contracts.events", "stages.fallback.handle", "infra.runner.execution"} <= application.keys()
    assert {"understudy_client", "understudy_client.client"} <= library.keys()
    assert "contracts.errors" in _imports("contracts.events", trees)


def test_public_class_names_are_unique(application: Modules, library: Modules) -> None:
    for modules in (application, library):
        places: defaultdict[str, list[str]] = defaultdict(list)
        for module, tree in modules.items():
            for node in tree.body:
                if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                    places[node.name].append(module)
        assert {name: found for name, found in places.items() if len(found) > 1} == {}


def test_no_modules_import_each_other_in_a_circle(trees: Modules) -> None:
    TopologicalSorter({name: _imports(name, trees) for name in trees}).prepare()


def test_every_module_opens_with_a_statement(trees: Modules) -> None:
    docstrings = {name: ast.get_docstring(tree) for name, tree in trees.items()}
    assert [name for name, said in docstrings.items() if said is None and trees[name].body] == []
    asking = [name for name, said in docstrings.items() if "?" in (said or "").partition("\n\n")[0]]
    assert asking == []
