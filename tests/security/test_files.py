"""The folder of `understudy topology secure`: modes, keys that stay, keys that change, TLS."""

from __future__ import annotations

import ssl
from pathlib import Path

import nkeys  # pyright: ignore[reportMissingTypeStubs] - it has none
import pytest
import trustme
from nats import errors as nats_errors
from understudy_client import Client
from understudy_client.errors import AccessDenied, Unreachable

from contracts import roles
from contracts.pipeline import STAGES
from infra.security import keys, secured
from infra.security.secured import SecuredError
from infra.security.server_file import Tls
from tests.command_line import understudy
from tests.security.servers import GROUPS, secured_server


def test_only_the_owner_reads_the_folder(tmp_path: Path) -> None:
    made = secured.write(tmp_path / "keys", groups=GROUPS)
    assert (tmp_path / "keys").stat().st_mode & 0o777 == 0o700
    assert {file.stat().st_mode & 0o777 for file in (tmp_path / "keys").iterdir()} == {0o600}
    text = made.config.read_text()
    for role, key in made.keys.items():
        seed = key.file.read_bytes()
        assert seed == seed.strip()
        assert nkeys.from_seed(bytearray(seed))
        assert (key.public in text, seed.decode() in text) == (True, False), role


def test_a_second_run_keeps_keys_and_closes_what_was_opened(tmp_path: Path) -> None:
    first = secured.write(tmp_path, groups=GROUPS, clients=["alice"])
    first.keys["audit"].file.chmod(0o644)
    tmp_path.chmod(0o755)
    again = secured.write(tmp_path, groups=[], clients=["bob"])
    kept = {role: key.public for role, key in again.keys.items() if role != "bob"}
    assert kept == {role: key.public for role, key in first.keys.items()}
    assert [role for role, key in again.keys.items() if key.fresh] == ["bob"]
    assert again.clients == ("client", "bob", "alice")
    assert tmp_path.stat().st_mode & 0o777 == 0o700
    assert again.keys["audit"].file.stat().st_mode & 0o777 == 0o600


def test_one_role_gets_another_key(tmp_path: Path) -> None:
    first = secured.write(tmp_path, groups=GROUPS)
    again = secured.write(tmp_path, groups=GROUPS, rotate=["fallback"])
    changed = {role for role, key in again.keys.items() if key.public != first.keys[role].public}
    assert changed == {"fallback"}


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        ({"clients": ["fallback"]}, "--client fallback: that is a role of the pipeline"),
        ({"clients": ["a.b"]}, "'a.b' cannot name a role"),
        ({"rotate": ["nobody"]}, "--rotate nobody: there is no such role"),
    ],
)
def test_a_wrong_name_is_refused(tmp_path: Path, asked: dict[str, list[str]], text: str) -> None:
    with pytest.raises(SecuredError, match=text):
        secured.write(
            tmp_path, groups=GROUPS, clients=asked.get("clients", ()), rotate=asked.get("rotate", ())
        )
    assert list(tmp_path.glob("*.nk")) == []


def test_a_file_that_is_no_seed_is_named_without_its_content(tmp_path: Path) -> None:
    keys.file_of(tmp_path, "audit").write_text("SUSECRET")
    with pytest.raises(keys.KeyFileError, match=r"understudy-audit\.nk is no NKey seed") as error:
        secured.write(tmp_path, groups=GROUPS)
    assert "SUSECRET" not in str(error.value)


def test_the_command_says_what_it_made(tmp_path: Path) -> None:
    done = understudy("topology", "secure", str(tmp_path / "nats"), "--client", "shop", environment={})
    assert done.status == 0, done.err
    for role in (*STAGES, "operator", "gateway", "provisioner", "client", "shop"):
        assert f" {role}: {tmp_path / 'nats' / f'understudy-{role}.nk'}" in done.out
    assert "SU" not in "".join(word for word in done.out.split() if len(word) > 50 and "/" not in word)
    wrong = understudy("topology", "secure", str(tmp_path), "--tls-cert", "x.pem", environment={})
    assert wrong.status == 2


def test_a_certificate_without_its_key_is_refused(tmp_path: Path) -> None:
    one, other = (trustme.CA().issue_cert("127.0.0.1") for _ in range(2))
    one.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    other.private_key_pem.write_to_path(tmp_path / "key.pem")
    with pytest.raises(SecuredError, match="cannot be used"):
        secured.write(
            tmp_path / "keys", groups=GROUPS, tls=Tls(cert=tmp_path / "cert.pem", key=tmp_path / "key.pem")
        )


async def test_tls_with_certificates_on_both_sides(tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    certificate = authority.issue_cert("127.0.0.1")
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    certificate.private_key_pem.write_to_path(tmp_path / "key.pem")
    tls = Tls(cert=tmp_path / "cert.pem", key=tmp_path / "key.pem", ca=tmp_path / "ca.pem")
    own = ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))
    async with secured_server(tmp_path, tls=tls) as server:
        key = keys.file_of(server.folder, "alice")
        with pytest.raises((Unreachable, nats_errors.Error)):
            async with Client.connect(server.url, nkey=key, tls=own):
                pass
        authority.issue_cert("alice").configure_cert(own)
        async with Client.connect(server.url, nkey=key, tls=own) as client:
            assert client.connection.is_connected


async def test_a_wrong_key_fails_at_once_and_names_the_role(tmp_path: Path) -> None:
    other = keys.ensure(tmp_path / "other", ["alice"])["alice"]
    async with secured_server(tmp_path) as server:
        with pytest.raises(AccessDenied, match="role alice: its key is not the broker's"):
            async with Client.connect(server.url, nkey=other.file):
                pass


def test_who_covers_what() -> None:
    assert roles.covers("gen.result.>", "gen.result.layout.x")
    assert roles.covers("gen.*.layout", "gen.result.layout")
    assert not roles.covers("gen.result.>", "gen.result")
    assert not roles.covers("gen.result.*", "gen.result.layout.x")
    assert not roles.covers("gen.result.*", "gen.result.>")
    assert not roles.covers("gen.result.*.x", "gen.result.layout")
