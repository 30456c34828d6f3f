"""Finish reasons: what the words mean with which servers end an answer.

The protocol's own words are ``stop``, ``length`` and ``content_filter``; gateways pass on those of the
model behind them.  An unknown word does not prove that the answer is complete.
"""

from __future__ import annotations

import re
from typing import Final

from contracts.ports import LENGTH, STOP

#: Characters of an unknown word that are passed on.
_MAX_WORD: Final = 40
_GOOD: Final = frozenset(
    {"stop", "stopped", "stop_sequence", "stop_token", "eos", "eos_token", "end", "end_turn"}
    | {"complete", "completed", "finish", "finished", "done"}
)
_CUT: Final = re.compile(r"length|max.*token|token.*limit|limit.*reached|context|truncat|cut_off|incomplete")
_REFUSED: Final = re.compile(
    r"filter|safety|refus|block|prohibit|recitation|spii|moderat|sensitive|guardrail|policy|policies"
)
_BROKEN: Final = re.compile(
    r"error|abort|cancel|fail|timeout|time_out|interrupt|insufficient|overload|network"
)


def known_as(word: str) -> str:
    """``stop`` or ``length`` for the words that mean that; any other in lower case, cut to a bound."""
    plain = _plain(word)
    if plain in _GOOD:
        return STOP
    return LENGTH if _CUT.search(plain) and not _REFUSED.search(plain) else plain


def refuses(word: str) -> bool:
    """The server, or a filter before it, would not answer this one request."""
    return _REFUSED.search(_plain(word)) is not None


def breaks(word: str) -> bool:
    """The server could not write the answer to its end."""
    plain = _plain(word)
    return _CUT.search(plain) is None and _BROKEN.search(plain) is not None


def _plain(word: str) -> str:
    plain = re.sub(r"[^a-z0-9]+", "_", word[: 4 * _MAX_WORD].lower()).strip("_")
    return plain.removeprefix("finish_reason_")[:_MAX_WORD] or "unknown"
