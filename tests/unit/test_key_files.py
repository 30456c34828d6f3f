"""Files to sign in with that are broken: said in one line that shows nothing of them, and never waited on."""

from __future__ import annotations

import os
from pathlib import Path

import nkeys  # pyright: ignore[reportMissingTypeStubs] - it has none
import pytest
from hypothesis import given
from hypothesis import strategies as st
from understudy_client import Client, Unreachable
from understudy_client.key_files import fault_of_creds, fault_of_seed

SEED = nkeys.encode_seed(bytes(range(32)), nkeys.PREFIX_BYTE_USER).decode().strip()
TOKEN = "eyJ0.eyJzdWI.c2ln"  # noqa: S105 - signs nobody in
CREDS = (
    f"-----BEGIN NATS USER JWT-----\n{TOKEN}\n------END NATS USER JWT------\n\n"
    f"-----BEGIN USER NKEY SEED-----\n{SEED}\n------END USER NKEY SEED------\n"
)


def _file(folder: Path, content: str | bytes) -> Path:
    file = folder / "given"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return file


@pytest.mark.parametrize("content", [SEED, f"{SEED}\n", f" {SEED}\r\n"])
def test_a_seed_is_taken_with_white_space_around_it(tmp_path: Path, content: str) -> None:
    assert fault_of_seed(_file(tmp_path, content)) is None


@pytest.mark.parametrize("content", ["", "\n", "secret", SEED[:-1], SEED.lower(), CREDS, b"\xff\x00" * 29])
def test_what_is_no_seed_is_refused(tmp_path: Path, content: str | bytes) -> None:
    fault = fault_of_seed(_file(tmp_path, content))
    assert fault is not None
    assert fault.endswith("given holds no NKey seed (58 characters that begin with SU); write it again")


def test_credentials_of_nsc_are_taken(tmp_path: Path) -> None:
    assert fault_of_creds(_file(tmp_path, CREDS)) is None


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "no user JWT"),
        ("secret", "no user JWT"),
        (SEED, "no user JWT"),
        (CREDS.replace(TOKEN, ""), "no user JWT"),
        (CREDS.partition("-----BEGIN USER")[0], "no NKey seed"),
        (CREDS.replace(SEED, ""), "no NKey seed"),
        (CREDS.replace(SEED, SEED[:-1]), "is damaged"),
        ("x" * 70_000, "has more than 65536 bytes"),
    ],
)
def test_broken_credentials_are_refused(tmp_path: Path, content: str, said: str) -> None:
    fault = fault_of_creds(_file(tmp_path, content))
    assert fault is not None
    assert said in fault
    assert SEED not in fault
    assert "secret" not in fault


@given(content=st.binary(max_size=300))
def test_any_file_has_a_verdict(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    file = _file(tmp_path_factory.mktemp("any"), content)
    assert fault_of_creds(file) is not None
    assert fault_of_seed(file) is not None


def test_a_file_that_is_missing_or_forbidden_is_named(tmp_path: Path) -> None:
    assert fault_of_seed(tmp_path / "no") == f"{tmp_path / 'no'} is not a file; name one that is"
    assert fault_of_creds(tmp_path) == f"{tmp_path} is not a file; name one that is"
    if os.geteuid() != 0:
        closed = _file(tmp_path, SEED)
        closed.chmod(0)
        assert "correct its owner or its mode" in (fault_of_seed(closed) or "")


async def test_the_client_says_so_before_it_connects(tmp_path: Path) -> None:
    file = _file(tmp_path, "secret")
    with pytest.raises(Unreachable, match="given has no user JWT"):
        await Client.connect("nats://127.0.0.1:1", creds=file).__aenter__()
    with pytest.raises(Unreachable, match="given holds no NKey seed"):
        await Client.connect("nats://127.0.0.1:1", nkey=file).__aenter__()
