"""Can a text of strangers do anything to a terminal?"""

from __future__ import annotations

import io
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.text import Text
from understudy_client.connection import without_password

from contracts import events as ev
from contracts.errors import ErrorCode
from contracts.printable import printable
from contracts.request import RequestError, read
from infra.cli import console, show
from infra.inspect import dead_letters, record
from infra.nats.log import LogEntry

#: Colours, a window title, the C1 form of both, a line that is written over, text that runs backwards, and what
#: nobody sees.
TRICKS = (
    "\x1b[31mred",
    "\x1b]0;title\x07",
    "\x9b31m",
    "\x9d0;title\x9c",
    "over\rwritten",
    "a\u202egpj.exe",
    "a\u2066b",
    "zero\u200bwidth\ufeff",
    "\x00\x7f",
    "tag\U000e0041",
)
_texts = st.text(st.one_of(st.characters(), st.sampled_from("\x1b\x9b\u202e\u200b\x00\r\n\t")), max_size=40)


@given(_texts, st.integers(1, 60))
def test_nothing_that_is_shown_is_obeyed(text: str, most: int) -> None:
    safe = printable(text)
    assert safe.isprintable()
    assert printable(safe) == safe
    assert len(printable(text, most=most)) <= most
    if text.isprintable():
        assert safe == text


def test_what_is_kept_stays() -> None:
    assert printable("a\nb\x1b", keep="\n") == "a\nb\\x1b"
    assert printable("\ud800") == "\\ud800"


#: JSON has no half of a surrogate pair.
_json_texts = _texts.map(lambda text: text.encode("utf-8", "ignore").decode())
_json = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**53), 2**53), _json_texts),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(_json_texts, inner, max_size=3)),
    max_leaves=8,
)


@given(_json, st.sampled_from([None, 2]))
def test_json_means_the_same_and_nothing_in_it_is_obeyed(value: Any, indent: int | None) -> None:
    text = console.json_text(value, indent=indent)
    assert json.loads(text) == value
    assert text.replace("\n", "").isprintable()


def test_json_of_other_alphabets_stays_readable() -> None:
    assert console.json_text({"é": "東京 🚢"}) == '{"é":"東京 🚢"}'


@pytest.mark.parametrize("trick", TRICKS)
def test_the_console_shows_it_and_does_not_obey(trick: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a command forgets, its console does not."""
    for make, stream in ((console.people, "stdout"), (console.errors, "stderr")):
        heard = io.StringIO()
        monkeypatch.setattr(f"sys.{stream}", heard)
        out = make()
        out.print(Text(trick), soft_wrap=True)
        out.print(trick, markup=False)
        assert [each for each in heard.getvalue() if not each.isprintable() and each != "\n"] == []


@pytest.mark.parametrize("trick", TRICKS)
def test_lines_letters_and_reasons_are_safe(trick: str) -> None:
    """In every place where somebody else's words stand."""
    dead = ev.DeadLetter(
        code=ErrorCode.GEN_INVALID_REQUEST,
        reason=trick,
        stage=trick,
        stream="REQUESTS",
        sequence=5,
        subject=f"gen.requested.layout.{trick}",
        time_ms=1000,
        deliveries=1,
        headers={trick: trick},
        body=json.dumps({trick: trick}, ensure_ascii=False).encode(),
        evidence=trick,
        size=3,
    )
    subject = f"dead.{trick}.layout.{trick}"
    entry = LogEntry(
        stream="DEAD",
        sequence=1,
        subject=subject,
        time_ns=1,
        headers={"ce-source": f"understudy/{trick}"},
        body=msgspec.json.encode(dead),
    )
    told = record.decode(entry)
    assert record.gist(told).isprintable()
    assert show.Columns().text(told).plain.isprintable()
    letter = dead_letters.read(entry)
    lines = [each.plain for each in show.letter_lines([letter])]
    assert [each for each in lines if not each.isprintable()] == []


@pytest.mark.parametrize("trick", TRICKS)
def test_the_reason_of_a_refusal_is_safe_and_bounded(trick: str) -> None:
    body = json.dumps({"prompt": "x", trick * 50_00: 1}, ensure_ascii=False).encode()
    with pytest.raises(RequestError) as refused:
        read(body, "layout")
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 500


@pytest.mark.parametrize(
    ("url", "safe"),
    [
        ("nats://127.0.0.1:4222", "nats://127.0.0.1:4222"),
        ("nats://u:pw@host:4222", "nats://host:4222"),
        ("tls://token@host", "tls://host"),
        ("nats://u:p@w@host", "nats://host"),
        ("nats://u:p/w@host", "nats://host"),
        ("nats://u:p,w@host", "nats://host"),
        ("nats://u:pw@a:1,nats://v:pw@b:2", "nats://a:1,nats://b:2"),
        ("nats://a:1,nats://b:2", "nats://a:1,nats://b:2"),
        ("u:pw@host:4222", "host:4222"),
        ("host", "host"),
    ],
)
def test_a_url_is_shown_without_its_secrets(url: str, safe: str) -> None:
    assert without_password(url).replace(",,", ",") == safe
