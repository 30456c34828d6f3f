"""Secrets in settings: no output has them, whatever is wrong with a setting."""

from __future__ import annotations

import logging
import traceback
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.settings.effective import list_settings
from infra.settings.redaction import SECRET_NAME, redact
from infra.settings.settings import Settings, load
from tests.command_line import understudy

MARKER = "sesame-4711"
#: A password of this machine's own: nobody answers on port 1.
NOWHERE = f"me:{MARKER}@127.0.0.1:1"
#: Every setting that can hold a secret, by variable.
SECRETS = {
    "UNDERSTUDY_NATS_URL": f"nats://{NOWHERE}",
    "UNDERSTUDY_DATABASE_URL": f"postgresql://{NOWHERE}/x?password={MARKER}",
    "UNDERSTUDY_NARRATIVE__OPENAI__BASE_URL": f"http://{NOWHERE}/v1",
    "UNDERSTUDY_NARRATIVE__OPENAI__API_KEY": MARKER,
    "UNDERSTUDY_NARRATIVE__SERVERS": f'{{"box": {{"base_url": "http://{NOWHERE}/v1", "api_key": "{MARKER}", "model": "m"}}}}',
    "UNDERSTUDY_TELEMETRY__OTLP_ENDPOINT": f"http://{NOWHERE}",
}
#: Values that settings refuse, or that only their use refuses.
WRONG = [
    ("UNDERSTUDY_NATS_URL", f"http://{NOWHERE}"),
    ("UNDERSTUDY_NATS_URL", f"nats://me:{MARKER}@host:port"),
    ("UNDERSTUDY_NATS__SERVERS", f"nats://{NOWHERE}"),
    ("UNDERSTUDY_NATS__SERVERS", f'["nats//{NOWHERE}"]'),
    ("UNDERSTUDY_DATABASE_URL", f"mysql://{NOWHERE}/x"),
    ("UNDERSTUDY_DATABASE_URL", f"postgresql//{NOWHERE}/x"),
    ("UNDERSTUDY_DATABASE_URL", f"postgresql://me:{MARKER}@host:port/x"),
    ("UNDERSTUDY_NARRATIVE__OPENAI__BASE_URL", f"htps://{NOWHERE}/v1"),
    ("UNDERSTUDY_NARRATIVE__OPENAI__BASE_URL", f"{MARKER}@127.0.0.1:1"),
    ("UNDERSTUDY_NARRATIVE__OPENAI", f'{{"api_key": "{MARKER}", "nothing": 1}}'),
    ("UNDERSTUDY_NARRATIVE__OPENAI", f'{{"api_key": "{MARKER}"'),
    ("UNDERSTUDY_NARRATIVE__SERVERS", f'{{"box": {{"base_url": "htp://{NOWHERE}", "api_key": "{MARKER}"}}}}'),
    ("UNDERSTUDY_TELEMETRY__OTLP_ENDPOINT", f"ftp://{NOWHERE}"),
    ("UNDERSTUDY_DEADLINE_MS", f"http://{NOWHERE}"),
]


def test_the_list_of_secrets_is_complete() -> None:
    holds = {
        row.variable
        for row in list_settings(load(), environment={})
        if SECRET_NAME.search(row.setting) or row.setting.endswith(("url", "servers", "endpoint"))
    }
    # Files with keys, which settings only name, and another form of the first one.
    holds -= {
        "UNDERSTUDY_NATS__NKEY",
        "UNDERSTUDY_NATS__KEYS",
        "UNDERSTUDY_NATS__TLS__KEY",
        "UNDERSTUDY_NATS__SERVERS",
    }
    assert holds == set(SECRETS)


@pytest.mark.parametrize(
    "command",
    ["config show", "config show --json", "doctor --json", "models check", "audit ls", "topology check"],
)
def test_no_command_prints_a_secret(command: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    variables = SECRETS | {"UNDERSTUDY_DATA_DIR": str(tmp_path), "USE_LOCAL_MODEL": "true"}
    ended = understudy(*command.split(), environment=variables)
    assert ended.out or ended.err
    assert MARKER not in ended.out + ended.err + caplog.text


@pytest.mark.parametrize(("variable", "value"), WRONG)
def test_an_error_about_a_setting_has_no_secret(variable: str, value: str, tmp_path: Path) -> None:
    variables = {variable: value, "UNDERSTUDY_DATA_DIR": str(tmp_path)}
    for command in ("config show", "audit ls"):
        ended = understudy(*command.split(), environment=variables)
        assert MARKER not in ended.out + ended.err, command


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> Settings:
    for variable, value in SECRETS.items():
        monkeypatch.setenv(variable, value)
    return load()


def test_settings_in_a_traceback_have_no_secret(settings: Settings) -> None:
    def fail(settings: Settings) -> None:
        raise ValueError(settings)

    with pytest.raises(ValueError, match="api_key") as raised:
        fail(settings)
    shown = traceback.TracebackException.from_exception(raised.value, capture_locals=True)
    assert MARKER not in "".join(shown.format())


_PASSWORD = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=4).filter(
    lambda said: "://" not in said
)


@given(_PASSWORD, st.sampled_from(("nats://me:{}@host", "tls://{}@host", "me:{}@host", "http//me:{}@host")))
def test_no_password_of_an_address_is_shown(password: str, address: str) -> None:
    shown, hidden = redact("nats_url", address.format(f"<{password}>"))
    assert hidden
    assert f"<{password}>" not in shown
    assert shown.endswith("@host")
