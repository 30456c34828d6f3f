"""Log format: lines for people or JSON objects, on standard error.

A line is written on the event loop, so it costs little whatever it tells: texts are cut to a bound, and a
traceback says where, never with which values: those are prompts and drafts.
"""

from __future__ import annotations

import io
import logging
import sys
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from traceback import walk_tb
from typing import TYPE_CHECKING, Any, Final

import structlog

from contracts.printable import printable
from contracts.redaction import redact_text

if TYPE_CHECKING:
    from infra.settings.settings import Settings

#: Characters of one text in a line.
_MAX_TEXT: Final = 4_000
#: Characters of what an error says itself.
_MAX_SAID: Final = 200
#: Colours of levels on a terminal.
_COLOURS: Final = {"debug": "\x1b[2m", "info": "\x1b[32m", "warning": "\x1b[33m", "error": "\x1b[31m"}
_PLAIN: Final = "\x1b[0m"
#: Frames of a traceback, the innermost ones, and errors of a chain.
_MAX_FRAMES: Final = 24
_MAX_CHAIN: Final = 4


class _StandardError(io.TextIOBase):
    """Whatever is standard error now; that nobody can read it any more must not end who writes."""

    def write(self, text: str) -> int:
        """Write, if that is possible."""
        with suppress(OSError, ValueError):
            sys.stderr.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush, if that is possible."""
        with suppress(OSError, ValueError):
            sys.stderr.flush()


def configure(settings: Settings) -> None:
    """Send this process's log to standard error, as lines for people or as JSON objects."""
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    renderer: structlog.typing.Processor
    stamp = structlog.processors.TimeStamper(fmt="iso", utc=True)
    if settings.log_format == "json":
        # Everything beyond ASCII is escaped: no terminal obeys it, and half a surrogate pair loses no line.
        renderer = structlog.processors.JSONRenderer(ensure_ascii=True)
    else:
        renderer = _sentence
        stamp = structlog.processors.TimeStamper(fmt="%Y-%m-%d %H:%M:%S", utc=False)
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            stamp,
            structlog.processors.ExceptionRenderer(
                lambda exc_info: traceback(exc_info[1], words=settings.audit.store_prompts)
            ),
            _bounded,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(file=_StandardError()),  # pyright: ignore[reportArgumentType] - all that it needs
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(levelname)s %(name)s %(message)s")


def _sentence(_logger: Any, _method: str, event: structlog.typing.EventDict) -> str:
    """A line for people: time, level, sentence; a traceback below it."""
    level = str(event.get("level", ""))
    colour, plain = (_COLOURS.get(level, ""), _PLAIN) if sys.stderr.isatty() else ("", "")
    level = f"{colour}{level:<7}{plain}"
    sentence = printable(str(event.get("message", event.get("event", ""))))
    line = f"{event.get('timestamp', '')} {level} {sentence}"
    trace = event.get("exception")
    return "\n".join((line, printable(trace, keep="\n"))) if trace else line


def traceback(error: BaseException | None, *, words: bool = True) -> str:
    """Where an error was raised, and what it came from; a bounded text without the values of any name.

    Args:
        error: the error.
        words: also what the errors say themselves, which may quote a request.
    """
    return "\n".join(_told(error, words=words))


def _told(error: BaseException | None, *, words: bool) -> Iterator[str]:
    for number in range(_MAX_CHAIN):
        if error is None:
            return
        said = " ".join(str(error)[:_MAX_SAID].split()) if words else redact_text(str(error))
        yield f"{'caused by ' if number else ''}{type(error).__qualname__}: {said}"
        # The innermost ones say what happened.
        for frame, line in deque(walk_tb(error.__traceback__), maxlen=_MAX_FRAMES):
            path = Path(frame.f_code.co_filename)
            yield f"  {'/'.join(path.parts[-3:])}:{line} in {frame.f_code.co_name}"
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _bounded(_logger: Any, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    for name, value in event.items():
        if isinstance(value, str) and len(value) > _MAX_TEXT:
            event[name] = f"{value[:_MAX_TEXT]}… ({len(value)} characters)"
    return event
