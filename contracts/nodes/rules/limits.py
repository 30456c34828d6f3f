"""Size limits of rules."""

from __future__ import annotations

from typing import Final

#: Characters of a text.
TEXT: Final = 16_384
#: Tokens of a text, and nested brackets.
TOKENS: Final = 4000
BRACKETS: Final = 32
#: Rules, branches counted as one each.
STATEMENTS: Final = 256
#: IF in IF; and conditions in conditions.
DEPTH: Final = 16
#: Elements of one list, pairs of one assignment, arguments of one call.
LIST: Final = 32
#: Parts of a name between its dots.
PARTS: Final = 8
#: Characters of a name or of one written value.
WORD: Final = 400
#: Digits of a whole number, and of one with a decimal point or exponent.
DIGITS: Final = 15
FINE_DIGITS: Final = 24
#: Of a time that can be parsed; a node allows far less.
SECONDS: Final = 1_000_000_000
#: Findings of the linter for one text.
FINDINGS: Final = 100
