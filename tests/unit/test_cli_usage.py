"""Start, help, wrong usage and exit codes of the command line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from infra.cli import bodies, console, filters, request, run
from infra.inspect.request_filter import RequestFilter
from tests.import_path import IMPORT_PATH
from tests.unit.conftest import Understudy

COMMANDS = "demo up run serve request result wait tail why rerun compare cancel validate rules prompts dead samples topology audit doctor bench".split()  # noqa: SIM905 - as a person would list them


def _process(*args: str, **env: str) -> subprocess.CompletedProcess[bytes]:
    """The command line in a process of its own; the fixture ``understudy`` is quicker."""
    return subprocess.run(  # noqa: PLW1510 - the status is what is tested
        [sys.executable, "-m", "infra.cli", *args],
        capture_output=True,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": IMPORT_PATH, **env},
        timeout=60,
    )


def test_a_process_exits_with_the_status_and_says_why(tmp_path: Path) -> None:
    done = _process("audit", "ls", "--status", "gone", UNDERSTUDY_DATA_DIR=str(tmp_path))
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"gone" in done.stderr
    assert b"Traceback" not in done.stderr


def test_a_process_without_a_broker_exits_3(tmp_path: Path) -> None:
    done = _process("run", "fallback", UNDERSTUDY_DATA_DIR=str(tmp_path))
    assert (done.returncode, done.stdout) == (3, b"")
    assert b"understudy up" in done.stderr
    assert b"Traceback" not in done.stderr


def test_help_names_every_command_and_imports_nothing_heavy() -> None:
    code = (
        "import sys; from infra.cli.app import app; from infra.cli.console import guarded; status = guarded(app); "
        "heavy = {'nats', 'pydantic', 'sqlalchemy', 'faststream', 'structlog'} & set(sys.modules); "
        "sys.stderr.write(repr(sorted(heavy))); sys.exit(status)"
    )
    done = subprocess.run(  # noqa: PLW1510 - the status is what is tested
        [sys.executable, "-c", code, "--help"],
        capture_output=True,
        timeout=60,
        cwd=Path(console.__file__).parents[2],
    )
    text = done.stdout.decode()
    assert done.returncode == 0
    assert [name for name in COMMANDS if f" {name} " not in text] == []
    assert done.stderr == b"[]"


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("request",), "PROMPT"),
        (("request", " "), "prompt"),
        (("request", "x", "--kind", "castle"), "castle"),
        (("request", "x", "--id", "a.b"), "a.b"),
        (("request", "x", "--file", "y.json"), "not both"),
        (("request", "--file", "/nowhere.json"), "/nowhere.json"),
        (("request", "x", "--deadline-ms", "0"), "deadline"),
        (("request", "x", "--id", "y" * 63, "--count", "10"), "must match"),
        (("result", "a.b"), "a.b"),
        (("wait", "*"), "*"),
        (("wait", "a", "--timeout", "long"), "long"),
        (("tail", "--id", "a.b"), "a.b"),
        (("tail", "--code", "GEN_WHAT"), "GEN_WHAT"),
        (("audit", "ls", "--origin", "moon"), "moon"),
        (("audit", "ls", "--until", "2026-13-01"), "2026-13-01"),
        (("tail", "--until", "2999-01-01"), "--until"),
        (("result", "a", "--timeout", "5s"), "--wait"),
        (("tail", "gen..x"), "gen..x"),
        (("tail", "--since", "ten minutes"), "ten minutes"),
        (("why", "a.b"), "a.b"),
        (("run", "director"), "director"),
        (("up", "--copies", "audit"), "STAGE=N"),
        (("up", "--copies", "director=2"), "director"),
        (("dead", "replay"), "--all"),
        (("dead", "ls", "--stage", "director"), "director"),
        (("dead", "ls", "--code", "GEN_WHAT"), "GEN_WHAT"),
        (("dead", "replay", "one"), "LETTER"),
        (("audit", "ls", "--status", "gone"), "gone"),
        (("samples", "check", "/nowhere"), "/nowhere"),
        (("rerun",), "one ID, or filters"),
        (("rerun", "x", "--since", "1h"), "not both"),
        (("rerun", "x", "--set", "params.heat=1"), "temperature, top_p, max_tokens"),
        (("rerun", "x", "--set", "model=nobody"), "nobody"),
        (("rerun", "x", "--set", "seed=1", "--from", "structuring"), "seed has no effect"),
        (("rerun", "x", "--from", "freeform-gen"), "context-build, structuring, validate-repair"),
        (("rerun", "x", "--job", "a-b"), "a-b"),
        (("compare",), "two ids"),
        (("compare", "a", "b", "c"), "not 3"),
        (("compare", "a", "b", "--rerun", "j"), "two ids"),
        (("compare", "--pairs", "/nowhere"), "/nowhere"),
        (("serve", "--workers", "2"), "one process"),
        (("serve", "--host", "10.0.0.1"), "10.0.0.1"),
        (("perform",), "perform"),
    ],
)
def test_wrong_usage_exits_2_and_names_the_value(
    understudy: Understudy, args: tuple[str, ...], says: str, tmp_path: Path
) -> None:
    done = understudy(*args, UNDERSTUDY_DATA_DIR=str(tmp_path))
    assert (done.status, done.out) == (2, "")
    assert says in done.err


def test_a_wrong_setting_exits_2_and_is_named(understudy: Understudy) -> None:
    done = understudy("audit", "ls", UNDERSTUDY_ACK_WAIT="soon")
    assert done.status == 2
    assert "UNDERSTUDY_ACK_WAIT is 'soon'" in done.err


@pytest.mark.parametrize(
    "args",
    [
        ("request", "x"),
        ("tail",),
        ("why", "x"),
        ("cancel", "x"),
        ("result", "x"),
        ("wait", "x"),
        ("dead", "ls"),
        ("rerun", "x"),
        ("compare", "a", "b"),
        ("topology", "check"),
        ("run", "fallback"),
        ("serve",),
    ],
)
@pytest.mark.parametrize("url", [None, "nats://127.0.0.1:1"])
@pytest.mark.usefixtures("impatient")
def test_no_broker_exits_3_and_says_what_to_do(
    understudy: Understudy, args: tuple[str, ...], url: str | None, tmp_path: Path
) -> None:
    env = {"UNDERSTUDY_DATA_DIR": str(tmp_path)} | ({"UNDERSTUDY_NATS_URL": url} if url else {})
    done = understudy(*args, **env)
    assert (done.status, done.out) == (3, "")
    assert "understudy up" in done.err


def test_no_audit_yet_is_told(understudy: Understudy, tmp_path: Path) -> None:
    done = understudy("audit", "ls", "--json", UNDERSTUDY_DATA_DIR=str(tmp_path))
    assert (done.status, done.out) == (1, "")
    assert "understudy up" in done.err
    assert list(tmp_path.iterdir()) == []


def test_samples_check_prints_an_array_and_fails_on_a_wrong_one(
    understudy: Understudy, tmp_path: Path
) -> None:
    (tmp_path / "sample_bad.json").write_text('{"scene_name": "x", "entities": [{"id": "a", "type": "ufo"}]}')
    done = understudy("samples", "check", str(tmp_path), "--json")
    (row,) = json.loads(done.out)
    assert (done.status, row["file"], row["ok"]) == (1, "sample_bad.json", False)
    assert "entities" in row["error"]


@pytest.mark.parametrize(
    ("text", "seconds"), [("500ms", 0.5), ("30s", 30), ("1.5m", 90), ("2h", 7200), ("1d", 86400)]
)
def test_durations(text: str, seconds: float) -> None:
    assert console.duration(text) == seconds


def test_copies() -> None:
    assert run.parse_copies(["audit=2", "fallback=3"]) == {"audit": 2, "fallback": 3}


def test_a_file_is_published_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "body.json"
    file.write_bytes(b'{"prompt":  "x"}')
    assert bodies.body(bodies.BodyOptions(file=file)) == b'{"prompt":  "x"}'


def test_a_deadline_on_the_command_line_wins_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "body.json"
    file.write_bytes(b'{"prompt": "x", "deadlineMs": 9}')
    assert json.loads(bodies.body(bodies.BodyOptions(file=file, deadline_ms=500))) == {
        "prompt": "x",
        "deadline_ms": 500,
    }


def test_ids_of_many() -> None:
    assert request.number("a", 1) == ["a"]
    assert request.number("a", 3) == ["a-1", "a-2", "a-3"]


def test_a_command_takes_filter_options_and_gets_filters() -> None:
    app = typer.Typer()

    @app.command()
    @filters.accept(without={"kind": "a test has none"})
    def ls(name: int, wanted: RequestFilter) -> None:
        typer.echo(f"{name} {wanted.request_id} {wanted.stage} {wanted.code} {wanted.text}")

    options = ["3", "--id", "r1", "--stage", "audit", "--code", "GEN_POISON", "--text", "x"]
    assert CliRunner().invoke(app, options).output == "3 r1 ('audit',) ('GEN_POISON',) x\n"
    refused = CliRunner().invoke(app, ["3", "--kind", "plot"]).exception
    assert isinstance(refused, console.Usage)
    assert str(refused) == "--kind has no meaning here: a test has none"
    shown = CliRunner().invoke(app, ["--help"]).output
    assert "--kind has no meaning here: a test has none." in shown


def test_a_file_that_is_a_node_is_told_to_be_one(tmp_path: Path) -> None:
    file = tmp_path / "node.json"
    file.write_bytes(b'{"generationType": "layout", "style": {"pacing": "slow"}}')
    with pytest.raises(console.Usage, match="--node"):
        bodies.body(bodies.BodyOptions(file=file))


def test_nothing_said_prints_the_help_and_version_and_help_are_commands(understudy: Understudy) -> None:
    alone, helped, version = understudy(), understudy("help"), understudy("--version")
    assert (alone.status, helped.status, version.status) == (0, 0, 0)
    assert "request" in alone.out
    assert "request" in helped.out
    assert "--wait" in understudy("help", "request").out
    assert version.out.startswith("understudy ")
    assert understudy("help", "perform").status == 2
