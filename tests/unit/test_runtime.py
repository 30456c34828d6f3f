"""Is the running pipeline found, and a dead one not believed?"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from infra import runtime
from infra.settings import Settings, load


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load(data_dir=tmp_path / "data", nats_url=None)


def _write(settings: Settings) -> runtime.Runtime:
    return runtime.write(
        settings, nats_url="nats://127.0.0.1:1", pids={"broker": 2}, started="2026-01-01T00:00:00+00:00"
    )


def test_what_is_written_is_found(settings: Settings) -> None:
    written = _write(settings)
    assert runtime.read(settings) == written
    assert runtime.find_url(settings) == "nats://127.0.0.1:1"
    assert [file.name for file in settings.data_dir.iterdir()] == [runtime.FILE]


def test_nothing_running_is_none(settings: Settings) -> None:
    assert runtime.find_url(settings) is None


def test_the_setting_wins(settings: Settings) -> None:
    _write(settings)
    assert (
        runtime.find_url(settings.model_copy(update={"nats_url": "nats://other:4222"})) == "nats://other:4222"
    )


def test_a_dead_process_is_told(settings: Settings) -> None:
    _write(settings)
    child = os.posix_spawn("/bin/true", ["true"], {})
    os.waitpid(child, 0)
    file = runtime.path(settings)
    file.write_text(file.read_text().replace(str(os.getpid()), str(child)))
    with pytest.raises(runtime.StaleRuntimeError, match=rf"process {child}, which is gone; .*understudy up"):
        runtime.find_url(settings)


def test_garbage_is_told(settings: Settings) -> None:
    settings.data_dir.mkdir()
    runtime.path(settings).write_text("{")
    with pytest.raises(runtime.StaleRuntimeError, match="cannot be read"):
        runtime.find_url(settings)


def test_clear_removes_only_what_this_process_wrote(settings: Settings) -> None:
    _write(settings)
    file = runtime.path(settings)
    other = file.read_text().replace(str(os.getpid()), "1")
    file.write_text(other)
    runtime.clear(settings)
    assert file.read_text() == other
    _write(settings)
    runtime.clear(settings)
    assert not file.exists()
