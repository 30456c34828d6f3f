"""Which ways of failing exist, and what does each code mean?"""

from __future__ import annotations

from enum import StrEnum


class ErrorCode(StrEnum):
    """Why a request did not get the model's own content. Decide on these, never on a text."""

    #: The deadline passed, or a provider call ran out of time.
    GEN_TIMEOUT = "GEN_TIMEOUT"
    #: The content does not meet a constraint the request or its node set.
    GEN_CONSTRAINT_FAIL = "GEN_CONSTRAINT_FAIL"
    #: The provider is not reachable, not installed or refused the call.
    GEN_PROVIDER_UNAVAILABLE = "GEN_PROVIDER_UNAVAILABLE"
    #: No model is wanted (``USE_LOCAL_MODEL=false``, or the request's node is disabled).
    GEN_PROVIDER_DISABLED = "GEN_PROVIDER_DISABLED"
    #: The provider answered with nothing, or with an empty document.
    GEN_EMPTY_OUTPUT = "GEN_EMPTY_OUTPUT"
    #: The document does not fit the kind's schema, repair and re-ask included.
    GEN_SCHEMA_INVALID = "GEN_SCHEMA_INVALID"
    #: The content is above the effective rating.
    GEN_RATING_VIOLATION = "GEN_RATING_VIOLATION"
    #: A cost or token cap is used up.
    GEN_BUDGET_EXCEEDED = "GEN_BUDGET_EXCEEDED"
    #: Too many requests for a rate-limited node.
    GEN_RATE_LIMITED = "GEN_RATE_LIMITED"
    #: Somebody cancelled the request.
    GEN_CANCELLED = "GEN_CANCELLED"
    #: The request itself cannot be accepted.
    GEN_INVALID_REQUEST = "GEN_INVALID_REQUEST"
    #: Three starts killed the worker; it is never run again.
    GEN_POISON = "GEN_POISON"
    #: A defect of ours.
    GEN_INTERNAL = "GEN_INTERNAL"


class UnderstudyError(Exception):
    """Base of every error that Understudy raises on purpose; its text is meant for people."""


def said(error: BaseException) -> str:
    """What an error says; its type where it says nothing, as a bare ``TimeoutError`` does."""
    return str(error).strip() or type(error).__name__


class Misconfigured(UnderstudyError):  # noqa: N818 - names the state of what a person wrote
    """A setting or a file of a person's that the pipeline cannot work with; trying again is no use.

    The text names what it is, the place at fault and the fix.
    """


class Unavailable(UnderstudyError):  # noqa: N818 - it is a state of the outside, not our error
    """A part of the outside (broker, database) does not answer now; the message must wait."""


class Unstorable(UnderstudyError):  # noqa: N818 - names the record's state
    """A record that the store refuses whatever happens; its message becomes a dead letter."""


class Unreadable(UnderstudyError):  # noqa: N818 - names the input's state
    """Input that no decoder of ours can read; it becomes a dead letter with this text."""

    def __init__(self, message: str, *, code: ErrorCode = ErrorCode.GEN_INVALID_REQUEST) -> None:
        super().__init__(message)
        self.code = code


class NewerVersion(UnderstudyError):  # noqa: N818 - names the input's state
    """A known event in a version that this build does not know; it is parked, not failed."""
