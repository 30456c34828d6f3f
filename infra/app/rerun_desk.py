"""Rerun desk: reruns and comparisons over the broker and the audit of some settings, for every door of the pipeline."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from sqlalchemy.exc import SQLAlchemyError

from contracts import pipeline
from contracts.errors import UnderstudyError, error_text
from contracts.request_edits import parse_edits
from infra.app.replay_judge import ReplayJudge
from infra.inspect import comparison, outcomes
from infra.inspect.filter_conditions import check_text
from infra.providers import names, table
from infra.replay import rerun_estimate, reruns
from infra.replay.origins import ReplayOrigin, select_requests
from infra.replay.reruns import NotRerun, RerunOptions, RerunPlan
from infra.stores import database, remedies

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from contracts.lineage import StartStage
    from infra.app.pipeline_client import PipelineClient
    from infra.inspect.comparison import Comparison, RequestOutcome
    from infra.inspect.outcomes import ComparedPair
    from infra.inspect.request_filter import RequestFilter
    from infra.providers.budget import Tariff
    from infra.replay.rerun_estimate import RerunEstimate
    from infra.replay.reruns import Rerun
    from infra.settings.settings import Settings

T = TypeVar("T")


class NotFound(UnderstudyError):  # noqa: N818 - names the state
    """Requests that neither the log nor the audit knows."""


def read_options(
    settings: Settings, assignments: Sequence[str], from_stage: StartStage | None
) -> RerunOptions:
    """The options that assignments ``key=value`` mean.

    Args:
        settings: where providers are configured.
        assignments: as for :func:`contracts.request_edits.parse_edits`.
        from_stage: the first stage that works; ``None``: all of them.

    Raises:
        EditError, ModelUnknown: naming the key or model, and what is allowed.
    """
    edits = parse_edits(assignments)
    provider = None if edits.model is None else names.choose(settings, edits.model)
    options = RerunOptions(edits=edits, from_stage=from_stage, provider=provider)
    reruns.check_options(options)
    return options


class RerunDesk:
    """Reruns and comparisons.

    Args:
        settings: where providers and the audit are configured.
        client: a connected client.
    """

    def __init__(self, settings: Settings, client: PipelineClient) -> None:
        self._settings = settings
        self._client = client

    async def select(self, where: RequestFilter, *, limit: int | None = None) -> list[str]:
        """The ids of the past requests that match a filter, the oldest first; replays and shadows only by their id.

        Raises:
            FilterError: it has a text, and the audit keeps none.
            UnderstudyError: the audit cannot be read.
        """
        check_text(where, stored=self._settings.audit.store_prompts)
        found = await self._query(lambda engine: select_requests(engine, where, limit=limit), missing=[])
        return list(dict.fromkeys(request_id for request_id, _ in found))

    async def plan(self, ids: Sequence[str], options: RerunOptions, *, job: str) -> RerunPlan:
        """Plan the shadows of past requests; nothing is published.

        What context-build would reject, such as a prompt version of another kind, is refused here with its reason.

        Raises:
            RerunError, EditError: as :func:`infra.replay.reruns.plan`.
            UnderstudyError: the audit cannot be read, or settings of context-build cannot be used.
            StreamMissing, Unavailable: the broker does not answer.
        """
        reruns.check_job(job)
        known = await self._outcomes(ids)
        found = await reruns.plan(self._client.wire, ids, known, options, job=job)
        return await self._judge(found, options)

    async def _judge(self, planned: RerunPlan, options: RerunOptions) -> RerunPlan:
        """The plan without the shadows that would be rejected now."""
        if not planned.items:
            return planned
        judge = await asyncio.to_thread(ReplayJudge, self._settings, self._client.wire)
        try:
            verdicts = await judge.judge(
                [(_origin(each), each.request_id, each.body) for each in planned.items],
                from_stage=options.from_stage,
            )
        finally:
            judge.close()
        judged = list(zip(planned.items, verdicts, strict=True))
        refused = (
            NotRerun(original=each.original, reason=verdict.reason or "it would be rejected")
            for each, verdict in judged
            if not verdict.accepted
        )
        return RerunPlan(
            job=planned.job,
            items=tuple(each for each, verdict in judged if verdict.accepted),
            refused=(*planned.refused, *refused),
        )

    def estimate(self, plan: RerunPlan, options: RerunOptions) -> RerunEstimate:
        """What the shadows of a plan are expected to take."""
        found = [(each.kind, each.usage) for each in plan.items]
        return rerun_estimate.estimate(
            found,
            with_scenes=sum(each.scenes for each in plan.items),
            tariff=self._tariff(options.provider),
        )

    async def run(
        self, items: Sequence[Rerun], *, in_flight: int, on_result: Callable[[Rerun], object] | None = None
    ) -> None:
        """Publish shadows and wait for their results; as :func:`infra.replay.reruns.run`."""
        await reruns.run(self._client, items, in_flight=in_flight, on_result=on_result)

    async def publish(self, items: Sequence[Rerun]) -> None:
        """Publish shadows without waiting for their results; as :func:`infra.replay.reruns.publish`."""
        for each in items:
            await reruns.publish(self._client, each)

    async def pairs_of(self, job: str) -> tuple[ComparedPair, ...]:
        """The pairs of a rerun that the audit knows.

        Raises:
            RerunError: it is no name of a job.
            NotFound: there is no such rerun.
            UnderstudyError: the audit cannot be read.
        """
        reruns.check_job(job)
        found = await self._query(lambda engine: outcomes.find_shadows(engine, job), missing=())
        if not found:
            raise NotFound(f"the audit knows no rerun {job!r}; `understudy rerun` prints the name of each")
        return found

    async def compare(
        self, pairs: Sequence[ComparedPair], *, workspace: str | None = None
    ) -> list[Comparison]:
        """Compare pairs, in their order.

        Args:
            pairs: the pairs.
            workspace: the only workspace whose requests are known; ``None``: all.

        Raises:
            NotFound: naming the requests that neither the log nor the audit knows.
            UnderstudyError: the audit cannot be read.
            Unavailable: the broker does not answer.
        """
        known = await self._outcomes([each for pair in pairs for each in (pair.a, pair.b)])
        if workspace is not None:
            known = {each: it for each, it in known.items() if (it.body or {}).get("workspace") == workspace}
        missing = dict.fromkeys(each for pair in pairs for each in (pair.a, pair.b) if each not in known)
        if missing:
            more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""  # noqa: PLR2004 - as below
            raise NotFound(f"neither the log nor the audit knows {', '.join(list(missing)[:5])}{more}")
        return [comparison.compare(known[pair.a], known[pair.b]) for pair in pairs]

    async def _outcomes(self, ids: Sequence[str]) -> dict[str, RequestOutcome]:
        """What the log knows of requests, and what the audit knows of those that the log has forgotten."""
        known = await outcomes.read_logged(self._client.wire, ids)
        rest = [each for each in ids if each not in known]
        if not rest:
            return known
        return known | await self._query(lambda engine: outcomes.read_audited(engine, rest), missing={})

    async def _query(self, query: Callable[[Engine], T], *, missing: T) -> T:
        """Ask the audit; ``missing`` where there is none yet."""
        try:
            return await asyncio.to_thread(_answer, self._settings.database, query, missing)
        except SQLAlchemyError as error:
            remedy = remedies.remedy(self._settings.database, error)
            raise database.DatabaseError(f"the audit cannot be read: {error_text(error)}; {remedy}") from None

    def _tariff(self, provider: str | None) -> Tariff | None:
        if provider is None:
            return None
        server, _, model = provider.partition("/")
        settings = names.with_model(self._settings, server, model)
        return table.spec_of(settings, server).tariff(settings, server)


def _origin(item: Rerun) -> ReplayOrigin:
    """What the judge needs to know of a shadow's original."""
    return ReplayOrigin(
        stream=pipeline.REQUESTS, sequence=0, named=item.original, replay_of=item.original, kind=item.kind
    )


def _answer(plain: str, query: Callable[[Engine], T], missing: T) -> T:
    url = database.url_of(plain)
    if url.get_backend_name() == "sqlite" and url.database and not Path(url.database).is_file():
        # SQLite would create it.
        return missing
    engine = database.engine_of(plain)
    try:
        return query(engine)
    finally:
        engine.dispose()
