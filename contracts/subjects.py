"""How is a subject built, and what does one say?"""

from __future__ import annotations

import re
from typing import Final

import msgspec

from contracts.kinds import KINDS

#: What a request id may look like; it is a subject token.
REQUEST_ID: Final = re.compile(r"[A-Za-z0-9_:@-]{1,64}")
#: A token that is no acceptable id and can still be answered on a subject of its own: no dot, no wildcard.
_ANSWERABLE: Final = re.compile(r"(?![*>]$)[!-\-/-~]{1,255}")
#: Stands in for the kind of a letter whose subject could not be read.
UNKNOWN_KIND: Final = "unknown"


class SubjectError(ValueError):
    """A subject that is not ``gen.<event>.<kind>.<request_id>`` with a known kind and a valid id."""


class Subject(msgspec.Struct, frozen=True, kw_only=True):
    """The three things that a ``gen.`` subject says."""

    event: str
    kind: str
    request_id: str

    @property
    def acceptable(self) -> bool:
        """Is the id one that a request may have?  If not, its request is rejected."""
        return REQUEST_ID.fullmatch(self.request_id) is not None

    def __str__(self) -> str:
        return f"gen.{self.event}.{self.kind}.{self.request_id}"


def addressable(request_id: str) -> bool:
    """Whether an id can be a token of a subject, accepted or not."""
    return _ANSWERABLE.fullmatch(request_id) is not None


def parse(subject: str) -> Subject:
    """Read ``gen.<event>.<kind>.<request_id>``, also with an id that is not acceptable but can be answered.

    Raises:
        SubjectError: naming the token at fault.
    """
    tokens = subject.split(".")
    if tokens[:2] == ["gen", "timer"] and len(tokens) == 5:  # noqa: PLR2004 - its slot stands last
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
    """One event of one request, whatever its kind: the filter of rule 3 and of identity."""
    return f"gen.{event}.*.{request_id}"


def whole_life(request_id: str) -> str:
    """Every event of one request."""
    return f"gen.*.*.{request_id}"


def dead(stage: str, kind: str, request_id: str) -> str:
    """Where a stage's dead letter for one request goes."""
    return f"dead.{stage}.{kind}.{request_id}"


def dead_unknown(stage: str, stream: str, sequence: int) -> str:
    """Where a dead letter goes whose own subject could not be read."""
    return dead(stage, UNKNOWN_KIND, f"{stream}-{sequence}")
