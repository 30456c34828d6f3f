"""Error codes and exceptions."""

from __future__ import annotations

from enum import StrEnum


class ErrorCode(StrEnum):
    """Why a request did not get content from a model. Decide on these codes, never on a text."""

    #: The deadline passed, or a provider call timed out.
    GEN_TIMEOUT = "GEN_TIMEOUT"
    #: The content violates a constraint of the request or its node.
    GEN_CONSTRAINT_FAIL = "GEN_CONSTRAINT_FAIL"
    #: The provider is unreachable or not installed, or it refused the call.
    GEN_PROVIDER_UNAVAILABLE = "GEN_PROVIDER_UNAVAILABLE"
    #: Model calls are turned off (``USE_LOCAL_MODEL=false``, or the request's node is disabled).
    GEN_PROVIDER_DISABLED = "GEN_PROVIDER_DISABLED"
    #: The provider returned nothing, or an empty document.
    GEN_EMPTY_OUTPUT = "GEN_EMPTY_OUTPUT"
    #: The document does not fit the schema, even after repair and re-ask.
    GEN_SCHEMA_INVALID = "GEN_SCHEMA_INVALID"
    #: The content exceeds the effective rating.
    GEN_RATING_VIOLATION = "GEN_RATING_VIOLATION"
    #: The content is valid and makes too little sense: its quality is below the bar, also after another draft.
    GEN_QUALITY = "GEN_QUALITY"
    #: A cap on cost or tokens is used up.
    GEN_BUDGET_EXCEEDED = "GEN_BUDGET_EXCEEDED"
    #: Too many requests for a rate-limited node.
    GEN_RATE_LIMITED = "GEN_RATE_LIMITED"
    #: The request was cancelled.
    GEN_CANCELLED = "GEN_CANCELLED"
    #: The request itself cannot be accepted.
    GEN_INVALID_REQUEST = "GEN_INVALID_REQUEST"
    #: Three starts killed the worker; the message is not started again.
    GEN_POISON = "GEN_POISON"
    #: A defect in Understudy.
    GEN_INTERNAL = "GEN_INTERNAL"


class UnderstudyError(Exception):
    """Base of every error that Understudy raises on purpose; its text is meant for people."""


def error_text(error: BaseException) -> str:
    """The text of an error, or the name of its type if the text is empty, as for a bare ``TimeoutError``."""
    return str(error).strip() or type(error).__name__


class Misconfigured(UnderstudyError):  # noqa: N818 - names the state of a file or setting
    """A setting or a file that the pipeline cannot work with; a retry does not help.

    The text names the file or setting, the place, and the fix.
    """


class Unavailable(UnderstudyError):  # noqa: N818 - names the state of an external service
    """A service such as the broker or the database does not answer now; the message must wait."""


class Refused(UnderstudyError):  # noqa: N818 - names the state of the role
    """The broker does not let this user do it, and never will; the text names the role and what it may do."""


class Unstorable(UnderstudyError):  # noqa: N818 - names the record's state
    """A record that the store will always refuse; its message becomes a dead letter."""


class Unreadable(UnderstudyError):  # noqa: N818 - names the input's state
    """Input that no decoder can read; it becomes a dead letter with this text."""

    def __init__(self, message: str, *, code: ErrorCode = ErrorCode.GEN_INVALID_REQUEST) -> None:
        super().__init__(message)
        self.code = code


class NewerVersion(UnderstudyError):  # noqa: N818 - names the input's state
    """A known event in a version that this build does not know; it is delayed, not failed."""
