"""What do all tests share?  An environment that nothing of the developer's reaches into."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from infra.nats import connection
from tests import profiles
from tests.broker import audit_fixtures

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


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _LEFT_OUT:
        terminalreporter.write_line(
            "PostgreSQL's server is not installed: the database tests ran on SQLite alone "
            f"({audit_fixtures.LEFT_OUT}=0 makes that an error)",
            yellow=True,
        )


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
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A broker that is not there is given up at once: the port refuses, and nobody is going to open it."""
    monkeypatch.setattr(connection, "CONNECT_S", 0.2)


@pytest.fixture(autouse=True)
def _log_of_its_own() -> Iterator[None]:
    """What one test configures of the log must not keep the next one from reading it."""
    yield
    structlog.reset_defaults()
