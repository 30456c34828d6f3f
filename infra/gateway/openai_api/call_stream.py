"""Streams of calls: held until the text is checked, with pings meanwhile; or the model's tokens as they are written."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Iterator
from typing import TYPE_CHECKING, Any, Final, Protocol

import msgspec
from starlette.responses import Response
from understudy_client.tasks import end_tasks

from infra.gateway import problems
from infra.gateway.openai_api.error_form import LABELS, OPENAI_CODE, format_error
from infra.gateway.openai_api.model_names import MODEL_ORIGINS
from infra.gateway.openai_api.publishing import CallRun
from infra.gateway.problems import CONVERTED, Problem
from infra.gateway.sse import ChunkSource, EventStreamResponse

if TYPE_CHECKING:
    from understudy_client import Progress

    from infra.gateway.access import Principal
    from infra.gateway.openai_api.model_answer import ModelAnswer

#: Seconds that an answer may take and still have its own status; afterwards the stream begins with pings.
HOLD_S: Final = 1.0
#: The same for a client that must see 503.
HOLD_LIVE_S: Final = 15.0
#: Seconds between two pings.
PING_S: Final = 3.0
_PING: Final = b": ping\n\n"
#: The stage that writes the document; the draft before it is another text.
_STAGE: Final = "structuring"


class Frames(Protocol):
    """What a stream consists of, as one interface of OpenAI's has it."""

    def name_result(self, answer: ModelAnswer, **more: Any) -> None:
        """From now on the frames have the labels of the result."""
        ...

    def begin(self) -> Iterator[bytes]:
        """What precedes the text."""
        ...

    def piece(self, text: str) -> Iterator[bytes]:
        """A piece of the text."""
        ...

    def end(self, answer: ModelAnswer, text: str) -> Iterator[bytes]:
        """What follows the text."""
        ...

    def fail(self, error: dict[str, Any]) -> Iterator[bytes]:
        """The end of a stream that failed."""
        ...


async def stream_checked(run: CallRun, frames: Frames) -> Response:
    """The stream of a text that is sent only once it is checked.

    Args:
        run: the call.
        frames: its frames.

    Raises:
        Problem, ClientError, Unavailable: it failed before the stream began.
    """
    waiting = asyncio.create_task(run.answer())
    # A client may leave before the stream begins.
    waiting.add_done_callback(lambda task: task.cancelled() or task.exception())
    hold_s = HOLD_LIVE_S if run.live else HOLD_S
    done, _ = await asyncio.wait((waiting,), timeout=hold_s)
    headers = waiting.result().headers if done else run.headers
    return EventStreamResponse(CallSource(_send_checked(waiting, frames), run, frames), headers=headers)


def stream_raw(run: CallRun, frames: Frames) -> Response:
    """The stream of a text while the model writes it; it ends with an error where that text is not the result."""
    return EventStreamResponse(CallSource(_send_raw(run, frames), run, frames), headers=run.headers)


class CallSource(ChunkSource):
    """The stream of a call; it ends with an error when its sender's token or session is no longer valid.

    Args:
        chunks: what is sent.
        run: the call.
        frames: its frames.
    """

    def __init__(self, chunks: AsyncGenerator[bytes, None], run: CallRun, frames: Frames) -> None:
        super().__init__(chunks)
        self.sender: Principal | None = run.sender
        self._run = run
        self._frames = frames
        self._refused = False

    def end(self, reason: str) -> None:
        """End it, for a token that is no longer valid; the request goes on."""
        del reason
        self._refused = True
        self.leave()

    async def read(self) -> AsyncGenerator[bytes, None]:
        """The chunks until their end, the client's, or the sender's access."""
        with self._run.hub.watching(self):
            async with contextlib.aclosing(super().read()) as chunks:
                async for chunk in chunks:
                    yield chunk
        if self._refused:
            request_id = self._run.order.request_id
            detail = f"the token or session is no longer valid; request {request_id} goes on"
            problem = Problem(401, "unauthorized", detail, request_id=request_id)
            for frame in self._frames.fail(_error_of(problem)):
                yield frame


async def _send_checked(waiting: asyncio.Task[ModelAnswer], frames: Frames) -> AsyncGenerator[bytes, None]:
    try:
        while not waiting.done():
            await asyncio.wait((waiting,), timeout=PING_S)
            if not waiting.done():
                yield _PING
        try:
            answer = waiting.result()
        except CONVERTED as error:
            for frame in frames.fail(_error_of(error)):
                yield frame
            return
        frames.name_result(answer)
        for frame in _whole_text(answer, frames):
            yield frame
    finally:
        waiting.cancel()


def _whole_text(answer: ModelAnswer, frames: Frames) -> Iterator[bytes]:
    yield from frames.begin()
    for piece in answer.pieces:
        yield from frames.piece(piece)
    yield from frames.end(answer, answer.text or "")


async def _send_raw(run: CallRun, frames: Frames) -> AsyncGenerator[bytes, None]:
    heard: asyncio.Queue[Progress | None] = asyncio.Queue()
    working = asyncio.create_task(run.follow(heard))
    working.add_done_callback(lambda _: heard.put_nowait(None))
    written = WrittenText()
    try:
        while True:
            try:
                piece = await asyncio.wait_for(heard.get(), PING_S)
            except TimeoutError:
                yield _PING
                continue
            if piece is None:
                break
            text = written.add(piece)
            if text:
                for frame in (*(() if written.begun else frames.begin()), *frames.piece(text)):
                    yield frame
                written.begun = True
        for frame in _end_raw(working, written, frames):
            yield frame
    finally:
        await end_tasks(working)


def _end_raw(working: asyncio.Task[ModelAnswer], written: WrittenText, frames: Frames) -> Iterator[bytes]:
    try:
        answer = working.result()
        if written.begun:
            written.require_kept(answer)
    except CONVERTED as error:
        yield from frames.fail(_error_of(error))
        return
    if not written.begun:
        frames.name_result(answer)
        yield from _whole_text(answer, frames)
        return
    frames.name_result(answer, changed=not written.is_document(answer.text))
    yield from frames.end(answer, written.text)


class WrittenText:
    """The text that a client of a raw stream has."""

    def __init__(self) -> None:
        self.text = ""
        #: Something of it was sent.
        self.begun = False
        #: Another attempt began, or a piece was lost: what was sent is not what the model wrote in the end.
        self.replaced = False
        self._attempt = 0
        self._next = 0

    def add(self, piece: Progress) -> str:
        """The text to send for a piece; empty: none."""
        if piece.stage != _STAGE or self.replaced:
            return ""
        if not self.begun and piece.index == 0:
            self._attempt, self._next = piece.attempt, 0
        if piece.attempt != self._attempt or piece.index != self._next:
            # Without its beginning, a text is of no use: the checked one is sent at the end.
            self.replaced = self.begun
            return ""
        self._next += 1
        self.text += piece.text
        return piece.text

    def require_kept(self, answer: ModelAnswer) -> None:
        """Refuse a result that is not the text that was sent.

        Raises:
            Problem: 502.
        """
        origin = answer.labels["origin"]
        if not self.replaced and origin in MODEL_ORIGINS | {"scripted"}:
            return
        why = "the model wrote the text again" if origin in MODEL_ORIGINS else f"{origin} stood in for it"
        raise Problem(
            502,
            "conflict",
            f"the streamed text is not the result: {why}; GET /api/v1/generations/{answer.id}/content has the result",
            request_id=answer.id,
            more={LABELS: answer.labels, OPENAI_CODE: "content_replaced"},
        )

    def is_document(self, document: str | None) -> bool:
        """Whether the text is the checked document, however it is written."""
        try:
            return msgspec.json.decode(self.text) == msgspec.json.decode(document or "null")
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            return False


def _error_of(error: Exception) -> dict[str, Any]:
    return format_error(problems.convert(error).to_json())
