"""Does the broker get what the pipeline needs, and does an operator keep what they set?"""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from faststream.nats import JStream, NatsBroker
from nats.aio.client import Client
from nats.js import errors as js_errors
from nats.js.api import AckPolicy, ConsumerConfig
from nats.js.errors import APIError

from contracts import envelope, pipeline
from infra.nats import topology
from infra.nats.connection import Unreachable
from infra.nats.embedded import Embedded
from infra.nats.topology import DifferenceSeverity, TopologyError
from infra.settings.settings import Settings, load
from tests.broker.conftest import connect

_DAY = 86_400
_NS = 10**9


async def _config(nc: Client, stream: str) -> dict[str, Any]:
    return json.loads((await nc.request(f"$JS.API.STREAM.INFO.{stream}")).data)["config"]


async def _edit(nc: Client, stream: str, **fields: Any) -> None:
    """What an operator does with ``nats stream edit``."""
    config = {**await _config(nc, stream), **fields}
    answer = json.loads(
        (await nc.request(f"$JS.API.STREAM.UPDATE.{stream}", json.dumps(config).encode())).data
    )
    assert "error" not in answer, answer


async def test_apply_creates_everything_once(nc: Client, settings: Settings) -> None:
    first = await topology.apply(nc, settings)
    second = await topology.apply(nc, settings)
    wanted = topology.desired_topology(settings)
    assert {change.name for change in first} == {
        *wanted.streams,
        *(f"{stream}/{name}" for stream, name in wanted.consumers),
    }
    assert all(change.severity is DifferenceSeverity.CREATE and change.applied for change in first)
    assert second == ()
    assert await topology.check(nc, settings) == ()


async def test_two_applies_at_once_agree(nc: Client, settings: Settings) -> None:
    await asyncio.gather(topology.apply(nc, settings), topology.apply(nc, settings))
    assert await topology.check(nc, settings) == ()


async def test_check_only_looks(nc: Client, settings: Settings) -> None:
    changes = await topology.check(nc, settings)
    assert all(change.drift for change in changes)
    assert await nc.jetstream().streams_info() == []


async def test_an_operators_limits_stay(nc: Client, nats_url: str, settings: Settings) -> None:
    await _edit(nc, "REQUESTS", max_age=30 * _DAY * _NS, max_bytes=10**6)

    changes = await topology.apply(nc, settings)

    config = await _config(nc, "REQUESTS")
    assert (config["max_age"], config["max_bytes"]) == (30 * _DAY * _NS, 10**6)
    assert {(change.field, change.severity) for change in changes} == {
        ("max_age", DifferenceSeverity.INFO),
        ("max_bytes", DifferenceSeverity.UNSAFE),
    }
    assert {change.field for change in changes if change.drift} == {"max_bytes"}
    await topology.require(nc, settings, ("context-build",))


async def test_what_the_pipeline_sets_while_it_runs_is_left_alone(
    nc: Client, nats_url: str, settings: Settings
) -> None:
    await _edit(nc, "REQUESTS", max_msgs=5)
    assert await topology.check(nc, settings) == ()
    assert await topology.apply(nc, settings, force=True) == ()
    assert (await _config(nc, "REQUESTS"))["max_msgs"] == 5


@pytest.mark.parametrize("limit", [{"max_bytes": 300_000}, {"max_msgs": 100}, {"max_age": 3600 * _NS}])
async def test_a_stage_refuses_a_log_that_drops_deadlines(
    nc: Client, nats_url: str, settings: Settings, limit: dict[str, int]
) -> None:
    await _edit(nc, "EVENTS", **limit)
    (field,) = limit
    with pytest.raises(TopologyError, match=f"EVENTS: {field} is .*'understudy topology apply --force'"):
        await topology.require(nc, settings, ("fallback",))
    await topology.apply(nc, settings, force=True)
    await topology.require(nc, settings, ("fallback",))


async def test_a_paused_consumer_is_told_and_resumed(nc: Client, nats_url: str, settings: Settings) -> None:
    pause = b'{"pause_until": "2099-01-01T00:00:00Z"}'
    await nc.request("$JS.API.CONSUMER.PAUSE.EVENTS.fallback", pause)
    (change,) = await topology.check(nc, settings)
    assert str(change).startswith("consumer EVENTS/fallback: paused until 2099-01-01T00:00:00Z")
    (applied,) = await topology.apply(nc, settings)
    assert applied.applied
    assert await topology.check(nc, settings) == ()


async def _restart_with_stock_declaration(url: str) -> None:
    broker = NatsBroker(url)

    @broker.subscriber("ops.in", stream=JStream("OPS", subjects=["ops.>"], max_age=3600))
    async def handle(body: str) -> None:
        del body

    await broker.start()
    await broker.stop()


@pytest.mark.stock
@pytest.mark.xfail(
    strict=True, raises=AssertionError, reason="FastStream declares streams at start: FIELD_NOTES A 6"
)
async def test_an_operators_limits_stay_with_a_stock_declaration(nc: Client, bare_url: str) -> None:
    await _restart_with_stock_declaration(bare_url)
    await _edit(nc, "OPS", max_age=30 * _DAY * _NS, max_msgs=5)

    await _restart_with_stock_declaration(bare_url)

    config = await _config(nc, "OPS")
    assert (config["max_age"], config["max_msgs"]) == (30 * _DAY * _NS, 5)


async def test_force_takes_the_limits_back(nc: Client, nats_url: str, settings: Settings) -> None:
    await _edit(nc, "DEAD", max_age=60 * _DAY * _NS, max_msgs=5)
    changes = await topology.apply(nc, settings, force=True)
    assert all(change.applied for change in changes)
    config = await _config(nc, "DEAD")
    assert (config["max_age"], config["max_msgs"]) == (30 * _DAY * _NS, -1)
    assert await topology.check(nc, settings) == ()


async def test_our_own_limit_grows_with_the_setting(nc: Client, nats_url: str, settings: Settings) -> None:
    larger = load(data_dir=settings.data_dir, broker={"requests_max_bytes": 2**29})
    change, budget = await topology.apply(nc, larger)
    assert (change.field, change.severity, change.applied) == ("max_bytes", DifferenceSeverity.UPDATE, True)
    assert (budget.name, budget.field) == ("EVENTS", "metadata")
    assert (await _config(nc, "REQUESTS"))["max_bytes"] == 2**29
    assert (await _config(nc, "EVENTS"))["metadata"]["understudy.budget"] == str(12 * 2**29)
    assert await topology.check(nc, larger) == ()


async def test_our_own_limit_shrinks_only_by_force(nc: Client, nats_url: str, settings: Settings) -> None:
    smaller = load(data_dir=settings.data_dir, broker={"requests_max_bytes": 2**20})
    change, _ = await topology.apply(nc, smaller)
    assert (change.severity, change.applied, change.drift) == (DifferenceSeverity.UNSAFE, False, True)
    assert (await _config(nc, "REQUESTS"))["max_bytes"] == settings.broker.requests_max_bytes
    await topology.apply(nc, smaller, force=True)
    assert (await _config(nc, "REQUESTS"))["max_bytes"] == 2**20


async def test_an_update_keeps_what_it_does_not_know(nc: Client, nats_url: str, settings: Settings) -> None:
    metadata = {**(await _config(nc, "EVENTS"))["metadata"], "team": "stage"}
    subjects = [*pipeline.stream_subjects("EVENTS")][:-1]
    await _edit(nc, "EVENTS", compression="s2", description="ours", metadata=metadata, subjects=subjects)

    await topology.apply(nc, settings)

    config = await _config(nc, "EVENTS")
    assert (config["compression"], config["description"], config["metadata"]["team"]) == (
        "s2",
        "ours",
        "stage",
    )
    assert set(config["subjects"]) == set(pipeline.stream_subjects("EVENTS"))
    assert await topology.check(nc, settings) == ()


async def test_an_operators_subject_stays(nc: Client, nats_url: str, settings: Settings) -> None:
    await _edit(nc, "DEAD", subjects=[*pipeline.stream_subjects("DEAD"), "graveyard.>"])
    (change,) = await topology.apply(nc, settings)
    assert change.severity is DifferenceSeverity.UNSAFE
    assert "graveyard.>" in (await _config(nc, "DEAD"))["subjects"]


async def test_a_stage_refuses_a_broker_without_its_consumer(
    nc: Client, nats_url: str, settings: Settings
) -> None:
    await nc.jetstream().delete_consumer("EVENTS", "audit")
    with pytest.raises(TopologyError, match=r"EVENTS/audit: missing.*Run 'understudy topology apply'"):
        await topology.require(nc, settings, ("audit",))
    await topology.require(nc, settings, ("fallback", "context-build"))


async def test_a_stage_refuses_a_missing_bucket(nc: Client, nats_url: str, settings: Settings) -> None:
    await nc.jetstream().delete_key_value("strikes")
    with pytest.raises(TopologyError, match="KV_strikes: missing"):
        await topology.require(nc, settings, ("fallback",))


async def test_a_stage_refuses_another_ack_wait_and_apply_repairs_it(
    nc: Client, nats_url: str, settings: Settings
) -> None:
    slower = load(data_dir=settings.data_dir, ack_wait=25.0)
    with pytest.raises(TopologyError, match="ack_wait is 10 s, wanted 25 s"):
        await topology.require(nc, slower, ("context-build",))
    await topology.apply(nc, slower)
    await topology.require(nc, slower, ("context-build",))


async def test_a_consumer_that_must_be_made_again_goes_on_where_it_was(
    nc: Client, nats_url: str, settings: Settings
) -> None:
    js = nc.jetstream()
    await js.delete_consumer("REQUESTS", "audit")
    await js.add_consumer(
        "REQUESTS",
        ConsumerConfig(durable_name="audit", filter_subjects=["gen.requested.>"], ack_policy=AckPolicy.ALL),
    )
    for number in range(3):
        await js.publish(f"gen.requested.layout.r{number}", b"{}")
    seen = await js.pull_subscribe_bind(consumer="audit", stream="REQUESTS")
    first, second = await seen.fetch(2)
    await first.ack_sync()
    await second.ack_sync()
    with pytest.raises(TopologyError, match="--force"):
        await topology.require(nc, settings, ("audit",))

    await topology.apply(nc, settings, force=True)

    await topology.require(nc, settings, ("audit",))
    (third,) = await (await js.pull_subscribe_bind(consumer="audit", stream="REQUESTS")).fetch(1)
    assert third.subject == "gen.requested.layout.r2"


async def test_a_refusal_by_the_broker_names_stream_and_reason(nc: Client, bare_url: str) -> None:
    with pytest.raises(TopologyError, match=r"refuses stream REQUESTS: .*(replicas|peers).*\(error \d+\)"):
        await topology.apply(nc, load(broker={"replicas": 5}))


async def test_a_full_request_stream_refuses_and_keeps(nc: Client, bare_url: str) -> None:
    await topology.apply(nc, load(broker={"requests_max_bytes": 2**16}))
    js = nc.jetstream()
    await js.publish("gen.requested.layout.r0", b"x" * 40_000)
    with pytest.raises(APIError, match="maximum bytes exceeded"):
        await js.publish("gen.requested.layout.r1", b"x" * 40_000)
    assert (await js.get_msg("REQUESTS", 1)).subject == "gen.requested.layout.r0"


async def test_a_schedule_in_events_fires_into_its_target(nc: Client, nats_url: str) -> None:
    js = nc.jetstream()
    await js.publish(
        "gen.timer.layout.r1",
        b"{}",
        headers={
            envelope.SCHEDULE: f"@at {datetime.now(UTC).isoformat().replace('+00:00', 'Z')}",
            envelope.SCHEDULE_TARGET: "gen.deadline.layout.r1",
        },
    )
    fallback = await js.pull_subscribe_bind(consumer="fallback", stream="EVENTS")
    (message,) = await fallback.fetch(1, timeout=10)
    assert message.subject == "gen.deadline.layout.r1"


async def test_an_expired_lease_can_be_taken_again(nc: Client, nats_url: str) -> None:
    flights = await nc.jetstream().key_value("flights")
    await flights.create("key", b"leader", msg_ttl=1)
    with pytest.raises(js_errors.KeyWrongLastSequenceError):
        await flights.create("key", b"follower")
    async with asyncio.timeout(60):
        while True:
            try:
                await flights.create("key", b"next", msg_ttl=60)
                break
            except (js_errors.KeyWrongLastSequenceError, js_errors.KeyNotFoundError):
                # The second one: it expired while nats-py was looking at it.
                continue
    assert (await flights.get("key")).value == b"next"


async def test_a_terminated_message_leaves_an_advisory_in_dead(nc: Client, nats_url: str) -> None:
    js = nc.jetstream()
    await js.publish("gen.requested.layout.r1", b"{}")
    advisory = "$JS.EVENT.ADVISORY.CONSUMER.MSG_TERMINATED.REQUESTS.fallback"
    dead = await js.subscribe(advisory, stream="DEAD", ordered_consumer=True)
    (message,) = await (await js.pull_subscribe_bind(consumer="fallback", stream="REQUESTS")).fetch(1)
    await message.term()
    letter = await dead.next_msg(timeout=10)
    assert json.loads(letter.data)["stream_seq"] == 1


@pytest.mark.usefixtures("impatient")
async def test_a_broker_that_is_gone_is_told(broker: Embedded, settings: Settings) -> None:
    await broker.stop()
    with pytest.raises(Unreachable, match=broker.url):
        await topology.apply_at(broker.url, settings)


async def test_the_topology_survives_a_crash(broker: Embedded, settings: Settings) -> None:
    await topology.apply_at(broker.url, settings)
    await broker.kill()
    await broker.start()
    nc = await connect(broker.url)
    assert await topology.check(nc, settings) == ()
    await nc.close()
