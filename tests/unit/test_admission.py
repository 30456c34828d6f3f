"""How much room is there for requests, when answers are quick and when they come late?"""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from infra.runner import admission as module
from infra.runner.admission import Admission, Measured, Room
from infra.settings.settings import load
from infra.telemetry.log_lines import to_log


def look(room: Room, **fields: float) -> int:
    return room.look(
        Measured(
            **{"elapsed_s": 0.1, "unarmed": 0, "armed": 0, "open": 0, "late_ms": 0, **fields}  # type: ignore[arg-type]
        )
    )


def test_an_idle_pipeline_takes_a_burst_and_no_more_than_it_arms_in_time() -> None:
    room = Room(most=6000, least=64)
    assert look(room) == 800
    assert look(room, unarmed=700) == 100
    assert look(room, unarmed=5000) == 0


def test_open_requests_are_bounded() -> None:
    room = Room(most=6000, least=64)
    assert look(room, open=5900) == 100
    assert look(room, open=6000) == 0


def test_late_answers_close_the_door_and_prompt_ones_open_it_again() -> None:
    room = Room(most=6000, least=64)
    for _ in range(60):
        look(room, open=3000, late_ms=1500)
    assert look(room, open=3000) == 0
    assert room.bound < 3000
    for _ in range(600):
        look(room, open=10)
    assert room.bound == 6000


def test_what_waits_is_what_is_armed_in_about_a_second() -> None:
    slow, quick = Room(most=6000, least=64), Room(most=6000, least=64)
    for _ in range(50):
        look(slow, unarmed=100, armed=10)
        look(quick, unarmed=100, armed=400)
    assert look(slow) < 300
    assert look(quick) > 2500


@given(
    st.lists(
        st.tuples(
            st.floats(0, 5),
            st.integers(0, 10**6),
            st.integers(0, 10**6),
            st.integers(0, 10**6),
            st.integers(-(10**9), 10**9),
        ),
        max_size=50,
    )
)
def test_the_room_is_never_negative_and_the_bound_stays_within_its_own(looks) -> None:
    room = Room(most=500, least=20)
    for elapsed_s, unarmed, armed, open_, late_ms in looks:
        found = look(room, elapsed_s=elapsed_s, unarmed=unarmed, armed=armed, open=open_, late_ms=late_ms)
        assert found >= 0
        assert 20 <= room.bound <= 500


async def test_a_bound_that_cannot_be_moved_is_told_and_not_at_every_look(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_IDLE_S", 0.0)
    looks = 0
    enough = asyncio.Event()

    class Wire:
        async def call(self, *_: Any, **__: Any) -> Any:
            nonlocal looks
            looks += 1
            if looks > 20:
                enough.set()
            return SimpleNamespace(data=b'{"error": {"description": "permissions violation"}}')

    parts: Any = Wire()
    admission = Admission(wire=parts, deadlines=parts, bounds=load().admission, telemetry=to_log())
    with structlog.testing.capture_logs() as logs:
        task = asyncio.create_task(admission.run())
        await asyncio.wait_for(enough.wait(), 60)
        task.cancel()
    told = [each for each in logs if each["event"] == "admission_stuck"]
    assert len(told) == 1
    assert "permissions violation" in told[0]["problem"]
