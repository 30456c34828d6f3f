"""Topology: streams, buckets and consumers as the pipeline needs them, compared with the broker and applied.

Two decisions that the broker forces, both tried on nats-server 2.15.1:

- EVENTS keeps ``discard: old``, because a stream with message schedules cannot have
  ``discard: new``, and for that reason has no byte limit: with one, a full stream would drop its
  oldest messages, armed deadlines first.  What bounds it is REQUESTS, which refuses new work when
  full; its budget, twelve times that of REQUESTS, is noted in its metadata for the sweeper.  Past
  the server's or account's own store limit publishers get an error while nothing stored is lost.
- Buckets have per-key TTL but no limit markers: nats-py's ``KeyValue.create`` takes the marker of
  an expired key for a live value, so that a lease could not be taken over before the marker ends.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import msgspec
from nats import errors as nats_errors

from contracts import pipeline
from contracts.errors import Unavailable, UnderstudyError
from infra.nats import migration, topology_diff
from infra.nats.connection import dial
from infra.nats.topology_diff import Difference, DifferenceSeverity, Topology, diff

if TYPE_CHECKING:
    from nats.aio.client import Client

    from infra.settings.settings import Settings

__all__ = ["Difference", "DifferenceSeverity", "Topology", "diff"]

VERSION: Final = "2"
#: EVENTS may take this many times the bytes of REQUESTS.
EVENTS_FACTOR: Final = 12
#: Exit status of a stage that cannot bind (``EX_CONFIG`` of sysexits.h).
EXIT_STATUS: Final = 78

_NS: Final = 10**9
_DAY: Final = 86_400 * _NS
_DUPLICATES: Final = 120 * _NS
#: The least that the broker takes.  Publishers of requests need none: an id is used once, whatever the window;
#: within it the broker acknowledges a second message with the same ``Nats-Msg-Id`` and does not store it.
_NO_DUPLICATES: Final = _NS // 10
_TIMEOUT_S: Final = 10.0
_NOT_FOUND: Final = 404


class TopologyError(UnderstudyError):
    """The broker does not have what the pipeline needs, or refuses it."""


def byte_budgets(settings: Settings) -> dict[str, int]:
    """Bytes that the sweeper keeps each stream well under."""
    requests = settings.broker.requests_max_bytes
    return {pipeline.REQUESTS: requests, pipeline.EVENTS: requests * EVENTS_FACTOR}


def wanted(settings: Settings) -> Topology:
    """Everything the pipeline needs, as JetStream API configurations."""
    replicas = settings.broker.replicas
    streams = [
        _stream(
            pipeline.REQUESTS,
            pipeline.stream_subjects(pipeline.REQUESTS),
            replicas,
            max_age=7 * _DAY,
            max_bytes=settings.broker.requests_max_bytes,
            duplicate_window=_NO_DUPLICATES,
            allow_atomic=True,
        ),
        _stream(
            pipeline.EVENTS,
            pipeline.stream_subjects(pipeline.EVENTS),
            replicas,
            max_age=7 * _DAY,
            discard="old",
            budget=byte_budgets(settings)[pipeline.EVENTS],
            allow_atomic=True,
            allow_msg_ttl=True,
            allow_msg_schedules=True,
            # The broker turns it on with schedules.
            allow_rollup_hdrs=True,
        ),
        _stream(pipeline.DEAD, pipeline.stream_subjects(pipeline.DEAD), replicas, max_age=30 * _DAY),
        *(_bucket(bucket, replicas) for bucket in pipeline.BUCKETS),
    ]
    return Topology(
        streams={config["name"]: config for config in streams},
        consumers={(route.stream, route.durable): _consumer(route, settings) for route in pipeline.routes()},
    )


def _bucket(bucket: pipeline.Bucket, replicas: int) -> dict[str, Any]:
    if bucket.store == "OBJ":
        return _stream(bucket.stream, bucket.subjects, replicas, allow_rollup_hdrs=True)
    return _stream(
        bucket.stream,
        bucket.subjects,
        replicas,
        max_age=bucket.life_s * _NS,
        max_msgs_per_subject=1,
        allow_rollup_hdrs=True,
        allow_msg_ttl=True,
        deny_delete=True,
    )


def _stream(
    name: str, subjects: Iterable[str], replicas: int, *, budget: int | None = None, **fields: Any
) -> dict[str, Any]:
    config: dict[str, Any] = {
        "name": name,
        "subjects": list(subjects),
        "retention": "limits",
        "storage": "file",
        "discard": "new",
        "max_age": 0,
        "max_bytes": -1,
        "max_msgs": -1,
        "max_msgs_per_subject": -1,
        "max_msg_size": -1,
        "max_consumers": -1,
        "duplicate_window": _DUPLICATES,
        "num_replicas": replicas,
        "allow_direct": True,
        **fields,
    }
    noted = {} if budget is None else {topology_diff.BUDGET_KEY: str(budget)}
    config["metadata"] = topology_diff.stamp(
        VERSION, {field: config[field] for field in topology_diff.LIMITS}, **noted
    )
    return config


def _consumer(route: pipeline.Route, settings: Settings) -> dict[str, Any]:
    return {
        "name": route.durable,
        "durable_name": route.durable,
        "filter_subjects": list(route.subjects),
        "deliver_policy": "all",
        "replay_policy": "instant",
        "ack_policy": "explicit",
        "ack_wait": int(settings.ack_wait_of(route.stage) * _NS),
        "max_deliver": -1,
        # Messages parked by a delayed nak count against it: three of them would stop a consumer.
        "max_ack_pending": -1,
        # 0: as the stream.
        "num_replicas": 0,
        "metadata": {topology_diff.VERSION_KEY: VERSION},
    }


async def actual(nc: Client, topology: Topology) -> Topology:
    """What the broker has of ``topology``.

    Raises:
        TopologyError: no JetStream there.
        Unavailable: no answer.
    """
    streams = await asyncio.gather(*(stream(nc, name) for name in topology.streams))
    consumers = await asyncio.gather(*(consumer(nc, stream, name) for stream, name in topology.consumers))
    return Topology(
        streams={
            name: info["config"]
            for name, info in zip(topology.streams, streams, strict=True)
            if info is not None
        },
        consumers={
            key: info["config"]
            for key, info in zip(topology.consumers, consumers, strict=True)
            if info is not None
        },
        states={
            **{
                n: topology_diff.state(info)
                for n, info in zip(topology.streams, streams, strict=True)
                if info
            },
            **{
                f"{stream}/{name}": topology_diff.state(info)
                for (stream, name), info in zip(topology.consumers, consumers, strict=True)
                if info
            },
        },
    )


async def consumer(nc: Client, stream: str, name: str) -> dict[str, Any] | None:
    """A consumer's configuration and state as the JetStream API gives it; ``None``: there is none.

    Raises:
        TopologyError: no JetStream there.
        Unavailable: no answer.
    """
    label = f"to tell about consumer {stream}/{name}"
    return await _call(nc, f"CONSUMER.INFO.{stream}.{name}", label=label)


async def stream(nc: Client, name: str) -> dict[str, Any] | None:
    """A stream's configuration and state as the JetStream API gives it; ``None``: there is none.

    Raises:
        TopologyError: no JetStream there.
        Unavailable: no answer.
    """
    return await _call(nc, f"STREAM.INFO.{name}", label=f"to tell about stream {name}")


async def account(nc: Client) -> dict[str, Any]:
    """What the account has stored, and how much it may store, as the JetStream API gives it.

    Raises:
        TopologyError: no JetStream there.
        Unavailable: no answer.
    """
    return await _call(nc, "INFO", label="to tell about the account") or {}


async def check(nc: Client, settings: Settings) -> tuple[Difference, ...]:
    """How the broker differs; an operator's larger limits are information, not drift."""
    topology = wanted(settings)
    return diff(topology, await actual(nc, topology))


async def apply(nc: Client, settings: Settings, *, force: bool = False) -> tuple[Difference, ...]:
    """Create what is missing and change what may be changed; safe to repeat, also at the same time.

    Args:
        nc: connected client.
        settings: sizes, replicas and ack_wait.
        force: also shrink retention and take an operator's settings back; consumers that must be
            created again go on behind the last message they have acknowledged.

    Returns:
        The differences found, each saying whether it was applied.

    Raises:
        TopologyError: the broker refuses a change; the text names it and the broker's reason.
        Unavailable: no answer.
    """
    topology = wanted(settings)
    present = await actual(nc, topology)
    if migration.is_former(present.streams):
        call = partial(_call, nc, label="the streams' new subjects")
        await migration.migrate(nc, call, wanted=topology.streams, present=present.streams)
        present = await actual(nc, topology)
    changes = diff(topology, present)
    for name, config in topology.streams.items():
        mine = _of(changes, "stream", name)
        if mine:
            await _put_stream(nc, config, present.streams.get(name), mine, force=force)
    for (stream, name), config in topology.consumers.items():
        mine = _of(changes, "consumer", f"{stream}/{name}")
        if mine:
            await _put_consumer(nc, stream, config, present.consumers.get((stream, name)), mine, force=force)
    return tuple(
        msgspec.structs.replace(change, applied=topology_diff.takes(change, force=force))
        for change in changes
    )


async def apply_at(url: str, settings: Settings, *, force: bool = False) -> tuple[Difference, ...]:
    """:func:`apply` over a connection of its own.

    Raises:
        TopologyError: as in :func:`apply`.
        Unreachable: no broker there.
        Unavailable: no answer.
    """
    nc = await dial(url, name="understudy topology", access=settings.nats)
    try:
        return await apply(nc, settings, force=force)
    finally:
        await nc.close()


async def require(nc: Client, settings: Settings, stages: Iterable[str]) -> None:
    """Refuse to start stages on a broker that lacks what they build on.

    Limits are the operator's, unless accepted requests lose their deadlines by them; what counts is that
    every stream exists with its subjects and abilities, and that the stages' consumers deliver as the
    runner expects.

    Raises:
        TopologyError: naming every difference and the command that removes it.
        Unavailable: no answer.
    """
    names = set(stages)
    everything = wanted(settings)
    topology = Topology(
        streams=everything.streams,
        consumers={key: config for key, config in everything.consumers.items() if key[1] in names},
    )
    changes = diff(topology, await actual(nc, topology))
    missing = [str(change) for change in changes if _matters(change)]
    if missing:
        force = any(change.severity is DifferenceSeverity.UNSAFE for change in changes if _matters(change))
        command = "understudy topology apply --force" if force else "understudy topology apply"
        raise TopologyError(
            f"the broker is not set up for {', '.join(sorted(names))}: {'; '.join(missing)}. Run '{command}'"
        )


def _matters(change: Difference) -> bool:
    if change.severity is DifferenceSeverity.CREATE:
        return True
    if change.what == "consumer":
        # One that is paused is an operator's wish; doctor tells it.
        return (
            change.field not in {"metadata", topology_diff.PAUSED}
            and change.severity is not DifferenceSeverity.OUTSIDE
        )
    added = change.field == "subjects" and change.severity is DifferenceSeverity.UPDATE
    return added or change.field in topology_diff.FLAGS or topology_diff.breaks(change)


def _of(changes: tuple[Difference, ...], what: str, name: str) -> tuple[Difference, ...]:
    return tuple(change for change in changes if change.what == what and change.name == name)


async def _put_stream(
    nc: Client,
    config: topology_diff.Config,
    present: topology_diff.Config | None,
    changes: tuple[Difference, ...],
    *,
    force: bool,
) -> None:
    name = config["name"]
    if present is None:
        await _must(nc, f"STREAM.CREATE.{name}", config, f"stream {name}")
    elif any(topology_diff.takes(change, force=force) for change in changes):
        merged = topology_diff.settle(config, present, changes, force=force)
        await _must(nc, f"STREAM.UPDATE.{name}", merged, f"stream {name}")


async def _put_consumer(
    nc: Client,
    stream: str,
    config: topology_diff.Config,
    present: topology_diff.Config | None,
    changes: tuple[Difference, ...],
    *,
    force: bool,
) -> None:
    name = config["name"]
    subject, label = f"CONSUMER.CREATE.{stream}.{name}", f"consumer {stream}/{name}"
    if present is None:
        await _must(nc, subject, {"stream_name": stream, "config": config, "action": "create"}, label)
        return
    if force and any(change.field in topology_diff.CONSUMER_FIXED for change in changes):
        info = await consumer(nc, stream, name) or {}
        await _must(nc, f"CONSUMER.DELETE.{stream}.{name}", None, label)
        start = int(info.get("ack_floor", {}).get("stream_seq", 0)) + 1
        again = {**config, "deliver_policy": "by_start_sequence", "opt_start_seq": start}
        await _must(nc, subject, {"stream_name": stream, "config": again, "action": "create"}, label)
    elif any(topology_diff.takes(change, force=force) for change in changes):
        merged = topology_diff.settle(config, present, changes, force=force)
        await _must(nc, subject, {"stream_name": stream, "config": merged, "action": "update"}, label)
    if any(change.field == topology_diff.PAUSED for change in changes):
        await _must(nc, f"CONSUMER.PAUSE.{stream}.{name}", {}, label)


async def _must(nc: Client, subject: str, body: Any, label: str) -> None:
    if await _call(nc, subject, body, label=label) is None:
        raise TopologyError(f"{label} disappeared while it was being changed; run the command again")


async def _call(
    nc: Client, subject: str, body: Any = None, *, label: str = "the topology"
) -> dict[str, Any] | None:
    """One call of the JetStream API; ``None`` for not found.

    nats-py's own models would drop the fields that they don't know, and with them what a newer
    tool has set.
    """
    payload = b"" if body is None else json.dumps(body).encode()
    try:
        reply = await nc.request(f"$JS.API.{subject}", payload, timeout=_TIMEOUT_S)
    except nats_errors.NoRespondersError:
        raise TopologyError(
            "the broker has no JetStream; start it with '-js', or enable it for this account"
        ) from None
    except (nats_errors.Error, TimeoutError, OSError) as error:
        raise Unavailable(
            f"the broker does not answer {subject}: {str(error) or type(error).__name__}"
        ) from None
    answer: dict[str, Any] = json.loads(reply.data)
    error = answer.get("error")
    if error is None:
        return answer
    if error.get("code") == _NOT_FOUND:
        return None
    why = f"{error.get('description')} (error {error.get('err_code')})"
    raise TopologyError(f"the broker refuses {label}: {why}")
