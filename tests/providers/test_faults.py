"""How long does a server ask to be left alone, and what did it say?"""

from __future__ import annotations

from email.utils import formatdate

import pytest

from infra.providers.http_errors import CalledServer, ErrorResponse, retry_after
from infra.providers.openai import shown

NOW = 1_795_773_600.0  # 2026-11-27T10:00:00Z


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": " 1.5 "}, 1.5),
        ({"retry-after": "99999999"}, 3600.0),
        ({"retry-after-ms": "250", "retry-after": "1"}, 0.25),
        ({"retry-after": "Fri, 27 Nov 2026 10:00:30 GMT"}, 30.0),
        ({"retry-after": "Friday, 27-Nov-26 10:00:30 GMT"}, 30.0),
        ({"retry-after": "Fri Nov 27 10:00:30 2026"}, 30.0),
        ({"retry-after": "Fri, 27 Nov 2026 09:00:00 GMT"}, 0.0),
        ({"retry-after": "Fri, 27 Nov 2099 09:00:00 GMT"}, 3600.0),
        # By the server's own clock.
        ({"retry-after": formatdate(NOW + 90, usegmt=True), "date": formatdate(NOW + 60, usegmt=True)}, 30.0),
        ({}, None),
        *(
            ({"retry-after": odd}, None)
            for odd in ("", "soon", "nan", "inf", "-3", "1e9", "9" * 400, "Fri, 99 Nov", "\x00")
        ),
    ],
)
def test_the_wait_that_a_server_asks_for_is_read_and_bounded(headers, seconds) -> None:
    assert retry_after(headers, NOW) == seconds


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"error": {"message": "no", "param": "seed"}}, "no"),
        ({"error": "no"}, "no"),
        ({"detail": "no"}, "no"),
        ({"error": {"message": {"message": "no"}}}, "no"),
        ("no", "no"),
        ([{"error": 1}], '[{"error": 1}]'),
        (None, "null"),
    ],
)
def test_a_servers_words_are_found_whatever_their_shape(body, words) -> None:
    assert ErrorResponse(400, body, {}).words == words


def test_an_address_is_shown_without_the_secrets_in_it() -> None:
    assert shown("http://me:secret@host:81/v1?key=secret") == "http://host:81/v1"


def test_what_is_passed_on_is_one_line_that_every_store_takes_without_the_key() -> None:
    asked = CalledServer(name="a", base_url="u", model="m", variable="v", key="sk-1")
    assert asked.clean("a\x00b\n\ud800 sk-1 \x1b[31m") == "a b ? *** [31m"
    assert len(asked.clean("x" * 10**6)) == 401
