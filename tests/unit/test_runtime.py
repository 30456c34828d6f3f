"""Is the running pipeline found, and a dead one not believed?"""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from infra.host import runtime_file
from infra.settings.settings import Settings, load


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load(data_dir=tmp_path / "data", nats_url=None)


def _write(settings: Settings) -> runtime_file.Runtime:
    return runtime_file.write(
        settings, nats_url="nats://127.0.0.1:1", pids={"broker": 2}, started="2026-01-01T00:00:00+00:00"
    )


def test_what_is_written_is_found(settings: Settings) -> None:
    written = _write(settings)
    assert runtime_file.read(settings) == written
    assert runtime_file.find_url(settings) == "nats://127.0.0.1:1"
    assert [file.name for file in settings.data_dir.iterdir()] == [runtime_file.FILE]


def test_nothing_running_is_none(settings: Settings) -> None:
    assert runtime_file.find_url(settings) is None


def test_the_setting_wins(settings: Settings) -> None:
    _write(settings)
    assert (
        runtime_file.find_url(settings.model_copy(update={"nats_url": "nats://other:4222"}))
        == "nats://other:4222"
    )


def test_a_dead_process_is_told(settings: Settings) -> None:
    _write(settings)
    child = os.posix_spawn("/bin/true", ["true"], {})
    os.waitpid(child, 0)
    file = runtime_file.path(settings)
    file.write_text(file.read_text().replace(str(os.getpid()), str(child)))
    with pytest.raises(
        runtime_file.StaleRuntimeError, match=rf"process {child}, which no longer runs; .*understudy up"
    ):
        runtime_file.find_url(settings)


def test_garbage_is_told(settings: Settings) -> None:
    settings.data_dir.mkdir()
    runtime_file.path(settings).write_text("{")
    with pytest.raises(runtime_file.StaleRuntimeError, match="cannot be read"):
        runtime_file.find_url(settings)


def test_clear_removes_only_what_this_process_wrote(settings: Settings) -> None:
    _write(settings)
    file = runtime_file.path(settings)
    other = file.read_text().replace(str(os.getpid()), "1")
    file.write_text(other)
    runtime_file.clear(settings)
    assert file.read_text() == other
    _write(settings)
    runtime_file.clear(settings)
    assert not file.exists()


def test_a_new_data_folder_is_its_owners_alone(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "data"
    assert runtime_file.keep_private(folder) == ()
    assert _mode(folder) == 0o700


def test_a_folder_of_an_older_version_is_closed_and_that_is_told(settings: Settings) -> None:
    folder = settings.data_dir
    (folder / "broker").mkdir(parents=True)
    for name in ("understudy.db", "understudy.db-wal"):
        (folder / name).touch()
    for entry in (folder, *folder.iterdir()):
        entry.chmod(0o755 if entry.is_dir() else 0o644)
    said = runtime_file.keep_private(folder)
    assert {_mode(each) & 0o077 for each in (folder, *folder.iterdir())} == {0}
    assert said[0] == f"{folder} was open to others (0755); now only its owner reads it"
    assert len(said) == 4
    assert runtime_file.keep_private(folder) == ()


def test_what_is_not_ours_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "theirs").touch(mode=0o644)
    (tmp_path / "understudy.db").touch()
    (tmp_path / "understudy.db").chmod(0o644)
    tmp_path.chmod(0o755)
    runtime_file.keep_private(tmp_path)
    assert [_mode(tmp_path), _mode(tmp_path / "understudy.db")] == [0o755, 0o600]


def _mode(entry: Path) -> int:
    return stat.S_IMODE(entry.stat().st_mode)
