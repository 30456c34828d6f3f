"""Request filter: one vocabulary of conditions for listings, tails, dead letters and replays."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any, Final

import msgspec

from contracts import result, subjects
from contracts.errors import ErrorCode, UnderstudyError
from contracts.kinds import KINDS
from contracts.pipeline import STAGES

#: What an id or a pattern of ids may be, also that of a rejected request: a token of a subject, with ``*`` for any
#: characters and ``?`` for one.
_PATTERN: Final = re.compile(r"[!-\-/-~]{1,255}")
_WILD: Final = frozenset("*?")
_UNITS: Final = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
#: 10,000 days.
_LONGEST_MS: Final = 10_000 * 86_400_000
#: A request's states before its result, and a request that repeats the id of an earlier one.
UNFINISHED: Final = ("pending", "running", "repeated")
#: Allowed values of the words that have a closed list.
_ALLOWED: Final[dict[str, tuple[str, ...]]] = {
    "kind": tuple(KINDS),
    "status": (*UNFINISHED, *result.Status),
    "origin": tuple(result.Origin),
    "code": tuple(ErrorCode),
    "stage": tuple(STAGES),
}
#: The words of the vocabulary, in the order of help texts.
WORDS: Final = (
    "id",
    "kind",
    "status",
    "origin",
    "code",
    "stage",
    "provider",
    "model",
    "prompt-version",
    "workspace",
    "node",
    "since",
    "until",
    "text",
)


class FilterError(UnderstudyError):
    """A filter that cannot match anything; the text names the option and what it allows."""


class RequestFilter(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Conditions that must all hold; a field left out matches everything.

    A tuple matches each of its values.
    """

    #: An id, or a pattern with ``*`` and ``?``.
    request_id: str | None = None
    kind: tuple[str, ...] = ()
    #: A result's status, or one of :data:`UNFINISHED`.
    status: tuple[str, ...] = ()
    origin: tuple[str, ...] = ()
    #: Error codes.
    code: tuple[str, ...] = ()
    stage: tuple[str, ...] = ()
    provider: str | None = None
    model: str | None = None
    prompt_version: str | None = None
    workspace: str | None = None
    #: Id of the node, else of its template.
    node: str | None = None
    #: Earliest broker timestamp, ms since the epoch.
    since_ms: int | None = None
    #: Broker timestamp before which it must be, ms since the epoch.
    until_ms: int | None = None
    #: Part of the text; upper and lower case are equal.
    text: str | None = None
    #: Also shadows, which count in no statistic; without it, only where ``request_id`` begins like one.
    shadows: bool = False

    @property
    def empty(self) -> bool:
        """Whether everything matches, shadows aside."""
        return msgspec.structs.replace(self, shadows=False) == RequestFilter()

    @property
    def shows_shadows(self) -> bool:
        """Whether shadows match."""
        return self.shadows or (self.request_id is not None and subjects.is_shadow(self.request_id))

    @property
    def names_no_writer(self) -> bool:
        """Whether every provider, model and prompt version matches."""
        return self.provider is None and self.model is None and self.prompt_version is None

    @property
    def one_id(self) -> str | None:
        """The id, unless it is a pattern."""
        return None if self.request_id is None or has_wildcards(self.request_id) else self.request_id

    def matches_id(self, request_id: str | None) -> bool:
        """Whether an id matches the pattern; without a pattern every id does, except those of shadows."""
        if request_id is None:
            return self.request_id is None
        if subjects.is_shadow(request_id) and not self.shows_shadows:
            return False
        return self.request_id is None or fnmatchcase(request_id, self.request_id.replace("[", "[[]"))

    def matches_time(self, time_ms: int) -> bool:
        """Whether a time is within ``since_ms`` and ``until_ms``."""
        return (self.since_ms is None or time_ms >= self.since_ms) and (
            self.until_ms is None or time_ms < self.until_ms
        )


def name_option(word: str) -> str:
    """The command line's option for a word of the vocabulary."""
    return f"--{word}"


def parse_filter(
    given: Mapping[str, str | None], *, now_ms: int, name: Callable[[str], str] = name_option
) -> RequestFilter:
    """Make a filter from text, as a command line or a query string has it.

    Args:
        given: values by word of :data:`WORDS`; ``None``: not given.  Words with a closed list take several
            values, separated by commas.
        now_ms: ms since the epoch, for ages such as ``10m``.
        name: how messages call a word.

    Raises:
        FilterError: a value cannot match anything; the text names the option and lists what it allows.
    """
    present = {word: value for word, value in given.items() if value is not None}
    unknown = next((word for word in present if word not in WORDS), None)
    if unknown is not None:
        raise FilterError(f"{name(unknown)} is no filter; use one of {', '.join(map(name, WORDS))}")
    found: dict[str, Any] = {}
    for word, value in present.items():
        option = name(word)
        if not value.strip():
            raise FilterError(f"{option} is empty; give a value or leave it out")
        match word:
            case "id":
                found["request_id"] = _parse_pattern(option, value)
            case "since" | "until":
                found[f"{word}_ms"] = _parse_moment(option, value, now_ms)
            case _ if word in _ALLOWED:
                found[word] = _parse_values(option, value, _ALLOWED[word])
            case _:
                found[word.replace("-", "_")] = value
    since_ms, until_ms = found.get("since_ms"), found.get("until_ms")
    if since_ms is not None and until_ms is not None and until_ms <= since_ms:
        raise FilterError(
            f"{name('until')} {present['until']!r} is not after {name('since')} {present['since']!r}, so nothing can "
            "match; exchange them"
        )
    return RequestFilter(**found)


def has_wildcards(pattern: str) -> bool:
    """Whether a pattern of ids has wildcards."""
    return bool(_WILD & set(pattern))


def parse_moment(text: str, now_ms: int) -> int:
    """A time in ms since the epoch, from an age such as ``10m`` or a date with or without a time.

    A time without a zone is local.

    Raises:
        ValueError: the text is neither.
    """
    if re.match(r"\d{4}-", text):
        try:
            return max(0, int(datetime.fromisoformat(text).astimezone().timestamp() * 1000))
        except (ValueError, OverflowError):
            raise ValueError("is not a time; write for instance 2026-11-27T10:30:00Z, or 10m") from None
    # Earlier than all messages is early enough; databases and dates have a range.
    return max(0, now_ms - parse_duration(text))


def parse_duration(text: str) -> int:
    """Milliseconds of a duration: ``500ms``, ``30s``, ``10m``, ``2h``, ``1d``.

    Raises:
        ValueError: the text is not a duration.
    """
    found = _DURATION.fullmatch(text.strip())
    if found is None:
        raise ValueError("is not a duration; write for instance 30s, 10m, 2h or 1d")
    milliseconds = float(found[1]) * _UNITS[found[2]]
    if milliseconds > _LONGEST_MS:
        raise ValueError("is longer than 10,000 days")
    return int(milliseconds)


def _parse_pattern(option: str, value: str) -> str:
    if _PATTERN.fullmatch(value) is None:
        raise FilterError(
            f"{option} {value!r} is no request id, nor a pattern of ids such as w-*: an id has at most 255 characters, "
            "all of them printable ASCII, and neither dots nor spaces"
        )
    return value


def _parse_moment(option: str, value: str, now_ms: int) -> int:
    try:
        return parse_moment(value, now_ms)
    except ValueError as error:
        raise FilterError(f"{option} {value!r} {error}") from None


def _parse_values(option: str, value: str, allowed: Iterable[str]) -> tuple[str, ...]:
    values = tuple(dict.fromkeys(part.strip() for part in value.split(",") if part.strip()))
    unknown = next((each for each in values if each not in set(allowed)), None)
    if unknown is not None or not values:
        raise FilterError(f"{option} {unknown or value!r} is unknown; use one of {', '.join(allowed)}")
    return values
