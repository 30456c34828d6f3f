"""Subjects of the wire: building and parsing."""

from __future__ import annotations

import re
from typing import Final

import msgspec

from contracts.kinds import KINDS

#: Form of a request id, which is a subject token.
REQUEST_ID: Final = re.compile(r"[A-Za-z0-9_:@-]{1,64}")
#: A token that is not a valid id but can be answered on its own subject: no dot, no wildcard.
_ANSWERABLE: Final = re.compile(r"(?![*>]$)[!-\-/-~]{1,255}")
#: Replaces the kind of a dead letter whose subject could not be parsed.
UNKNOWN_KIND: Final = "unknown"
#: First characters of the id of a shadow: a rerun whose result is for comparison alone (docs/adr/0020).
SHADOW: Final = "sh-"


class SubjectError(ValueError):
    """A subject that is not ``gen.<event>.<kind>.<request_id>`` with a known kind and a valid id."""


class Subject(msgspec.Struct, frozen=True, kw_only=True):
    """The parts of a ``gen.`` subject."""

    event: str
    kind: str
    request_id: str

    @property
    def acceptable(self) -> bool:
        """Whether the id is valid for a request; otherwise the request is rejected."""
        return REQUEST_ID.fullmatch(self.request_id) is not None

    def __str__(self) -> str:
        return f"gen.{self.event}.{self.kind}.{self.request_id}"


def addressable(request_id: str) -> bool:
    """Whether an id can be a token of a subject, accepted or not."""
    return _ANSWERABLE.fullmatch(request_id) is not None


def parse(subject: str) -> Subject:
    """Parse ``gen.<event>.<kind>.<request_id>``, including an invalid id that can be answered.

    Raises:
        SubjectError: naming the token at fault.
    """
    tokens = subject.split(".")
    if tokens[:2] == ["gen", "timer"] and len(tokens) == 5:  # noqa: PLR2004 - the last token is the timer's slot
        tokens.pop()
    if len(tokens) != 4 or tokens[0] != "gen":  # noqa: PLR2004 - the grammar above
        raise SubjectError(f"subject {subject!r} is not gen.<event>.<kind>.<request_id>")
    _, event, kind, request_id = tokens
    if kind not in KINDS:
        raise SubjectError(f"kind {kind!r} in the subject is unknown; use one of {', '.join(KINDS)}")
    if not addressable(request_id):
        raise SubjectError(f"request id {request_id!r} in the subject must match {REQUEST_ID.pattern}")
    return Subject(event=event, kind=kind, request_id=request_id)


def gen(event: str, kind: str, request_id: str) -> str:
    """The subject of one event of one request."""
    return f"gen.{event}.{kind}.{request_id}"


def any_kind(event: str, request_id: str) -> str:
    """One event of one request, whatever its kind; the filter that makes results unique."""
    return f"gen.{event}.*.{request_id}"


def is_shadow(request_id: str) -> bool:
    """Whether a request is a shadow, as are the scenes of a plot that is one.

    The id alone decides: nothing that may be lost or answer late has a part in who sees a result.
    """
    return request_id.startswith(SHADOW)


def answer(request_id: str) -> str:
    """Name of the event that is a request's one result: ``shadowed`` for a shadow."""
    return "shadowed" if is_shadow(request_id) else "result"


def any_answer(request_id: str) -> str:
    """The subject of a request's one result, whatever its kind."""
    return any_kind(answer(request_id), request_id)


def all_events(request_id: str) -> str:
    """Filter for every event of one request."""
    return f"gen.*.*.{request_id}"


def dead(stage: str, kind: str, request_id: str) -> str:
    """Subject of a stage's dead letter for one request."""
    return f"dead.{stage}.{kind}.{request_id}"


def dead_unknown(stage: str, stream: str, sequence: int) -> str:
    """Subject of a dead letter whose own subject could not be parsed."""
    return dead(stage, UNKNOWN_KIND, f"{stream}-{sequence}")
