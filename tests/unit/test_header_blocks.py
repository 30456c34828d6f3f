"""Header blocks are read and written as nats-py and the mail format read and write them."""

from __future__ import annotations

import asyncio
from email.parser import BytesHeaderParser
from email.policy import HTTP
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st
from nats.aio.client import Client

from infra.nats import headers

_NAMES = st.text(
    "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", min_size=1, max_size=20
)
#: Any text, line ends and blanks included.
_VALUES = st.text(max_size=40)
_PRINTABLE = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=40)


def read_by_nats(block: bytes) -> dict[str, str] | None:
    client: Any = Client()
    return asyncio.run(client._process_headers(block))


def written_by_nats(values: dict[str, str]) -> bytes:
    client: Any = Client()
    sent: list[bytes] = []

    async def take(command: bytes) -> None:
        sent.append(command)

    client._send_command = take
    asyncio.run(client._send_publish("a", "", b"", 0, values))
    return sent[0].partition(b"\r\n")[2].removesuffix(b"\r\n")


def block_of(lines: list[bytes], first: bytes = b"NATS/1.0") -> bytes:
    return b"".join(line + b"\r\n" for line in (first, *lines)) + b"\r\n"


def spaced(name: str, value: str) -> bytes:
    return f"{name}: {value}".encode()


def unspaced(name: str, value: str) -> bytes:
    return f"{name}:{value}".encode("utf-8", "replace")


def folded(value: str) -> bytes:
    return f"\t{value}".encode("utf-8", "replace")


_LINES = st.lists(
    st.one_of(
        st.builds(spaced, _NAMES, _PRINTABLE),
        st.builds(unspaced, _NAMES, _VALUES),
        # Folded lines, lines without a colon, broken UTF-8, names with blanks.
        st.builds(folded, _VALUES),
        st.binary(max_size=30),
    ).filter(lambda line: b"\r\n" not in line and not line.endswith(b"\r")),
    max_size=12,
)


@given(lines=_LINES)
@example(lines=[b"a: 1", b"a: 2"])
@example(lines=[b"a:", b"b: ", b"c: x:y: z", b": no name"])
@example(lines=[b"a: \xff\xfe", "b: käse".encode(), "ä: 1".encode(), b"two words: 1", b"no colon", b"a: 1"])
@example(lines=[b"known: 1", b"known"])
def test_a_block_is_read_as_nats_py_reads_it(lines: list[bytes]) -> None:
    block = block_of(lines)
    assert headers.parse(block) == read_by_nats(block)


@given(values=st.dictionaries(_NAMES, _PRINTABLE, min_size=1, max_size=12))
def test_a_block_of_plain_lines_is_read_as_mail_headers_are(values: dict[str, str]) -> None:
    block = b"".join(f"{name}: {value}\r\n".encode() for name, value in values.items()) + b"\r\n"
    mail = BytesHeaderParser(policy=HTTP).parsebytes(block)
    assert headers.parse(b"NATS/1.0\r\n" + block) == {name: value.strip() for name, value in mail.raw_items()}


@given(
    status=st.sampled_from(["100", "204", "404", "408", "503"]),
    description=st.sampled_from(["", "EOB", "No Messages", "Idle Heartbeat", "Consumer Deleted"]),
    values=st.dictionaries(_NAMES, _PRINTABLE.map(str.strip), max_size=3),
)
def test_a_status_line_gives_status_and_description(
    status: str, description: str, values: dict[str, str]
) -> None:
    first = f"NATS/1.0 {status} {description}".rstrip().encode()
    block = block_of([f"{name}: {value}".encode() for name, value in values.items()], first)
    said = {"Status": status, **({"Description": description} if description else {})}
    assert headers.parse(block) == {**said, **values}
    if description or not values:
        assert headers.parse(block) == read_by_nats(block)


def test_a_block_without_lines_has_no_headers() -> None:
    assert headers.parse(b"NATS/1.0\r\n\r\n") is None


@given(values=st.dictionaries(_NAMES, st.one_of(_PRINTABLE, _VALUES), max_size=12))
@example(values={})
@example(values={"a": "1\r\nInjected: 2"})
@example(values={"a": " padded"})
@example(values={"a": "", "b": "ends with a blank "})
@example(values={"a b": "1"})
@example(values={"a": "x\r"})
def test_a_block_is_written_as_nats_py_writes_it_or_left_to_it(values: dict[str, str]) -> None:
    block = headers.encode(values)
    if block is not None:
        assert block == written_by_nats(values)


@given(values=st.dictionaries(_NAMES, _PRINTABLE.map(str.strip).filter(bool), min_size=1, max_size=12))
def test_plain_headers_are_written_here_and_read_back(values: dict[str, str]) -> None:
    block = headers.encode(values)
    if any(":  " in f"{name}: {value}" for name, value in values.items()):
        return
    assert block is not None
    assert headers.parse(block) == values
