"""Campaign on three nodes: three copies of every message, and nodes that die, freeze and are cut off beside everything else.

Where this machine permits, each server has a network of its own, so that it can be cut off.
"""

from __future__ import annotations

import asyncio
import random
import signal
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from nats import errors as nats_errors
from nats.js import errors as js_errors

from contracts import pipeline
from infra.app.supervisor import Supervisor
from infra.lab.bench.network import PORTS, BenchNetwork
from infra.lab.bench.proof import campaign
from infra.lab.bench.proof.faults import FaultPlan, ProcessFaults, ServiceClock
from infra.lab.bench.proof.ledger import LabelCheck, Ledger
from infra.lab.bench.proof.single import conclude, settings_of
from infra.lab.bench.proof.verdicts import Campaign
from infra.lab.bench.trial import Say, connected
from infra.nats.cluster import NODES, LocalCluster, leader_of
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


async def run(plan: CampaignPlan, network: BenchNetwork | str, *, say: Say = lambda _: None) -> Campaign:
    """Run a campaign on a cluster of three; every server syncs every write.

    Args:
        plan: how much of everything.
        network: of :func:`infra.lab.bench.network.laid`, or why there is none.
        say: told what is being done.
    """
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="understudy-proof-") as temporary:
        folder = Path(temporary)
        async with _servers(folder / "cluster", network) as servers:
            settings = settings_of(
                folder / "data", nats_url=servers.url, broker={"sync_interval": "always", "replicas": NODES}
            )
            supervisor = Supervisor(settings, split=True, copies={"fallback": 2})
            async with supervisor, connected(servers.url) as (_, wire):
                clock = ServiceClock(supervisor)
                dice = random.Random(plan.seed)  # noqa: S311 - a schedule, no secret
                ledger = Ledger(wire, LabelCheck(samples.load(settings.samples_dir)))
                nodes = NodeFaults(servers, None if isinstance(network, str) else network, dice)
                faults = [*ProcessFaults(supervisor, clock, dice).plans(), *nodes.plans()]
                evidence = await campaign.load_and_strike(
                    plan, url=servers.url, wire=wire, ledger=ledger, clock=clock, faults=faults, say=say
                )  # fmt: skip
                left_out = (f"node cut off: {network}",) if isinstance(network, str) else ()
                return await conclude(
                    plan,
                    evidence,
                    ledger,
                    wire=wire,
                    settings=settings,
                    left_out=left_out,
                    began=began,
                    say=say,
                )


def _servers(folder: Path, network: BenchNetwork | str) -> LocalCluster:
    if isinstance(network, str):
        return LocalCluster(folder)
    return LocalCluster(folder, hosts=network.hosts, ports=(PORTS,) * NODES, inside=network.inside)


class NodeFaults:
    """Kills, stops, freezes and cuts off servers, one at a time.

    Args:
        servers: of the cluster.
        network: of the servers; ``None``: they share this machine's, and none can be cut off.
        dice: choose servers and durations.
    """

    def __init__(self, servers: LocalCluster, network: BenchNetwork | None, dice: random.Random) -> None:
        self._servers = servers
        self._network = network
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
        if self._network is not None:
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
        assert self._network is not None  # noqa: S101 - plans() offers it only then
        await self._network.cut(self._any(), self._dice.uniform(*_CUT_S))
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
                except (TimeoutError, nats_errors.Error, js_errors.Error):
                    # A cluster without a leader says so in many ways: it is asked again.
                    continue
                copies = [peer for info in infos if info.cluster for peer in info.cluster.replicas or ()]
                if len(copies) == (NODES - 1) * len(infos) and all(
                    peer.current and not peer.offline for peer in copies
                ):
                    return
        raise BrokerError(f"a copy is behind {_CAUGHT_UP_S:g} s after its server is back")
