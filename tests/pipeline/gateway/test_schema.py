"""The whole API by its document: schemathesis finds no answer that is undocumented, no 5xx, and no way around tokens."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Final

import pytest

from infra.gateway.audit_database import GatewayDatabase
from infra.gateway.token_desk import issue_token
from infra.stores import access_tokens
from tests.pipeline.conftest import Configure, Start
from tests.pipeline.gateway.test_events import OPTIONS, served

#: Without those that hold of bodies which the pipeline itself judges: it refuses more than a schema can say.
CHECKS: Final = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "ignored_auth",
    "unsupported_method",
    "allow_header_conformance",
    "missing_required_header",
    "use_after_free",
)
#: `Understudy-Require: live` asks for 503 where no model wrote the content.
CONFIG: Final = """
[[operations]]
include-path-regex = "^/v1/(chat/completions|responses)$"
checks.not_a_server_error.expected-statuses = ["2xx", "3xx", "4xx", "503"]
"""


@pytest.mark.timeout(3600)
@pytest.mark.parametrize(
    ("phases", "examples"),
    [
        ("fuzzing,stateful", 2),
        pytest.param("examples,fuzzing,stateful", 200, marks=pytest.mark.long),
        pytest.param("coverage", 1, marks=pytest.mark.long),
    ],
)
async def test_every_answer_is_documented(
    configure: Configure,
    start: Start,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    phases: str,
    examples: int,
) -> None:
    # Each request gets a golden sample at once.
    monkeypatch.setenv("USE_LOCAL_MODEL", "false")
    settings = configure(GATEWAY__RATE="100000", GATEWAY__BURST="100000", **OPTIONS)
    config = tmp_path / "schemathesis.toml"
    config.write_text(CONFIG, encoding="utf-8")
    token = issue_token(name="schema", role="admin", now_ms=0)
    async with start(settings), served(settings) as http:
        database = GatewayDatabase(settings.database)
        await database.update(lambda engine: access_tokens.add_token(engine, token.stored))
        database.close()
        process = await asyncio.create_subprocess_exec(
            *(
                sys.executable,
                "-P",
                "-m",
                "schemathesis.cli",
                "--config-file",
                str(config),
                "run",
                f"{str(http.base_url).rstrip('/')}/openapi.json",
            ),
            *("--header", f"Authorization: Bearer {token.token.text}"),
            # Streams of events have no end; a token that is deleted is the one that asks.
            *("--exclude-tag", "events", "--exclude-method", "DELETE"),
            *("--checks", ",".join(CHECKS), "--phases", phases, "--max-examples", str(examples)),
            # Its schema of any JSON is too deep for the coverage of Hypothesis on Python 3.11.
            *(("--exclude-path", "/api/v1/graphs/import") if phases == "coverage" else ()),
            *("--seed", "1", "--generation-database", "none", "--no-color", "--continue-on-failure"),
            *("--suppress-health-check", "all", "--request-timeout", "70"),
            cwd=tmp_path,
            env=os.environ | {"COLUMNS": "120"},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await process.communicate()
    assert process.returncode == 0, said.decode()
