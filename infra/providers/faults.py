"""What does a failed call to an OpenAI-compatible server mean to the request?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, cast

import httpx2
import msgspec
import openai

from contracts.errors import ErrorCode, ProviderError, Refused

#: Characters of a server's words that are passed on.
_MAX_SAID: Final = 400
#: Longest wait that a server may ask for, seconds.
_MAX_WAIT_S: Final = 3600.0
#: Statuses with which a server says "not now".
_LATER: Final = frozenset({408, 409, 425, 429})
#: Statuses with which a server says that this one request is at fault.
_REQUEST: Final = frozenset({400, 413, 422})
_SERVER: Final = 500


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """Who was asked, for messages to people."""

    name: str
    base_url: str
    model: str
    #: Where its settings are.
    variable: str
    #: Taken out of whatever is said.
    key: str | None = None

    def clean(self, text: str) -> str:
        """One line without the key."""
        if self.key:
            text = text.replace(self.key, "***")
        line = " ".join(text.split())
        return line if len(line) <= _MAX_SAID else f"{line[:_MAX_SAID]}…"


def words(error: openai.APIError) -> str:
    """What the server said, whatever shape its error body has."""
    body = error.body
    if isinstance(body, Mapping):
        known = cast("Mapping[str, Any]", body)
        for name in ("message", "detail", "error"):
            if known.get(name):
                return str(known[name])
    return body if isinstance(body, str) and body else error.message


def timed_out(asked: Asked, limit_s: float) -> ProviderError:
    """No whole answer in time."""
    return ProviderError(ErrorCode.GEN_TIMEOUT, f"{asked.name} gave no answer within {limit_s:g} s")


def fault(error: openai.OpenAIError | httpx2.HTTPError | ValueError, asked: Asked) -> ProviderError:
    """The error of ours that a failed call amounts to.

    Args:
        error: what the client raised; a ``ValueError`` is an answer that is no JSON.
        asked: who was asked.
    """
    cause = error.__cause__ or error
    match error:
        case openai.APIStatusError():
            return _status(error, asked)
        case openai.APITimeoutError() if not isinstance(cause, httpx2.ConnectTimeout | httpx2.PoolTimeout):
            return ProviderError(ErrorCode.GEN_TIMEOUT, f"{asked.name} gave no answer in time")
        case openai.APIConnectionError() | httpx2.HTTPError():
            why = asked.clean(str(cause) or type(cause).__name__)
            if not isinstance(cause, httpx2.ConnectError | httpx2.ConnectTimeout | httpx2.PoolTimeout):
                return ProviderError(
                    ErrorCode.GEN_PROVIDER_UNAVAILABLE,
                    f"the connection to {asked.name} at {asked.base_url} broke: {why}",
                    retryable=True,
                )
            return ProviderError(
                ErrorCode.GEN_PROVIDER_UNAVAILABLE,
                f"{asked.name} cannot be reached at {asked.base_url}: {why}; "
                f"start the server, or set {asked.variable}__BASE_URL",
                retryable=True,
            )
        case openai.APIError():
            said = asked.clean(words(error))
            return ProviderError(
                ErrorCode.GEN_PROVIDER_UNAVAILABLE,
                f"{asked.name} broke its answer off: {said}",
                retryable=True,
            )
        case _:
            return ProviderError(
                ErrorCode.GEN_PROVIDER_UNAVAILABLE,
                f"{asked.name} answered with something that cannot be read: {asked.clean(str(error))}",
                retryable=True,
            )


def _status(error: openai.APIStatusError, asked: Asked) -> ProviderError:
    status = error.status_code
    said = f"{asked.name} answered {status}: {asked.clean(words(error))}"
    code = ErrorCode.GEN_PROVIDER_UNAVAILABLE
    if error.code == "insufficient_quota":
        return ProviderError(code, f"{said}; the account has no money left")
    if status in _LATER or status >= _SERVER:
        after = retry_after(error.response.headers.get("retry-after"))
        return ProviderError(code, said, retryable=True, retry_after_s=after)
    match status:
        case 401 | 403:
            return ProviderError(code, f"{said}; set {asked.variable}__API_KEY to a key that it takes")
        case 404:
            return ProviderError(
                code,
                f"{said}; no model {asked.model!r} or no API at {asked.base_url}: "
                f"set {asked.variable}__MODEL or __BASE_URL (most end in /v1)",
            )
        case _ if status in _REQUEST:
            return Refused(code, said)
        case _:
            return ProviderError(code, said)


def retry_after(header: str | None) -> float | None:
    """Seconds that a ``Retry-After`` header asks for; its form with a date is not read (RFC 9110, 10.2.3)."""
    try:
        wait = float(header or "")
    except ValueError:
        return None
    return min(wait, _MAX_WAIT_S) if wait >= 0 else None
