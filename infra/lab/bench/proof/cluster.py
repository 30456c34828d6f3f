"""Campaign on three nodes: three copies of every message, and nodes that die, freeze and are cut off beside everything else.

Where this machine permits, each server lives in a network namespace of its own, so that a node can be cut off.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import random
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from contracts import pipeline
from infra.app.supervisor import Supervisor
from infra.lab.bench.proof import campaign, verdicts
from infra.lab.bench.proof.faults import FaultPlan, ProcessFaults, ServiceClock
from infra.lab.bench.proof.ledger import LabelCheck, Ledger
from infra.lab.bench.proof.single import count_letters, count_rows, settings_of
from infra.lab.bench.proof.verdicts import Aftermath, Campaign
from infra.lab.bench.trial import Say, connected
from infra.nats.cluster import NODES, LocalCluster, NodePorts, leader_of, name_of
from infra.nats.server_config import BrokerError
from infra.stores import samples

if TYPE_CHECKING:
    from infra.lab.bench.proof.campaign import CampaignPlan

#: Seconds that a node stays away, frozen, or cut off.
_AWAY_S: Final = (1.0, 6.0)
_FROZEN_S: Final = (3.0, 10.0)
_CUT_S: Final = (3.0, 10.0)
_LONG_S: Final = 30.0
#: Seconds that a node has to catch up before the next one is hit: more than one at a time is no promise.
_CAUGHT_UP_S: Final = 90.0
_NEW_NETWORK: Final = 0x40000000
_OWN_NETWORK: Final = Path("/proc/thread-self/ns/net")
#: Addresses of the namespaces, which nothing outside them reaches.
_NETWORK: Final = "10.213.77"
_BRIDGE: Final = "understudy0"
_PORTS: Final = NodePorts(client=4222, route=6222)


async def run(plan: CampaignPlan, *, say: Say = lambda _: None) -> Campaign:
    """Run a campaign on a cluster of three; every server syncs every write.

    Args:
        plan: how much of everything.
        say: told what is being done.
    """
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="understudy-proof-") as temporary, _networks() as networks:
        folder = Path(temporary)
        async with LocalCluster(
            folder / "cluster",
            hosts=networks.hosts,
            ports=(_PORTS,) * NODES if networks.separate else None,
            inside=networks.inside,
        ) as servers:
            settings = settings_of(
                folder / "data", nats_url=servers.url, broker={"sync_interval": "always", "replicas": NODES}
            )
            supervisor = Supervisor(settings, split=True, copies={"fallback": 2})
            async with supervisor, connected(servers.url) as (_, wire):
                clock = ServiceClock(supervisor)
                dice = random.Random(plan.seed)  # noqa: S311 - a schedule, no secret
                ledger = Ledger(wire, LabelCheck(samples.load(settings.samples_dir)))
                nodes = NodeFaults(servers, networks, dice)
                faults = [*ProcessFaults(supervisor, clock, dice).plans(), *nodes.plans()]
                evidence = await campaign.load_and_strike(
                    plan, url=servers.url, wire=wire, ledger=ledger, clock=clock, faults=faults, say=say
                )  # fmt: skip
                found = verdicts.judge(evidence, ledger, deadline_ms=plan.deadline_ms)
                say("waiting for the audit")
                after = Aftermath(
                    left_out=()
                    if networks.separate
                    else ("a node cut off: needs root and network namespaces",),
                    rows_wrong=abs(await count_rows(settings.database, len(found)) - len(found)),
                    letters=await count_letters(wire),
                )
                return verdicts.summarise(
                    plan, evidence, found, ledger, seconds=time.monotonic() - began, after=after
                )


class NodeNetworks(msgspec.Struct, frozen=True, kw_only=True):
    """Where the servers live."""

    hosts: tuple[str, ...] = ("127.0.0.1",) * NODES
    #: What a server's command begins with.
    inside: tuple[tuple[str, ...], ...] = ((),) * NODES
    #: Names of the links that can be cut; none: all servers share this machine's network.
    links: tuple[str, ...] = ()

    @property
    def separate(self) -> bool:
        """Whether each has a network of its own."""
        return bool(self.links)


class NodeFaults:
    """Kills, stops, freezes and cuts off servers, one at a time.

    Args:
        servers: of the cluster.
        networks: where they live.
        dice: choose servers and durations.
    """

    def __init__(self, servers: LocalCluster, networks: NodeNetworks, dice: random.Random) -> None:
        self._servers = servers
        self._networks = networks
        self._dice = dice

    def plans(self) -> list[FaultPlan]:
        """Every fault of a server."""
        found = [
            FaultPlan(kind="node SIGKILL", target="any", weight=8, strike=lambda: self._end(signal.SIGKILL)),
            FaultPlan(kind="node SIGKILL", target="leader of EVENTS", weight=6, strike=self._kill_leader),
            FaultPlan(kind="node SIGTERM", target="any", weight=3, strike=lambda: self._end(signal.SIGTERM)),
            FaultPlan(kind="node SIGSTOP", target="any", weight=4, strike=self._freeze),
            FaultPlan(kind="node away", target="any, 30 s", weight=1, strike=self._stay_away),
        ]
        if self._networks.separate:
            found.append(FaultPlan(kind="node cut off", target="any", weight=4, strike=self._cut))
        return found

    def _any(self) -> int:
        return self._dice.randrange(NODES)

    async def _end(self, number: signal.Signals) -> bool:
        return await self._down(self._any(), number, self._dice.uniform(*_AWAY_S))

    async def _kill_leader(self) -> bool:
        leader = await leader_of(self._servers.url, pipeline.EVENTS)
        return await self._down(leader, signal.SIGKILL, self._dice.uniform(*_AWAY_S))

    async def _stay_away(self) -> bool:
        return await self._down(self._any(), signal.SIGKILL, _LONG_S)

    async def _down(self, node: int, number: signal.Signals, seconds: float) -> bool:
        self._servers.signal(node, number)
        await self._servers.wait(node)
        await asyncio.sleep(seconds)
        await self._servers.start(node)
        await self._caught_up()
        return True

    async def _freeze(self) -> bool:
        node = self._any()
        self._servers.signal(node, signal.SIGSTOP)
        try:
            await asyncio.sleep(self._dice.uniform(*_FROZEN_S))
        finally:
            self._servers.signal(node, signal.SIGCONT)
        await self._caught_up()
        return True

    async def _cut(self) -> bool:
        link = self._networks.links[self._any()]
        _ip("link", "set", link, "down")
        try:
            await asyncio.sleep(self._dice.uniform(*_CUT_S))
        finally:
            _ip("link", "set", link, "up")
        await self._caught_up()
        return True

    async def _caught_up(self) -> None:
        """Wait until every copy of the streams follows its leader, a minute and a half at most.

        Raises:
            BrokerError: it does not.
        """
        give_up = time.monotonic() + _CAUGHT_UP_S
        async with connected(self._servers.url) as (client, _):
            while time.monotonic() < give_up:
                await asyncio.sleep(0.5)
                try:
                    infos = [
                        await client.jetstream(timeout=5).stream_info(stream)
                        for stream in (pipeline.REQUESTS, pipeline.EVENTS, pipeline.DEAD)
                    ]
                except Exception:  # noqa: BLE001, S112 - whatever a cluster without leader says: asked again
                    continue
                copies = [peer for info in infos if info.cluster for peer in info.cluster.replicas or ()]
                if len(copies) == (NODES - 1) * len(infos) and all(
                    peer.current and not peer.offline for peer in copies
                ):
                    return
        raise BrokerError(f"a copy is behind {_CAUGHT_UP_S:g} s after its server is back")


@contextmanager
def _networks() -> Generator[NodeNetworks]:
    """A network of its own for this process and for each server; where that is not allowed, what there is."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        yield NodeNetworks()
        return
    libc = ctypes.CDLL(None, use_errno=True)
    with _OWN_NETWORK.open("rb") as before:
        if libc.unshare(_NEW_NETWORK):
            yield NodeNetworks()
            return
        try:
            with _connected_networks() as networks:
                yield networks
        finally:
            if libc.setns(before.fileno(), _NEW_NETWORK):
                raise OSError(ctypes.get_errno(), "this process cannot return to its network")


@contextmanager
def _connected_networks() -> Generator[NodeNetworks]:
    """A bridge in this process's network, and a network for each server behind it."""
    names = [f"understudy-{os.getpid()}-{name_of(node)}" for node in range(NODES)]
    links = tuple(f"us{node}" for node in range(NODES))
    with ExitStack() as stack:
        _ip("link", "set", "lo", "up")
        _ip("link", "add", _BRIDGE, "type", "bridge")
        _ip("addr", "add", f"{_NETWORK}.254/24", "dev", _BRIDGE)
        _ip("link", "set", _BRIDGE, "up")
        for node, (name, link) in enumerate(zip(names, links, strict=True)):
            _ip("netns", "add", name)
            stack.callback(_ip, "netns", "del", name)
            _ip("link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", name)
            _ip("link", "set", link, "master", _BRIDGE, "up")
            _ip("-n", name, "link", "set", "lo", "up")
            _ip("-n", name, "addr", "add", f"{_NETWORK}.{node + 1}/24", "dev", "eth0")
            _ip("-n", name, "link", "set", "eth0", "up")
        yield NodeNetworks(
            hosts=tuple(f"{_NETWORK}.{node + 1}" for node in range(NODES)),
            inside=tuple(("ip", "netns", "exec", name) for name in names),
            links=links,
        )


def _ip(*arguments: str) -> None:
    subprocess.run(("ip", *arguments), check=True, capture_output=True, text=True)  # noqa: S603, S607 - the machine's own
