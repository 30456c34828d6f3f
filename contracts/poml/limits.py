"""Size limits of POML documents."""

from __future__ import annotations

from typing import Final

#: Characters of a document with all that it includes.
SOURCE: Final = 262_144
#: Elements of a document with all that it includes, and elements in elements.
ELEMENTS: Final = 4000
DEPTH: Final = 32
#: Includes in includes.
INCLUDES: Final = 8
#: Characters of an expression, and parts in parts of it.
EXPRESSION: Final = 1000
NESTED: Final = 32
#: Elements, texts and parts of expressions that one rendering may evaluate; loops count each time.
STEPS: Final = 50_000
#: Characters that one rendering may make, intermediate texts counted too.
OUTPUT: Final = 8_000_000
#: Values in values when one is written as JSON.
VALUE_DEPTH: Final = 64
#: Integers beyond are not exact in JavaScript.
INTEGER: Final = 2**53
