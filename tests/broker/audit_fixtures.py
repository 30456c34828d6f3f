"""Which databases do the audit's tests run against?  Both that are supported, real ones."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import Engine, select

from infra.stores import database
from infra.stores.database import GENERATION_LOGS, GENERATIONS

#: Says that PostgreSQL is left out on purpose.
LEFT_OUT = "UNDERSTUDY_TEST_NO_POSTGRES"
BACKENDS = ("sqlite",) if os.environ.get(LEFT_OUT) == "1" else ("sqlite", "postgresql")

_PLACES = (
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/usr/local/pgsql/bin",
    "/usr/local/opt/postgresql*/bin",
    "/opt/homebrew/opt/postgresql*/bin",
)
_READY = "ready to accept connections"


def binaries() -> Path:
    """The folder of the newest ``initdb`` and ``postgres``."""
    found = [
        folder for place in _PLACES for folder in Path("/").glob(place[1:]) if (folder / "initdb").is_file()
    ]
    on_path = shutil.which("initdb")
    if on_path is not None:
        found.append(Path(on_path).resolve().parent)
    if not found:
        pytest.fail(
            "PostgreSQL's server is not installed: install it (Debian, Ubuntu: apt-get install postgresql; "
            f"macOS: brew install postgresql), or leave it out on purpose with {LEFT_OUT}=1",
            pytrace=False,
        )
    return max(
        found, key=lambda folder: [int(part) for part in folder.parent.name.split("-") if part.isdigit()]
    )


class Postgres:
    """A private cluster: a socket in a folder of its own, no port; the server refuses to run as root."""

    def __init__(self) -> None:
        self._binaries = binaries()
        self.folder = Path(tempfile.mkdtemp(prefix="understudy-pg-"))
        self._as: dict[str, Any] = {}
        if os.geteuid() == 0:
            names = {user.pw_name for user in pwd.getpwall()}
            user = pwd.getpwnam("postgres" if "postgres" in names else "nobody")
            os.chown(self.folder, user.pw_uid, user.pw_gid)
            self._as = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        self._server: subprocess.Popen[str] | None = None
        made = subprocess.run(
            [self._binaries / "initdb", "-D", self.folder / "data", "-U", "understudy", "-A", "trust", "-N"],
            capture_output=True,
            text=True,
            check=False,
            cwd=self.folder,
            **self._as,
        )
        if made.returncode != 0:
            pytest.fail(f"initdb failed: {made.stderr}", pytrace=False)
        self.start()

    def start(self) -> None:
        """Start the server and return when it takes connections."""
        self._server = subprocess.Popen(
            [
                *(self._binaries / "postgres", "-D", self.folder / "data", "-k", self.folder),
                *("-c", "listen_addresses=", "-c", "fsync=off", "-c", "autovacuum=off"),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=self.folder,
            **self._as,
        )
        assert self._server.stdout is not None
        said: list[str] = []
        for line in self._server.stdout:
            said.append(line)
            if _READY in line:
                break
        else:
            pytest.fail(f"postgres ended: {''.join(said)}", pytrace=False)
        threading.Thread(target=self._server.stdout.read, daemon=True).start()

    def stop(self) -> None:
        """Stop the server at once, clients or not."""
        if self._server is not None:
            self._server.send_signal(signal.SIGINT)
            self._server.wait(20)
            self._server = None

    def create(self, name: str) -> str:
        """The URL of a new, empty database."""
        with psycopg.connect(
            host=str(self.folder), user="understudy", dbname="postgres", autocommit=True
        ) as connection:
            connection.execute(f'CREATE DATABASE "{name}"')
        return f"postgresql://understudy@/{name}?host={self.folder}"

    def remove(self) -> None:
        """Stop the server and delete its folder."""
        self.stop()
        shutil.rmtree(self.folder)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    cluster = Postgres()
    yield cluster
    cluster.remove()


@pytest.fixture(params=BACKENDS)
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'audit.db'}"
    cluster: Postgres = request.getfixturevalue("postgres")
    return cluster.create(f"t{os.urandom(6).hex()}")


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """The same, with the audit's tables."""
    opened = database.engine_of(database_url)
    database.migrate(opened)
    yield opened
    opened.dispose()


def everything(engine: Engine) -> dict[str, list[tuple[Any, ...]]]:
    """All rows, row numbers left out."""
    logs = [column for column in GENERATION_LOGS.columns if column.name != "id"]
    with database.reading(engine) as connection:
        return {
            "generations": [
                tuple(row)
                for row in connection.execute(select(GENERATIONS).order_by(GENERATIONS.c.request_id))
            ],
            "generation_logs": [
                tuple(row)
                for row in connection.execute(
                    select(*logs).order_by(GENERATION_LOGS.c.request_id, GENERATION_LOGS.c.sequence)
                )
            ],
        }


def rows_of(engine: Engine, table: Any) -> list[dict[str, Any]]:
    """All rows of a table as dictionaries, by request."""
    with database.reading(engine) as connection:
        query = select(table).order_by(table.c.request_id)
        return [dict(row) for row in connection.execute(query).mappings()]
