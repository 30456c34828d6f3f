"""Topology: the pipeline's streams, buckets and consumers, compared with those on the broker and applied to it."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import msgspec
from nats import errors as nats_errors

from contracts import roles
from contracts.errors import Unavailable, UnderstudyError
from infra.nats import migration, topology_diff, topology_fields, topology_merge
from infra.nats.connection import dial
from infra.nats.topology_config import desired_topology
from infra.nats.topology_diff import Difference, DifferenceSeverity, Topology, diff

if TYPE_CHECKING:
    from nats.aio.client import Client

    from infra.settings.settings import Settings

__all__ = ["Difference", "DifferenceSeverity", "Topology", "desired_topology", "diff"]

#: Exit status of a stage that cannot bind (``EX_CONFIG`` of sysexits.h).
EXIT_STATUS: Final = 78

_TIMEOUT_S: Final = 10.0
_NOT_FOUND: Final = 404
#: ``err_code`` of a cluster that has no leader just now, and seconds until it is asked again.
_ELECTING: Final = 10008
_AGAIN_S: Final = 0.25


class TopologyError(UnderstudyError):
    """The broker does not have what the pipeline needs, or refuses it."""


class TopologyInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What the broker has of a topology: configuration and state, as the JetStream API gives them."""

    streams: dict[str, dict[str, Any]]
    #: By stream and name.
    consumers: dict[tuple[str, str], dict[str, Any]]

    def to_topology(self) -> Topology:
        """The configurations, and what of the states keeps a stream or consumer from working."""
        return Topology(
            streams={name: info["config"] for name, info in self.streams.items()},
            consumers={key: info["config"] for key, info in self.consumers.items()},
            states={
                **{name: topology_diff.read_state(info) for name, info in self.streams.items()},
                **{
                    f"{stream}/{name}": topology_diff.read_state(info)
                    for (stream, name), info in self.consumers.items()
                },
            },
        )


async def read_info(nc: Client, streams: Iterable[str], consumers: Iterable[tuple[str, str]]) -> TopologyInfo:
    """Read streams and consumers; those that do not exist are left out.

    Raises:
        TopologyError: the broker has no JetStream.
        Unavailable: the broker does not answer.
    """
    streams, consumers = tuple(streams), tuple(consumers)
    found, consuming = await asyncio.gather(
        asyncio.gather(*(stream(nc, name) for name in streams)),
        asyncio.gather(*(consumer(nc, *key) for key in consumers)),
    )
    return TopologyInfo(
        streams={name: info for name, info in zip(streams, found, strict=True) if info is not None},
        consumers={key: info for key, info in zip(consumers, consuming, strict=True) if info is not None},
    )


async def actual(nc: Client, topology: Topology) -> Topology:
    """Read what the broker has of ``topology``.

    Raises:
        TopologyError: the broker has no JetStream.
        Unavailable: the broker does not answer.
    """
    return (await read_info(nc, topology.streams, topology.consumers)).to_topology()


async def consumer(nc: Client, stream: str, name: str) -> dict[str, Any] | None:
    """Read a consumer's configuration and state as the JetStream API gives them; ``None``: there is none.

    Raises:
        TopologyError: the broker has no JetStream.
        Unavailable: the broker does not answer.
    """
    label = f"information about consumer {stream}/{name}"
    return await _call(nc, f"CONSUMER.INFO.{stream}.{name}", label=label)


async def stream(nc: Client, name: str) -> dict[str, Any] | None:
    """Read a stream's configuration and state as the JetStream API gives them; ``None``: there is none.

    Raises:
        TopologyError: the broker has no JetStream.
        Unavailable: the broker does not answer.
    """
    return await _call(nc, f"STREAM.INFO.{name}", label=f"information about stream {name}")


async def account(nc: Client) -> dict[str, Any]:
    """Read what the account stores, and how much it may store, as the JetStream API gives it.

    Raises:
        TopologyError: the broker has no JetStream.
        Unavailable: the broker does not answer.
    """
    return await _call(nc, "INFO", label="information about the account") or {}


async def check(nc: Client, settings: Settings) -> tuple[Difference, ...]:
    """Compare the broker with the desired topology; an operator's larger limits are information, not drift."""
    topology = desired_topology(settings)
    return diff(topology, await actual(nc, topology))


async def apply(nc: Client, settings: Settings, *, force: bool = False) -> tuple[Difference, ...]:
    """Create what is missing and change what may be changed; safe to repeat, also at the same time.

    Args:
        nc: connected client.
        settings: sizes, replicas and ack_wait.
        force: also shrink retention and undo an operator's settings; a consumer that must be created
            again continues behind the last message that it has acknowledged.

    Returns:
        The differences found, each saying whether it was applied.

    Raises:
        TopologyError: the broker refuses a change; the text names it and the broker's reason.
        Unavailable: the broker does not answer.
    """
    topology = desired_topology(settings)
    present = await actual(nc, topology)
    if migration.is_former(present.streams):
        call = partial(_call, nc, label="the streams' new subjects")
        await migration.migrate(nc, call, desired=topology.streams, present=present.streams)
        present = await actual(nc, topology)
    changes = diff(topology, present)
    for name, config in topology.streams.items():
        own = _select(changes, "stream", name)
        if own:
            await _put_stream(nc, config, present.streams.get(name), own, force=force)
    for (stream, name), config in topology.consumers.items():
        own = _select(changes, "consumer", f"{stream}/{name}")
        if own:
            await _put_consumer(nc, stream, config, present.consumers.get((stream, name)), own, force=force)
    return tuple(
        msgspec.structs.replace(change, applied=topology_merge.removes(change, force=force))
        for change in changes
    )


async def apply_at(url: str, settings: Settings, *, force: bool = False) -> tuple[Difference, ...]:
    """:func:`apply` over a connection of its own.

    Raises:
        TopologyError: as in :func:`apply`.
        Unreachable: no broker answers.
        Unavailable: the broker does not answer.
    """
    there = settings.model_copy(update={"nats_url": url})
    nc = await dial(there, name="understudy topology", role=roles.PROVISIONER)
    try:
        return await apply(nc, settings, force=force)
    finally:
        await nc.close()


async def require(nc: Client, settings: Settings, stages: Iterable[str]) -> None:
    """Refuse to start stages on a broker that lacks what they need.

    Every stream must exist with its subjects and features, and the stages' consumers must deliver as the
    runner expects.  Limits are the operator's, except where accepted requests would lose their deadlines.

    Raises:
        TopologyError: naming every difference and the command that removes it.
        Unavailable: the broker does not answer.
    """
    names = set(stages)
    everything = desired_topology(settings)
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
        # An operator may pause a consumer on purpose; doctor reports it.
        return (
            change.field not in {"metadata", topology_fields.PAUSED}
            and change.severity is not DifferenceSeverity.OUTSIDE
        )
    added = change.field == "subjects" and change.severity is DifferenceSeverity.UPDATE
    return added or change.field in topology_fields.FLAGS or topology_diff.breaks(change)


def _select(changes: tuple[Difference, ...], what: str, name: str) -> tuple[Difference, ...]:
    return tuple(change for change in changes if change.what == what and change.name == name)


async def _put_stream(
    nc: Client,
    config: topology_fields.Config,
    present: topology_fields.Config | None,
    changes: tuple[Difference, ...],
    *,
    force: bool,
) -> None:
    name = config["name"]
    if present is None:
        await _change(nc, f"STREAM.CREATE.{name}", config, f"stream {name}")
    elif any(topology_merge.removes(change, force=force) for change in changes):
        merged = topology_merge.merge_config(config, present, changes, force=force)
        await _change(nc, f"STREAM.UPDATE.{name}", merged, f"stream {name}")


async def _put_consumer(
    nc: Client,
    stream: str,
    config: topology_fields.Config,
    present: topology_fields.Config | None,
    changes: tuple[Difference, ...],
    *,
    force: bool,
) -> None:
    name = config["name"]
    subject, label = f"CONSUMER.CREATE.{stream}.{name}", f"consumer {stream}/{name}"
    if present is None:
        await _change(nc, subject, {"stream_name": stream, "config": config, "action": "create"}, label)
        return
    if force and any(change.field in topology_fields.CONSUMER_FIXED for change in changes):
        info = await consumer(nc, stream, name) or {}
        await _change(nc, f"CONSUMER.DELETE.{stream}.{name}", None, label)
        start = int(info.get("ack_floor", {}).get("stream_seq", 0)) + 1
        again = {**config, "deliver_policy": "by_start_sequence", "opt_start_seq": start}
        await _change(nc, subject, {"stream_name": stream, "config": again, "action": "create"}, label)
    elif any(topology_merge.removes(change, force=force) for change in changes):
        merged = topology_merge.merge_config(config, present, changes, force=force)
        await _change(nc, subject, {"stream_name": stream, "config": merged, "action": "update"}, label)
    if any(change.field == topology_fields.PAUSED for change in changes):
        await _change(nc, f"CONSUMER.PAUSE.{stream}.{name}", {}, label)


async def _change(nc: Client, subject: str, body: Any, label: str) -> None:
    if await _call(nc, subject, body, label=label) is None:
        raise TopologyError(f"{label} disappeared while it was being changed; run the command again")


async def _call(
    nc: Client, subject: str, body: Any = None, *, label: str = "the topology"
) -> dict[str, Any] | None:
    """One call of the JetStream API; ``None`` for not found.

    nats-py's own models would drop the fields that they do not know, and with them what a newer
    tool has set.
    """
    payload = b"" if body is None else json.dumps(body).encode()
    give_up = time.monotonic() + _TIMEOUT_S
    while True:
        answer = await _ask(nc, subject, payload)
        error = answer.get("error")
        if error is None:
            return answer
        if error.get("code") == _NOT_FOUND:
            return None
        why = f"{error.get('description')} (error {error.get('err_code')})"
        if error.get("err_code") != _ELECTING:
            raise TopologyError(f"the broker refuses {label}: {why}")
        if time.monotonic() > give_up:
            raise Unavailable(f"the broker does not answer {subject}: {why}")
        await asyncio.sleep(_AGAIN_S)


async def _ask(nc: Client, subject: str, payload: bytes) -> dict[str, Any]:
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
    return answer
