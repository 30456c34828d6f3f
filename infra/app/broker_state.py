"""State of the broker: streams, consumers and buckets as they are, and how they differ from the topology."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from contracts import bucket_table, pipeline
from infra.app import consumer_checks
from infra.nats import topology
from infra.nats.topology_diff import Difference

if TYPE_CHECKING:
    from infra.nats.multiplexer import RequestMultiplexer
    from infra.settings.settings import Settings


class StreamState(msgspec.Struct, frozen=True, kw_only=True):
    """A stream of the event log."""

    name: str
    messages: int
    bytes: int
    #: Bytes and seconds that it may keep; ``None``: no limit.
    max_bytes: int | None
    max_age_s: float | None
    first_seq: int
    last_seq: int
    #: When the broker stored its first and its last message; ``None``: it is empty.
    first_at: str | None
    last_at: str | None
    replicas: int


class ConsumerState(msgspec.Struct, frozen=True, kw_only=True):
    """A consumer: what a stage has to work on of one stream."""

    stream: str
    stage: str
    #: Messages that are not delivered yet.
    waiting: int
    #: Messages that are delivered and not acknowledged: in work, or parked until their next delivery.
    ack_pending: int
    #: Of these, the ones that were delivered before.
    redelivered: int
    #: Open requests of stages for messages.
    fetching: int
    #: Seconds since the oldest unfinished message was stored; ``None``: all are finished.
    oldest_age_s: float | None
    ack_wait_s: float
    paused: bool
    #: Deliveries since it exists.
    delivered: int
    #: What is wrong, and what to do; empty: nothing.
    problem: str
    fix: str


class BucketState(msgspec.Struct, frozen=True, kw_only=True):
    """A bucket."""

    name: str
    #: ``KV``, or ``OBJ`` for objects.
    store: str
    #: Messages of its stream: entries, and for objects their parts.
    messages: int
    bytes: int
    #: What it keeps.
    about: str


class BrokerState(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that the pipeline has on the broker."""

    streams: tuple[StreamState, ...]
    consumers: tuple[ConsumerState, ...]
    buckets: tuple[BucketState, ...]
    #: As ``understudy topology check --json``.
    differences: tuple[Difference, ...]


async def read_broker_state(wire: RequestMultiplexer, settings: Settings) -> BrokerState:
    """Read the state of everything that the topology has; what does not exist is a difference.

    Args:
        wire: an open wire.
        settings: this process's settings.

    Raises:
        TopologyError: the broker has no JetStream.
        Unavailable: the broker does not answer.
    """
    wanted = topology.desired_topology(settings)
    info = await topology.read_info(wire.client, wanted.streams, wanted.consumers)
    names = (pipeline.REQUESTS, pipeline.EVENTS, pipeline.DEAD)
    return BrokerState(
        streams=tuple(_stream(name, info.streams[name]) for name in names if name in info.streams),
        consumers=await read_consumers(wire, settings, info.consumers),
        buckets=tuple(
            _bucket(each, info.streams[each.stream])
            for each in bucket_table.BUCKETS
            if each.stream in info.streams
        ),
        differences=topology.diff(wanted, info.to_topology()),
    )


async def read_consumers(
    wire: RequestMultiplexer, settings: Settings, infos: Mapping[tuple[str, str], Mapping[str, Any]]
) -> tuple[ConsumerState, ...]:
    """The states of consumers, with the age of the oldest message of each.

    Args:
        wire: an open wire.
        settings: this process's settings.
        infos: state of each consumer as the JetStream API gives it, by stream and stage.

    Raises:
        Unavailable: the broker does not answer.
    """
    backlogs = await asyncio.gather(
        *(consumer_checks.find_backlog(wire, *key, info=info, max_age_ns=0) for key, info in infos.items())
    )
    stuck_s = consumer_checks.stuck_after_s(settings)
    found: list[ConsumerState] = []
    for ((stream, stage), info), backlog in zip(infos.items(), backlogs, strict=True):
        check = consumer_checks.waiting(
            stream, stage, info, hands=settings.concurrency.of(stage), stuck_s=stuck_s
        )
        found.append(
            ConsumerState(
                stream=stream,
                stage=stage,
                waiting=int(info.get("num_pending", 0)),
                ack_pending=int(info.get("num_ack_pending", 0)),
                redelivered=int(info.get("num_redelivered", 0)),
                fetching=int(info.get("num_waiting", 0)),
                oldest_age_s=None if backlog is None else round(backlog.age_s, 3),
                ack_wait_s=info["config"].get("ack_wait", 0) / 1e9,
                paused=bool(info.get("paused")),
                delivered=int(info.get("delivered", {}).get("consumer_seq", 0)),
                problem="" if check.ok else check.detail,
                fix=check.fix,
            )
        )
    return tuple(found)


def _stream(name: str, info: Mapping[str, Any]) -> StreamState:
    config, state = info["config"], info["state"]
    messages, most, age_ns = (
        int(state["messages"]),
        int(config.get("max_bytes", -1)),
        config.get("max_age", 0),
    )
    return StreamState(
        name=name,
        messages=messages,
        bytes=int(state["bytes"]),
        max_bytes=most if most > 0 else None,
        max_age_s=age_ns / 1e9 if age_ns else None,
        first_seq=int(state["first_seq"]),
        last_seq=int(state["last_seq"]),
        first_at=state["first_ts"] if messages else None,
        last_at=state["last_ts"] if messages else None,
        replicas=int(config.get("num_replicas", 1)),
    )


def _bucket(bucket: bucket_table.Bucket, info: Mapping[str, Any]) -> BucketState:
    state = info["state"]
    return BucketState(
        name=bucket.name,
        store=bucket.store,
        messages=int(state["messages"]),
        bytes=int(state["bytes"]),
        about=bucket.says,
    )
