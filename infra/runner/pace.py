"""Usual duration of a step, and whether there is time for it."""

from __future__ import annotations

from typing import Final

#: Share of a new measurement.
_SHARE: Final = 0.2
#: What a request needs in all: a multiple of this step, and milliseconds for the steps behind it.  Under load
#: every request is begun as late as it may be, so that with too little none would ever end.
_AND_MORE: Final = 1.2
_REST_MS: Final = 150
#: Seconds that a measurement holds, and in which what is older is halved: where an estimate keeps every
#: request from being begun, nothing corrects it but time.
_HOLDS_S: Final = 5.0
_HALVES_S: Final = 5.0


class Pace:
    """Durations of one stage's successful runs, by kind."""

    def __init__(self) -> None:
        #: Milliseconds, and when the last one was measured.
        self._usual: dict[str, tuple[float, float]] = {}

    def took(self, kind: str, ms: float, *, now_s: float) -> None:
        """A run ended well.

        Args:
            kind: content kind.
            ms: its duration.
            now_s: the time on any clock that only goes forward.
        """
        known, _ = self._usual.get(kind, (ms, 0.0))
        self._usual[kind] = known + _SHARE * (ms - known), now_s

    def too_long(self, kind: str, left_ms: float, *, now_s: float) -> float | None:
        """The usual milliseconds of a run where they are more than what is left; ``None``: there is time."""
        if kind not in self._usual:
            return None
        ms, since_s = self._usual[kind]
        usual_ms = ms * 0.5 ** (max(0.0, now_s - since_s - _HOLDS_S) / _HALVES_S)
        return None if usual_ms * _AND_MORE + _REST_MS <= left_ms else usual_ms
