"""Chat completions: the answer, and its chunks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from infra.gateway.openai_api.error_form import encode
from infra.gateway.openai_api.model_answer import extend

if TYPE_CHECKING:
    from infra.gateway.openai_api.model_answer import ModelAnswer
    from infra.gateway.openai_api.model_call import ModelCall

_DONE: Final = b"data: [DONE]\n\n"


def build_completion(call: ModelCall, answer: ModelAnswer) -> dict[str, Any]:
    """The body of an answer that is not streamed."""
    del call
    message = {"role": "assistant", "content": answer.text, "refusal": None, "annotations": []}
    body = {
        "id": f"chatcmpl-{answer.id}",
        "object": "chat.completion",
        "created": answer.created,
        "model": answer.model,
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}],
        "usage": _usage(answer),
    }
    return extend(body, answer.labels)


class ChatChunks:
    """The chunks of one completion.

    Args:
        call: what was asked.
        request_id: the request's id.
        created: seconds since the epoch.
    """

    def __init__(self, call: ModelCall, request_id: str, created: int) -> None:
        self._usage = call.stream_usage
        self._base: dict[str, Any] = {
            "id": f"chatcmpl-{request_id}",
            "object": "chat.completion.chunk",
            "created": created,
            "model": call.model,
        }
        self._labels: dict[str, Any] = {"request_id": request_id}

    def name_result(self, answer: ModelAnswer, **more: Any) -> None:
        """From now on the chunks have the labels of the result."""
        self._base["model"] = answer.model
        self._labels = answer.labels | more

    def begin(self) -> Iterator[bytes]:
        """What precedes the text."""
        yield self._chunk({"role": "assistant", "content": ""})

    def piece(self, text: str) -> Iterator[bytes]:
        """A piece of the text."""
        yield self._chunk({"content": text})

    def end(self, answer: ModelAnswer, text: str) -> Iterator[bytes]:
        """What follows the text, which was sent in pieces."""
        del text
        yield self._chunk({}, finish="stop")
        if self._usage:
            yield self._frame({"choices": [], "usage": _usage(answer)})
        yield _DONE

    def fail(self, error: dict[str, Any]) -> Iterator[bytes]:
        """The end of a stream that failed."""
        yield b"data: " + encode({"error": error}) + b"\n\n"

    def _chunk(self, delta: dict[str, Any], *, finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return self._frame({"choices": [choice]} | ({"usage": None} if self._usage else {}))

    def _frame(self, members: dict[str, Any]) -> bytes:
        return b"data: " + encode(extend(self._base | members, self._labels)) + b"\n\n"


def _usage(answer: ModelAnswer) -> dict[str, Any] | None:
    if answer.usage is None:
        return None
    prompt, completion = answer.usage
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
