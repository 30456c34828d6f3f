"""`…/picture`: contents as drawings, with the label of where they come from."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Query
from starlette.requests import Request
from starlette.responses import Response

from infra.app.pipeline_client import checked
from infra.gateway import answers, documents, lookup
from infra.gateway.access import AccessRole, Principal, require
from infra.gateway.gateway import Here
from infra.gateway.problems import Problem, not_found
from infra.gateway.routes.catalogue import read_catalogue
from infra.pictures.draw import draw
from infra.pictures.label import PictureLabel, label_of, label_sample
from infra.pictures.theme import PictureTheme

router: Final = APIRouter(prefix="/api/v1", tags=["generations"])
_Client = Annotated[Principal, require(AccessRole.CLIENT)]
_Viewer = Annotated[Principal, require(AccessRole.VIEWER)]
#: Parameter of a route that draws.
Theme = Annotated[PictureTheme, Query(description="Its colours; `auto`: those of the reader's system.")]
_MEDIA: Final = "image/svg+xml"
#: A drawing that is opened by itself loads and runs nothing.
_ALONE: Final = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox"}
#: What OpenAPI says of a drawing.
PICTURE: Final[documents.Responses] = {
    200: {
        "description": "The drawing, as SVG.",
        "content": {_MEDIA: {"schema": {"type": "string"}}},
    },
    304: {"description": "It is the one that `If-None-Match` names."},
}


@router.get(
    "/generations/{request_id}/picture",
    summary="The content of a request, drawn",
    responses=PICTURE | documents.problems(404, 410, 422, 503),
)
async def draw_result(
    request_id: str,
    request: Request,
    gateway: Here,
    principal: _Client,
    theme: Theme = PictureTheme.AUTO,
) -> Response:
    """As `understudy result --picture`; a result without content is drawn with the reason."""
    found = await lookup.find(gateway, principal, request_id)
    ended = found.ended
    if ended is None:
        raise Problem(
            404,
            "not-found",
            f"request {request_id!r} has no result yet",
            request_id=request_id,
            headers={"Retry-After": "1"},
        )
    content = await gateway.client.document(ended)
    return await answer_picture(request, ended.kind, content, label_of(checked(ended)), theme)


@router.get(
    "/samples/{name}/picture",
    summary="A prepared content, drawn",
    responses=PICTURE | documents.problems(404, 422, 503),
)
async def draw_sample(
    name: Annotated[
        str,
        Path(
            description="File name, as in the list.",
            openapi_examples={"forest": {"value": "sample_layout_coin_forest.json"}},
        ),
    ],
    request: Request,
    gateway: Here,
    _: _Viewer,
    theme: Theme = PictureTheme.AUTO,
) -> Response:
    """What would be seen if it stood in."""
    found = (await read_catalogue(gateway)).find_sample(name)
    if found is None:
        raise not_found(f"prepared content {name!r}")
    return await answer_picture(request, found.kind, found.content, label_sample(name), theme)


async def answer_picture(
    request: Request, kind: str, content: Any, label: PictureLabel, theme: PictureTheme
) -> Response:
    """A content as a drawing; 304 where the reader has it."""
    # A document of a megabyte takes a while to draw.
    svg = await asyncio.to_thread(draw, kind, content, label=label, theme=theme)
    tag = f'"{hashlib.sha256(svg.encode()).hexdigest()[:32]}"'
    headers = _ALONE | {"ETag": tag, "Cache-Control": "private, no-cache"}
    if answers.matches(request.headers.get("if-none-match"), tag):
        return Response(status_code=304, headers=headers)
    return Response(svg, media_type=_MEDIA, headers=headers)
