"""Seed drift in the pipeline: compared over two runs, marked in results and counted."""

from __future__ import annotations

from typing import Any

from contracts import events as ev
from contracts.result import Drift, Status
from tests.pipeline.conftest import Configure, Observer, Start
from tests.pipeline.test_cache import STAGES, command

_OTHER = "Nobody calls, and the night goes on as it was."


def writes(request_id: str, **rule: Any) -> dict[str, Any]:
    """The scripted provider writes something else for some requests."""
    said = {"do": "answer", "text": _OTHER, **rule}
    return {"match": {"stage": "freeform-gen", "request_id": request_id}, **said}


def drift_from(first: ev.Result) -> Drift:
    assert first.content_hash is not None
    return Drift(first_hash=first.content_hash, first_request=first.request_id)


async def test_another_output_of_the_same_is_told_counted_and_not_called_deterministic(
    client: Observer, configure: Configure, start: Start
) -> None:
    empty = writes("retried-*", do="empty", times=1)
    settings = configure(rules=[empty, writes("other-*"), writes("retried-*")])
    async with start(settings, STAGES):
        first = await client.ask("first", "transition")
        equal = await client.ask("equal", "transition")
        other = await client.ask("other-1", "transition")
        retried = await client.ask("retried-1", "transition")
    async with start(settings, STAGES):
        later = await client.ask("other-2", "transition")
        unlike = await client.ask("other-3", "transition", prompt="a storm")
    counted = await command("cache", "stats")

    assert [one.status for one in (first, equal, other, retried, later, unlike)] == [Status.SUCCESS] * 6
    assert len({one.meta.seed for one in (first, equal, other, retried, later)}) == 1
    assert equal.content_hash == first.content_hash != other.content_hash == later.content_hash
    for honest in (first, equal, retried, unlike):
        assert (honest.meta.deterministic, honest.meta.drift) == (True, None)
    for drifted in (other, later):
        assert (drifted.meta.deterministic, drifted.meta.drift) == (False, drift_from(first))
    assert retried.content_hash != first.content_hash
    assert counted["counts"]["drifted"] == 2
