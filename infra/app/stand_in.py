"""Stand-in of a stored request: what the fallback would answer at its deadline."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from contracts import pipeline, timestamp
from contracts.envelope import Received, Requested
from infra.app.preview import PreviewedStandIn, find_stand_in
from stages.context_build.layering import overrides
from stages.fallback.plan import planner

if TYPE_CHECKING:
    from contracts.ports import StoredRequest
    from infra.settings.settings import Settings
    from stages.context_build.handle import BriefPorts


class PredictedStandIn(msgspec.Struct, frozen=True, kw_only=True):
    """What answers a request that has no result at its deadline."""

    request_id: str
    kind: str
    deadline_ms: int
    #: When the fallback answers, by the broker's clock.
    deadline_at: str
    stand_in: PreviewedStandIn


async def predict_stand_in(settings: Settings, ports: BriefPorts, stored: StoredRequest) -> PredictedStandIn:
    """Decide what stands in for a request; a pure function of the request and the files of ``ports``.

    Args:
        settings: this process's settings.
        ports: samples, templates, worlds and content kinds.
        stored: the request.
    """
    planned = planner(
        templates=ports.templates,
        overrides=overrides,
        worlds=ports.worlds,
        default_deadline_ms=settings.deadline_ms,
    )(stored.body, stored.kind)
    received = Received(
        event=Requested(body=stored.body),
        name="requested",
        kind=stored.kind,
        request_id=stored.request_id,
        stream=pipeline.REQUESTS,
        sequence=stored.sequence,
        time_ms=stored.time_ms,
    )
    return PredictedStandIn(
        request_id=stored.request_id,
        kind=stored.kind,
        deadline_ms=planned.plan.deadline_ms,
        deadline_at=timestamp.format_ms(stored.time_ms + planned.plan.deadline_ms),
        stand_in=await find_stand_in(received, None, planned, ports),
    )
