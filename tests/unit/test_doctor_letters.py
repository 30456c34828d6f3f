"""Doctor's check of dead letters."""

from __future__ import annotations

from typing import Any

import pytest

from contracts.errors import ErrorCode
from infra.app.letter_checks import letters_row
from infra.inspect.dead_letters import Letter


def letter(sequence: int, **more: Any) -> Letter:
    return Letter(
        **{
            "sequence": sequence,
            "time_ms": 1,
            "subject": f"dead.structuring.layout.r{sequence}",
            "stage": "structuring",
            "kind": "layout",
            "request_id": f"r{sequence}",
            "code": ErrorCode.GEN_POISON,
            "reason": "it ended its worker",
            "advisory": False,
            "stream": "EVENTS",
            "stream_sequence": 5,
            **more,
        }
    )


ADVISORY = letter(9, request_id=None, code=None, advisory=True, subject="$JS.EVENT.ADVISORY.x")


@pytest.mark.parametrize(
    ("letters", "orphans", "severity", "said"),
    [
        ([], [], "ok", "there are none"),
        ([letter(1), letter(2)], [], "info", "2: 2 GEN_POISON; none of those past their deadline is"),
        ([letter(1), letter(2)], [letter(2)], "error", "1 past their deadline without a result: 2 (r2)"),
        ([ADVISORY], [], "info", "1: 1 advisory; 1 of no known request; none of"),
        ([letter(1, request_id="player#1")], [], "info", "1: 1 GEN_POISON; 1 of no known request"),
        ([letter(n) for n in range(7)], [letter(n) for n in range(7)], "error", "4 (r4), and 2 more"),
    ],
)
def test_letters_without_an_answer_are_an_error(letters, orphans, severity, said) -> None:
    found = letters_row(letters, orphans, total=len(letters), audited=True)
    assert (found.check, found.severity, bool(found.fix)) == ("dead letters", severity, severity != "ok")
    assert said in found.detail


def test_a_row_claims_nothing_about_letters_that_were_not_examined() -> None:
    found = letters_row([letter(1)], [], total=12_000, audited=True)
    assert found.detail.startswith("12,000, of the latest 1: 1 GEN_POISON;")


def test_without_the_audit_a_missing_result_is_no_error() -> None:
    found = letters_row([letter(1)], [letter(1)], total=1, audited=False)
    assert (found.severity, "the audit cannot be asked" in found.detail) == ("warning", True)
