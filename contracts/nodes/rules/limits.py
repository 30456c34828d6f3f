"""Size limits of rules."""

from __future__ import annotations

from typing import Final

#: Characters of a text.
TEXT: Final = 16_384
#: Words and signs of a text, and brackets in brackets.
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
#: Of a time that can be read; a node takes far less.
SECONDS: Final = 1_000_000_000
#: What the linter lists of one text.
FINDINGS: Final = 100
