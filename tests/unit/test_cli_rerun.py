"""`understudy rerun`: what it says of the requests that it leaves out."""

from __future__ import annotations

import pytest

from infra.cli import rerun
from infra.replay.reruns import NotRerun, RerunPlan


def test_originals_that_are_left_out_for_one_reason_share_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    refused = [NotRerun(original=f"r-{number}", reason="layout@1 is for layouts") for number in range(1000)]
    refused.insert(1, NotRerun(original="old", reason="its body is gone"))
    rerun.print_refused(RerunPlan(job="j1", items=(), refused=tuple(refused)))
    assert capsys.readouterr().err.splitlines() == [
        "left out: 1,000 requests (r-0, r-1, r-2, …): layout@1 is for layouts",
        "left out: old: its body is gone",
    ]
