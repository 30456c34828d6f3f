"""Is every message of a busy process stored once, whatever its neighbours in a batch come to?"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from nats.aio.client import Client
from understudy_client.calls import PubAck

from contracts import envelope, subjects
from infra.nats.batches import Batches
from infra.nats.multiplexer import RequestMultiplexer
from infra.settings.settings import Settings

MANY = 400


@pytest_asyncio.fixture
async def batches(nc: Client, nats_url: str, settings: Settings) -> AsyncIterator[Batches]:
    wire = RequestMultiplexer()
    await wire.open(nc)
    yield Batches(wire)
    await wire.close()


def result(number: int, *, ident: str = "") -> tuple[str, bytes, dict[str, str]]:
    request_id = f"r-{number}"
    return (
        subjects.gen("result", "layout", request_id),
        f"{number}".encode(),
        {
            envelope.MSG_ID: ident or f"{request_id}:1:fallback:result:1",
            envelope.EXPECTED_LAST: "0",
            envelope.EXPECTED_LAST_SUBJECT: subjects.any_kind("result", request_id),
        },
    )


async def publish(batches: Batches, numbers: range | list[int], *, ident: str = "") -> list[PubAck]:
    return await asyncio.gather(
        *(
            batches.publish(
                *result(number, ident=f"{ident}-{number}" if ident else ""), urgent=number % 2 == 0
            )
            for number in numbers
        )
    )


async def stored(nc: Client) -> int:
    return (await nc.jetstream().stream_info("EVENTS")).state.messages


async def test_all_of_a_burst_are_stored_once_under_their_own_sequence(nc: Client, batches: Batches) -> None:
    acks = await publish(batches, range(MANY))
    assert all(ack.error is None and not ack.duplicate for ack in acks)
    assert await stored(nc) == MANY
    js = nc.jetstream()
    for number in (0, 1, MANY // 2, MANY - 1):
        found = await js.get_msg("EVENTS", acks[number].seq)
        assert found.subject == f"gen.result.layout.r-{number}"


@pytest.mark.delivery
async def test_the_same_burst_again_stores_nothing(nc: Client, batches: Batches) -> None:
    await publish(batches, range(MANY))
    again = await publish(batches, range(MANY))
    assert all(ack.duplicate or ack.refused for ack in again)
    assert await stored(nc) == MANY


@pytest.mark.parametrize("losers", [1, MANY // 10, MANY])
async def test_losers_are_refused_and_their_neighbours_stored(
    nc: Client, batches: Batches, losers: int
) -> None:
    await publish(batches, list(range(0, MANY, MANY // losers))[:losers], ident="first")
    acks = await publish(batches, range(MANY))
    assert sum(ack.refused for ack in acks) == losers
    assert await stored(nc) == MANY


async def test_two_messages_on_one_subject_compete_also_in_one_burst(nc: Client, batches: Batches) -> None:
    one, two = await asyncio.gather(
        publish(batches, range(MANY), ident="a"), publish(batches, range(MANY), ident="b")
    )
    won = [first.refused != second.refused for first, second in zip(one, two, strict=True)]
    assert all(won)
    assert await stored(nc) == MANY


async def test_a_subject_without_a_stream_fails_alone(nc: Client, batches: Batches) -> None:
    async def lost() -> bool:
        try:
            await batches.publish("gen.nowhere.layout.x", b"", {envelope.MSG_ID: "x"})
        except Exception as error:  # noqa: BLE001 - looked at
            return "no stream takes" in str(error)
        return False

    told, acks = await asyncio.gather(lost(), publish(batches, range(MANY)))
    assert told
    assert all(ack.error is None for ack in acks)
