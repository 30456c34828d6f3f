"""Health of the gateway: `/livez`, `/readyz` and `/api/health`."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter
from starlette.responses import Response

from infra.gateway import documents
from infra.gateway.access import AccessRole, Principal, require
from infra.gateway.answers import json_answer
from infra.gateway.gateway import Here
from infra.host.extras import installed_version

router: Final = APIRouter(tags=["health"])


@router.get("/livez", summary="Whether the process works", responses=documents.HEALTH)
async def livez() -> Response:
    """200 while the event loop turns; a time-out of the caller means that it does not."""
    return json_answer({"ok": True, "problems": []})


@router.get("/readyz", summary="Whether it takes requests", responses=documents.HEALTH)
async def readyz(gateway: Here) -> Response:
    """200 while the gateway is connected to the broker and does not stop, else 503."""
    found = gateway.problems()
    return json_answer({"ok": not found, "problems": found}, status=503 if found else 200)


@router.get("/api/health", summary="State of the gateway and what it depends on", responses=documents.STATE)
async def health(gateway: Here, _: Annotated[Principal, require(AccessRole.CLIENT)]) -> Response:
    """The gateway's own state: broker, audit, requests that wait; 200 also where something is missing."""
    found = list(gateway.problems())
    if gateway.audit_engine() is None:
        found.append("the audit has no database yet")
    return json_answer(
        {
            "status": "degraded" if found else "ok",
            "problems": found,
            "version": installed_version(),
            "broker": {"connected": gateway.connected},
            "waiting": gateway.waiting,
        }
    )
