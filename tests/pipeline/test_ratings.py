"""Is content kept to its rating, from the request to the record?"""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import select
from structlog.testing import capture_logs

from contracts.errors import ErrorCode
from contracts.nodes.node import Rating
from contracts.policy.rating import RatingInfo
from contracts.result import Origin, Status
from infra.stores import samples
from infra.stores.database import GENERATIONS
from tests.pipeline.conftest import Configure, Observer, Start, rows

PLOT = json.dumps(
    {
        "premise": "Two swimmers race the tide.",
        "structure_type": "three_act",
        "title": "The Tide",
        "beats": [{"purpose": "They stand naked in the rain.", "name": "Rain", "tension": 3}],
    }
)


def _rated(rating: str) -> dict[str, Any]:
    return {"constraints": {"rating": rating}}


async def test_content_above_its_rating_is_asked_for_again_drafted_again_and_then_stood_in_for(
    client: Observer, configure: Configure, start: Start
) -> None:
    schema = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
    naked = json.dumps({"text": "She stood naked in the rain."})
    rule = {"match": {"stage": "structuring"}, "do": "answer", "text": naked}
    plot = {"match": {"stage": "structuring", "kind": "plot"}, "do": "answer", "text": PLOT}
    async with start(configure(rules=[plot, rule])):
        fallen = await client.ask("plot-1", "plot", node=_rated("PG-13"))
        placed = await client.ask("sfw-1", "custom", schema=schema)
        allowed = await client.ask("mature-1", "custom", schema=schema, node=_rated("R"))
        await client.settled()

    assert (fallen.status, fallen.origin) == (Status.FAIL_FALLBACK, Origin.GOLDEN_SAMPLE)
    assert fallen.error is not None
    assert (fallen.error.code, fallen.error.stage) == (ErrorCode.GEN_RATING_VIOLATION, "validate-repair")
    assert "nudity needs the rating 'mature_implied', and 'romantic' is the greatest" in (fallen.reason or "")
    assert "naked" not in client.events("result", "plot-1")[0].body.decode()
    # Each of the two drafts is structured once more.
    assert len(client.events("invalid", "plot-1")) == 2
    assert fallen.meta.rating == RatingInfo(requested=Rating.ROMANTIC, effective=Rating.ROMANTIC)
    assert (placed.status, placed.origin) == (Status.PLACEHOLDER, Origin.PLACEHOLDER)
    assert (allowed.status, allowed.content) == (Status.SUCCESS, json.loads(naked))
    letters = {letter.code for letter in client.letters()}
    assert letters == {ErrorCode.GEN_RATING_VIOLATION}


async def test_a_lowered_rating_is_in_the_result_on_the_stream_in_the_log_and_in_the_audit(
    client: Observer, configure: Configure, start: Start
) -> None:
    settings = configure(rules=[])
    with capture_logs() as lines:
        async with start(settings):
            low = await client.ask("low-1", "dialogue", node=_rated("NC-17"), world="academy")
            kept = await client.ask("kept-1", "dialogue", node=_rated("PG-13"))
            off = await client.ask(
                "off-1", "dialogue", node=_rated("R") | {"enabled": False}, world="academy"
            )
            bad = await client.ask("bad-1", "dialogue", social={"max_rating": "hot"})
            await client.settled()

    lowered = RatingInfo(requested=Rating.RESTRICTED, effective=Rating.SFW, clamped=True)
    assert (low.status, low.meta.rating) == (Status.SUCCESS, lowered)
    assert [line for line in low.meta.warnings if "it will be lowered to 'sfw'" in line]
    (event,) = client.events("clamped", "low-1")
    assert event.json() == {
        "requested": "restricted",
        "effective": "sfw",
        "by": "world 'academy'",
        "attempt": 1,
    }
    told = {line["request_id"]: line for line in lines if line["event"] == "rating_lowered"}
    assert told.keys() == {"low-1", "off-1"}
    assert told["low-1"]["log_level"] == told["off-1"]["log_level"] == "warning"
    assert told["low-1"]["by"] == "world 'academy'"
    ends = {
        row["request_id"]: json.loads(row["record"])["end"]["result"]["meta"]["rating"]
        for row in rows(settings, select(GENERATIONS).where(GENERATIONS.c.life_ms > 0))
    }
    assert ends["low-1"] == {"requested": "restricted", "effective": "sfw", "clamped": True}
    assert ends["off-1"] == {"requested": "mature_implied", "effective": "sfw", "clamped": True}

    assert kept.meta.rating == RatingInfo(requested=Rating.ROMANTIC, effective=Rating.ROMANTIC)
    assert (off.status, off.origin) == (Status.CACHED_FALLBACK, Origin.GOLDEN_SAMPLE)
    assert off.meta.rating == RatingInfo(requested=Rating.MATURE_IMPLIED, effective=Rating.SFW, clamped=True)
    assert len(client.events("clamped")) == 2
    assert bad.status is Status.REJECTED
    assert "social.max_rating: 'hot' is not a rating" in (bad.reason or "")


async def test_a_request_that_runs_late_gets_a_stand_in_of_its_lowered_rating(
    client: Observer, configure: Configure, start: Start
) -> None:
    slow = {"match": {"stage": "freeform-gen"}, "do": "slow", "after_ms": 60_000}
    settings = configure(rules=[slow])
    async with start(settings):
        late = await client.ask(
            "late-1", "dialogue", deadline_ms=300, node=_rated("R"), social={"maxRating": "PG-13"}
        )
    assert (late.status, late.origin) == (Status.FAIL_FALLBACK, Origin.GOLDEN_SAMPLE)
    assert late.error is not None
    assert late.error.code is ErrorCode.GEN_TIMEOUT
    assert late.meta.rating == RatingInfo(
        requested=Rating.MATURE_IMPLIED, effective=Rating.ROMANTIC, clamped=True
    )
    assert late.stand_in is not None
    store = samples.load(settings.samples_dir)
    (stood,) = [each for each in store.of_kind("dialogue") if each.name == late.stand_in.name]
    assert stood.rating.rank <= Rating.ROMANTIC.rank
