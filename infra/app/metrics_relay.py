"""Relay of metrics: the pages of several processes as one, each time series with its process as a label."""

from __future__ import annotations

import http.client
import re
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Final

#: Seconds for one process to answer.
PATIENCE_S: Final = 1.0
_MOST_AT_ONCE: Final = 8
#: ``# HELP name text`` or ``# TYPE name type``.
_ABOUT: Final = re.compile(r"# (HELP|TYPE) (\S+)")
_NAME: Final = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_PROCESS: Final = "process"


def fetch(address: str, path: str = "/metrics") -> str | None:
    """A page of a process; ``None`` if it does not answer in time or not with 200.

    Args:
        address: ``HOST:PORT``.
        path: of the page.
    """
    try:
        with closing(http.client.HTTPConnection(address, timeout=PATIENCE_S)) as connection:
            connection.request("GET", path)
            answer = connection.getresponse()
            body = answer.read()
            return body.decode() if answer.status == http.HTTPStatus.OK else None
    except (OSError, http.client.HTTPException, ValueError):
        return None


def fetch_all(addresses: Mapping[str, str]) -> dict[str, str]:
    """The metrics of processes that answer in time, by name; all are asked at once."""
    if not addresses:
        return {}
    with ThreadPoolExecutor(min(_MOST_AT_ONCE, len(addresses)), thread_name_prefix="relay") as pool:
        pages = pool.map(fetch, addresses.values())
        return {name: page for name, page in zip(addresses, pages, strict=True) if page is not None}


def merge(pages: Iterable[tuple[str, str]]) -> str:
    """Several pages in the text format as one.

    Args:
        pages: process and page; the label ``process`` is added where a time series has none.  An empty process
            adds nothing.

    Returns:
        all time series of a metric in one group, as the format demands.
    """
    families: dict[str, _Family] = {}
    for process, page in pages:
        family: _Family | None = None
        for line in page.splitlines():
            about = _ABOUT.match(line)
            if about is not None:
                family = families.setdefault(about[2], _Family())
                family.about.setdefault(about[1], line)
            elif line and not line.startswith("#") and family is not None:
                family.samples.append(_labelled(line, process))
    return "".join(f"{line}\n" for family in families.values() for line in family.lines())


class _Family:
    """One metric: what is said about it, and its time series."""

    def __init__(self) -> None:
        self.about: dict[str, str] = {}
        self.samples: list[str] = []

    def lines(self) -> Iterable[str]:
        yield from self.about.values()
        yield from self.samples


def _labelled(line: str, process: str) -> str:
    """A time series with its process; one that names a process itself stays as it is."""
    name = _NAME.match(line)
    if not process or name is None:
        return line
    rest = line[name.end() :]
    label = f'{_PROCESS}="{_escaped(process)}"'
    if not rest.startswith("{"):
        return f"{name[0]}{{{label}}}{rest}"
    if re.match(rf'\{{(.*",)?{_PROCESS}="', rest):
        return line
    comma = "" if rest.startswith("{}") else ","
    return f"{name[0]}{{{label}{comma}{rest[1:]}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
