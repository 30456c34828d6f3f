"""One row of doctor's report, and the order of rows."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal, overload

import msgspec

Severity = Literal["ok", "info", "warning", "error"]
_ORDER: Final[tuple[Severity, ...]] = ("error", "warning", "info", "ok")


class DoctorCheck(msgspec.Struct, frozen=True, kw_only=True):
    """One check."""

    check: str
    ok: bool
    severity: Severity
    detail: str
    #: What to do; empty where nothing is to be done.
    fix: str = ""


@overload
def row(check: str, severity: Literal["ok", "info"], detail: str, fix: str = "") -> DoctorCheck: ...
@overload
def row(check: str, severity: Severity, detail: str, fix: str) -> DoctorCheck: ...
def row(check: str, severity: Severity, detail: str, fix: str = "") -> DoctorCheck:
    """A row; errors and warnings are not ok, and have a fix."""
    return DoctorCheck(check=check, ok=severity in {"ok", "info"}, severity=severity, detail=detail, fix=fix)


def row_of_error(check: str, severity: Severity, error: object, *, otherwise: str) -> DoctorCheck:
    """A row about an error whose text ends in what to do, after a semicolon, as the project's errors do.

    Args:
        check: name of the check.
        severity: how bad it is.
        error: the error.
        otherwise: what to do, where the text does not say it.
    """
    detail, _, fix = str(error).rpartition("; ")
    return row(check, severity, detail or fix, fix if detail else otherwise)


def order(rows: Iterable[DoctorCheck]) -> tuple[DoctorCheck, ...]:
    """The worst first, otherwise as they come."""
    return tuple(sorted(rows, key=lambda each: _ORDER.index(each.severity)))
