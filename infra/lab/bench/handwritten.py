"""Hand-written counterpart of the pipeline: plain nats-py, batch fetch, publish awaited, then ack.

The same durable work as the pipeline: the same streams, consumers, events with their headers, the
deadline's timer, a result that only the first writer publishes, and audit rows.  None of the
rest: no leases beyond ``ack_wait``, no identity, no crash counts, no dead letters, no cancellation.
"""

from __future__ import annotations

import asyncio
import sqlite3
import sys
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
import nats
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.errors import APIError

from contracts import pipeline
from contracts.content.registry import MODELS

_FETCH: Final = 128
_encode = msgspec.json.encode
_decode = msgspec.json.decode
_TEXT: Final = "This is a scripted layout. The mood is quiet. It ends where it began. " * 2
_CONTENT: Final = {
    "scene_name": "a forest with three coins",
    "entities": [
        {"id": "p1", "type": "platform", "x": 0, "y": 550, "width": 800, "height": 40},
        {"id": "player_start", "type": "player", "x": 60, "y": 500},
        {"id": "c0", "type": "collectible", "item": "coin", "x": 120, "y": 400},
        {"id": "c1", "type": "collectible", "item": "coin", "x": 210, "y": 400},
    ],
}


class Loop:
    """One process of hand-written stages."""

    def __init__(self, js: JetStreamContext, database: str) -> None:
        self._js = js
        self._writing = asyncio.Lock()
        self._db = sqlite3.connect(database, check_same_thread=False)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        self._db.execute("CREATE TABLE IF NOT EXISTS seen (id TEXT PRIMARY KEY, event TEXT, record TEXT)")
        self._db.execute("CREATE TABLE IF NOT EXISTS logs (id TEXT, status TEXT, latency REAL, record TEXT)")
        self._db.commit()

    async def _publish(self, event: str, stage: str, request_id: str, body: Any, **more: str) -> None:
        ident = f"{request_id}:{stage}:{event}:1"
        headers = {
            "ce-specversion": "1.0",
            "ce-id": ident,
            "ce-type": f"dev.understudy.gen.{event}.v1",
            "ce-source": f"understudy/{stage}",
            "ce-subject": f"layout/{request_id}",
            "ce-time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "ce-datacontenttype": "application/json",
            "traceparent": "00-00000000000000000000000000000001-0000000000000001-01",
            **({} if event == "timer" else {"Nats-Msg-Id": ident}),
            **more,
        }
        await self._js.publish(f"gen.{event}.layout.{request_id}", _encode(body), headers=headers, timeout=10)

    async def context_build(self, msg: Msg) -> None:
        """``requested`` to ``context_built``."""
        asked, request_id = _decode(msg.data), _id(msg)
        brief = {
            "request_seq": msg.metadata.sequence.stream,
            "requested_at_ms": int(msg.metadata.timestamp.timestamp() * 1000),
            "deadline_at_ms": asked["deadline_ms"],
            "input_hash": "0" * 64,
            "prompt": f"Describe a level.\n<<<\n{asked['prompt']}\n>>>\n" + " " * 200,
            "prompt_hash": "0" * 64,
            "prompt_version": "layout@1",
            "freeform": {"temperature": 0.8, "top_p": 0.95, "max_tokens": 1500, "seed": 1, "timeout_s": 180},
            "structuring": {"temperature": 0, "top_p": 1, "max_tokens": 4000, "seed": 0, "timeout_s": 180},
        }
        await self._publish("context_built", "context-build", request_id, {"attempt": 1, "brief": brief})

    async def arm(self, msg: Msg) -> None:
        """``requested`` to its timer."""
        asked, request_id = _decode(msg.data), _id(msg)
        due = msg.metadata.timestamp.timestamp() + asked["deadline_ms"] / 1000
        at = datetime.fromtimestamp(due, UTC).isoformat(timespec="milliseconds")
        await self._publish(
            "timer",
            "fallback",
            request_id,
            {"request_seq": msg.metadata.sequence.stream, "deadline_ms": asked["deadline_ms"]},
            **{
                "Nats-Schedule": f"@at {at}",
                "Nats-Schedule-Target": f"gen.deadline.layout.{request_id}",
                "Nats-Expected-Last-Subject-Sequence": "0",
            },
        )

    async def freeform_gen(self, msg: Msg) -> None:
        """``context_built`` to ``drafted``."""
        event = _decode(msg.data)
        draft = {"text": _TEXT, "provider": "scripted", "model": "scripted-1", "finish_reason": "stop"}
        await self._publish("drafted", "freeform-gen", _id(msg), {**event, "draft": draft})

    async def structuring(self, msg: Msg) -> None:
        """``drafted`` to ``structured``."""
        event = _decode(msg.data)
        document = {"text": _encode(_CONTENT).decode(), "provider": "scripted", "model": "scripted-1"}
        await self._publish("structured", "structuring", _id(msg), {**event, "document": document})

    async def validate_repair(self, msg: Msg) -> None:
        """``structured`` to ``result``."""
        event, request_id = _decode(msg.data), _id(msg)
        content = _decode(event["document"]["text"])
        MODELS["layout"].model_validate(content)
        result = {
            "request_id": request_id,
            "kind": "layout",
            "status": "success",
            "content": content,
            "requested_at_ms": event["brief"]["requested_at_ms"],
            "meta": {
                "seed": 1,
                "prompt_version": "layout@1",
                "prompt_hash": "0" * 64,
                "input_hash": "0" * 64,
            },
        }
        await self._publish(
            "result",
            "validate-repair",
            request_id,
            result,
            **{
                "Nats-Expected-Last-Subject-Sequence": "0",
                "Nats-Expected-Last-Subject-Sequence-Subject": f"gen.result.*.{request_id}",
            },
        )

    def audit(self, batch: list[Msg]) -> None:
        """Rows of a batch, in one transaction."""
        now = time.time() * 1000
        seen = [(_id(msg), msg.subject.split(".")[1], msg.data.decode()) for msg in batch]
        ended = [
            (one[0], "success", now - _decode(one[2]).get("requested_at_ms", now), one[2])
            for one in seen
            if one[1] == "result"
        ]
        with self._db:
            self._db.executemany(
                "INSERT INTO seen VALUES (?, ?, ?) ON CONFLICT (id) DO UPDATE SET event = excluded.event, "
                "record = excluded.record",
                seen,
            )
            self._db.executemany("INSERT INTO logs VALUES (?, ?, ?, ?)", ended)

    async def each(self, stream: str, stage: str, work: Callable[[Msg], Awaitable[None]]) -> None:
        """Fetch a batch, work on it at once, ack each message after its publish."""
        subscription = await self._bind(stream, stage)

        async def one(msg: Msg) -> None:
            try:
                await work(msg)
            except APIError as error:
                if error.err_code != 10071:  # noqa: PLR2004 - somebody was first: done as well
                    raise
            await msg.ack()

        while True:
            await asyncio.gather(*(one(msg) for msg in await _fetch(subscription)))

    async def batches(self, stream: str) -> None:
        """Audit's loop: commit a batch, then ack it."""
        subscription = await self._bind(stream, "audit")
        while True:
            batch = await _fetch(subscription)
            if batch:
                async with self._writing:
                    await asyncio.to_thread(self.audit, batch)
                for msg in batch:
                    await msg.ack()

    async def _bind(self, stream: str, stage: str) -> JetStreamContext.PullSubscription:
        return await self._js.pull_subscribe_bind(durable=stage, stream=stream)


async def _fetch(subscription: JetStreamContext.PullSubscription) -> list[Msg]:
    try:
        return await subscription.fetch(_FETCH, timeout=5)
    except TimeoutError:
        return []


def _id(msg: Msg) -> str:
    return msg.subject.rpartition(".")[2]


async def run(url: str, database: str, half: str) -> None:
    """Run one of the two processes: ``model`` for the two model stages, ``rest`` for the others."""
    client = await nats.connect(url, max_reconnect_attempts=-1)
    loop = Loop(client.jetstream(timeout=10), database)
    if half == "model":
        work = [
            loop.each(pipeline.EVENTS, "freeform-gen", loop.freeform_gen),
            loop.each(pipeline.EVENTS, "structuring", loop.structuring),
        ]
    else:
        work = [
            loop.each(pipeline.REQUESTS, "context-build", loop.context_build),
            loop.each(pipeline.REQUESTS, "fallback", loop.arm),
            loop.each(pipeline.EVENTS, "validate-repair", loop.validate_repair),
            loop.batches(pipeline.REQUESTS),
            loop.batches(pipeline.EVENTS),
        ]
    sys.stdout.write('{"ready": true}\n')
    sys.stdout.flush()
    await asyncio.gather(*work)


if __name__ == "__main__":
    asyncio.run(run(*sys.argv[1:4]))
