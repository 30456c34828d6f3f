"""Does every accepted request end in exactly one result, whatever comes in?"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from pathlib import Path

import msgspec
import pytest

from contracts import pipeline
from infra.bench import soak
from infra.stores import samples
from tests.pipeline.running import running, until

FOREST = b'{"prompt":"a forest with three coins"}'


async def test_the_smallest_request_is_answered_by_a_labelled_sample(tmp_path: Path) -> None:
    async with running(tmp_path) as here:
        await here.publish("gen.requested.layout.hello-1", FOREST)
        result = await here.result("hello-1")
        golden = samples.load(here.settings.samples_dir).of_kind("layout")
    assert (result["status"], result["origin"]) == ("cached_fallback", "golden_sample")
    assert result["content"] in [sample.content for sample in golden]
    assert result["stand_in"]["name"] in result["reason"]
    assert result["error"]["code"] == "GEN_PROVIDER_DISABLED"


async def test_an_id_belongs_to_its_first_request(tmp_path: Path) -> None:
    async with running(tmp_path) as here:
        await here.publish("gen.requested.layout.one", FOREST)
        await here.result("one")
        await here.publish("gen.requested.layout.one", FOREST)
        await here.publish("gen.requested.layout.one", b'{"prompt":"a desert"}')
        await here.publish("gen.requested.plot.one", FOREST)
        await here.settled()
        assert await here.results() == {"one": 1}
        reasons = sorted(letter["reason"] for letter in await here.letters())
    assert len(reasons) == 2
    assert all("id already used by gen.requested.layout.one" in reason for reason in reasons)


async def test_ten_requests_with_one_id_at_once_get_one_result(tmp_path: Path) -> None:
    async with running(tmp_path) as here:
        kinds = ("layout", "plot")
        bodies = (FOREST, b'{"prompt":"a desert"}')
        await asyncio.gather(
            *(here.publish(f"gen.requested.{kinds[n % 2]}.ten", bodies[n % 3 % 2]) for n in range(10))
        )
        await here.result("ten")
        await here.settled()
        assert await here.results() == {"ten": 1}


def malformed(dice: random.Random, number: int) -> tuple[str, bytes, dict[str, str]]:
    """One message that no stage can use; every stored subject but ``result`` has its turn."""
    events = [row.event for row in pipeline.ROWS if row.stream and row.event != "result"]
    event = events[number % len(events)]
    bodies = (
        dice.randbytes(dice.randrange(1, 200)),
        b"",
        b"[]",
        b"5",
        b'"x"',
        b"null",
        b'{"attempt":"x","prompt":7,"request_seq":"q","reason":[],"status":1,"requested":3}',
        b"[" * 5000,
        b'{"a":' * 3000,
        b'{"prompt":"%s","attempt":null,"reason":4,"request_seq":[],"requested":1}' % (b"y" * 300_000),
    )
    body = b"x" * 1_048_000 if number % 50 == 0 else dice.choice(bodies)
    addresses = (
        f"layout.m-{number}",
        f"banana.m-{number}",
        f"layout.bad!id{number}",
        f"layout.{'z' * 80}{number}",
        f"layout.m-{number}.a.b.c",
    )
    headers = ({}, {"ce-type": f"dev.understudy.gen.{event}.v1"}, {"ce-type": "junk", "traceparent": "zz"})
    return f"gen.{event}.{dice.choice(addresses)}", body, dice.choice(headers)


async def test_every_malformed_message_is_one_dead_letter(tmp_path: Path) -> None:
    dice = random.Random(3)  # noqa: S311 - a repeatable choice
    async with running(tmp_path) as here:
        for number in range(220):
            subject, body, headers = malformed(dice, number)
            await here.publish(subject, body, **headers)

        async def all_told() -> bool:
            return len(await here.letters()) >= 220

        await until(all_told, "220 letters")
        await here.settled()
        letters = await here.letters()
        await here.publish("gen.requested.layout.good", FOREST)
        good = await here.result("good")
    assert len({(letter["stream"], letter["sequence"]) for letter in letters}) == len(letters) == 220
    assert all(letter["reason"] and letter["code"] for letter in letters)
    assert good["status"] == "cached_fallback"


async def test_a_refused_request_gets_one_rejected_result_that_names_the_field(tmp_path: Path) -> None:
    async with running(tmp_path) as here:
        await here.publish("gen.requested.layout.bad", b'{"prompt":"x","promt":1}')
        result = await here.result("bad")
    assert (result["status"], result["origin"]) == ("rejected", "none")
    assert result["error"]["code"] == "GEN_INVALID_REQUEST"
    assert "promt" in result["reason"]


async def test_the_deadline_holds_with_fallback_alone(tmp_path: Path) -> None:
    async with running(tmp_path, stages=("fallback",)) as here:
        began = time.monotonic()
        await here.publish("gen.requested.layout.late", b'{"prompt":"x","deadline_ms":500}')
        result = await here.result("late")
    assert time.monotonic() - began < 2
    assert (result["status"], result["error"]["code"]) == ("fail_fallback", "GEN_TIMEOUT")


async def test_a_late_success_and_its_deadline_give_one_result(tmp_path: Path) -> None:
    slow = {"rules": [{"match": {"stage": "structuring"}, "do": "slow", "after_ms": 150}]}
    dice = random.Random(5)  # noqa: S311 - a repeatable choice
    async with running(tmp_path, script=slow) as here:
        ids = [f"race-{number}" for number in range(100)]
        for start in range(0, 100, 50):
            await asyncio.gather(
                *(
                    here.publish(
                        f"gen.requested.layout.{one}",
                        {"prompt": "a hill", "deadline_ms": dice.randrange(150, 190)},
                    )
                    for one in ids[start : start + 50]
                )
            )
        for one in ids:
            await here.result(one)
        await here.settled()
        assert await here.results() == dict.fromkeys(ids, 1)


@pytest.mark.parametrize("kind", ["layout", "plot", "scene", "dialogue", "transition"])
async def test_a_scripted_result_is_never_called_live(tmp_path: Path, kind: str) -> None:
    async with running(tmp_path, script={"rules": []}) as here:
        await here.publish(f"gen.requested.{kind}.s-1", FOREST)
        result = await here.result("s-1")
    assert (result["status"], result["origin"]) == ("success", "scripted")
    assert result["meta"]["provider"] == "scripted"
    assert result["content"]


@pytest.mark.parametrize(
    ("fallback", "status", "origin"),
    [
        ({}, "fail_fallback", "golden_sample"),
        (
            {"mode": "default_content", "default_content_id": "transition_01"},
            "fail_fallback",
            "default_content",
        ),
        ({"mode": "skip"}, "skipped", "none"),
        ({"mode": "placeholder"}, "placeholder", "placeholder"),
        ({"mode": "none"}, "failed", "none"),
        ({"mode": "retry", "retries": 2, "timeoutMs": 50, "then": "skip"}, "skipped", "none"),
        ({"mode": "default_content", "default_content_id": "nowhere"}, "rejected", "none"),
    ],
)
async def test_each_fallback_mode_ends_as_it_says(
    tmp_path: Path, fallback: dict[str, object], status: str, origin: str
) -> None:
    refusing = {"rules": [{"match": {"stage": "freeform-gen"}, "do": "refuse"}]}
    async with running(tmp_path, script=refusing) as here:
        await here.publish("gen.requested.transition.f-1", {"prompt": "a bridge", "fallback": fallback})
        result = await here.result("f-1")
        tries = await here.entries(pipeline.EVENTS, "gen.context_built.>")
    assert (result["status"], result["origin"]) == (status, origin)
    assert result["reason"]
    retried = fallback.get("mode") == "retry"
    assert len(tries) == (3 if retried else 0 if status == "rejected" else 1)


async def test_a_busy_provider_is_tried_again_as_the_next_attempt(tmp_path: Path) -> None:
    busy = {"rules": [{"match": {"stage": "freeform-gen"}, "do": "busy", "times": 2}]}
    async with running(tmp_path, script=busy) as here:
        await here.publish("gen.requested.layout.b-1", FOREST)
        result = await here.result("b-1")
        built = await here.entries(pipeline.EVENTS, "gen.context_built.>")
    assert result["status"] == "success"
    assert [msgspec.json.decode(one.body)["attempt"] for one in built] == [1, 2, 3]
    assert [one["code"] for one in result["attempts"]][:2] == ["GEN_PROVIDER_UNAVAILABLE"] * 2


async def test_a_document_that_stays_broken_is_told_as_such(tmp_path: Path) -> None:
    torn = {"rules": [{"match": {"stage": "structuring"}, "do": "malformed", "text": "no document"}]}
    async with running(tmp_path, script=torn) as here:
        await here.publish("gen.requested.layout.t-1", {"prompt": "x", "fallback": {"mode": "none"}})
        result = await here.result("t-1")
        letters = await here.letters()
        asked = await here.entries(pipeline.EVENTS, "gen.structured.>")
    assert (result["status"], result["error"]["code"]) == ("fail_validation", "GEN_SCHEMA_INVALID")
    assert [letter["evidence"] for letter in letters] == ["no document"]
    assert len(asked) == 2


async def test_a_cancelled_request_stops_its_generation(tmp_path: Path) -> None:
    slow = {"rules": [{"match": {"stage": "freeform-gen"}, "do": "slow", "after_ms": 60_000}]}
    async with running(tmp_path, script=slow) as here:
        await here.publish("gen.requested.layout.c-1", FOREST)

        async def writing() -> bool:
            info = await here.jetstream.consumer_info(pipeline.EVENTS, "freeform-gen")
            return info.num_ack_pending == 1

        await until(writing, "the generation to start")
        await here.publish("gen.cancelled.layout.c-1", b'{"reason":"the player left"}')
        result = await here.result("c-1")
        await here.settled()
    assert (result["status"], result["origin"]) == ("cancelled", "none")
    assert "the player left" in result["reason"]


async def test_cancelling_an_unknown_id_writes_nothing(tmp_path: Path) -> None:
    async with running(tmp_path) as here:
        await here.publish("gen.cancelled.layout.nobody", b"{}")
        await here.settled()
        assert await here.results() == Counter()
        assert await here.letters() == []


async def test_an_event_from_a_newer_version_is_parked_and_not_failed(tmp_path: Path) -> None:
    newer = {"ce-type": "dev.understudy.gen.drafted.v9"}
    async with running(tmp_path) as here:
        await here.publish("gen.drafted.layout.v-1", b'{"new":true}', **newer)

        async def parked() -> bool:
            info = await here.jetstream.consumer_info(pipeline.EVENTS, "structuring")
            return info.delivered.stream_seq > 0 and info.num_ack_pending == 1

        await until(parked, "the event to be parked")
        assert await here.letters() == []
        assert await here.entries(pipeline.EVENTS, "gen.failed.>") == []


async def test_a_custom_schema_is_followed_and_its_fallback_is_a_placeholder(tmp_path: Path) -> None:
    schema = {
        "type": "object",
        "properties": {"name": {"type": "string"}, "level": {"type": "integer", "minimum": 3}},
        "required": ["name", "level"],
    }
    refusing = {"rules": [{"match": {"request_id": "bad-*"}, "do": "refuse"}]}
    async with running(tmp_path, script=refusing) as here:
        for one in ("good-1", "bad-1"):
            await here.publish(f"gen.requested.custom.{one}", {"prompt": "a badge", "schema": schema})
        good, bad = await here.result("good-1"), await here.result("bad-1")
    assert good["status"] == "success"
    assert good["content"]["level"] >= 3
    assert (bad["status"], bad["origin"]) == ("placeholder", "placeholder")
    assert bad["content"]["level"] >= 3


async def test_a_replay_that_succeeds_revises_the_original(tmp_path: Path) -> None:
    async with running(tmp_path, script={"rules": []}) as here:
        await here.publish("gen.requested.layout.rp-1-1", {"prompt": "a hill", "replay_of": "first"})
        result = await here.result("rp-1-1")
        revised = await here.entries(pipeline.EVENTS, "gen.revised.layout.first")
    assert len(revised) == 1
    assert msgspec.json.decode(revised[0].body)["content"] == result["content"]


@pytest.mark.soak
@pytest.mark.timeout(240)
async def test_every_request_is_answered_once_while_everything_is_killed(tmp_path: Path) -> None:
    found = await soak.run(tmp_path, requests=1000, kills=20, sync_interval="always", timeout_s=150)
    assert found.passed, found
    assert sum(found.kills.values()) == 20
    assert {"broker", "audit", "fallback"} <= {name.partition("#")[0] for name in found.kills}
