"""Does a running pipeline keep its secrets, at the most talkative level and through every kind of error?"""

from __future__ import annotations

import asyncio
import json
import signal
import stat
import uuid
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.pipeline.shell import Shell, ask_plainly

MARKER = f"sesame{uuid.uuid4().hex}"
#: Nobody answers on port 1.
NOWHERE = f"me:{MARKER}@127.0.0.1:1"
SECRETS = {
    "UNDERSTUDY_NARRATIVE__OPENAI__BASE_URL": f"http://{NOWHERE}/v1",
    "UNDERSTUDY_NARRATIVE__OPENAI__API_KEY": MARKER,
    "UNDERSTUDY_NARRATIVE__OPENAI__MODEL": "m",
    "UNDERSTUDY_NARRATIVE__PROVIDERS__LAYOUT": "openai",
    "UNDERSTUDY_TELEMETRY__OTLP_ENDPOINT": f"http://{NOWHERE}",
    "USE_LOCAL_MODEL": "true",
    "UNDERSTUDY_LOG_LEVEL": "debug",
}
COMMANDS = (
    ("doctor", "--json"),
    ("config", "show", "--json"),
    ("models", "check", "--json"),
    ("topology", "check"),
    ("audit", "ls", "--json"),
    ("tail", "--no-follow", "--json"),
    ("dead", "ls", "--json"),
    ("stats",),
    ("tokens", "ls", "--json"),
)


def _files(folder: Path) -> Iterator[Path]:
    return (file for file in folder.rglob("*") if file.is_file())


@pytest.mark.timeout(300)
async def test_a_running_pipeline_keeps_its_secrets(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    shell = Shell(folder)
    shell.env |= SECRETS
    process = await shell.start("up", "--json")
    assert process.stdout is not None
    assert process.stderr is not None
    said = asyncio.create_task(process.stderr.read())
    line = await asyncio.wait_for(process.stdout.readline(), 90)
    ready = json.loads(line)
    shown = {"up --json": line.decode()}
    try:
        result = await ask_plainly(ready["nats_url"], "gen.requested.layout.r-1", b'{"prompt": "a forest"}')
        assert result["status"] in {"cached_fallback", "fail_fallback"}
        shown["result"] = json.dumps(result)
        _, token, _ = await shell.run("tokens", "create", "editor", "--role", "admin")
        token = token.strip()
        for words in COMMANDS:
            _, out, err = await shell.run(*words)
            assert out or err
            shown[" ".join(words)] = out + err
        for words, name, value in _wrong(tmp_path, ready["nats_url"]):
            status, out, err = await shell.run(*words.split(), **{name: value})
            assert status
            shown[f"{words} with a wrong {name} {len(shown)}"] = out + err
        async with httpx.AsyncClient(
            base_url=ready["http_url"], headers={"Authorization": f"Bearer {token}"}
        ) as http:
            for path in (
                "/",
                "/api/v1/generations",
                "/api/v1/generations/r-1",
                "/api/v1/dead-letters",
                "/api/v1/tokens",
            ):
                answer = await http.get(path)
                assert answer.is_success, path
                shown[path] = answer.text
        pids = json.loads((folder / "runtime.json").read_bytes())["pids"]
        lines = [Path(f"/proc/{each}/cmdline").read_text() for each in (process.pid, *pids.values())]
        shown["command lines"] = " ".join(lines)
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert stat.S_IMODE((folder / "runtime.json").stat().st_mode) == 0o600
    finally:
        process.send_signal(signal.SIGTERM)
        log = (await asyncio.wait_for(said, 60)).decode()
        await process.wait()
    shown["log"] = log
    assert "r-1" in log
    assert [where for where, text in shown.items() if MARKER in text or token.partition("_")[2] in text] == []
    kept = [str(file) for file in _files(folder) if MARKER.encode() in file.read_bytes()]
    assert kept == []
    secret = token.encode()
    assert [str(file) for file in _files(folder) if secret in file.read_bytes()] == []
    _check_seeds(folder, shown)


def _wrong(folder: Path, url: str) -> Iterator[tuple[str, str, str]]:
    """Commands and a variable that only a connection finds wrong; tests/unit/test_secrets.py has the others."""
    broker = url.removeprefix("nats://")
    for address in (f"nats://{NOWHERE}", f"nats://me:{MARKER}@{broker}", f"nats://{MARKER}@{broker}"):
        yield "topology check", "UNDERSTUDY_NATS_URL", address
    yield "tail --no-follow", "UNDERSTUDY_NATS_URL", f"tls://{MARKER}@127.0.0.1:1"
    yield "audit ls", "UNDERSTUDY_DATABASE_URL", f"postgresql://{NOWHERE}/x"
    for content in (MARKER, f"-----BEGIN NATS USER JWT-----\n{MARKER}\n------END NATS USER JWT------\n"):
        file = folder / f"{len(content)}.creds"
        file.write_text(content)
        yield "dead ls", "UNDERSTUDY_NATS__CREDS", str(file)


def _check_seeds(folder: Path, shown: dict[str, str]) -> None:
    """No seed of the broker's users is anywhere but in its own file."""
    seeds = {file.read_text().strip(): file for file in _files(folder) if file.suffix == ".nk"}
    assert seeds
    for seed, own in seeds.items():
        assert seed.startswith("SU")
        assert stat.S_IMODE(own.stat().st_mode) == 0o600
        assert [where for where, text in shown.items() if seed in text] == []
        assert [file for file in _files(folder) if file != own and seed.encode() in file.read_bytes()] == []
