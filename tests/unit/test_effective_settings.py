"""Effective settings: origin of each value, and hidden secrets."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from infra.settings.effective import EffectiveSetting, UnknownPart, list_settings
from infra.settings.redaction import HIDDEN, redact
from infra.settings.settings import load
from tests.command_line import Ended, understudy

PRIVATE = "sesame-4711"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "config.yaml"
    file.write_text(
        "deadline_ms: 45000\n"
        "narrative:\n"
        "  servers:\n"
        "    box:\n"
        f"      base_url: http://me:{PRIVATE}@10.0.0.1/v1\n"
        f"      api_key: {PRIVATE}\n"
        "broker: {replicas: 3}\n",
        encoding="utf-8",
    )
    return file


def rows(
    monkeypatch: pytest.MonkeyPatch, config: Path | None = None, **variables: str
) -> Mapping[str, EffectiveSetting]:
    if config is not None:
        variables["UNDERSTUDY_CONFIG"] = str(config)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return {row.setting: row for row in list_settings(load(), environment=variables)}


def test_each_setting_names_its_origin(monkeypatch, config) -> None:
    found = rows(monkeypatch, config, UNDERSTUDY_DEADLINE_MS="5000", UNDERSTUDY_AUDIT='{"batch": 7}')
    assert {
        name: (found[name].value, found[name].origin, found[name].place)
        for name in ("deadline_ms", "broker.replicas", "audit.batch", "audit.sweep_every")
    } == {
        "deadline_ms": (5000, "environment", "UNDERSTUDY_DEADLINE_MS"),
        "broker.replicas": (3, "file", f"{config}, line 7"),
        "audit.batch": (7, "environment", "UNDERSTUDY_AUDIT"),
        "audit.sweep_every": (60.0, "default", ""),
    }


@pytest.mark.parametrize("variable", ["USE_LOCAL_MODEL", "UNDERSTUDY_USE_LOCAL_MODEL", "use_local_model"])
def test_every_spelling_of_a_variable_is_found(monkeypatch, variable) -> None:
    found = rows(monkeypatch, **{variable: "true"})["use_local_model"]
    assert (found.value, found.origin, found.place) == (True, "environment", variable)


def test_a_url_that_comes_from_the_list_of_servers_has_its_origin(monkeypatch) -> None:
    found = rows(monkeypatch, UNDERSTUDY_NATS__SERVERS='["nats://a:4222"]')["nats_url"]
    assert (found.value, found.origin, found.place) == (
        "nats://a:4222",
        "environment",
        "UNDERSTUDY_NATS__SERVERS",
    )


def test_a_value_that_the_program_sets_is_no_default() -> None:
    (found,) = list_settings(load(deadline_ms=7), environment={}, changed=True)
    assert (found.setting, found.value, found.origin) == ("deadline_ms", 7, "program")


def test_every_setting_of_the_defaults_is_listed_once_and_is_a_default() -> None:
    found = list_settings(load(), environment={})
    names = [row.setting for row in found]
    assert len(set(names)) == len(names) > 100
    assert {row.origin for row in found} == {"default"}


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("nats_url", f"nats://a:{PRIVATE}@h:4222", f"nats://a:{HIDDEN}@h:4222"),
        ("nats_url", f"nats://{PRIVATE}@h,tls://b:{PRIVATE},x@i", f"nats://{HIDDEN}@h,tls://b:{HIDDEN}@i"),
        ("database_url", f"postgresql://app:{PRIVATE}/@x@db/u", f"postgresql://app:{HIDDEN}@db/u"),
        (
            "database_url",
            f"postgresql://db/u?password={PRIVATE}&a=b",
            f"postgresql://db/u?password={HIDDEN}&a=b",
        ),
        ("base_url", f"https://h/v1?api_key={PRIVATE}", f"https://h/v1?api_key={HIDDEN}"),
        ("nkey", Path("SU" + "A" * 56), HIDDEN),
        ("servers", (f"nats://{PRIVATE}@h",), [f"nats://{HIDDEN}@h"]),
        ("extra", {"password": PRIVATE, "a": [1]}, {"password": HIDDEN, "a": [1]}),
    ],
)
def test_a_secret_is_replaced(name, value, shown) -> None:
    assert redact(name, value) == (shown, True)


@pytest.mark.parametrize(
    ("name", "value"),
    [("nats_url", "nats://h:4222"), ("max_tokens", 10), ("provider", "local"), ("api_key", None)],
)
def test_what_is_no_secret_is_shown(name, value) -> None:
    assert redact(name, value) == (value, False)


def show(config: Path, *words: str) -> Ended:
    return understudy("config", "show", *words, environment={"UNDERSTUDY_CONFIG": str(config)})


@pytest.mark.parametrize("words", [(), ("--json",), ("--changed",)])
def test_no_secret_is_printed(config, words) -> None:
    ended = show(config, *words)
    assert ended.status == 0
    assert PRIVATE not in ended.out + ended.err
    assert HIDDEN in ended.out


def test_a_part_and_what_differs_from_the_defaults_can_be_chosen(config) -> None:
    listed = json.loads(show(config, "broker", "--json").out)
    assert [each["setting"] for each in listed] == [
        f"broker.{name}" for name in ("port", "sync_interval", "replicas", "secured", "requests_max_bytes")
    ]
    changed = json.loads(show(config, "broker", "--changed", "--json").out)
    assert [(each["variable"], each["value"]) for each in changed] == [("UNDERSTUDY_BROKER__REPLICAS", 3)]


def test_settings_outside_of_a_part_come_first_in_the_table(config) -> None:
    lines = show(config, "--changed").out.splitlines()
    assert [line.split()[0] for line in lines] == [
        "deadline_ms", "narrative.servers.box", "base_url", "api_key", "broker", "replicas"
    ]  # fmt: skip


def test_an_unknown_part_is_wrong_usage_with_a_suggestion(config) -> None:
    ended = show(config, "narative")
    assert (ended.status, ended.out) == (2, "")
    assert "did you mean narrative?" in ended.err
    with pytest.raises(UnknownPart, match="'zzz'; docs/settings"):
        list_settings(load(), environment={}, part="zzz")
