"""Is an extension that cannot be used named, with its package and the reason?"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import pytest

from contracts.errors import ErrorCode
from contracts.kinds import BUILT_IN, KINDS, KindNames
from contracts.nodes.validation import validate as validated
from contracts.nodes.validation.check import Check, CheckExample, Severity
from contracts.nodes.validation.validate import register
from contracts.ports import ProviderError
from infra.extensions.entry_points import CHECKS, PROVIDERS, ExtensionError
from infra.extensions.entry_points import KINDS as KIND_GROUP
from infra.extensions.installed import Extensions, install
from infra.providers import route_checks, routing, table
from infra.settings.settings import Settings
from tests.extending.conftest import Installed, Write, reader
from tests.providers.openai_server import ask, params

_KIND = """
from pathlib import Path
from contracts.content.kind import ContentKind
from contracts.content.plot import Plot

GOOD = ContentKind(model=Plot, placeholder={
    "premise": "P.", "structure_type": "mystery", "title": "T",
    "beats": [{"purpose": "P.", "name": "N", "tension": 1}],
})
BAD = ContentKind(model=Plot, placeholder={"title": "T"})
FOLDER = ContentKind(model=Plot, placeholder=dict(GOOD.placeholder), prompts=Path("/no/such/folder"))
NUMBER = 3
"""
_CHECK = """
from contracts.nodes.validation.check import Check, CheckExample, Severity

def check(code):
    node = CheckExample(node={})
    return Check(code=code, severity=Severity.ERROR, title="t", why="w", find=lambda reading: [],
                 failing=node, passing=node)

TAKEN, UNFIT, TWICE = check("NOD001"), check("quest-1"), [check("QST100"), check("QST100")]
OF_FILES, MIXED = check("FIL900"), (check("QST100"), 3)
"""


def _problem(folder: Path) -> str:
    (problem,) = install(reader(folder)).problems.values()
    return problem


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        ("saga = broken_kind:NUMBER", "it is of type int, not ContentKind"),
        ("saga = broken_kind:MISSING", "AttributeError: module 'broken_kind' has no attribute 'MISSING'"),
        ("saga = no_such_module:SAGA", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("plot = broken_kind:GOOD", "there is a kind 'plot' already"),
        ("Saga-1 = broken_kind:GOOD", "a kind cannot be called 'Saga-1'"),
        ("saga = broken_kind:BAD", "its placeholder is not valid: premise: is missing"),
        ("saga = broken_kind:FOLDER", "it names a folder that does not exist, /no/such/folder"),
    ],
)
def test_a_kind(write: Write, monkeypatch: pytest.MonkeyPatch, entry: str, why: str) -> None:
    folder = write(KIND_GROUP, entry, _KIND, module="broken_kind")
    monkeypatch.syspath_prepend(folder)
    name, _, value = entry.partition(" = ")
    problem = _problem(folder)
    assert problem.startswith(f"content kind {name} of broken-thing 2.0 ({value}) cannot be used: {why}")
    assert problem.endswith("; correct the package or uninstall it")
    assert tuple(KINDS) == BUILT_IN


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("TAKEN", "there is a check NOD001 already"),
        ("UNFIT", "the code 'quest-1' is not 3 to 8 capital letters and 3 digits"),
        ("TWICE", "there is a check QST100 already"),
        ("OF_FILES", "the code 'FIL900' is one of files"),
        ("MIXED", "it holds a int, not only Check"),
    ],
)
def test_a_check(write: Write, monkeypatch: pytest.MonkeyPatch, name: str, why: str) -> None:
    folder = write(CHECKS, f"mine = broken_check:{name}", _CHECK, module="broken_check")
    monkeypatch.syspath_prepend(folder)
    assert f"checks mine of broken-thing 2.0 (broken_check:{name}) cannot be used: {why}" in _problem(folder)


def test_a_module_that_raises(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write(KIND_GROUP, "saga = raising:SAGA", "raise RuntimeError('no licence')", module="raising")
    monkeypatch.syspath_prepend(folder)
    assert "cannot be used: RuntimeError: no licence" in _problem(folder)


def test_two_packages_with_a_provider_of_one_name(write: Write) -> None:
    first = write(PROVIDERS, "twin = a:A", "", module="a", package="a-first")
    second = write(PROVIDERS, "twin = b:B", "", module="b", package="b-second")
    found = install(reader(first, second))
    assert found.providers["twin"].package == "a-first"
    (problem,) = found.problems.values()
    assert (
        "provider twin of b-second 2.0 (b:B) cannot be used: a-first 2.0 (a:A) has a provider of this name"
        in (problem)
    )


def test_to_install_once_more_has_no_effect(monkeypatch: pytest.MonkeyPatch) -> None:
    module = validated.__globals__
    monkeypatch.setitem(module, "_installed", {})
    node = CheckExample(node={})
    check = Check(
        code="QST100",
        severity=Severity.ERROR,
        title="t",
        why="w",
        find=lambda reading: [][reading],
        failing=node,
        passing=node,
    )
    register([check])
    register([check])
    report = validated({"generation_type": "plot", "purpose": "original", "strategy": "always"})
    (found,) = [each for each in report.findings if each.code == "QST100"]
    # A defect in it refuses nobody's node.
    assert (found.severity, found.path) == (Severity.WARNING, "")
    assert "this check of an extension failed: TypeError" in found.message


# -- providers ---------------------------------------------------------------------------------------------

_PROVIDER = """
from infra.providers.spec import ProviderSpec

class Anonymous:
    name, model = "somebody", "m"

def fail(settings, name):
    raise OSError("no such device")

NUMBER = 3
LACKS = ProviderSpec(make=fail, problem=lambda settings, name: "needs a GPU: pip install 'thing[gpu]'")
FAILS = ProviderSpec(make=fail)
OTHER = ProviderSpec(make=lambda settings, name: Anonymous())
"""


def _settings(folder: Path, name: str) -> Settings:
    class Extended(Settings):
        extensions: ClassVar[Extensions] = install(reader(folder))

    return Extended(use_local_model=True, narrative={"providers": {"plot": name}})


@pytest.fixture
def routed(write: Write, monkeypatch: pytest.MonkeyPatch):
    def settings(name: str, attribute: str) -> Settings:
        folder = write(
            PROVIDERS, f"{name} = broken_provider:{attribute}", _PROVIDER, module="broken_provider"
        )
        monkeypatch.syspath_prepend(folder)
        return _settings(folder, name)

    return settings


def test_a_provider_that_is_none_is_refused_where_a_route_names_it(routed) -> None:
    settings = routed("mine", "NUMBER")
    why = (
        "provider mine of broken-thing 2.0 (broken_provider:NUMBER) cannot be used: "
        "it is of type int, not ProviderSpec; correct the package or uninstall it"
    )
    assert route_checks.check(settings) == (
        f"setting UNDERSTUDY_NARRATIVE__PROVIDERS__PLOT is 'mine': {why}",
    )
    assert tuple(table.extension_problems(settings).values()) == (why,)


async def test_a_provider_that_lacks_something_says_what_to_do(routed) -> None:
    settings = routed("mine", "LACKS")
    (why,) = route_checks.check(settings)
    assert why.endswith("PLOT is 'mine': needs a GPU: pip install 'thing[gpu]'")
    with pytest.raises(ProviderError, match="needs a GPU") as found:
        await routing.providers(settings)["plot"].generate(ask(), params())
    assert found.value.code is ErrorCode.GEN_PROVIDER_UNAVAILABLE


@pytest.mark.parametrize(
    ("attribute", "why"),
    [
        ("FAILS", "it makes no provider: OSError: no such device"),
        ("OTHER", "its provider calls itself 'somebody', not 'mine'"),
    ],
)
def test_a_provider_that_cannot_be_made(routed, attribute: str, why: str) -> None:
    with pytest.raises(ExtensionError) as found:
        routing.providers(routed("mine", attribute))
    assert str(found.value).startswith("provider mine of broken-thing 2.0")
    assert why in str(found.value)


def test_a_provider_cannot_take_the_name_of_a_built_in_one(routed) -> None:
    settings = routed("local", "FAILS")
    (problem,) = table.extension_problems(settings).values()
    assert "there is a built-in provider of this name" in problem
    assert table.spec_of(settings, "local").double is False


# -- the start ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [("up",), ("run", "audit"), ("validate", "-")])
def test_a_start_names_it_in_one_line(write: Write, tmp_path: Path, command: tuple[str, ...]) -> None:
    folder = write(KIND_GROUP, "saga = raising:SAGA", "raise RuntimeError('no licence')", module="raising")
    done = Installed(folder, UNDERSTUDY_DATA_DIR=str(tmp_path / "data")).run(*command, given="{}")
    assert done.returncode == 2
    assert (
        "content kind saga of broken-thing 2.0 (raising:SAGA) cannot be used: RuntimeError: no licence"
        in (" ".join(done.stderr.split()))
    )
    assert "Traceback" not in done.stderr


def test_a_setting_of_a_kind_that_cannot_be_used_names_the_reason(write: Write, tmp_path: Path) -> None:
    folder = write(KIND_GROUP, "saga = raising:SAGA", "raise RuntimeError('no licence')", module="raising")
    done = Installed(folder, UNDERSTUDY_NARRATIVE__PROVIDERS__SAGA="scripted").run("templates", "ls")
    said = " ".join(done.stderr.split())
    assert "there is no setting UNDERSTUDY_NARRATIVE__PROVIDERS__SAGA" in said
    assert "RuntimeError: no licence" in said


def test_names_of_kinds_are_kept_in_order_and_once() -> None:
    names = KindNames(("a", "b"))
    names.add("c_1")
    names.add("a")
    assert (*names,) == ("a", "b", "c_1")
    assert names[1:] == ("b", "c_1")
    for bad in ("", "A", "1a", "a__b", "a_", "a.b", "a" * 33):
        with pytest.raises(ValueError, match="a kind cannot be called"):
            names.add(bad)
