"""Does what the broker stores under a foreign subject count for nothing, and is it reported?"""

from __future__ import annotations

import asyncio
from typing import Any

from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from contracts import pipeline
from infra.inspect import dead_letters, explanation, tail, timeline
from infra.inspect.request_filter import RequestFilter
from infra.nats import log
from infra.nats.multiplexer import RequestMultiplexer
from infra.replay import logged_ends
from infra.stores import database, rebuild, sweeper
from infra.stores.assets import Assets
from infra.stores.foreign_messages import ForeignMessages
from infra.stores.sweeper import sweep_once
from tests.pipeline.conftest import Configure, Observer, Start

SECRET = b'{"status": "success", "content": "an object of somebody else"}'


async def deliver(client: Observer, stream: str, subject: str, *, filters: str = ">") -> None:
    """Have the broker deliver a stream to a subject of the pipeline, as whoever may create consumers can."""
    config = ConsumerConfig(
        name="trick",
        deliver_subject=subject,
        filter_subject=filters,
        deliver_policy=DeliverPolicy.ALL,
        ack_policy=AckPolicy.NONE,
        inactive_threshold=2,
    )
    # The broker delivers while somebody listens.
    heard = asyncio.Event()

    async def hear(_: Any) -> None:
        heard.set()

    listening = await client.nc.subscribe(subject, cb=hear)
    await client.js.add_consumer(stream, config)
    await asyncio.wait_for(heard.wait(), 10)
    await listening.unsubscribe()
    await client.js.delete_consumer(stream, "trick")


async def pull(client: Observer, stream: str, subject: str, filters: str) -> None:
    """Pull from a consumer with a reply subject of the pipeline, as whoever may only pull can."""
    config = ConsumerConfig(durable_name="pulled", filter_subject=filters, ack_policy=AckPolicy.EXPLICIT)
    await client.js.add_consumer(stream, config)
    listening = await client.nc.subscribe(subject)
    await client.nc.publish(f"$JS.API.CONSUMER.MSG.NEXT.{stream}.pulled", b"", reply=subject)
    await listening.next_msg(10)
    await client.js.delete_consumer(stream, "pulled")


async def test_what_is_stored_under_a_foreign_subject_is_no_event(
    client: Observer, start: Start, configure: Configure
) -> None:
    settings = configure()
    async with start(settings) as application:
        done = await client.ask("r1")
        await client.settled()
        wire = RequestMultiplexer()
        await wire.open(client.nc)
        engine = database.engine_of(settings.database)
        before = await explanation.explain(wire, "r1", audit=lambda: engine)
        await Assets(wire).put(SECRET)
        # Two ways of docs/privacy.md's threat, into each stream that others write.
        await deliver(client, "OBJ_assets", "gen.result.layout.r1", filters="$O.assets.C.>")
        await pull(client, pipeline.REQUESTS, "gen.result.layout.victim", "gen.requested.>")
        await deliver(client, "OBJ_assets", "gen.requested.layout.r9", filters="$O.assets.C.>")
        await deliver(client, "OBJ_assets", "dead.structuring.layout.r1", filters="$O.assets.C.>")
        await client.until(
            lambda: len([o for o in client.log if pipeline.is_foreign(o.stream, o.subject)]) == 4
        )
        foreign = [one for one in client.log if pipeline.is_foreign(one.stream, one.subject)]
        assert sorted((one.stream, one.subject.split(".")[0]) for one in foreign) == [
            ("DEAD", "$O"),
            ("EVENTS", "$O"),
            ("EVENTS", "gen"),
            ("REQUESTS", "$O"),
        ]
        # The request has its own result and nothing else; nobody else has one.
        assert (await client.ask("victim")).status is done.status
        assert (await client.ask("r9")).status is done.status
        assert not [one for one in client.letters() if one.subject.startswith("$O")]
        after = await explanation.explain(wire, "r1", audit=lambda: engine)
        assert before is not None
        assert after is not None
        assert after.timeline == before.timeline
        told_again = timeline.build("r1", await log.of_request(wire, "r1"))
        assert told_again is not None
        assert told_again.status == done.status
        shown = [record async for record in tail.past(wire, tail.resolve(None, None))]
        assert not [each for each in shown if each.subject.startswith("$")]
        assert not [one async for one in dead_letters.find(wire, RequestFilter())]
        assert set(await logged_ends.read_last(wire, "result", ["r1"])) == {"r1"}
        # Audit: counted, reported, and rebuilt without them.
        await client.settled()
        found = await ForeignMessages().look(wire, engine)
        assert found == {"DEAD": 1, "EVENTS": 2, "REQUESTS": 1}
        told = await sweeper.look_for_anomalies(wire, engine, now_ms=round(client.log[-1].time_ms) + 60_000)
        assert told.counts == {"foreign": 4}
        rebuilt = await rebuild.rebuild(wire, engine, store_prompts=True)
        assert rebuilt.changed == 0
        # The sweeper's single steps read everything.
        now_ms = round(client.log[-1].time_ms) + 3_600_000
        await sweep_once(wire, engine, settle_ms=0, now_ms=now_ms)
        engine.dispose()
        await wire.close()
        assert application.adapters.deadlines.open == 0
