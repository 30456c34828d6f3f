"""Schemas of answers: what the gateway's JSON looks like, where a type of the code does not say it alone."""

from __future__ import annotations

from collections.abc import Container
from typing import Any, Final, cast

import msgspec
from sqlalchemy import Column, Float, Integer
from understudy_client.result import Origin, Result, Status

from contracts.content.registry import MODELS
from infra.gateway.problems import TYPES
from infra.inspect.audit_listing import SHOWN
from infra.inspect.relatives import Relative
from infra.replay.rerun_estimate import RerunEstimate

_SCHEMAS: Final = "#/components/schemas"
_TEXT: Final = {"type": "string"}
_TEXT_OR_NULL: Final = {"type": ["string", "null"]}
_NUMBER: Final = {"type": "number"}
_INTEGER: Final = {"type": "integer"}
_NULL: Final = {"type": "null"}
#: Any object.
_OPEN: Final = {"type": "object", "additionalProperties": True}


#: What says something of an object.
_INSIDE: Final = frozenset({"properties", "additionalProperties", "patternProperties"})
#: Words with a value behind them, and not a schema.
_VALUES: Final = frozenset({"const", "default", "enum", "example", "examples", "value"})


def ref(name: str) -> dict[str, Any]:
    """The reference to a schema."""
    return {"$ref": f"{_SCHEMAS}/{name}"}


def describe(text: str, schema: dict[str, Any]) -> dict[str, Any]:
    """A schema with what it means in words."""
    return {**schema, "description": text}


def build_object(optional: str = "", /, **properties: dict[str, Any]) -> dict[str, Any]:
    """The schema of an object; the names of properties that may be missing are in one text."""
    missing = optional.split()
    return {
        "type": "object",
        "properties": properties,
        "required": [name for name in properties if name not in missing],
    }


def _list(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}


def _or_null(schema: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [schema, _NULL]}


def build_results() -> dict[str, Any]:
    """A result and its parts, with the documents of all kinds as its content."""
    parts = _build_struct(Result)
    fields = parts["Result"]["properties"]
    fields["status"] = {
        "type": "string",
        "enum": [str(each) for each in Status],
        "description": "How it ended.",
    }
    fields["origin"] = {
        "type": "string",
        "enum": [str(each) for each in Origin],
        "description": "Where the content comes from: `live` and `cache` are a model's own.",
    }
    fields["content"] = ref("Content")
    models: dict[str, Any] = {}
    for model in MODELS.values():
        schema = model.model_json_schema(ref_template=f"{_SCHEMAS}/{{model}}")
        # Which of its properties have to be there together: no generator of types understands it.
        schema.pop("anyOf", None)
        models |= cast("dict[str, Any]", schema.pop("$defs", {}))
        models[model.__name__] = schema
    kinds = ", ".join(f"`{kind}` has {model.__name__}" for kind, model in MODELS.items())
    content = describe(
        f"The document: {kinds}, `custom` what its schema allows. Null: there is none.",
        {"anyOf": [*(ref(model.__name__) for model in MODELS.values()), _OPEN, _list({}), _NULL]},
    )
    return {**parts, **models, "Content": content}


def _build_row() -> dict[str, Any]:
    """A row of the audit."""
    return build_object(**{column.name: _type_of(column) for column in SHOWN})


def _type_of(column: Column[Any]) -> dict[str, Any]:
    name = (
        "integer"
        if isinstance(column.type, Integer)
        else "number"
        if isinstance(column.type, Float)
        else "string"
    )
    return {"type": [name, "null"] if column.nullable else name}


def _build_struct(struct: type[msgspec.Struct]) -> dict[str, Any]:
    """A struct and its parts."""
    _, found = msgspec.json.schema_components([struct], ref_template=f"{_SCHEMAS}/{{name}}")
    return complete(found)


def complete(schemas: dict[str, Any], *, sparse: Container[str] = ()) -> dict[str, Any]:
    """Schemas of structs as they are in answers, which leave nothing out.

    Args:
        schemas: by name.
        sparse: structs that leave out what has its default.
    """
    return {
        name: each
        if "properties" not in each or name in sparse
        else {**each, "properties": _plain(each["properties"]), "required": list(each["properties"])}
        for name, each in schemas.items()
    }


def _plain(fields: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Properties without defaults, which mean nothing in answers, and with a type beside the values of an enum."""
    return {
        name: ({"type": "string"} if "enum" in each else {})
        | {word: value for word, value in each.items() if word != "default"}
        for name, each in fields.items()
    }


def open_objects(part: Any) -> Any:
    """A part of the document in which an object of which nothing is said has any property: generators need it in words."""
    if isinstance(part, list):
        return [open_objects(each) for each in cast("list[Any]", part)]
    if not isinstance(part, dict):
        return part
    said = cast("dict[str, Any]", part)
    found = {word: value if word in _VALUES else open_objects(value) for word, value in said.items()}
    kinds = said.get("type")
    plain = kinds == "object" or (isinstance(kinds, list) and "object" in kinds)
    return found if not plain or _INSIDE & said.keys() else {**found, "additionalProperties": True}


_LINKS: Final = build_object(self=_TEXT, events=_TEXT, cancel=_TEXT)
_FAULT: Final = build_object(
    "pointer parameter",
    detail=_TEXT,
    pointer=describe("JSON Pointer into the body (RFC 6901).", _TEXT),
    parameter=describe("Query parameter or header.", _TEXT),
)
_EVENT: Final = {
    "seq": describe("In its stream; null: progress, which is not stored.", {"type": ["integer", "null"]}),
    "time": describe("Of the broker, in RFC 3339.", _TEXT),
    "subject": _TEXT,
    "event": describe("Its name, such as `requested` or `result`.", _TEXT),
    "kind": _TEXT_OR_NULL,
    "request_id": _TEXT_OR_NULL,
    "stage": describe("Its publisher.", _TEXT_OR_NULL),
    "data": describe("The body of the message.", {}),
}
#: By the names that references mean.
SCHEMAS: Final[dict[str, Any]] = {
    "Problem": describe(
        "RFC 9457.",
        build_object(
            "code request_id errors result kind sequence",
            type=describe(f"`/problems/` and one of {', '.join(TYPES)}, or an error code.", _TEXT),
            title=_TEXT,
            status=_INTEGER,
            detail=_TEXT,
            code=describe("Error code of the pipeline.", _TEXT),
            request_id=_TEXT,
            errors=_list(_FAULT),
            result=ref("Result"),
            kind=describe("Of the request that has the id, for `id-taken`.", _TEXT),
            sequence=describe(
                "That request's, in REQUESTS; null: only its result is left.", {"type": ["integer", "null"]}
            ),
        ),
    ),
    "Accepted": build_object(
        "sequence duplicate trace_id",
        job_id=_TEXT,
        kind=_TEXT,
        status=_TEXT,
        links=_LINKS,
        sequence=describe("Of the request, in REQUESTS; where the client did not wait.", _INTEGER),
        duplicate=describe("The broker had this very request already.", {"type": "boolean"}),
        trace_id=describe("Of its trace (W3C Trace Context).", _TEXT_OR_NULL),
    ),
    "GenerationRow": describe("What the audit has of a request.", _build_row()),
    "GenerationPage": build_object(
        items=_list(ref("GenerationRow")),
        next=describe("Value of `cursor` for the next page.", _TEXT_OR_NULL),
    ),
    "LogEvent": describe(
        "One message of the log, as `understudy tail --json` prints it.", build_object(**_EVENT)
    ),
    "Explanation": describe(
        "As `understudy why --json`.",
        build_object(
            request_id=_TEXT,
            kind=_TEXT_OR_NULL,
            status=_TEXT,
            origin=_TEXT_OR_NULL,
            reason=_TEXT_OR_NULL,
            error=_or_null(ref("ErrorInfo")),
            attempts=_list(ref("Attempt")),
            stand_in=_or_null(ref("StandIn")),
            evaluation=_or_null(ref("EvaluationInfo")),
            enhancement=_or_null(ref("EnhancementInfo")),
            replay_of=_TEXT_OR_NULL,
            shadow={"type": "boolean"},
            from_stage=_TEXT_OR_NULL,
            patched_by=_TEXT_OR_NULL,
            generated_for=_TEXT_OR_NULL,
            scene_of=_TEXT_OR_NULL,
            scenes=_list(ref("SceneInfo")),
            revised_by=_TEXT_OR_NULL,
            decided=describe(
                "The layer that set each field of its node.",
                _list(
                    build_object(
                        field=_TEXT,
                        value={},
                        by=_TEXT,
                        line={"type": ["integer", "null"]},
                        rule=_TEXT_OR_NULL,
                        when=_list(_TEXT),
                    )
                ),
            ),
            waiting_for=describe("The stage that has to act next.", _TEXT_OR_NULL),
            events=_list(
                build_object(
                    **_EVENT,
                    stream=_TEXT_OR_NULL,
                    offset_ms=describe("Since the request was stored.", _NUMBER),
                    latency_ms=describe("Since the event that caused it.", {"type": ["number", "null"]}),
                    attempt={"type": ["integer", "null"]},
                    note=_TEXT,
                )
            ),
            follows=describe("The running request whose result it waits for.", _TEXT_OR_NULL),
            follows_fault=_TEXT_OR_NULL,
            related=_list(ref("Relative")),
            related_left_out=_INTEGER,
            related_fault=_TEXT_OR_NULL,
        ),
    ),
    **_build_struct(Relative),
    **_build_struct(RerunEstimate),
    "RerunAnswer": build_object(
        job=_TEXT, original=_TEXT, request_id=_TEXT, estimate=ref("RerunEstimate"), links=_LINKS
    ),
    "SocialSetting": build_object(
        rating=ref("RatingInfo"),
        decided_by=_TEXT_OR_NULL,
        relationship=_or_null(build_object(world=_TEXT, tier=_TEXT, level=_TEXT, band=_TEXT, rating=_TEXT)),
        # Only what is not the default.
        constraints={
            "type": "object",
            "properties": {
                "rating": _TEXT,
                "required_elements": _list(_TEXT),
                "avoid_elements": _list(_TEXT),
                "content_rules": _list(_TEXT),
            },
            "additionalProperties": False,
        },
        prompt_lines=_list(_TEXT),
        contradiction=_TEXT_OR_NULL,
    ),
}
