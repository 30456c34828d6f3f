"""One row of doctor's report."""

from __future__ import annotations

from typing import Literal

import msgspec

Severity = Literal["ok", "info", "warning", "error"]


class DoctorCheck(msgspec.Struct, frozen=True, kw_only=True):
    """One check."""

    check: str
    ok: bool
    severity: Severity
    detail: str
    #: What to do; empty where nothing is to be done.
    fix: str = ""


def row(check: str, severity: Severity, detail: str, fix: str = "") -> DoctorCheck:
    """A row; errors and warnings are not ok."""
    return DoctorCheck(check=check, ok=severity in {"ok", "info"}, severity=severity, detail=detail, fix=fix)
