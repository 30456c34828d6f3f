"""Is each format checked as its standard has it, and are grammars' texts of it?"""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.content import pattern
from contracts.content.formats import FORMATS, follows
from tests.profiles import examples

GOOD = {
    "date": ["2024-02-29", "2000-02-29", "0000-01-01"],
    "date-time": [
        "2026-01-01t10:00:00z",
        "2016-12-31T23:59:60Z",
        "2016-12-31T15:59:60-08:00",
        "2026-01-01T10:00:00.123456789+05:30",
    ],
    "time": ["10:00:00Z", "23:59:60Z", "01:29:60+01:30"],
    "duration": ["P1D", "P1W", "PT30S", "P1Y2M3DT4H5M6S", "P2M"],
    "email": ["a@b.org", '"joe b"@x.de', "a@[127.0.0.1]", "a@[IPv6:::1]", "a+b_c@x"],
    "hostname": ["a", "a" * 63 + ".b", "1.2.de"],
    "ipv4": ["1.2.3.4"],
    "ipv6": ["::1", "::ffff:1.2.3.4", "2001:DB8::1"],
    "uri": ["http://a.b/c?d#e", "urn:isbn:1", "mailto:a@b.c", "http://[::1]:80/", "http://a/%20"],
    "uri-reference": ["", "#a", "/a", "a/b:c", "//foo", "http://a"],
    "iri": ["http://é.fr/ü"],
    "iri-reference": ["é", "/ü"],
    "uuid": ["00000000-0000-4000-8000-00000000ABCD"],
    "json-pointer": ["", "/a/~0~1"],
    "relative-json-pointer": ["0", "0#", "1/a", "0+1#"],
}
BAD = {
    "date": ["2021-02-29", "1900-02-29", "2021-13-01", "20210101", "2021-W10-1", "2021-1-1", "٢٠٢١-01-01"],
    "date-time": [
        "2026-W10-1T10:00Z",
        "20260101T100000Z",
        "2026-01-01T10:00Z",
        "2026-01-01T10:00:00+0530",
        "2026-01-01T10:00:00",
        "2016-12-31T22:59:60Z",
        "2026-01-01 10:00:00Z",
        "2026-01-01T24:00:00Z",
    ],
    "time": ["10:00:00", "10:00Z", "23:58:60Z", "10:00:00+24:00"],
    "duration": ["P", "PT", "P1YT", "1D", "PT1H30S", "P1W2D"],
    "email": ["a", "a..b@c", "@b", "a@", "a@b_c", "a b@c"],
    "hostname": ["", "-a", "a-", "a.b.", "x" * 64, "a_b"],
    "ipv4": ["01.2.3.4", "1.2.3", "1.2.3.256", "१.2.3.4"],
    "ipv6": ["::1%eth0", "1::2::3", "::1\n"],
    "uri": ["not a uri", "//foo", "http://[zz]/", "http://a/<>", "http://é.fr", "http://a:port/", "%20:a"],
    "uri-reference": ["a b", ":a", "\\x"],
    "iri": ["é"],
    "iri-reference": ["a b"],
    "uuid": ["00000000-0000-4000-8000-000000000000-", "00000000-0000-4000-8000-000000000000\n", ""],
    "json-pointer": ["a", "/~2"],
    "relative-json-pointer": ["01", "-1/a", "/a"],
}


@pytest.mark.parametrize("name", FORMATS)
def test_a_format_takes_what_its_standard_has_and_nothing_else(name) -> None:
    assert [text for text in GOOD[name] if not follows(name, text)] == []
    assert [text for text in BAD[name] if follows(name, text)] == []
    assert follows(name, FORMATS[name].sample)
    assert follows(name, 3)


@pytest.mark.parametrize("name", FORMATS)
@examples(60)
@given(data=st.data())
def test_a_text_of_the_grammar_is_of_the_format_and_bounded(name, data) -> None:
    text = data.draw(st.from_regex(re.compile(FORMATS[name].grammar, re.ASCII), fullmatch=True))
    assert follows(name, text)
    assert len(text) <= 600


@pytest.mark.parametrize("name", FORMATS)
def test_a_grammar_is_an_expression_of_the_linear_engine(name) -> None:
    assert pattern.fault(f"^(?:{FORMATS[name].grammar})$") is None


@pytest.mark.parametrize("name", FORMATS)
@examples(60)
@given(text=st.text(st.sampled_from('a0:/.@-TZPWD[]%#?\n"~é'), max_size=40))
def test_any_text_is_judged(name, text) -> None:
    assert follows(name, text) in (True, False)
