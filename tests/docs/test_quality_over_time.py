"""The page about quality over time: its schedules run one command, which works."""

from __future__ import annotations

import configparser
import re
import shlex

import pytest
import typer.main
import yaml

from infra.cli.app import app
from tests.docs.pages import ROOT

_PAGE = (ROOT / "docs/quality-over-time.md").read_text(encoding="utf-8")


def block(language: str, part: str) -> str:
    (found,) = (
        each
        for each in re.findall(rf"^```{language}\n(.*?)^```$", _PAGE, re.MULTILINE | re.DOTALL)
        if part in each
    )
    return found


def of_cron() -> str:
    *when, command = block("cron", "").split(maxsplit=5)
    assert all(re.fullmatch(r"[0-9*]+", each) for each in when)
    return command.partition(" && ")[2].strip()


def of_systemd() -> str:
    timer, service = configparser.ConfigParser(), configparser.ConfigParser()
    timer.read_string(block("ini", "[Timer]"))
    service.read_string(block("ini", "[Service]"))
    assert timer["Timer"]["OnCalendar"] == "*-*-* 03:15:00"
    assert service["Service"]["ExecStart"].startswith(service["Service"]["WorkingDirectory"])
    return service["Service"]["ExecStart"]


def of_actions() -> str:
    steps = yaml.safe_load(block("yaml", "jobs:"))["jobs"]["quality"]["steps"]
    (command,) = (each["run"] for each in steps if "run" in each)
    return command


@pytest.mark.parametrize("schedule", [of_cron, of_systemd, of_actions])
def test_a_schedule_runs_a_command_that_exists(schedule) -> None:
    program, *args = shlex.split(schedule())
    assert program.rpartition("/")[2] == "understudy"
    # Click parses the options, and calls nothing.
    name, *rest = args
    command = typer.main.get_command(app).commands[name]
    context = command.make_context(name, rest)
    assert context.params["fail_on_regression"] is True
    assert context.params["output_format"] == "junit"
    assert str(context.params["file"]) == "nightly.toml"
    assert str(context.params["output"]) == "nightly.xml"
