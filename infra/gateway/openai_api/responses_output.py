"""Responses: the answer, and the events of its stream."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from infra.gateway.openai_api.error_form import encode
from infra.gateway.openai_api.model_answer import extend

if TYPE_CHECKING:
    from infra.gateway.openai_api.model_answer import ModelAnswer
    from infra.gateway.openai_api.model_call import ModelCall


def build_response(call: ModelCall, answer: ModelAnswer) -> dict[str, Any]:
    """The body of an answer that is not streamed."""
    body = _response(call, answer.id, answer.created) | {
        "status": "completed",
        "completed_at": answer.created,
        "model": answer.model,
        "output": [_message(answer.id, answer.text or "", status="completed")],
        "usage": _usage(answer),
    }
    return extend(body, answer.labels)


class ResponseEvents:
    """The events of one response.

    Args:
        call: what was asked.
        request_id: the request's id.
        created: seconds since the epoch.
    """

    def __init__(self, call: ModelCall, request_id: str, created: int) -> None:
        self._call, self._id = call, request_id
        self._body = extend(_response(call, request_id, created), {"request_id": request_id})
        self._place = {"item_id": f"msg_{request_id}", "output_index": 0, "content_index": 0}
        self._number = 0
        self._labels: dict[str, Any] = {}

    def name_result(self, answer: ModelAnswer, **more: Any) -> None:
        """From now on the events have the labels of the result."""
        self._labels = answer.labels | more
        self._body = extend(self._body | {"model": answer.model}, self._labels)

    def begin(self) -> Iterator[bytes]:
        """What precedes the text."""
        yield self._event("response.created", response=self._body)
        yield self._event("response.in_progress", response=self._body)
        item = _message(self._id, None, status="in_progress")
        yield self._event("response.output_item.added", output_index=0, item=item)
        yield self._event("response.content_part.added", **self._place, part=_part(""))

    def piece(self, text: str) -> Iterator[bytes]:
        """A piece of the text."""
        yield self._event("response.output_text.delta", **self._place, delta=text, logprobs=[])

    def end(self, answer: ModelAnswer, text: str) -> Iterator[bytes]:
        """What follows the text, which was sent in pieces."""
        yield self._event("response.output_text.done", **self._place, text=text, logprobs=[])
        yield self._event("response.content_part.done", **self._place, part=_part(text))
        item = _message(self._id, text, status="completed")
        yield self._event("response.output_item.done", output_index=0, item=item)
        done = build_response(self._call, answer) | {"output": [item]}
        yield self._event("response.completed", response=extend(done, self._labels))

    def fail(self, error: dict[str, Any]) -> Iterator[bytes]:
        """The end of a stream that failed; the official clients raise because of its member ``error``."""
        members = {name: error[name] for name in ("code", "message", "param")}
        yield self._event("error", **members, error=error)

    def _event(self, type_: str, **members: Any) -> bytes:
        data = {"type": type_, "sequence_number": self._number, **members}
        self._number += 1
        return f"event: {type_}\n".encode() + b"data: " + encode(data) + b"\n\n"


def _response(call: ModelCall, request_id: str, created: int) -> dict[str, Any]:
    usual: dict[str, Any] = {
        "instructions": None,
        "max_output_tokens": None,
        "metadata": {},
        "temperature": None,
        "text": {"format": {"type": "text"}},
        "top_p": None,
    }
    return {
        "id": f"resp_{request_id}",
        "object": "response",
        "created_at": created,
        "status": "in_progress",
        "background": False,
        "error": None,
        "incomplete_details": None,
        "model": call.model,
        "output": [],
        "parallel_tool_calls": False,
        "previous_response_id": None,
        "store": False,
        "tool_choice": "none",
        "tools": [],
        "truncation": "disabled",
        "usage": None,
        **usual,
        **call.echo,
    }


def _message(request_id: str, text: str | None, *, status: str) -> dict[str, Any]:
    return {
        "id": f"msg_{request_id}",
        "type": "message",
        "role": "assistant",
        "status": status,
        "content": [] if text is None else [_part(text)],
    }


def _part(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _usage(answer: ModelAnswer) -> dict[str, Any] | None:
    if answer.usage is None:
        return None
    prompt, completion = answer.usage
    return {
        "input_tokens": prompt,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": completion,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": prompt + completion,
    }
