"""Cluster bench: a cluster of three under load loses its leader, a server, or the network.

Each fault gets a cluster and a pipeline of its own, with three copies of every stream.  Half of the requests are answered
by the pipeline, the others by the fallback at their deadline.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import tempfile
import time
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec

from contracts import pipeline
from contracts.events import DeadLetter
from infra.lab.bench import report
from infra.lab.bench.network import PORTS, BenchNetwork, NoNamespaces, laid, remote_ends
from infra.lab.bench.outcomes import PROMISED_S, Outage, overdue_ms
from infra.lab.bench.publisher import PublishPlan
from infra.lab.bench.trial import LoadStep, Say, Trial, scripted, starting
from infra.nats import cluster as clusters
from infra.nats import log as event_log
from infra.nats.cluster import NODES, LocalCluster, NodePorts, name_of

if TYPE_CHECKING:
    from infra.nats.multiplexer import RequestMultiplexer
    from infra.settings.settings import Settings

Fault = Literal["kills", "away", "frozen", "cut-node", "cut-stages"]
FAULTS: Final[tuple[Fault, ...]] = ("kills", "away", "frozen", "cut-node", "cut-stages")
_NEEDS_NETWORK: Final[frozenset[str]] = frozenset({"cut-node", "cut-stages"})

#: Milliseconds of a call of the model, beyond the deadline: what answers is the fallback.
_SLOW_MS: Final = 10_000
#: Seconds of load before a fault, and after it.
_BEFORE_S: Final = 5.0
_AFTER_S: Final = 10.0
#: Leaders that are killed, one after another, and seconds that each is away.
_KILLS: Final = 2
_KILLED_S: Final = 8.0
#: Seconds in which a publish without an answer is tried again, as a client does.
_AGAIN_S: Final = 40.0
#: Milliseconds without a stored event, under load, from which on EVENTS counts as silent.
_SILENT_MS: Final = 1000
#: Characters of a dead letter's reason that tell its kind.
_WORDS: Final = 60


class ClusterPlan(msgspec.Struct, frozen=True, kw_only=True):
    """Which faults, and under which load."""

    faults: tuple[Fault, ...] = FAULTS
    #: Seconds for which a server is away, frozen, and the network cut.
    away: float = 30.0
    frozen: float = 50.0
    cut: float = 20.0
    #: Requests per second, and their deadline.
    rate: float = 20.0
    deadline_ms: int = 3000
    sync: Literal["always", "2m"] = "always"
    patience_s: float = 120.0


class Late(msgspec.Struct, frozen=True, kw_only=True):
    """One request that was answered late."""

    request_id: str
    #: Seconds after the beginning of the fault at which its deadline was.
    due_s: float
    #: Seconds of its result beyond the deadline.
    late_s: float
    status: str


class _Advisory(msgspec.Struct, frozen=True):
    """What the broker says of a consumer."""

    type: str
    consumer: str
    reason: str = ""


class FaultOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """What one fault did."""

    fault: Fault
    #: What was done to whom.
    what: str
    step: LoadStep
    late: tuple[Late, ...]
    #: Times in which EVENTS stored nothing, seconds from the beginning of the fault; while it has no leader, for one.
    silent: tuple[tuple[float, float], ...]
    #: Late ones that are late without those times too.
    late_beside: int
    #: What the streams have of requests that were accepted and got no result.
    lost: dict[str, list[str]]
    #: Dead letters in the end, by the first words of their reasons.
    letters: dict[str, int]
    #: Processes of stages that ended meanwhile.
    restarts: int


class ClusterReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a run found."""

    wanted: ClusterPlan
    faults: tuple[FaultOutcome, ...]
    #: Faults that this machine cannot have, and why.
    not_tried: dict[str, str]

    @property
    def passed(self) -> bool:
        """Nothing lost, nothing doubled, no letter; and everything was tried, in time."""
        return not self.not_tried and all(each.step.tally.passed and not each.letters for each in self.faults)


async def run(
    wanted: ClusterPlan, network: BenchNetwork | str, *, say: Say = lambda _: None
) -> ClusterReport:
    """Let each fault happen to a cluster of its own.

    Args:
        wanted: which.
        network: of :func:`infra.lab.bench.network.laid`, or why there is none.
        say: told what is being done.
    """
    found: list[FaultOutcome] = []
    not_tried: dict[str, str] = {}
    for fault in wanted.faults:
        if isinstance(network, str) and fault in _NEEDS_NETWORK:
            not_tried[fault] = network
            continue
        say(f"{fault}: three servers start")
        found.append(await _one(fault, wanted, None if isinstance(network, str) else network, say))
        say(f"{found[-1].what}; {report.line(found[-1].step)}")
    return ClusterReport(wanted=wanted, faults=tuple(found), not_tried=not_tried)


def run_here(wanted: ClusterPlan, *, say: Say = lambda _: None) -> ClusterReport:
    """:func:`run` with a network where the machine permits one; in the main thread, without a running loop."""
    if not _NEEDS_NETWORK & set(wanted.faults):
        return asyncio.run(run(wanted, "not asked for", say=say))
    with contextlib.ExitStack() as stack:
        try:
            network: BenchNetwork | str = stack.enter_context(laid())
        except NoNamespaces as error:
            network = str(error)
        return asyncio.run(run(wanted, network, say=say))


def table(found: ClusterReport) -> str:
    """A run as text for people."""
    text = report.table(("fault",), [((each.fault,), each.step) for each in found.faults])
    lines = [_line(each) for each in found.faults]
    lines += [f"{fault}: not tried, {why}" for fault, why in found.not_tried.items()]
    return text + "\n" + "\n".join(lines) + "\n"


def _line(found: FaultOutcome) -> str:
    late = found.late
    when = (
        f"{len(late)} late by more than {PROMISED_S:g} s, due {late[0].due_s:.1f} to {late[-1].due_s:.1f} s after "
        f"the fault, worst {max(each.late_s for each in late):.1f} s; {found.late_beside} of them without the "
        f"{sum(end - start for start, end in found.silent):.1f} s in which EVENTS stored nothing"
        if late
        else f"none late by more than {PROMISED_S:g} s"
    )
    letters = ", ".join(f"{count} times {why}" for why, count in found.letters.items())
    return f"{found.fault}: {found.what}; {when}; {letters or 'no dead letter'}; {found.restarts} restarts"


async def _one(fault: Fault, wanted: ClusterPlan, network: BenchNetwork | None, say: Say) -> FaultOutcome:
    hit = _Hit(fault, wanted, network, say)
    async with _cluster(wanted, network) as cluster, starting(_configure(cluster.url, wanted)) as trial:
        hit.cluster, hit.trial = cluster, trial
        plan = PublishPlan(
            url=cluster.url,
            prefix=f"{fault}-",
            requests=round(wanted.rate * hit.lasts_s),
            rate=wanted.rate,
            deadline_ms=wanted.deadline_ms,
            again_s=_AGAIN_S,
        )
        step = await trial.step(fault, plan, beside=hit, patience_s=wanted.patience_s)
        silent = await _silent(trial.wire, hit)
        late = _late(trial, wanted, hit, hit.outages)
        beside = _late(trial, wanted, hit, [*hit.outages, *silent])
        return FaultOutcome(
            fault=fault,
            what=hit.what,
            step=step,
            late=late,
            silent=tuple((_since(start, hit), _since(end, hit)) for start, end in silent),
            late_beside=len(beside),
            lost=await _trace_lost(trial, fault) if step.tally.lost else {},
            letters=await _letters(trial.wire),
            restarts=sum(each.restarts for each in trial.supervisor.processes),
        )


@contextlib.asynccontextmanager
async def _cluster(wanted: ClusterPlan, network: BenchNetwork | None) -> AsyncGenerator[LocalCluster]:
    where: dict[str, Any] = {}
    if network is not None:
        ports: Sequence[NodePorts] = (PORTS,) * NODES
        where = {"hosts": network.hosts, "inside": network.inside, "ports": ports}
    with tempfile.TemporaryDirectory(prefix="understudy-cluster-") as folder:
        async with LocalCluster(Path(folder), sync_interval=wanted.sync, **where) as cluster:
            yield cluster


def _configure(url: str, wanted: ClusterPlan) -> Callable[[Path], Settings]:
    rule = {
        "match": {"request_id": "*[02468]", "stage": "freeform-gen"},
        "do": "slow",
        "after_ms": wanted.deadline_ms + _SLOW_MS,
    }

    def configure(folder: Path) -> Settings:
        settings = scripted(folder, sync_interval=wanted.sync, rules=[rule])
        broker = settings.broker.model_copy(update={"replicas": NODES})
        return settings.model_copy(update={"nats_url": url, "broker": broker})

    return configure


class _Hit:
    """One fault as it happens beside the load."""

    def __init__(self, fault: Fault, wanted: ClusterPlan, network: BenchNetwork | None, say: Say) -> None:
        self._fault = fault
        self._wanted = wanted
        self._network = network
        self._say = say
        self.cluster: LocalCluster
        self.trial: Trial
        self.what = ""
        #: Milliseconds since the epoch.
        self.began_ms = 0.0
        self.outages: list[Outage] = []
        faults: dict[Fault, tuple[float, Callable[[], Awaitable[None]]]] = {
            "kills": (_KILLS * 2 * _KILLED_S, self._kill_leaders),
            "away": (wanted.away, self._take_away),
            "frozen": (wanted.frozen, self._freeze),
            "cut-node": (wanted.cut, self._cut_node),
            "cut-stages": (wanted.cut, self._cut_stages),
        }
        lasts_s, self._do = faults[fault]
        #: Seconds of the load.
        self.lasts_s = _BEFORE_S + lasts_s + _AFTER_S

    async def __call__(self) -> Sequence[Outage]:
        await asyncio.sleep(_BEFORE_S)
        self.began_ms = time.time() * 1000
        await self._do()
        return self.outages

    async def _kill_leaders(self) -> None:
        killed: list[str] = []
        for _ in range(_KILLS):
            leader = await clusters.leader_of(self.cluster.url, pipeline.EVENTS)
            await self.cluster.kill(leader)
            killed.append(name_of(leader))
            self._say(f"killed {killed[-1]}, which led EVENTS")
            await asyncio.sleep(_KILLED_S)
            await self.cluster.start(leader)
            await asyncio.sleep(_KILLED_S)
        self.what = f"killed the leader of EVENTS {_KILLS} times: {', '.join(killed)}"

    async def _take_away(self) -> None:
        leader = await clusters.leader_of(self.cluster.url, pipeline.EVENTS)
        self.what = f"{name_of(leader)}, which led EVENTS, was away for {self._wanted.away:g} s"
        await self.cluster.kill(leader)
        await asyncio.sleep(self._wanted.away)
        await self.cluster.start(leader)

    async def _freeze(self) -> None:
        node = await asyncio.to_thread(self._node_of_fallback)
        self.what = (
            f"{name_of(node)}, which the fallback was connected to, got SIGSTOP for {self._wanted.frozen:g} s"
        )
        self.cluster.signal(node, signal.SIGSTOP)
        await asyncio.sleep(self._wanted.frozen)
        self.cluster.signal(node, signal.SIGCONT)

    async def _cut_node(self) -> None:
        assert self._network is not None  # noqa: S101 - such faults are not tried without
        node = await asyncio.to_thread(self._node_of_fallback)
        self.what = (
            f"{name_of(node)}, which the fallback was connected to, was cut off for {self._wanted.cut:g} s"
        )
        await self._network.cut(node, self._wanted.cut)

    async def _cut_stages(self) -> None:
        assert self._network is not None  # noqa: S101 - as above
        self.what = f"stages and clients were cut off from all servers for {self._wanted.cut:g} s"
        began = time.time() * 1000
        await self._network.cut(None, self._wanted.cut)
        # The promise counts time in which the broker and one fallback are up, for each other too.
        self.outages.append((began, time.time() * 1000))

    def _node_of_fallback(self) -> int:
        pid = next(
            pid for name, pid in self.trial.supervisor.pids.items() if name.partition("#")[0] == "fallback"
        )
        ports = remote_ends(pid)
        urls = self.cluster.urls
        return next(node for node, url in enumerate(urls) if url.removeprefix("nats://") in ports)


def _since(time_ms: float, hit: _Hit) -> float:
    return round((time_ms - hit.began_ms) / 1000, 2)


async def _trace_lost(trial: Trial, fault: Fault) -> dict[str, list[str]]:
    """What was stored about requests without a result; empty where not even the request is there."""
    silent = set(trial.outcomes.asked) - set(trial.outcomes.answered)
    found: dict[str, list[str]] = {each: [] for each in silent}
    numbers = {each.rpartition("-")[2] for each in (*trial.outcomes.asked, *trial.outcomes.answered)}
    highest = max(map(int, numbers), default=-1)
    gone = (f"{fault}-{number}" for number in range(highest + 1) if str(number) not in numbers)
    found |= {each: [] for each in gone}
    for request_id, stored in found.items():
        for stream in (pipeline.REQUESTS, pipeline.EVENTS):
            async for entry in event_log.read(trial.wire, stream, f"gen.*.*.{request_id}"):
                stored.append(f"{entry.time_ns / 1e9:.3f} {stream} {entry.sequence} {entry.subject}")
        # Any server answers what is read above; this one the leader alone.
        asked = msgspec.json.encode({"last_by_subj": f"gen.result.*.{request_id}"})
        told = await trial.wire.call(f"$JS.API.STREAM.MSG.GET.{pipeline.EVENTS}", asked)
        stored.append(f"leader: {told.data[:300].decode(errors='replace')}")
    return found


async def _letters(wire: RequestMultiplexer) -> dict[str, int]:
    found: Counter[str] = Counter()
    async for entry in event_log.read(wire, pipeline.DEAD, ">"):
        if entry.subject.startswith("dead."):
            letter = msgspec.json.decode(entry.body, type=DeadLetter)
            stage = entry.subject.split(".")[1]
            found[f"{stage} {letter.code}: {letter.reason[:_WORDS]}"] += 1
        else:
            told = msgspec.json.decode(entry.body, type=_Advisory)
            found[f"{told.consumer} {told.type.rpartition('.')[2]}: {told.reason}"] += 1
    return dict(found)


async def _silent(wire: RequestMultiplexer, hit: _Hit) -> list[Outage]:
    """Times in which EVENTS stored nothing although there was work; those of the fault's own outages left out."""
    found: list[Outage] = []
    before = 0.0
    async for entry in event_log.read(wire, pipeline.EVENTS, "gen.>"):
        stored = entry.time_ns / 1e6
        if before and stored - before > _SILENT_MS and not _overlaps((before, stored), hit.outages):
            found.append((before, stored))
        before = stored
    return found


def _overlaps(one: Outage, others: Sequence[Outage]) -> bool:
    return any(one[0] < end and start < one[1] for start, end in others)


def _late(trial: Trial, wanted: ClusterPlan, hit: _Hit, outages: Sequence[Outage]) -> tuple[Late, ...]:
    found: list[Late] = []
    for request_id, answers in trial.outcomes.answered.items():
        asked = trial.outcomes.asked.get(request_id)
        if asked is None:
            continue
        first = min(answers, key=lambda each: each.time_ms)
        due = asked + wanted.deadline_ms
        late_s = overdue_ms(due, first.time_ms, outages) / 1000
        if late_s > PROMISED_S:
            found.append(
                Late(
                    request_id=request_id,
                    due_s=_since(due, hit),
                    late_s=round(late_s, 2),
                    status=f"{first.status}/{first.origin}",
                )
            )
    return tuple(sorted(found, key=lambda each: each.due_s))
