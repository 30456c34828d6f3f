"""Errors of OpenAI-compatible servers: what a failed call means for the request."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any, Final, cast

import httpx2
import msgspec

from contracts.errors import ErrorCode
from contracts.policy.quoting import replace_surrogates
from contracts.ports import CallRefused, ProviderError
from infra.providers import finish_reasons

#: Characters of a server's words that are passed on.
_MAX_SAID: Final = 400
#: Longest wait that a server may ask for, seconds.
_MAX_WAIT_S: Final = 3600.0
#: Statuses with which a server says "not now".
_LATER: Final = frozenset({408, 409, 425, 429})
#: Statuses with which a server says that this one request is at fault.
_REQUEST: Final = frozenset({400, 413, 422})
_SERVER: Final = 500
#: Names under which servers put what they say, in the order in which they are looked for.
_WORDS: Final = ("message", "detail", "error")
_UNPRINTABLE: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]+")


class CalledServer(msgspec.Struct, frozen=True, kw_only=True):
    """Who was asked, for messages to people."""

    name: str
    base_url: str
    model: str
    #: Where its settings are.
    variable: str
    #: Taken out of whatever is said.
    key: str | None = None

    def clean(self, text: str) -> str:
        """One line of a bounded length without the key, in characters that every store takes."""
        text = text[: 16 * _MAX_SAID]
        if self.key:
            text = text.replace(self.key, "***")
        line = " ".join(_UNPRINTABLE.sub(" ", replace_surrogates(text)).split())
        return line if len(line) <= _MAX_SAID else f"{line[:_MAX_SAID]}…"


class ErrorResponse(Exception):  # noqa: N818 - names what the server did
    """The server answered with a status that is no success.

    Args:
        status: of HTTP.
        body: JSON of any shape, or a text.
        headers: names are compared without case.
    """

    def __init__(self, status: int, body: Any, headers: Mapping[str, str]) -> None:
        super().__init__(f"status {status}")
        self.status = status
        self.headers = headers
        self.body = body

    @property
    def words(self) -> str:
        """What the server said, whatever shape its body has."""
        return words(self.body)

    @property
    def param(self) -> str | None:
        """The parameter that the server names, if it has a field for that."""
        return _field(self.body, "param")

    @property
    def codes(self) -> tuple[str, ...]:
        """The server's own codes for what happened."""
        found = (_field(self.body, name) for name in ("code", "type"))
        return tuple(each for each in found if each)


class Broken(Exception):  # noqa: N818 - names what happened to the answer
    """An error inside an answer that had begun.

    Args:
        body: the value of ``error``.
    """

    def __init__(self, body: Any) -> None:
        super().__init__(words(body))
        self.body = body


def words(body: Any, levels: int = 3) -> str:
    """What a server said, whatever shape its words have."""
    if isinstance(body, Mapping):
        known = cast("Mapping[str, Any]", body)
        for name in _WORDS:
            if known.get(name):
                return words(known[name], levels - 1) if levels else "an error of many levels"
    if isinstance(body, str):
        return body
    try:
        return json.dumps(body)
    except (ValueError, RecursionError):
        return "an error that cannot be shown"


def _field(body: Any, name: str) -> str | None:
    found = cast("Mapping[str, Any]", body) if isinstance(body, Mapping) else {}
    inner = found.get("error")
    holder = cast("Mapping[str, Any]", inner) if isinstance(inner, Mapping) else found
    value = holder.get(name)
    return value if isinstance(value, str) else None


def timed_out(asked: CalledServer, limit_s: float) -> ProviderError:
    """No whole answer in time."""
    return ProviderError(ErrorCode.GEN_TIMEOUT, f"{asked.name} gave no answer within {limit_s:g} s")


def refused(asked: CalledServer, said: str) -> CallRefused:
    """The model, or a filter before it, would not answer; said once, for asked again it says the same."""
    why = f": {asked.clean(said)}" if said else ""
    return CallRefused(ErrorCode.GEN_PROVIDER_UNAVAILABLE, f"{asked.name} refused to answer{why}")


def broke_off(asked: CalledServer, said: str) -> ProviderError:
    """The server could not write the answer to its end."""
    return ProviderError(
        ErrorCode.GEN_PROVIDER_UNAVAILABLE,
        f"{asked.name} broke its answer off: {asked.clean(said)}",
        retryable=True,
    )


def fault(error: Exception, asked: CalledServer) -> ProviderError:
    """The pipeline's error for a failed call.

    Args:
        error: :class:`ErrorResponse`, :class:`Broken`, what the HTTP client raised, or a ``ValueError``: an answer that
            cannot be read.
        asked: who was asked.
    """
    code = ErrorCode.GEN_PROVIDER_UNAVAILABLE
    match error:
        case ErrorResponse():
            return _status(error, asked)
        case Broken():
            codes = (_field(error.body, "code"), _field(error.body, "type"))
            if any(each and finish_reasons.refuses(each) for each in codes):
                return refused(asked, str(error))
            return broke_off(asked, str(error))
        case httpx2.TimeoutException() if not isinstance(error, httpx2.ConnectTimeout | httpx2.PoolTimeout):
            return ProviderError(ErrorCode.GEN_TIMEOUT, f"{asked.name} gave no answer in time")
        case _:
            return ProviderError(code, _lost(error, asked), retryable=True)


def _lost(error: Exception, asked: CalledServer) -> str:
    """How an answer did not arrive."""
    why = asked.clean(str(error)) or type(error).__name__
    match error:
        case (
            httpx2.ConnectError()
            | httpx2.ConnectTimeout()
            | httpx2.PoolTimeout()
            | httpx2.UnsupportedProtocol()
        ):
            return (
                f"{asked.name} cannot be reached at {asked.base_url}: {why}; "
                f"start the server, or set {asked.variable}__BASE_URL"
            )
        case httpx2.HTTPError() if not isinstance(error, httpx2.DecodingError | httpx2.SSEError):
            return f"the connection to {asked.name} at {asked.base_url} broke: {why}"
        case _:
            return f"{asked.name} sent an unreadable answer: {why}"


def _status(error: ErrorResponse, asked: CalledServer) -> ProviderError:
    status = error.status
    said = f"{asked.name} answered {status}: {asked.clean(error.words)}"
    code = ErrorCode.GEN_PROVIDER_UNAVAILABLE
    if "insufficient_quota" in error.codes:
        return ProviderError(code, f"{said}; the account has no money left")
    if status in _LATER or status >= _SERVER:
        after = retry_after(error.headers, time.time())
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
            return CallRefused(code, said)
        case _:
            return ProviderError(code, said)


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds that a server asks to be left alone, bounded; ``None`` where it does not say.

    Args:
        headers: of its answer.
        now: seconds since the epoch.

    Source: RFC 9110, 10.2.3: seconds, or a date; ``Retry-After-Ms`` is Azure's.
    """
    wait = _number(headers.get("retry-after-ms"))
    if wait is not None:
        wait /= 1000
    else:
        header = headers.get("retry-after")
        wait = _number(header)
        if wait is None and (when := _moment(header)) is not None:
            # By the server's clock, if it sends the time: this machine's may differ.
            wait = max(0.0, when - (_moment(headers.get("date")) or now))
    return None if wait is None else min(wait, _MAX_WAIT_S)


def _number(header: str | None) -> float | None:
    return float(header) if header and re.fullmatch(r"\s*\d{1,12}(\.\d{1,6})?\s*", header) else None


def _moment(header: str | None) -> float | None:
    """Seconds since the epoch of a date in HTTP."""
    if not header or len(header) > 64:  # noqa: PLR2004 - no date is longer
        return None
    try:
        found = parsedate_to_datetime(header)
        # A date of HTTP is in GMT, whether it says so or not.
        return found.timestamp() if found.tzinfo else parsedate_to_datetime(f"{header} GMT").timestamp()
    except (ValueError, IndexError, TypeError, OverflowError):
        return None
