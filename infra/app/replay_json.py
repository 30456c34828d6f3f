"""Replay jobs as JSON: the objects that the command line prints and the gateway answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from infra.app.replay_desk import JobView, Proposal
    from infra.replay.jobs import JobItem, ReplayJob
    from infra.replay.plans import PlannedItem
    from infra.replay.runs import RunReport


def run_to_json(proposal: Proposal | None, report: RunReport) -> dict[str, Any]:
    """The object that a run prints: what it did, with the plan that it was made from."""
    done: dict[str, Any] = msgspec.to_builtins(report)
    if proposal is None:
        return done
    plan = proposal.plan
    return done | {
        "plan_hash": plan.plan_hash,
        "source": proposal.source,
        "counts": dict(plan.counts),
        "estimate": proposal.estimate,
    }


def proposal_to_json(proposal: Proposal, job: ReplayJob | None) -> dict[str, Any]:
    """The object that ``replay --json`` prints for a plan."""
    plan = proposal.plan
    return {
        "job": None if job is None else job.job,
        "plan_hash": plan.plan_hash,
        "source": proposal.source,
        "options": plan.options,
        "counts": dict(plan.counts),
        "estimate": proposal.estimate,
        "past_error": proposal.past_error,
        "items": [item_to_json(each) for each in plan.items],
    }


def job_to_json(job: ReplayJob) -> dict[str, Any]:
    """The object that ``replay ls --json`` has for each job."""
    return msgspec.to_builtins(job)


def view_to_json(view: JobView) -> dict[str, Any]:
    """The object of ``replay show --json``."""
    return {
        **job_to_json(view.job),
        "counts": view.counts,
        "spent": view.spent,
        "items": [item_to_json(each) for each in view.items],
    }


def item_to_json(item: JobItem | PlannedItem) -> dict[str, Any]:
    """The object that plans and jobs have for each request."""
    origin = item.origin
    return {
        "letter": origin.letter,
        "replay_of": origin.replay_of,
        "kind": origin.kind,
        "request_id": item.request_id,
        "state": item.state,
        "code": item.code,
        "reason": item.reason,
        "cached": item.cached,
    }
