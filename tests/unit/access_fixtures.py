"""A gateway without a broker whose database has tokens, for tests of who may do what."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import pytest
import pytest_asyncio
from sqlalchemy import Engine

from infra.gateway.app import create_app
from infra.gateway.gateway import Gateway
from infra.gateway.token_desk import issue_token
from infra.settings.settings import Settings, load
from infra.stores import access_tokens, database
from infra.telemetry.dispatch import Telemetry

HOST = "http://localhost"
#: An address that other machines reach.
EVERYWHERE = "0.0.0.0"  # noqa: S104 - nothing listens there


class World(msgspec.Struct):
    """A gateway without a broker, its database, and what it emits."""

    gateway: Gateway
    http: httpx2.AsyncClient
    engine: Engine
    emitted: list[Any]

    def issue(self, role: str = "admin", **options: Any) -> str:
        """A new token in the database."""
        issued = issue_token(name="test", role=role, now_ms=self.gateway.now_ms(), **options)
        access_tokens.add_token(self.engine, issued.stored)
        self.gateway.access.forget()
        return issued.token.text


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def settings_of(folder: Path, **gateway: Any) -> Settings:
    return load(
        nats_url="nats://127.0.0.1:1", database_url=f"sqlite:///{folder / 'audit.db'}", gateway=gateway
    )


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with its tables, which takes longer to make than to copy."""
    file = tmp_path_factory.mktemp("empty") / "audit.db"
    made = database.engine_of(f"sqlite:///{file}")
    database.migrate(made)
    made.dispose()
    return file


@pytest.fixture
def engine(tmp_path: Path, empty: Path) -> Iterator[Engine]:
    shutil.copy(empty, tmp_path / "audit.db")
    made = database.engine_of(f"sqlite:///{tmp_path / 'audit.db'}")
    yield made
    made.dispose()


@pytest_asyncio.fixture
async def world(tmp_path: Path, engine: Engine) -> AsyncIterator[World]:
    emitted: list[Any] = []
    gateway = Gateway(settings_of(tmp_path, body_bytes=4096), telemetry=Telemetry(emitted.append))
    transport = httpx2.ASGITransport(app=create_app(gateway))
    async with httpx2.AsyncClient(transport=transport, base_url=HOST) as http:
        yield World(gateway, http, engine, emitted)
    await gateway.access.close()
    gateway.database.close()
