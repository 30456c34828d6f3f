"""`/api/v1/kinds`, `/api/v1/samples` and a request's stand-in: what content there can be, and what would stand in."""

from __future__ import annotations

import asyncio
from typing import Annotated, Final

from fastapi import APIRouter, Path, Query
from starlette.responses import Response
from understudy_client import protocol

from contracts.ports import StoredRequest
from infra.app import catalogue, stand_in
from infra.app.catalogue import Catalogue
from infra.app.context_ports import load_ports
from infra.gateway import documents, lookup, observe_documents
from infra.gateway.access import AccessRole, Principal, require
from infra.gateway.answers import json_answer
from infra.gateway.gateway import Gateway, Here
from infra.gateway.problems import Problem, not_found

router: Final = APIRouter(prefix="/api/v1", tags=["observe"])
_Client = Annotated[Principal, require(AccessRole.CLIENT)]
_Viewer = Annotated[Principal, require(AccessRole.VIEWER)]
#: Seconds for which what was read from files is kept.
_KEPT_S: Final = 10.0


@router.get(
    "/kinds",
    summary="Content kinds",
    responses=observe_documents.KINDS | documents.problems(503),
)
async def kinds(gateway: Here, _: _Viewer) -> Response:
    """Each kind with the JSON Schema of its documents, its limits and deadline, and the providers that write it."""
    return json_answer((await read_catalogue(gateway)).kinds)


@router.get(
    "/samples",
    summary="Prepared contents",
    responses=observe_documents.SAMPLES | documents.problems(422, 503),
)
async def samples(
    gateway: Here,
    _: _Viewer,
    kind: Annotated[
        str | None,
        Query(
            max_length=64,
            description="Only this content kind.",
            openapi_examples={"layout": {"value": "layout"}},
        ),
    ] = None,
) -> Response:
    """Golden samples and default contents, which stand in for the model's content; without the contents themselves."""
    found = (await read_catalogue(gateway)).samples
    return json_answer([catalogue.without_content(each) for each in found if kind in (None, each.kind)])


@router.get(
    "/samples/{name}",
    summary="A prepared content",
    responses=observe_documents.SAMPLE | documents.problems(404, 503),
)
async def sample(
    name: Annotated[
        str,
        Path(
            description="File name, as in the list.",
            openapi_examples={"forest": {"value": "sample_layout_coin_forest.json"}},
        ),
    ],
    gateway: Here,
    _: _Viewer,
) -> Response:
    """The content that has a file name."""
    found = (await read_catalogue(gateway)).find_sample(name)
    if found is None:
        raise not_found(f"prepared content {name!r}")
    return json_answer(found)


@router.get(
    "/generations/{request_id}/stand-in",
    summary="What would stand in for the model's content",
    responses=observe_documents.STAND_IN | documents.problems(404, 410, 503),
)
async def predict(request_id: str, gateway: Here, principal: _Client) -> Response:
    """What answers the request at its deadline if the model has not: it depends on the request and the files alone.

    A failure before the deadline may have another reason, and a rating that was lowered counts then.
    """
    async with gateway.wait(request_id):
        await gateway.require_broker()
        await lookup.check_visible(gateway, principal, request_id)
        owner = await gateway.client.owner(request_id)
        if owner is None:
            raise Problem(
                410, "gone", f"request {request_id!r} is no longer in the event log", request_id=request_id
            )
        ports = await gateway.shared.get(
            "ports", lambda: asyncio.to_thread(load_ports, gateway.settings), kept_s=_KEPT_S, pause=1
        )
        stored = StoredRequest(
            kind=protocol.kind_of(owner.subject),
            request_id=request_id,
            body=owner.body,
            sequence=owner.sequence,
            time_ms=owner.time_ms,
        )
        # A placeholder for a schema of the request's own takes a while: in a thread with a loop of its own.
        found = await gateway.shared.get(
            ("stand-in", request_id, owner.sequence),
            lambda: asyncio.to_thread(
                lambda: asyncio.run(stand_in.predict_stand_in(gateway.settings, ports, stored))
            ),
            kept_s=0,
            pause=1,
            in_turn=True,
        )
    return json_answer(found)


async def read_catalogue(gateway: Gateway) -> Catalogue:
    """Kinds and prepared contents, read from their files at most once in some seconds."""
    async with gateway.wait():
        return await gateway.shared.get(
            "catalogue",
            lambda: asyncio.to_thread(catalogue.read_catalogue, gateway.settings),
            kept_s=_KEPT_S,
            pause=1,
        )
