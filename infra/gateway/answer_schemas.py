"""Schemas of answers: what the gateway's JSON looks like where no type of the code says it."""

from __future__ import annotations

from typing import Any, Final

from infra.gateway.problems import TYPES

_SCHEMAS: Final = "#/components/schemas"
_TEXT: Final = {"type": "string"}


def _said(text: str, **schema: Any) -> dict[str, Any]:
    return {**schema, "description": text}


def _object(required: str, **properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "required": required.split(), "properties": properties}


_LINKS: Final = _object("self events cancel", self=_TEXT, events=_TEXT, cancel=_TEXT)
_FAULT: Final = _object(
    "detail",
    detail=_TEXT,
    pointer=_said("JSON Pointer into the body (RFC 6901).", type="string"),
    parameter=_said("Query parameter or header.", type="string"),
)
#: By the names that references mean.
SCHEMAS: Final[dict[str, Any]] = {
    "Problem": _said(
        "RFC 9457.",
        **_object(
            "type title status detail",
            type=_said(f"`/problems/` and one of {', '.join(TYPES)}, or an error code.", type="string"),
            title=_TEXT,
            status={"type": "integer"},
            detail=_TEXT,
            code=_said("Error code of the pipeline.", type="string"),
            request_id=_TEXT,
            errors={"type": "array", "items": _FAULT},
            result={"$ref": f"{_SCHEMAS}/Result"},
            kind=_said("Of the request that has the id, for `id-taken`.", type="string"),
            sequence=_said(
                "That request's, in REQUESTS; null: only its result is left.", type=["integer", "null"]
            ),
        ),
    ),
    "Accepted": _object(
        "job_id kind status links",
        job_id=_TEXT,
        kind=_TEXT,
        status=_TEXT,
        links=_LINKS,
        sequence=_said("Of the request, in REQUESTS; where the client did not wait.", type="integer"),
        duplicate=_said("The broker had this very request already.", type="boolean"),
        trace_id=_said("Of its trace (W3C Trace Context).", type=["string", "null"]),
    ),
}
