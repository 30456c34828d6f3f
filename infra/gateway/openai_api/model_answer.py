"""Model answers: a result as OpenAI's API shows it, with its labels, and the refusal of stand-ins."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import msgspec
from understudy_client.result import USABLE

from infra.gateway import answers
from infra.gateway.openai_api.error_form import LABELS, NO_RETRY
from infra.gateway.openai_api.model_call import usage_of
from infra.gateway.openai_api.model_names import MODEL_ORIGINS, OWN, served_by
from infra.gateway.problems import Problem

if TYPE_CHECKING:
    from understudy_client import Result

#: Pieces in which a checked text is sent at most, and characters of one at least.
_MOST_PIECES: Final = 200
_PIECE: Final = 64


class ModelAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A result that the client gets."""

    #: The request's id.
    id: str
    #: Seconds since the epoch.
    created: int
    #: What wrote or stood in.
    model: str
    #: The document as JSON; ``None``: there is none.
    text: str | None
    #: Prompt and completion tokens; ``None``: not known.
    usage: tuple[int, int] | None
    labels: dict[str, Any]
    headers: dict[str, str]

    @property
    def pieces(self) -> list[str]:
        """The text in pieces."""
        text = self.text or ""
        size = max(_PIECE, -(-len(text) // _MOST_PIECES))
        return [text[begin : begin + size] for begin in range(0, len(text), size)]


def labels_of(result: Result) -> dict[str, Any]:
    """The object ``understudy`` of an answer or error."""
    return {
        "request_id": result.request_id,
        "status": result.status,
        "origin": result.origin,
        "reason": result.reason,
        "stand_in": None if result.stand_in is None else msgspec.to_builtins(result.stand_in),
    }


def headers_of(result: Result) -> dict[str, str]:
    """The headers that label an answer."""
    headers = answers.label_headers(result) | {"x-request-id": result.request_id}
    if result.stand_in is not None:
        headers["Understudy-Stand-In"] = quote(result.stand_in.name)
    return headers


def check_result(result: Result, *, live: bool) -> None:
    """Refuse a result that nobody can use, and one that no model wrote where a model's own is required.

    Raises:
        Problem: as :func:`infra.gateway.answers.problem_of`; 503, a stand-in.
    """
    headers = headers_of(result) | NO_RETRY
    if result.status not in USABLE:
        problem = answers.problem_of(result, headers=headers)
    elif live and result.origin not in MODEL_ORIGINS:
        problem = Problem(
            503,
            "not-live",
            f"no model wrote the content ({result.origin}): {result.reason or result.status}",
            request_id=result.request_id,
            headers=headers,
        )
    else:
        return
    problem.more = {LABELS: labels_of(result)}
    raise problem


def build_answer(result: Result, *, now_ms: int) -> ModelAnswer:
    """The answer for a usable result with its content inside.

    Args:
        result: the result.
        now_ms: milliseconds since the epoch.
    """
    document = result.content
    return ModelAnswer(
        id=result.request_id,
        created=(result.meta.requested_at_ms or now_ms) // 1000,
        model=served_by(result),
        text=None if document is None else msgspec.json.encode(document).decode(),
        usage=usage_of(result),
        labels=labels_of(result),
        headers=headers_of(result),
    )


def extend(body: dict[str, Any], labels: dict[str, Any]) -> dict[str, Any]:
    """A body with the object ``understudy``."""
    return body | {OWN: labels}
