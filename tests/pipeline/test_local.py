"""Does a real model's document go through the whole pipeline, and is a broken one told?"""

from __future__ import annotations

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from contracts.content.registry import Registry
from contracts.errors import ErrorCode
from contracts.result import Origin, RepairLevel, Status
from infra.runner import progress
from tests.engine.conftest import save
from tests.pipeline.conftest import Configure, Observer, Start

SCHEMA = {
    "type": "object",
    "properties": {
        "mood": {"enum": ["calm", "tense"]},
        "coins": {"type": "integer", "minimum": 0, "maximum": 9},
    },
    "required": ["mood", "coins"],
}
#: No document of its grammar breaks what the grammar leaves out.
UNIQUE = {
    "type": "object",
    "properties": {
        "a": {"prefixItems": [{"const": 1}, {"const": 2}], "items": False, "minItems": 1, "uniqueItems": True}
    },
    "required": ["a"],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("model"), "qwen2", 1)


def _local(folder: Path) -> dict[str, str]:
    return {
        "LOCAL__MODEL": str(folder),
        "LOCAL__MAX_LEN": "1024",
        "NARRATIVE__DEFAULTS__FREEFORM": '{"temperature": 0.8, "max_tokens": 30, "timeout": 60}',
        **{f"NARRATIVE__PROVIDERS__{kind}": "local" for kind in ("LAYOUT", "CUSTOM")},
    }


async def test_a_constrained_document_is_live_with_its_receipt(
    client: Observer, configure: Configure, start: Start, folder: Path
) -> None:
    async with start(configure(rules=[], **_local(folder))):
        result = await client.ask("live-1", kind="custom", schema=SCHEMA, seed=3)
    assert (result.status, result.origin, result.reason) == (Status.SUCCESS, Origin.LIVE, None)
    assert Registry().faults("custom", result.content, SCHEMA) == ()
    assert result.meta.receipt is not None
    assert result.meta.receipt.level is RepairLevel.CONSTRAINED
    assert (result.meta.provider, result.meta.deterministic) == ("local", False)
    assert result.meta.model is not None
    assert result.meta.model.startswith(f"{folder.name}@")
    assert result.meta.cost.tokens.completion


async def test_the_model_is_loaded_before_anybody_asks(
    configure: Configure, start: Start, folder: Path
) -> None:
    with capture_logs() as told:
        async with start(configure(rules=[], **_local(folder))) as application:
            await application.load_models()
    (loaded,) = (each for each in told if each["event"] == "model_loaded")
    assert loaded["model"].startswith(f"{folder.name}@")


async def test_a_model_that_cannot_be_loaded_is_logged_at_the_start(
    configure: Configure, start: Start, tmp_path: Path
) -> None:
    with capture_logs() as told:
        async with start(configure(rules=[], **_local(tmp_path / "nowhere"))) as application:
            await application.load_models()
    (broken,) = (each for each in told if each["event"] == "model_failed")
    assert f"{tmp_path}/nowhere does not exist" in broken["problem"]


async def test_a_model_that_is_not_there_is_a_stand_in_that_names_it(
    client: Observer, configure: Configure, start: Start, tmp_path: Path
) -> None:
    async with start(configure(rules=[], **_local(tmp_path / "nowhere"))):
        for number in range(7):
            result = await client.ask(f"broken-{number}", seed=number)
    assert (result.status, result.origin) == (Status.FAIL_FALLBACK, Origin.GOLDEN_SAMPLE)
    assert result.error is not None
    assert result.error.code is ErrorCode.GEN_PROVIDER_UNAVAILABLE
    assert f"{tmp_path}/nowhere does not exist" in (result.reason or "")


async def test_tokens_are_told_while_they_are_written(
    client: Observer, configure: Configure, start: Start, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # How much a model with random weights writes differs from machine to machine.
    monkeypatch.setattr(progress, "INTERVAL_S", 0.0)
    pieces: list[str] = []

    async def heard(msg) -> None:
        pieces.append(msg.data.decode())

    await client.nc.subscribe("gen.progress.custom.told-1", cb=heard)
    async with start(configure(rules=[], **_local(folder))):
        await client.ask("told-1", kind="custom", schema=SCHEMA, seed=3)
    assert len(pieces) > 1


async def test_a_schema_whose_documents_are_all_empty_is_rejected_and_a_keyword_without_grammar_is_a_warning(
    client: Observer, configure: Configure, start: Start, folder: Path
) -> None:
    async with start(configure(rules=[], **_local(folder))):
        result = await client.ask("refused-1", kind="custom", schema={"type": "object", "maxProperties": 0})
        warned = await client.ask("warned-1", kind="custom", schema=UNIQUE, seed=3)
    assert warned.status is Status.SUCCESS
    assert "properties.a.uniqueItems: is checked after writing, not while writing" in warned.meta.warnings
    assert result.status is Status.REJECTED
    assert result.reason == (
        "schema: schema: accepts the empty object alone, which is no content; name its properties"
    )
