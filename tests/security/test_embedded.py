"""The broker of `up`: it asks who connects, without a step for anybody, and keeps the streams of an open one."""

from __future__ import annotations

from pathlib import Path

import nats
import pytest
from understudy_client import Client

from contracts import roles
from infra.nats import server_config, topology
from infra.nats.connection import dial
from infra.nats.embedded import Embedded
from infra.nats.server_config import BrokerError
from infra.security import keys
from infra.security.server_file import PIPELINE
from infra.settings.settings import NatsAccess, Settings, load
from tests.security.servers import GROUPS


def _settings(broker: Embedded, folder: Path) -> Settings:
    assert broker.keys is not None
    return load(data_dir=folder, nats_url=broker.url, nats={"keys": broker.keys})


async def test_whoever_has_no_key_is_a_client(tmp_path: Path) -> None:
    async with Embedded(tmp_path, sync_interval="2m", groups=GROUPS) as broker:
        settings = _settings(broker, tmp_path)
        await topology.apply_at(broker.url, settings)
        refused: list[str] = []

        async def note(error: Exception) -> None:
            refused.append(str(error))

        nc = await nats.connect(broker.url, error_cb=note)
        await nc.jetstream().publish("gen.requested.layout.plain-1", b'{"prompt": "a wood"}')
        with pytest.raises(nats.errors.Error):  # pyright: ignore[reportAttributeAccessIssue]
            await nc.jetstream().publish("gen.result.layout.plain-1", b"{}", timeout=1)
        await nc.close()
        assert refused == ['nats: permissions violation for publish to "gen.result.layout.plain-1"']
        async with Client.connect(broker.url) as client:
            assert await client.owner("plain-1") is not None
        operator = await dial(settings, name="test")
        info = await topology.stream(operator, "REQUESTS")
        await operator.close()
        assert info is not None
        assert info["state"]["messages"] == 1
        assert {file.stat().st_mode & 0o077 for file in tmp_path.rglob("*")} == {0}


async def test_streams_follow_the_account(tmp_path: Path) -> None:
    """An earlier version's folder, and back: nothing is lost."""
    async with Embedded(tmp_path, sync_interval="2m") as broker:
        await topology.apply_at(broker.url, load(data_dir=tmp_path, nats_url=None))
        async with Client.connect(broker.url) as client:
            await client.submit("layout", "a forest", request_id="first-1")
    async with Embedded(tmp_path, sync_interval="2m", groups=GROUPS) as broker:
        assert await topology.apply_at(broker.url, _settings(broker, tmp_path)) == ()
        async with Client.connect(broker.url) as client:
            assert await client.owner("first-1") is not None
            await client.submit("layout", "a forest", request_id="second-1")
    async with Embedded(tmp_path, sync_interval="2m") as broker, Client.connect(broker.url) as client:
        assert await client.owner("first-1") is not None
        assert await client.owner("second-1") is not None


async def test_streams_of_two_accounts_are_never_mixed(tmp_path: Path) -> None:
    for account in (server_config.OPEN_ACCOUNT, PIPELINE):
        (tmp_path / "broker" / "jetstream" / account / "streams").mkdir(parents=True)
    with pytest.raises(BrokerError, match="keep the folder with your data, and move the other one away"):
        await Embedded(tmp_path, groups=GROUPS).start()


async def test_keys_stay_the_same_over_restarts(tmp_path: Path) -> None:
    async with Embedded(tmp_path, sync_interval="2m", groups=GROUPS) as broker:
        assert broker.keys is not None
        before = {file.name: file.read_bytes() for file in broker.keys.iterdir()}
        nc = await dial(
            broker.url, name="test", access=NatsAccess(nkey=keys.file_of(broker.keys, roles.PROVISIONER))
        )
        await broker.restart()
        assert {file.name: file.read_bytes() for file in broker.keys.iterdir()} == before
        await nc.close()
