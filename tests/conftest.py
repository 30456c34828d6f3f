"""Every test: an environment that nothing of the developer's reaches into, its worker, and what was left out."""

from __future__ import annotations

import gc
import importlib
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import pytest
import structlog
from xdist.scheduler import LoadScopeScheduling

from tests import profiles
from tests.broker import audit_fixtures
from tests.ports import free_port

profiles.register()

_OURS = ("UNDERSTUDY_", "USE_LOCAL_MODEL")
_TESTS_OWN = "UNDERSTUDY_TEST_"
_TESTS: Final = Path(__file__).parent

for _name in [name for name in os.environ if name.startswith(_OURS) and not name.startswith(_TESTS_OWN)]:
    del os.environ[_name]

# Threads of torch that spin while they wait take five times the processor where workers share the cores.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


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
    "engine",
    "packaging",
    "console",
    "pipeline",
    "extending",
    "docs",
    "broker",
    "providers",
    "house",
    "anchors",
    "unit",
)
#: Files that share what is expensive, or take every core: each group is on one worker.
GROUPS: Final = {
    "tests/engine/": "engine",
    "tests/console/": "console",
    "tests/pipeline/test_soak.py": "load",
    "tests/pipeline/test_overload.py": "load",
    "tests/pipeline/test_cli.py": "command line",
    "tests/pipeline/test_cli_inspect.py": "command line",
    "tests/pipeline/test_cli_replays.py": "command line",
}


def group_of(node: str) -> str:
    """Group of a test by its id: its file, or what the file is in."""
    file = node.partition("::")[0]
    return next((group for start, group in GROUPS.items() if file.startswith(start)), file)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Hand out the load tests first, then folder by folder."""

    def place(item: pytest.Item) -> tuple[bool, int]:
        folder = next((part for part in item.path.relative_to(_TESTS).parts if part in _ORDER), "")
        return group_of(item.nodeid) != "load", _ORDER.index(folder) if folder else len(_ORDER)

    items.sort(key=place)


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """What was collected stays: no search for garbage goes through it again."""
    gc.collect()
    gc.freeze()


class ByGroup(LoadScopeScheduling):
    """Keeps each group on one worker.

    xdist's own groups are ignored without a word for the ids of pytest 9.2 (pytest-xdist, issue 1386): every worker
    starts what the tests of a file share.
    """

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByGroup | None:
    return ByGroup(config, log) if config.getoption("dist") == "loadgroup" else None


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
