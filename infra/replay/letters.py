"""Dead letters as requests: which request a letter is about, and which letters are about none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from contracts import request, subjects
from contracts.errors import UnderstudyError
from infra.nats import log

if TYPE_CHECKING:
    from infra.inspect.dead_letters import Letter
    from infra.nats.log import LogEntry
    from infra.nats.multiplexer import RequestMultiplexer


#: Why a shadow is not repeated: its content would go to the subscribers of the request that it was compared with.
SHADOW: Final = "it is a shadow, whose content no subscriber gets; `understudy rerun` repeats its original beside it again"


class Unreplayable(UnderstudyError):  # noqa: N818 - names the letter's state
    """A letter that cannot become a request; the text says why."""


class Repeated(msgspec.Struct, frozen=True, kw_only=True):
    """The request that a letter is about."""

    kind: str
    body: bytes
    #: Its id; ``None``: the letter never was the id's request.
    request_id: str | None


class _Owned(msgspec.Struct, frozen=True):
    workspace: str | None = None


class _Claim(msgspec.Struct, frozen=True, rename="camel"):
    replay_of: str | None = None


class _PlainClaim(msgspec.Struct, frozen=True):
    replay_of: str | None = None


def resolve(letter: Letter, cause: LogEntry | None, original: LogEntry | None) -> Repeated:
    """Decide what a replay of a letter repeats.

    Args:
        letter: the letter.
        cause: the message that an advisory is about, where the log still has it.
        original: the ``requested`` that owns the request's id, where the log still has it.

    Raises:
        Unreplayable: it cannot become a request; the text says why.
    """
    subject = letter.letter.subject if letter.letter else cause.subject if cause else None
    if subject is None:
        raise Unreplayable(
            "the message it is about is no longer in the log" if letter.advisory else letter.reason
        )
    try:
        address = subjects.parse(subject)
    except subjects.SubjectError as error:
        raise Unreplayable(f"{error}; publish it again on a valid subject") from None
    if subjects.is_shadow(address.request_id):
        raise Unreplayable(SHADOW)
    if address.event == "requested":
        body = _own_body(letter, cause)
        # A letter of a second, different `requested` with the same id never was that request.
        owns = original is None or original.sequence == letter.stream_sequence
        return Repeated(kind=address.kind, body=body, request_id=address.request_id if owns else None)
    if original is None:
        raise Unreplayable(
            f"the log has no request {address.request_id}: there never was one, or it is no longer kept"
        )
    kind = subjects.parse(original.subject).kind
    return Repeated(kind=kind, body=original.body, request_id=address.request_id)


async def look_up(wire: RequestMultiplexer, letter: Letter) -> Repeated:
    """Read what a replay of a letter repeats.

    Raises:
        Unreplayable: it cannot become a request; the text says why.
        StreamMissing, Unavailable: as :func:`infra.nats.log.first`.
    """
    cause: LogEntry | None = None
    if letter.advisory and letter.stream and letter.stream_sequence:
        cause = await log.get(wire, letter.stream, letter.stream_sequence)
    request_id = letter.request_id or (cause.subject.rpartition(".")[2] if cause else None)
    original = await log.owner(wire, request_id) if request_id else None
    return resolve(letter, cause, original)


def decode_fields(body: bytes) -> dict[str, Any]:
    """The fields of a request body.

    Raises:
        Unreplayable: it is no JSON object.
    """
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Unreplayable(f"its body is not a JSON object: {error}") from None


def find_claimed_root(body: bytes) -> str | None:
    """The request that a body says it repeats; ``None``: none."""
    for form in (_PlainClaim, _Claim):
        try:
            found = msgspec.json.decode(body, type=form).replay_of
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return None
        if found is not None:
            return found
    return None


def read_workspace(body: bytes) -> str | None:
    """The workspace that a request's body names; ``None``: none."""
    try:
        return msgspec.json.decode(body, type=_Owned).workspace
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def _own_body(letter: Letter, cause: LogEntry | None) -> bytes:
    if letter.letter is None:
        return cause.body if cause is not None else b""
    if letter.letter.body is None:
        raise Unreplayable(
            f"its body has {letter.letter.size} bytes; a request has at most {request.MAX_BODY}"
        )
    return letter.letter.body
