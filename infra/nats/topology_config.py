"""Configurations of the pipeline's streams, buckets and consumers, as the JetStream API takes them.

Two decisions that the broker forces, both tried on nats-server 2.15.1:

- EVENTS keeps ``discard: old``, because a stream with message schedules cannot have
  ``discard: new``, and for that reason has no byte limit: with one, a full stream would drop its
  oldest messages, armed deadlines first.  REQUESTS bounds it: that stream refuses new work when
  full.  The budget of EVENTS, twelve times that of REQUESTS, is in its metadata for the sweeper.  Past
  the server's or account's own store limit publishers get an error while nothing stored is lost.
- Buckets have per-key TTL but no limit markers: nats-py's ``KeyValue.create`` takes the marker of
  an expired key for a live value, so that a lease could not be taken over before the marker ends.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from contracts import bucket_table, pipeline
from infra.nats import topology_fields
from infra.nats.topology_diff import Topology

if TYPE_CHECKING:
    from infra.settings.settings import Settings

VERSION: Final = "2"
#: EVENTS may take this many times the bytes of REQUESTS.
EVENTS_FACTOR: Final = 12

_NS: Final = 10**9
_DAY: Final = 86_400 * _NS
_DUPLICATES: Final = 120 * _NS
#: The least that the broker takes.  Publishers of requests need none: an id is used once, whatever the window;
#: within it the broker acknowledges a second message with the same ``Nats-Msg-Id`` and does not store it.
_NO_DUPLICATES: Final = _NS // 10


def byte_budgets(settings: Settings) -> dict[str, int]:
    """Bytes of each stream; the sweeper keeps it well below."""
    requests = settings.broker.requests_max_bytes
    return {pipeline.REQUESTS: requests, pipeline.EVENTS: requests * EVENTS_FACTOR}


def desired_topology(settings: Settings) -> Topology:
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
            # The broker enables it with schedules.
            allow_rollup_hdrs=True,
        ),
        _stream(pipeline.DEAD, pipeline.stream_subjects(pipeline.DEAD), replicas, max_age=30 * _DAY),
        *(_bucket(bucket, replicas) for bucket in bucket_table.BUCKETS),
    ]
    return Topology(
        streams={config["name"]: config for config in streams},
        consumers={(route.stream, route.durable): _consumer(route, settings) for route in pipeline.routes()},
    )


def _bucket(bucket: bucket_table.Bucket, replicas: int) -> dict[str, Any]:
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
        # The marks of many replays go in batches.
        allow_atomic=bucket is bucket_table.REPLAYS,
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
    noted = {} if budget is None else {topology_fields.BUDGET_KEY: str(budget)}
    config["metadata"] = topology_fields.stamp(
        VERSION, {field: config[field] for field in topology_fields.LIMITS}, **noted
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
        # Messages that wait for the end of a delayed nak count against it: three of them would stop a consumer.
        "max_ack_pending": -1,
        # 0: as many as the stream has.
        "num_replicas": 0,
        "metadata": {topology_fields.VERSION_KEY: VERSION},
    }
