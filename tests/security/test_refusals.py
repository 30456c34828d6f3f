"""What the broker refuses fails at once, with the role and what it may do; it is never tried for ever."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from structlog.testing import capture_logs
from understudy_client import AccessDenied, Client

from contracts import roles
from contracts.errors import Refused
from infra.app.application import NOT_ALLOWED
from infra.app.wiring import assemble
from infra.nats import log, topology
from infra.nats.connection import NotAllowed, dial, reach
from infra.nats.multiplexer import RequestMultiplexer
from infra.security import keys
from infra.settings.settings import NatsAccess, Settings, load
from tests.security.servers import SecuredServer, secured_server

_WAIT_S = 60.0


@pytest_asyncio.fixture
async def server(tmp_path: Path) -> AsyncIterator[SecuredServer]:
    async with secured_server(tmp_path) as found:
        yield found


@pytest_asyncio.fixture
async def settings(server: SecuredServer, tmp_path: Path) -> Settings:
    found = load(data_dir=tmp_path / "data", nats_url=server.url, nats={"keys": server.folder})
    await topology.apply_at(server.url, found)
    return found


@pytest.mark.parametrize("call", ["publish", "read"])
async def test_a_waiting_call_fails_with_the_role_and_its_rights(settings: Settings, call: str) -> None:
    nc = await dial(settings, name="test", role="audit")
    wire = RequestMultiplexer(timeout_s=_WAIT_S)
    await wire.open(nc)
    subject = "gen.result.layout.x" if call == "publish" else "$js.api.direct.get.kv_budgets"
    with pytest.raises(Refused) as error:
        await (wire.publish(subject, b"{}") if call == "publish" else log.get(wire, "KV_budgets", 1))
    assert str(error.value) == (
        f"role audit may not publish {subject}; it may publish dead.audit.> (docs/roles.md has its whole row)"
    )
    await wire.close()
    await nc.close()


async def test_an_inbox_that_is_not_the_roles_own_is_refused(
    server: SecuredServer, settings: Settings
) -> None:
    access = server.access("audit").model_copy(update={"inbox_prefix": "_INBOX_other"})
    nc = await dial(server.url, name="test", access=access)
    wire = RequestMultiplexer(timeout_s=_WAIT_S)
    await wire.open(nc)
    with pytest.raises(Refused, match=r"role audit may not subscribe to _inbox_other\."):
        await log.get(wire, "EVENTS", 1)
    await wire.close()
    await nc.close()


@pytest.mark.usefixtures("settings")
async def test_the_client_is_told_at_once(server: SecuredServer) -> None:
    async with Client.connect(server.url, nkey=keys.file_of(server.folder, "audit")) as client:
        with pytest.raises(AccessDenied, match=r"does not let role audit publish gen\.requested\.layout\."):
            await client.submit("layout", "a forest")


async def test_a_process_that_may_not_do_its_work_ends(settings: Settings) -> None:
    """The key of another stage: pulls and acknowledgements are refused without an answer."""
    wrong = settings.model_copy(update={"nats": reach(settings, "audit")[1]})
    application = assemble(wrong, ("fallback",))
    with capture_logs() as logs:
        status = await asyncio.wait_for(application.run(), _WAIT_S)
    assert status == NOT_ALLOWED
    said = [each["problem"] for each in logs if each["event"] == "permission_refused"]
    assert any(each.startswith("role fallback may not ") for each in said)


async def test_a_role_without_a_key_is_named(server: SecuredServer, settings: Settings) -> None:
    keys.file_of(server.folder, "fallback").unlink()
    with pytest.raises(NotAllowed, match="has no key for the role fallback"):
        reach(settings, "fallback")


async def test_a_key_of_another_server_is_refused(server: SecuredServer, tmp_path: Path) -> None:
    other = keys.ensure(tmp_path / "other", ["operator"])["operator"]
    with pytest.raises(NotAllowed, match="role operator: its key is not the broker's"):
        await dial(server.url, name="test", access=NatsAccess(nkey=other.file))


def test_every_role_is_found_by_its_name() -> None:
    for role in roles.pipeline_roles([("freeform-gen", "structuring")]):
        assert roles.find(role.name) == role
    assert roles.find("alice") == roles.client("alice")
    assert roles.find(None) is None
