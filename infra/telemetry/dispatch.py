"""Dispatch of what happens: events are emitted to subscribers; the log is the first of them."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any, ClassVar, Final

import msgspec

if TYPE_CHECKING:
    from infra.telemetry.trace_context import TraceContext

_CAPITAL: Final = re.compile(r"(?<!^)(?=[A-Z])")
_DIGIT: Final = re.compile(r"\d")
#: Characters of a problem that tell it from others: a stranger's text may be long.
_COMPARED: Final = 500


class TelemetryEvent(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened. ``str()`` of it is a sentence for people, its subject first.

    Field names and units are public: machines read them in the JSON log.
    """

    #: Level of its log line, as in ``logging``; events whose level depends on their fields override :attr:`level`.
    LEVEL: ClassVar[int] = logging.INFO
    #: Equal ones that are written before the rest of them is counted instead.
    WRITTEN: ClassVar[int] = 1
    #: The sentence, with fields in braces; events whose sentence depends on them override ``__str__``.
    SENTENCE: ClassVar[str] = ""
    #: Fields in which equal events agree, but for ids and numbers in ``problem``; none: each one is written.
    FOLDS_BY: ClassVar[tuple[str, ...]] = ()
    #: Fields that may quote a request, a document or a server; each is a text.
    QUOTES: ClassVar[tuple[str, ...]] = ()

    def __str__(self) -> str:
        return self.SENTENCE.format_map(msgspec.structs.asdict(self))

    @property
    def level(self) -> int:
        """Level of its log line, as in ``logging``."""
        return self.LEVEL

    @property
    def folds_as(self) -> Hashable | None:
        """Events with an equal value here are counted together; ``None``: each one is written."""
        found = {name: getattr(self, name) for name in self.FOLDS_BY}
        if "problem" in found:
            found["problem"] = alike(found["problem"])
        return tuple(found.values()) or None

    @property
    def error(self) -> BaseException | None:
        """The error whose traceback belongs to the line."""
        return None

    @property
    def quotes(self) -> tuple[str, ...]:
        """Fields that may quote somebody; events in which that depends on other fields override it."""
        return self.QUOTES

    def fields(self) -> dict[str, Any]:
        """Its fields for machines; what is not set is left out."""
        found = {name: getattr(self, name) for name in self.__struct_fields__}
        return {
            name: value
            for name, value in found.items()
            if value not in ("", None, ()) and not isinstance(value, BaseException)
        }


def name_of(event: type[TelemetryEvent]) -> str:
    """The name that machines see: ``ResultPublished`` is ``result_published``."""
    return _CAPITAL.sub("_", event.__name__).lower()


def alike(problem: str) -> str:
    """The beginning of a problem without the words that differ from one occurrence to the next: ids, numbers."""
    return " ".join("#" if _DIGIT.search(word) else word for word in problem[:_COMPARED].split())


class Telemetry:
    """Passes events on.

    Args:
        subscribers: called with each event that they take, in this order; they do not raise and do not wait.
    """

    def __init__(self, *subscribers: Callable[[TelemetryEvent], object]) -> None:
        self._subscribers = list(subscribers)
        #: Who takes which events of which level, as far as it was asked: a request makes some twenty events.
        self._takers: dict[
            tuple[type[TelemetryEvent], int], tuple[Callable[[TelemetryEvent], object], ...]
        ] = {}

    def takes(self, event: type[TelemetryEvent], level: int) -> bool:
        """Whether any subscriber takes such an event; nobody needs to build one otherwise.

        A subscriber with a method ``takes`` decides itself, any other one takes every event.  It is asked once: its
        answer must not change.

        Args:
            event: the event's class.
            level: its level, as in ``logging``.
        """
        return bool(self.takers(event, level))

    def keeps(self, event: type[TelemetryEvent], context: TraceContext) -> bool:
        """Whether any subscriber keeps what happens in a trace; nobody needs to record it otherwise.

        Of those that take the event, a subscriber with a method ``keeps`` decides itself each time, any other one keeps
        every trace.

        Args:
            event: class of the event that is emitted of the trace.
            context: the trace.
        """
        for taker in self.takers(event, event.LEVEL):
            keeps = getattr(taker, "keeps", None)
            if keeps is None or keeps(context):
                return True
        return False

    def subscribe(self, subscriber: Callable[[TelemetryEvent], object]) -> None:
        """Call somebody else with each event, too."""
        self._subscribers.append(subscriber)
        self._takers.clear()

    def emit(self, event: TelemetryEvent) -> None:
        """Tell every subscriber that takes the event."""
        for taker in self.takers(type(event), event.level):
            taker(event)

    def takers(
        self, event: type[TelemetryEvent], level: int
    ) -> tuple[Callable[[TelemetryEvent], object], ...]:
        """The subscribers that take such an event: what is emitted for every message is built and passed on only for them.

        Args:
            event: the event's class.
            level: its level, as in ``logging``.
        """
        found = self._takers.get((event, level))
        if found is None:
            asked = ((each, getattr(each, "takes", None)) for each in self._subscribers)
            found = tuple(each for each, takes in asked if takes is None or takes(event, level))
            self._takers[event, level] = found
        return found
