"""Every test: an environment that nothing of the developer's reaches into, its worker, and what was left out."""

from __future__ import annotations

import importlib
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import pytest
import structlog

from tests import profiles
from tests.broker import audit_fixtures
from tests.ports import free_port

profiles.register()

_OURS = ("UNDERSTUDY_", "USE_LOCAL_MODEL")
_TESTS_OWN = "UNDERSTUDY_TEST_"

for _name in [name for name in os.environ if name.startswith(_OURS) and not name.startswith(_TESTS_OWN)]:
    del os.environ[_name]


def _leave_postgres_out() -> bool:
    """Whether its tests cannot run here; a value of the variable, 0 too, is somebody's decision."""
    if audit_fixtures.LEFT_OUT in os.environ:
        return False
    try:
        audit_fixtures.binaries()
    except pytest.fail.Exception:
        os.environ[audit_fixtures.LEFT_OUT] = "1"
        importlib.reload(audit_fixtures)
        return True
    return False


_LEFT_OUT = _leave_postgres_out()


#: Why a plain run leaves tests out, and what runs them, by marker; the first one that a test has counts.
_ELSEWHERE: Final = {
    "real_server": ("against real inference servers", "test-servers"),
    "stock": ("of the stock subscriber's traps", "test-traps"),
    "long": ("that take long", "test-long"),
}
_left_out: Counter[str] = Counter()


def pytest_deselected(items: Sequence[pytest.Item]) -> None:
    for item in items:
        marked = next((name for name in _ELSEWHERE if item.get_closest_marker(name)), None)
        if marked is not None:
            _left_out[marked] += 1


def pytest_sessionfinish(session: pytest.Session) -> None:
    # A worker of xdist is the only one who knows; all of them left out the same.
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["left_out"] = dict(_left_out)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    _left_out.update(getattr(node, "workeroutput", {}).get("left_out", {}) if not _left_out else {})


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if _LEFT_OUT:
        terminalreporter.write_line(
            "PostgreSQL's server is not installed: the database tests ran on SQLite alone "
            f"({audit_fixtures.LEFT_OUT}=0 makes that an error)",
            yellow=True,
        )
    for name, count in _left_out.items():
        why, recipe = _ELSEWHERE[name]
        if not config.getoption("keyword"):
            terminalreporter.write_line(
                f"{count} tests {why} were left out: `just {recipe}` runs them", yellow=True
            )


#: Folders in the order in which their tests are handed out: what takes longest first, so that the workers end together.
_ORDER: Final = (
    "packaging",
    "pipeline",
    "extending",
    "docs",
    "broker",
    "engine",
    "providers",
    "house",
    "anchors",
    "unit",
)
#: The worker that gets this group computes with all cores; the others have nothing that does.
_SERIAL: Final = "serial"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep each file on one worker, and all of the tests that take every core on the same one, first."""

    def place(item: pytest.Item) -> tuple[bool, int]:
        folder = item.path.parent.name if item.path.parent.name in _ORDER else item.path.parent.parent.name
        return not _is_serial(item), _ORDER.index(folder) if folder in _ORDER else len(_ORDER)

    for item in items:
        if item.get_closest_marker("xdist_group"):
            continue
        group = _SERIAL if _is_serial(item) else item.path.stem
        item.add_marker(pytest.mark.xdist_group(group))
    items.sort(key=place)


def _is_serial(item: pytest.Item) -> bool:
    return "engine" in item.path.parts or item.get_closest_marker("soak") is not None


@pytest.fixture(scope="session", autouse=True)
def _no_config_file(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A config.yaml of the developer's own must not change what the tests see."""
    if not Path("config.yaml").is_file():
        yield
        return
    empty = tmp_path_factory.mktemp("config") / "config.yaml"
    empty.write_text("{}\n", encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UNDERSTUDY_CONFIG", str(empty))
        yield


@pytest.fixture
def own_port(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipeline of the test's own takes another port than the usual one, which somebody else may want."""
    monkeypatch.setenv("UNDERSTUDY_BROKER__PORT", str(free_port()))


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A broker that is not there is given up at once: the port refuses, and nobody is going to open it."""
    monkeypatch.setattr("understudy_client.connection.CONNECT_S", 0.2)


@pytest.fixture(autouse=True)
def _log_of_its_own() -> Iterator[None]:
    """What one test configures of the log must not keep the next one from reading it."""
    yield
    structlog.reset_defaults()
