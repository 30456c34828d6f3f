"""Files of GGUF models: which are refused before anything is loaded, and the demo's."""

from __future__ import annotations

from asyncio.subprocess import Process
from pathlib import Path
from unittest.mock import Mock

import msgspec
import pytest

from infra.engine.files import Unloadable, folder_of
from infra.providers import gguf_files, gguf_spec, tuned
from infra.providers.gguf import GgufProvider
from infra.providers.gguf_files import DEMO, GgufModel, model_of
from infra.providers.llama_server import LlamaServer, RunningChild
from infra.providers.request_mapping import Dialect
from infra.settings.narrative import Gguf
from infra.settings.settings import Settings
from tests.providers.openai_server import ask, params


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "does not exist; set UNDERSTUDY_GGUF__MODEL"), (b"PK\3\4", "is no GGUF file")],
)
def test_settings_with_a_file_that_is_no_model_do_not_start(
    tmp_path: Path, content: bytes | None, said: str
) -> None:
    file = tmp_path / "m.gguf"
    if content is not None:
        file.write_bytes(content)
    settings = Settings(gguf=Gguf(model=str(file)))
    assert said in (gguf_spec.SPEC.problem(settings, "gguf") or "")


def test_the_demos_base_is_pinned(monkeypatch: pytest.MonkeyPatch) -> None:
    demo = model_of(Gguf(model=DEMO))
    assert demo.tuned

    def digest(_: Path) -> str:
        return "0" * 64

    monkeypatch.setattr(gguf_files, "_digest", digest)
    with pytest.raises(gguf_files.Unloadable, match="is not the file that the adapter was made for"):
        msgspec.structs.replace(demo, adapters=()).check()


def test_a_gguf_file_for_the_local_provider_is_told_where_it_belongs() -> None:
    with pytest.raises(Unloadable, match="set UNDERSTUDY_GGUF__MODEL to it"):
        folder_of("/models/some.gguf")


@pytest.mark.parametrize(("chosen", "sent"), [(0.8, tuned.TEMPERATURE), (0.7, 0.7), (0.0, 0.0)])
def test_a_tuned_model_writes_prose_at_its_own_temperature_unless_one_is_chosen(
    chosen: float, sent: float
) -> None:
    demo = GgufProvider(Gguf(), model_of(Gguf(model=DEMO)))
    body = demo.body(ask(stage="freeform-gen"), params(temperature=chosen), None, Dialect())
    assert body["temperature"] == sent


@pytest.mark.parametrize(("known", "tiny"), [({"n_params": 135_000_000}, True), ({}, False)])
async def test_a_model_of_unknown_size_is_as_large_as_its_file(
    known: dict[str, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, tiny: bool
) -> None:
    file = tmp_path / "model.gguf"
    with file.open("wb") as sparse:
        sparse.truncate(2 * 1024**3)

    async def ready(_: object) -> RunningChild:
        return RunningChild(url="http://127.0.0.1:9", process=Mock(Process))

    async def described(*_: object) -> dict[str, int]:
        return known

    monkeypatch.setattr(LlamaServer, "ready", ready)
    monkeypatch.setattr(GgufProvider, "_described", described)
    provider = GgufProvider(Gguf(), GgufModel(file=file))
    await provider.ready()
    body = provider.body(ask(stage="structuring"), params(max_tokens=800), None, Dialect())
    assert ("dry_multiplier" in body) is tiny
