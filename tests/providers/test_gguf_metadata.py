"""Headers of GGUF files, whole and damaged."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from infra.providers.gguf_metadata import read_metadata


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value.encode())) + value.encode()


def pair(key: str, kind: int, value: bytes) -> bytes:
    return text(key) + struct.pack("<I", kind) + value


def whole(version: int = 3, *, size: int = 64) -> bytes:
    """A file with one tensor of so many bytes."""
    pairs = [
        pair("general.architecture", 8, text("llama")),
        pair("tokens", 9, struct.pack("<IQ", 8, 2) + text("a") + text("b")),
        pair("scores", 9, struct.pack("<IQ2f", 6, 2, 0.5, 0.5)),
        pair("general.name", 8, text("Small")),
        pair("general.license", 8, text("mit")),
        pair("llama.context_length", 4, struct.pack("<I", 8192)),
    ]
    head = b"GGUF" + struct.pack("<IQQ", version, 1, len(pairs)) + b"".join(pairs)
    head += text("weight") + struct.pack("<IQIQ", 1, 8, 0, 0)
    return head + bytes(-len(head) % 32) + bytes(size)


def test_a_header_tells_name_licence_and_window(tmp_path: Path) -> None:
    file = tmp_path / "m.gguf"
    file.write_bytes(whole())
    said = read_metadata(file)
    assert (said.title, said.licence, said.window, said.problem) == ("Small", "mit", 8192, None)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"PK\x03\x04" * 20, "it begins with other bytes"),
        (b"", "it begins with other bytes"),
        (whole(1), "version 1 is not supported"),
        (whole()[:40], "it ends in its header"),
        (whole(size=0), "its tensors begin up to byte"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 2**60), "where at most"),
        (b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, 2**60), "where at most"),
    ],
)
def test_a_damaged_file_says_what_is_wrong(tmp_path: Path, content: bytes, why: str) -> None:
    file = tmp_path / "m.gguf"
    file.write_bytes(content)
    problem = read_metadata(file).problem
    assert problem is not None
    assert why in problem
    assert problem.startswith(str(file))


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    assert "cannot be read" in (read_metadata(tmp_path / "no.gguf").problem or "")


def test_every_beginning_of_a_file_is_damaged(tmp_path: Path) -> None:
    file, content = tmp_path / "m.gguf", whole(size=1)
    for length in range(len(content)):
        file.write_bytes(content[:length])
        assert read_metadata(file).problem is not None, length
