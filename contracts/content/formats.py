"""Formats of texts: which are checked, what each takes, and a narrower expression for grammars.

A format that is not here is refused by name: one that nobody checks would be a promise that nobody keeps.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from functools import cache
from typing import Final

import msgspec

#: A year is a leap year each 4 years, not each 100, but each 400.
_DAYS: Final = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_DATE: Final = re.compile(r"(\d{4})-(\d{2})-(\d{2})", re.ASCII)
_TIME: Final = re.compile(r"(\d{2}):(\d{2}):(\d{2})(?:\.\d+)?(?:[zZ]|([+-])(\d{2}):(\d{2}))", re.ASCII)
_DURATION: Final = re.compile(
    r"P(?:\d+W|(?=.)(?:\d+Y(?:\d+M(?:\d+D)?)?|\d+M(?:\d+D)?|\d+D)?"
    r"(?:T(?:\d+H(?:\d+M(?:\d+S)?)?|\d+M(?:\d+S)?|\d+S))?)",
    re.ASCII,
)
_LABEL: Final = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_HOST: Final = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_ATOM: Final = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LOCAL: Final = re.compile(rf'{_ATOM}(?:\.{_ATOM})*|"(?:[ !#-\[\]-~]|\\[ -~])*"')
_UUID: Final = re.compile(r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}")
#: RFC 6901, and the relative pointers of draft-bhutton-relative-json-pointer-00.
_POINTER: Final = re.compile(r"(?:/(?:[^~/]|~[01])*)*", re.DOTALL)
_RELATIVE: Final = re.compile(
    r"(?:0|[1-9]\d*)(?:[+-](?:0|[1-9]\d*))?(?:#|(?:/(?:[^~/]|~[01])*)*)", re.ASCII | re.DOTALL
)
#: RFC 3986, appendix A; with what RFC 3987 adds for addresses in any script.
_UCS: Final = "\xa0-\ud7ff\uf900-\ufdcf\ufdf0-\uffef\U00010000-\U000efffd"


@cache
def _address(more: str) -> tuple[re.Pattern[str], re.Pattern[str]]:
    """An absolute address, and one that may be relative; ``more``: characters beside those of RFC 3986.

    Made when a text asks for it: all four take 100 ms.
    """
    plain = rf"A-Za-z0-9\-._~!$&'()*+,;={more}"
    sign = rf"(?:[{plain}:@]|%[0-9A-Fa-f]{{2}})"
    host = rf"(?:\[(?P<ip>[0-9A-Fa-f:.]+|[vV][0-9A-Fa-f]+\.[{plain}:]+)\]|(?:[{plain}]|%[0-9A-Fa-f]{{2}})*)"
    authority = rf"//(?:(?:[{plain}:]|%[0-9A-Fa-f]{{2}})*@)?{host}(?::[0-9]*)?(?:/{sign}*)*"
    rest = rf"(?:\?(?:{sign}|[/?])*)?(?:\#(?:{sign}|[/?])*)?"
    path = rf"/(?:{sign}+(?:/{sign}*)*)?"
    scheme = r"[A-Za-z][A-Za-z0-9+.\-]*:"
    whole = rf"{scheme}(?:{authority}|{path}|{sign}+(?:/{sign}*)*)?{rest}"
    first = rf"(?:[{plain}@]|%[0-9A-Fa-f]{{2}})+"
    relative = rf"(?:{authority}|{path}|{first}(?:/{sign}*)*)?{rest}".replace("?P<ip>", "?P<ip2>")
    return re.compile(whole), re.compile(rf"{whole}|{relative}")


def _date(text: str) -> bool:
    found = _DATE.fullmatch(text)
    if found is None:
        return False
    year, month, day = map(int, found.groups())
    leap = month == 2 and year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)  # noqa: PLR2004 - February
    return 1 <= month <= 12 and 1 <= day <= _DAYS[month - 1] + leap  # noqa: PLR2004 - months


def _time(text: str) -> bool:
    """RFC 3339's full-time; second 60 is good where it is 23:59:60 in UTC."""
    found = _TIME.fullmatch(text)
    if found is None:
        return False
    hour, minute, second, off_hour, off_minute = (int(found[each] or 0) for each in (1, 2, 3, 5, 6))
    if hour > 23 or minute > 59 or second > 60 or off_hour > 23 or off_minute > 59:  # noqa: PLR2004 - a clock
        return False
    ahead = (off_hour * 60 + off_minute) * (-1 if found[4] == "-" else 1)
    return second < 60 or (hour * 60 + minute - ahead) % 1440 == 1439  # noqa: PLR2004 - minutes of a day


def _date_time(text: str) -> bool:
    return text[10:11] in ("T", "t") and _date(text[:10]) and _time(text[11:])


def _duration(text: str) -> bool:
    return _DURATION.fullmatch(text) is not None and len(text) > 1


def _host(text: str) -> bool:
    return len(text) <= 253 and _HOST.fullmatch(text) is not None  # noqa: PLR2004 - RFC 1123


def _ipv4(text: str) -> bool:
    try:
        ipaddress.IPv4Address(text)
    except ValueError:
        return False
    return text.isascii()


def _ipv6(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return text.isascii() and "%" not in text


def _email(text: str) -> bool:
    local, at, domain = text.rpartition("@")
    if not at or len(local) > 64 or _LOCAL.fullmatch(local) is None:  # noqa: PLR2004 - RFC 5321
        return False
    if domain.startswith("[") and domain.endswith("]"):
        inner = domain[1:-1]
        return _ipv6(inner[5:]) if inner[:5].lower() == "ipv6:" else _ipv4(inner)
    return _host(domain)


def _is_address(more: str = "", *, relative: bool = False) -> Callable[[str], bool]:
    def takes(text: str) -> bool:
        found = _address(more)[relative].fullmatch(text)
        if found is None:
            return False
        literal = next((each for each in found.groupdict().values() if each is not None), None)
        return literal is None or literal[0] in "vV" or _ipv6(literal)

    return takes


class TextFormat(msgspec.Struct, frozen=True, kw_only=True):
    """One format."""

    #: Whether a text is of it.
    takes: Callable[[str], bool]
    #: A text of it, for placeholders.
    sample: str
    #: Part of its texts, all of them shorter than 600 characters, for grammars; in the syntax of Rust's ``regex``.
    grammar: str


#: No 29 February: a grammar does not know leap years.
_G_DATE: Final = (
    r"[0-9]{4}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)"
    r"|02-(?:0[1-9]|1[0-9]|2[0-8]))"
)
_G_CLOCK: Final = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]"
_G_TIME: Final = rf"{_G_CLOCK}:[0-5][0-9](?:\.[0-9]{{1,6}})?(?:Z|[+-]{_G_CLOCK})"
_G_LABEL: Final = r"[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?"
_G_HOST: Final = rf"{_G_LABEL}(?:\.{_G_LABEL}){{0,4}}"
_G_OCTET: Final = "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_G_PATH: Final = r"(?:/[A-Za-z0-9._~-]{0,40}){0,6}(?:\?[A-Za-z0-9._~=&-]{1,60})?(?:#[A-Za-z0-9._~-]{1,30})?"
_G_URI: Final = (
    rf"(?:https?://{_G_HOST}(?::[0-9]{{1,5}})?{_G_PATH}|(?:urn|mailto|tel):[A-Za-z0-9._~:@+-]{{1,80}})"
)
_G_HEX: Final = "[0-9a-f]"

FORMATS: Final[dict[str, TextFormat]] = {
    "date": TextFormat(takes=_date, sample="2000-01-01", grammar=_G_DATE),
    "date-time": TextFormat(takes=_date_time, sample="2000-01-01T00:00:00Z", grammar=f"{_G_DATE}T{_G_TIME}"),
    "time": TextFormat(takes=_time, sample="00:00:00Z", grammar=_G_TIME),
    "duration": TextFormat(
        takes=_duration,
        sample="PT0S",
        grammar=r"P(?:[0-9]{1,4}W|[0-9]{1,4}D(?:T[0-9]{1,4}H)?|[0-9]{1,4}Y(?:[0-9]{1,4}M)?"
        r"|T(?:[0-9]{1,4}H(?:[0-9]{1,4}M)?|[0-9]{1,4}M(?:[0-9]{1,4}S)?|[0-9]{1,4}S))",
    ),
    "email": TextFormat(
        takes=_email,
        sample="placeholder@example.org",
        grammar=rf"[A-Za-z0-9_+-]{{1,20}}(?:\.[A-Za-z0-9_+-]{{1,20}}){{0,2}}@{_G_HOST}",
    ),
    "hostname": TextFormat(takes=_host, sample="placeholder.example.org", grammar=_G_HOST),
    "ipv4": TextFormat(takes=_ipv4, sample="192.0.2.1", grammar=rf"{_G_OCTET}(?:\.{_G_OCTET}){{3}}"),
    "ipv6": TextFormat(
        takes=_ipv6,
        sample="2001:db8::1",
        grammar=rf"(?:{_G_HEX}{{1,4}}:){{7}}{_G_HEX}{{1,4}}|2001:db8::{_G_HEX}{{1,4}}|::1",
    ),
    "uri": TextFormat(takes=_is_address(), sample="https://example.org/placeholder", grammar=_G_URI),
    "uri-reference": TextFormat(
        takes=_is_address(relative=True), sample="/placeholder", grammar=rf"(?:{_G_URI}|{_G_PATH})"
    ),
    "iri": TextFormat(takes=_is_address(_UCS), sample="https://example.org/placeholder", grammar=_G_URI),
    "iri-reference": TextFormat(
        takes=_is_address(_UCS, relative=True), sample="/placeholder", grammar=rf"(?:{_G_URI}|{_G_PATH})"
    ),
    "uuid": TextFormat(
        takes=lambda text: _UUID.fullmatch(text) is not None,
        sample="00000000-0000-4000-8000-000000000000",
        grammar=rf"{_G_HEX}{{8}}-{_G_HEX}{{4}}-{_G_HEX}{{4}}-{_G_HEX}{{4}}-{_G_HEX}{{12}}",
    ),
    "json-pointer": TextFormat(
        takes=lambda text: _POINTER.fullmatch(text) is not None,
        sample="/placeholder",
        grammar=r"(?:/[A-Za-z0-9._-]{0,40}){0,8}",
    ),
    "relative-json-pointer": TextFormat(
        takes=lambda text: _RELATIVE.fullmatch(text) is not None,
        sample="0",
        grammar=r"(?:0|[1-9][0-9]?)(?:#|(?:/[A-Za-z0-9._-]{0,40}){0,8})",
    ),
}

#: What OpenAPI says of numbers, in bounds; a number with a fraction has none beside JSON's.
NUMBERS: Final[dict[str, tuple[int, int] | None]] = {
    "int32": (-(2**31), 2**31 - 1),
    "int64": (-(2**63), 2**63 - 1),
    "float": None,
    "double": None,
}


def follows(name: str, value: object) -> bool:
    """Whether a value is of a format; what the format does not speak of is.

    Args:
        name: of a checked format.
        value: any JSON value.
    """
    if isinstance(value, str):
        return name not in FORMATS or FORMATS[name].takes(value)
    bounds = NUMBERS.get(name)
    if bounds is None or isinstance(value, bool) or not isinstance(value, int | float):
        return True
    return bounds[0] <= value <= bounds[1]
