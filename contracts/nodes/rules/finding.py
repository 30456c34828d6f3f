"""Findings of the linter and the compiler: code, severity and place."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from contracts.errors import UnderstudyError


class RuleSeverity(StrEnum):
    """The consequence of a finding."""

    #: The rules are refused.
    ERROR = "error"
    #: They work, but probably not as intended.
    WARNING = "warning"
    #: They could be simpler.
    SUGGESTION = "suggestion"


class Code(StrEnum):
    """Codes of findings; a code never changes its meaning."""

    #: The text does not follow the grammar.
    SYNTAX = "RUL001"
    #: A character or a number that cannot be read, or a text in quotes that is not closed.
    UNREADABLE = "RUL002"
    #: A line begins where no open block does.
    INDENTATION = "RUL003"
    #: Too long, too deep, too many.
    TOO_LARGE = "RUL004"

    #: No such field, or none that rules can set.
    UNKNOWN_FIELD = "RUL101"
    #: Not a value of the field.
    UNKNOWN_VALUE = "RUL102"
    #: A value of the wrong type, or out of its bounds.
    WRONG_VALUE = "RUL103"
    #: The rating is on neither scale.
    UNKNOWN_RATING = "RUL104"
    #: Negative, empty or with its target outside.
    BROKEN_DURATION = "RUL105"
    #: One element is both included and avoided.
    CONTRADICTION = "RUL106"
    #: No such function after INCLUDE.
    UNKNOWN_FUNCTION = "RUL107"

    #: A branch that is never taken.
    UNREACHABLE = "RUL201"
    #: A duplicate; one of the two has no effect.
    DUPLICATE = "RUL202"
    #: One element may be both included and avoided, for some players.
    POSSIBLE_CONTRADICTION = "RUL203"
    #: A condition uses a name that no request has.
    UNKNOWN_NAME = "RUL204"
    #: A comparison that is never true.
    NEVER_TRUE = "RUL205"

    #: For this player: the context lacks a name of a condition.
    MISSING_NAME = "RUL301"
    #: For this player: a condition compares values of different types.
    UNLIKE_TYPES = "RUL302"
    #: For this player: two conditions hold, and their rules set a field to different values.
    OVERRIDDEN = "RUL303"
    #: For this player: the rules set values that contradict each other.
    COMBINATION = "RUL304"

    #: ELSE that contains only an IF.
    ELSE_IF = "RUL401"


_SEVERITY = {
    "0": RuleSeverity.ERROR,
    "1": RuleSeverity.ERROR,
    "2": RuleSeverity.WARNING,
    "3": RuleSeverity.WARNING,
    "4": RuleSeverity.SUGGESTION,
}


class RuleFinding(msgspec.Struct, frozen=True, kw_only=True):
    """One problem, with a suggestion."""

    code: Code
    severity: RuleSeverity
    #: Line and column, from 1.
    line: int
    column: int
    message: str
    #: What to write instead; empty if nothing fits.
    suggestion: str = ""

    def __str__(self) -> str:
        more = f"; {self.suggestion}" if self.suggestion else ""
        return f"line {self.line}, column {self.column}: {self.message}{more} ({self.code})"


def finding(code: Code, line: int, column: int, message: str, suggestion: str = "") -> RuleFinding:
    """A finding of the severity that its code has."""
    return RuleFinding(
        code=code,
        severity=_SEVERITY[code[3]],
        line=line,
        column=column,
        message=message,
        suggestion=suggestion,
    )


class RulesError(UnderstudyError):
    """A text that cannot be parsed as rules.

    Args:
        found: the problem and its position.
        expected: descriptions of the tokens that the grammar allows there; empty for other errors.
    """

    def __init__(self, found: RuleFinding, *, expected: tuple[str, ...] = ()) -> None:
        super().__init__(str(found))
        self.found = found
        self.expected = expected
