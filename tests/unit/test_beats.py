"""Is a silence told from a listener that did not listen?"""

from __future__ import annotations

import os

import pytest

from infra.host import heartbeat, parent_death
from infra.host.heartbeat import Silence


def test_turns_without_a_sign_add_up() -> None:
    silence = Silence(step_s=1.0)
    for _ in range(9):
        silence.turn(1.0)
    assert not silence.passes(10.0)
    silence.turn(1.1)
    assert silence.passes(10.0)


def test_a_sign_ends_it() -> None:
    silence = Silence(step_s=1.0)
    silence.turn(1.5)
    silence.end()
    assert silence.lasted_s == 0


def test_an_hour_in_which_the_listener_stood_still_is_no_silence() -> None:
    silence = Silence(step_s=1.0)
    silence.turn(3600.0)
    assert not silence.passes(10.0)


def test_waiting_for_a_processor_is_excused_but_not_for_ever() -> None:
    silence = Silence(step_s=1.0)
    for _ in range(29):
        silence.turn(1.0, excused_s=1.0)
    assert not silence.passes(10.0)
    silence.turn(1.0, excused_s=1.0)
    assert silence.passes(10.0)


def test_who_was_supervised_once_is_not_supervised_by_what_it_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    monkeypatch.setenv(heartbeat.VARIABLE, str(writing))
    assert heartbeat.inherited() == writing
    assert heartbeat.VARIABLE not in os.environ
    assert not os.get_inheritable(writing)
    assert not os.get_blocking(writing)
    assert heartbeat.inherited() is None
    os.close(reading)
    os.close(writing)


def test_a_number_that_is_no_pipe_is_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(heartbeat.VARIABLE, "99999")
    assert heartbeat.inherited() is None


async def test_beats_are_heard_until_nobody_listens() -> None:
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    assert not heartbeat.heard(reading)
    os.write(writing, b"...")
    assert heartbeat.heard(reading)
    assert not heartbeat.heard(reading)
    os.close(reading)
    await heartbeat.beat(writing)
    os.close(writing)


def test_a_process_tells_how_long_it_waited_for_a_processor() -> None:
    assert parent_death.queued_s(os.getpid()) >= 0
    assert parent_death.queued_s(2**30) == 0
