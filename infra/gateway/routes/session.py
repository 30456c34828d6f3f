"""`/api/session`: a browser's session, in a cookie that its pages cannot read."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, SecretStr
from starlette.requests import Request
from starlette.responses import Response

from contracts import timestamp
from infra.gateway import documents
from infra.gateway.access import AccessRole, Principal, require
from infra.gateway.answers import json_answer
from infra.gateway.authentication import COOKIE
from infra.gateway.changes import record_change
from infra.gateway.gateway import Here

router: Final = APIRouter(prefix="/api/session", tags=["session"])
_Client = Annotated[Principal, require(AccessRole.CLIENT)]
_NEVER_STORED: Final = {"Cache-Control": "no-store"}


class SessionOrder(BaseModel):
    """The token of a session."""

    model_config = ConfigDict(extra="forbid")

    token: SecretStr


@router.post("", summary="Begin a session", responses=documents.SESSION_OPENED | documents.problems(401, 503))
async def begin(order: SessionOrder, request: Request, gateway: Here) -> Response:
    """The cookie lasts for `gateway.session_hours`; changes also need the header `Origin`, which browsers send."""
    opened = await gateway.access.open_session(order.token.get_secret_value())
    principal = opened.principal
    await record_change(gateway, principal, "session.begin", principal.token_id or "")
    answer = json_answer(_to_json(principal), headers=_NEVER_STORED)
    answer.set_cookie(
        COOKIE,
        opened.secret,
        max_age=((principal.expires_ms or 0) - gateway.now_ms()) // 1000,
        httponly=True,
        samesite="strict",
        secure=_is_encrypted(request),
    )
    return answer


@router.get("", summary="Who this is", responses=documents.SESSION | documents.problems(503))
async def show(principal: _Client) -> Response:
    """The role and the workspace of the sender; `via` is `local` where no token is needed."""
    return json_answer(_to_json(principal), headers=_NEVER_STORED)


@router.delete("", summary="End the session", status_code=204, responses=documents.problems(403, 503))
async def end(request: Request, gateway: Here, principal: _Client) -> Response:
    """The cookie opens nothing any more; without a session nothing happens."""
    secret = request.cookies.get(COOKIE)
    if principal.via == "session" and secret is not None:
        await gateway.access.close_session(secret)
    answer = Response(status_code=204, headers=_NEVER_STORED)
    answer.delete_cookie(COOKIE, httponly=True, samesite="strict", secure=_is_encrypted(request))
    return answer


def _is_encrypted(request: Request) -> bool:
    """Whether the browser speaks HTTPS: to a proxy in front, so that only its page's origin says it."""
    return request.headers.get("origin", "").lower().startswith("https://")


def _to_json(principal: Principal) -> dict[str, Any]:
    return {
        "role": principal.role.label,
        "workspace": principal.workspace,
        "token_id": principal.token_id,
        "via": principal.via,
        "expires": None
        if principal.expires_ms is None
        else timestamp.format_ms(principal.expires_ms, "seconds"),
    }
