"""Bulk submission: every request of a batch is stored once, whoever has its id already."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from nats.aio.client import Client

from contracts.errors import UnderstudyError
from infra.nats import atomic, log, submissions
from infra.nats.atomic import Publication
from infra.nats.multiplexer import RequestMultiplexer
from infra.nats.submissions import Submission
from infra.settings.settings import Settings

TIME = "2026-01-01T00:00:00Z"
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
MANY = 700


@pytest_asyncio.fixture
async def wire(nc: Client, nats_url: str, settings: Settings) -> AsyncIterator[RequestMultiplexer]:
    found = RequestMultiplexer()
    await found.open(nc)
    yield found
    await found.close()


def request(number: int, *, kind: str = "layout", prompt: str = "a forest") -> Publication:
    body = b'{"prompt": "%s %d"}' % (prompt.encode(), number)
    return submissions.request(kind, f"r-{number}", body, time=TIME, traceparent=TRACE)


@pytest.mark.delivery
async def test_every_request_is_stored_once_with_its_own_body(nc: Client, wire: RequestMultiplexer) -> None:
    requests = [request(number) for number in range(MANY)]
    done = await submissions.submit_all(wire, requests)
    assert done == [Submission.STORED] * MANY
    found = [entry async for entry in log.read(wire, "REQUESTS", "gen.requested.>")]
    assert {entry.subject: entry.body for entry in found} == {each.subject: each.body for each in requests}
    assert len(found) == MANY


@pytest.mark.delivery
async def test_what_the_broker_has_is_refused_and_the_rest_is_stored(
    nc: Client, wire: RequestMultiplexer
) -> None:
    await submissions.submit_all(wire, [request(number) for number in range(0, MANY, 3)])
    await submissions.submit_all(wire, [request(1, prompt="another"), request(4, kind="plot")])
    done = await submissions.submit_all(wire, [request(number) for number in range(MANY)])
    assert (done[1], done[4]) == (Submission.TAKEN, Submission.TAKEN)
    for number, each in enumerate(done):
        if number not in (1, 4):
            assert each is (Submission.PRESENT if number % 3 == 0 else Submission.STORED), number
    assert (await nc.jetstream().stream_info("REQUESTS")).state.messages == MANY


async def test_of_several_publishers_each_id_has_one_winner(nc: Client, wire: RequestMultiplexer) -> None:
    requests = [request(number) for number in range(200)]
    done = await asyncio.gather(*(submissions.submit_all(wire, requests) for _ in range(4)))
    for outcomes in zip(*done, strict=True):
        assert sorted(outcomes) == [Submission.PRESENT] * 3 + [Submission.STORED]
    assert (await nc.jetstream().stream_info("REQUESTS")).state.messages == 200


async def test_a_refusal_for_another_reason_is_an_error(nc: Client, wire: RequestMultiplexer) -> None:
    with pytest.raises(UnderstudyError):
        await submissions.submit_all(wire, [request(1), request(2, kind="castle")])


def test_batches_are_cut_by_number_bytes_and_equal_subjects() -> None:
    small = [Publication(subject=f"s.{number}", body=b"x") for number in range(atomic.MOST + 1)]
    assert [len(part) for part in submissions.split(small)] == [atomic.MOST, 1]
    large = [Publication(subject=f"s.{number}", body=b"x" * (atomic.MOST_BYTES // 2)) for number in range(3)]
    assert [len(part) for part in submissions.split(large)] == [2, 1]
    equal = [Publication(subject="s.1", body=b"a"), Publication(subject="s.1", body=b"b")]
    assert [len(part) for part in submissions.split(equal)] == [1, 1]
    assert list(submissions.split([])) == []


async def test_a_batch_that_is_larger_than_the_room_goes_in_parts(
    nc: Client, wire: RequestMultiplexer
) -> None:
    """Admission leaves room for some requests at a time: a whole batch might never fit."""
    js = nc.jetstream()
    config = (await js.stream_info("REQUESTS")).config
    config.max_msgs = 200
    await js.update_stream(config)
    submitting = asyncio.create_task(submissions.submit_all(wire, [request(number) for number in range(500)]))
    async with asyncio.timeout(30):
        while (await js.stream_info("REQUESTS")).state.messages < 100:
            await asyncio.sleep(0.02)
        config.max_msgs = 500
        await js.update_stream(config)
        assert await submitting == [Submission.STORED] * 500
    prompts = [entry.body async for entry in log.read(wire, "REQUESTS", "gen.requested.>")]
    assert prompts == [request(number).body for number in range(500)]
