"""Access to replay jobs: the desk of the gateway, and one job by its number, behind the workspace wall."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from infra.app.replay_desk import ReplayDesk, read_view
from infra.app.replay_json import job_to_json
from infra.gateway.access import check_workspace
from infra.gateway.problems import not_found
from infra.replay.jobs import NoJob

if TYPE_CHECKING:
    from infra.app.replay_desk import JobView
    from infra.gateway.access import Principal
    from infra.gateway.gateway import Gateway


async def open_desk(gateway: Gateway) -> ReplayDesk:
    """The replay desk over the gateway's connection and database.

    Raises:
        DatabaseError: the database cannot be used.
    """
    return ReplayDesk(gateway.settings, gateway.wire, await gateway.prepare_database())


async def find_view(gateway: Gateway, principal: Principal, job: int) -> JobView:
    """A job that the principal may see, without its requests.

    Raises:
        Problem: 404, there is none.
        DatabaseError: it cannot be read.
    """
    try:
        view = await gateway.query(partial(read_view, job=job), missing=None)
    except NoJob:
        view = None
    if view is None:
        raise not_found(f"replay job {job}")
    check_workspace(principal, view.job.workspace, f"replay job {job}")
    return view


def path_of(job: int) -> str:
    """Where a job is."""
    return f"/api/v1/replays/{job}"


def describe(view: JobView) -> dict[str, Any]:
    """What ``replay show --json`` prints but the requests, with links."""
    path = path_of(view.job.job)
    return {
        **job_to_json(view.job),
        "counts": view.counts,
        "spent": view.spent,
        "links": {"self": path, "items": f"{path}/items", "events": f"{path}/events"},
    }
