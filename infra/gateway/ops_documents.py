"""Documents: what OpenAPI says of dead letters, replays and comparisons."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from infra.app.letter_desk import LetterVerdict
from infra.inspect.comparison import Comparison, ComparisonSummary
from infra.inspect.letter_listing import LetterGroup
from infra.replay.jobs import ReplayJob
from infra.replay.plans import ItemState
from infra.replay.reruns import NotRerun
from infra.replay.spending import JobSpending, ReplayOutcome
from infra.replay.undo import UndoReport

Responses = dict[int | str, dict[str, Any]]

_SCHEMAS: Final = "#/components/schemas"
_TEXT: Final = {"type": "string"}
_WHOLE: Final = {"type": "integer"}
_TEXT_OR_NULL: Final = {"type": ["string", "null"]}
_WHOLE_OR_NULL: Final = {"type": ["integer", "null"]}
_LINK: Final = {
    "Link": {"description": "The next page, `rel=next`; missing on the last one.", "schema": _TEXT}
}


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": f"{_SCHEMAS}/{name}"}


def _answer(said: str, name: str, *, status: int = 200, headers: dict[str, Any] | None = None) -> Responses:
    found: dict[str, Any] = {
        "description": said,
        "content": {"application/json": {"schema": _ref(name)}},
    }
    return {status: found | ({"headers": headers} if headers else {})}


LETTERS: Final = _answer("A page.", "LetterPage", headers=_LINK)
LETTER_GROUPS: Final = _answer("The groups.", "LetterGroups")
LETTER: Final = _answer(
    "As `understudy dead show --json`, with its faults and today's verdict.", "DeadLetterView"
)
LETTER_VERDICT: Final = _answer("The verdict.", "LetterVerdict")
REPLAYS: Final = _answer("A page.", "ReplayPage", headers=_LINK)
REPLAY: Final = _answer("The job.", "Replay")
REPLAY_ITEMS: Final = _answer("A page.", "ReplayItemPage", headers=_LINK)
REPLAY_PLAN: Final = _answer("The plan, of a dry run; at most 1,000 of its requests.", "ReplayPlanAnswer")
REPLAY_STARTED: Final = _answer(
    "The job runs in the gateway.",
    "Replay",
    status=202,
    headers={"Location": {"description": "Where the job is.", "schema": _TEXT}},
)
REPLAY_UNDONE: Final = _answer("What was undone, or would be, and what cannot be.", "UndoReport")
COMPARED_MANY: Final = _answer("The figures of all pairs, and each comparison.", "ComparedPairs")
COMPARED: Final[Responses] = {
    200: {
        "description": "The comparison; of a rerun the figures of all pairs, and each comparison.",
        "content": {"application/json": {"schema": {"anyOf": [_ref("Comparison"), _ref("ComparedPairs")]}}},
    }
}
RERUN_PLAN: Final = _answer("What would run.", "RerunsAnswer")
RERUNS_STARTED: Final = _answer(
    "The shadows run.",
    "RerunsAnswer",
    status=202,
    headers={"Location": {"description": "Where their comparison is.", "schema": _TEXT}},
)
LETTER_DROPPED: Final = _answer("What was done, or would be.", "LetterDrop")


#: Schemas of structs that leave out what has its default.
SPARSE: Final = ("PointerDifference", "ReplayOptions")


def body_example(value: Any) -> dict[str, Any]:
    """What a route says of its JSON body beside its schema: an example that runs."""
    return {"requestBody": {"content": {"application/json": {"example": value}}}}


#: What the route that starts a replay says of its body.
REPLAY_ORDER: Final = {
    "requestBody": {
        "content": {
            "application/json": {
                "examples": {
                    "plan": {
                        "summary": "What an hour of failures would take",
                        "value": {"filter": {"kind": "layout", "since": "1h"}, "dry_run": True},
                    },
                    "letter": {
                        "summary": "A dead letter, edited",
                        "value": {
                            "of": "letters",
                            "ids": [1],
                            "patch": [{"op": "add", "path": "/seed", "value": 7}],
                            "rate": 50,
                        },
                    },
                }
            }
        }
    }
}


def component_schemas() -> dict[str, Any]:
    """The schemas that the references of this module mean."""
    _, found = msgspec.json.schema_components(
        [
            LetterGroup,
            LetterVerdict,
            ReplayJob,
            ReplayOutcome,
            JobSpending,
            UndoReport,
            Comparison,
            ComparisonSummary,
            NotRerun,
        ],
        ref_template=f"{_SCHEMAS}/{{name}}",
    )
    # Its body is a request's.
    found["LetterVerdict"]["properties"]["body"] = {"type": ["object", "null"]}
    # A job's fields, whose schema a job with its figures repeats.
    job = found["ReplayJob"]["properties"]
    more = {
        "counts": _COUNTS,
        "spent": _ref("JobSpending"),
        "links": _object(self=_TEXT, items=_TEXT, events=_TEXT),
    }
    summary = found["ComparisonSummary"]["properties"]
    return {
        **found,
        **_OWN,
        "Replay": _object(**job, **more),
        "ComparedPairs": _object(**summary, comparisons=_list("Comparison")),
    }


def _object(**properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties)}


def _list(name: str) -> dict[str, Any]:
    return {"type": "array", "items": _ref(name)}


_NEXT: Final = {"type": ["string", "null"], "description": "Value of `cursor` for the next page."}
_LETTER: Final = {
    "sequence": _WHOLE,
    "time": _TEXT,
    "stage": _TEXT_OR_NULL,
    "kind": _TEXT_OR_NULL,
    "request_id": _TEXT_OR_NULL,
    "code": _TEXT_OR_NULL,
    "reason": _TEXT,
    "advisory": {"type": "boolean"},
    "subject": _TEXT_OR_NULL,
    "stream": _TEXT_OR_NULL,
    "stream_sequence": _WHOLE_OR_NULL,
}
_COUNTS: Final = {
    "type": "object",
    "description": "Requests by state; `cached`: those that the cache was to answer.",
    "additionalProperties": _WHOLE,
}
_ITEM: Final = {
    "letter": _WHOLE_OR_NULL,
    "replay_of": _TEXT_OR_NULL,
    "kind": _TEXT,
    "request_id": _TEXT,
    "state": {"type": "string", "enum": list(ItemState)},
    "code": _TEXT_OR_NULL,
    "reason": _TEXT_OR_NULL,
    "cached": {"type": "boolean"},
}
_OWN: Final[dict[str, Any]] = {
    "DeadLetterRow": _object(**_LETTER),
    "LetterPage": _object(items=_list("DeadLetterRow"), next=_NEXT),
    "LetterGroups": _object(items=_list("LetterGroup")),
    "DeadLetterView": _object(
        **_LETTER,
        letter={"description": "As it is stored."},
        payload={"description": "The message that it is about, as JSON where it is JSON."},
        violations=_list("LetterFault"),
        verdict=_ref("LetterVerdict"),
    ),
    "ReplayPage": _object(items=_list("ReplayJob"), next=_NEXT),
    "ReplayItem": _object(**_ITEM),
    "ReplayItemPage": _object(
        items={
            "type": "array",
            "items": _object(
                **_ITEM,
                position=_WHOLE,
                outcome={"anyOf": [_ref("ReplayOutcome"), {"type": "null"}]},
            ),
        },
        next=_NEXT,
    ),
    "ReplayPlanAnswer": _object(
        job=_WHOLE_OR_NULL,
        plan_hash=_TEXT,
        source=_TEXT,
        options=_ref("ReplayOptions"),
        counts=_COUNTS,
        estimate=_ref("ReplayEstimate"),
        past_error={"type": ["number", "null"]},
        items=_list("ReplayItem"),
    ),
    "RerunsAnswer": _object(
        job=_TEXT,
        requests={"type": "array", "items": _object(original=_TEXT, request_id=_TEXT)},
        refused=_list("NotRerun"),
        estimate=_ref("RerunEstimate"),
        links=_object(compare=_TEXT),
    ),
    "LetterDrop": _object(letter=_WHOLE, outcome={"type": "string", "enum": ["dropped", "would_drop"]}),
}
