"""Look-up of one request: its state and result from the event log, else from the audit; behind the workspace wall."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec
import understudy_client
from understudy_client import NoResult, protocol
from understudy_client.errors import InvalidRequest

from contracts import pipeline, subjects
from infra.gateway.access import check_workspace
from infra.gateway.problems import not_found
from infra.inspect import archive
from infra.inspect.timeline import PENDING, RUNNING
from infra.nats import log

if TYPE_CHECKING:
    from understudy_client import Result
    from understudy_client.log import StoredMessage

    from infra.gateway.access import Principal
    from infra.gateway.gateway import Gateway

#: An event that shows that a stage has taken the request up.
_TAKEN_UP: Final = "context_built"


class FoundRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A request as it is now."""

    request_id: str
    kind: str
    #: ``pending`` and ``running`` before the result, then its status.
    status: str
    result: Any = None

    @property
    def ended(self) -> Result | None:
        """Its result; ``None``: there is none yet."""
        result: Result | None = self.result
        return result


async def find(gateway: Gateway, principal: Principal, request_id: str, *, wait_s: float = 0) -> FoundRequest:
    """A request, its state and its result.

    Args:
        gateway: the gateway.
        principal: who asks.
        request_id: the request.
        wait_s: seconds to wait for the result, if there is none yet.

    Raises:
        Problem: 404, there is none that the principal may see.
        ClientError, Unavailable: the broker does not answer.
    """
    if not _is_id(request_id):
        raise not_found(f"request {request_id!r}")
    async with gateway.wait(request_id):
        await gateway.require_broker()
        owner = await gateway.client.owner(request_id)
        if owner is None:
            return await _archived(gateway, principal, request_id)
        check_workspace(principal, workspace_of(owner), f"request {request_id!r}")
        kind = protocol.kind_of(owner.subject)
        result = await _result(gateway, request_id, kind, wait_s)
        if result is not None:
            return FoundRequest(request_id=request_id, kind=kind, status=result.status, result=result)
        taken = await log.first(gateway.wire, pipeline.EVENTS, subjects.any_kind(_TAKEN_UP, request_id))
    return FoundRequest(request_id=request_id, kind=kind, status=RUNNING if taken is not None else PENDING)


async def check_visible(gateway: Gateway, principal: Principal, request_id: str) -> None:
    """Refuse a request that does not exist or that the principal must not see.

    Raises:
        Problem: 404.
    """
    what = f"request {request_id!r}"
    if not _is_id(request_id):
        raise not_found(what)
    owner = await gateway.client.owner(request_id)
    if owner is not None:
        check_workspace(principal, workspace_of(owner), what)
        return
    row = await gateway.query(lambda engine: archive.find_row(engine, request_id), missing=None)
    if row is None:
        raise not_found(what)
    check_workspace(principal, row.workspace, what)


def workspace_of(owner: StoredMessage) -> str | None:
    """The workspace in the body of a stored request."""
    try:
        return msgspec.json.decode(owner.body, type=_Owned).workspace
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return None


class _Owned(msgspec.Struct, frozen=True):
    workspace: str | None = None


async def _result(gateway: Gateway, request_id: str, kind: str, wait_s: float) -> Result | None:
    if wait_s <= 0:
        return await gateway.client.look(request_id, kind=kind)
    try:
        return await gateway.client.wait(request_id, kind=kind, timeout_s=wait_s)
    except NoResult:
        return None


async def _archived(gateway: Gateway, principal: Principal, request_id: str) -> FoundRequest:
    """A request that only the audit has."""
    row = await gateway.query(lambda engine: archive.find_row(engine, request_id), missing=None)
    if row is None:
        raise not_found(f"request {request_id!r}")
    check_workspace(principal, row.workspace, f"request {request_id!r}")
    found = await gateway.query(lambda engine: archive.find_result(engine, request_id), missing=None)
    result = None if found is None else msgspec.convert(msgspec.to_builtins(found), understudy_client.Result)
    return FoundRequest(
        request_id=request_id,
        kind=row.kind or "",
        status=row.status if result is None else result.status,
        result=result,
    )


def _is_id(request_id: str) -> bool:
    try:
        protocol.check_id(request_id, rejected=True)
    except InvalidRequest:
        return False
    return True
