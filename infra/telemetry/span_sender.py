"""Sender of encoded spans: OTLP over HTTP, with the environment variables of OpenTelemetry.

Variables: https://opentelemetry.io/docs/specs/otel/protocol/exporter/; what is tried again:
https://opentelemetry.io/docs/specs/otlp/#otlphttp-response.  Needs the extra ``otel``.
"""

from __future__ import annotations

import gzip
import os
import random
import threading
import time
import zlib
from collections.abc import Callable
from importlib.metadata import entry_points
from typing import Final

import requests
from opentelemetry.util.re import parse_env_headers

from contracts.errors import Misconfigured

#: Statuses after which a request is sent again.
_AGAIN: Final = frozenset({429, 502, 503, 504})
#: Mean of the seconds before that, doubled each time, and how far it varies.
_PAUSE_S: Final = 1.0
_JITTER: Final = 0.2
#: Seconds that are waited even if the collector asks for none.
_LEAST_S: Final = 0.1
_COMPRESSIONS: Final[dict[str, Callable[[bytes], bytes]]] = {"gzip": gzip.compress, "deflate": zlib.compress}
#: Entry points that open a session with credentials, as for OpenTelemetry's own exporter.
_CREDENTIALS: Final = "opentelemetry_otlp_credential_provider"


class SpanSender:
    """Sends requests that are encoded already.

    Args:
        endpoint: URL of the collector, with its path.
        timeout: seconds for a request with all its tries.

    Raises:
        Misconfigured: the environment names credentials that nothing installed provides.
    """

    def __init__(self, *, endpoint: str, timeout: float) -> None:
        self._endpoint = endpoint
        self._timeout = timeout
        self._stopped = threading.Event()
        self._session = _open_session()
        self._headers = {
            "content-type": "application/x-protobuf",
            **parse_env_headers(_variable("HEADERS") or "", liberal=True),
        }
        compression = (_variable("COMPRESSION") or "").strip().lower()
        # The specification asks to ignore what is not known.
        self._compress = _COMPRESSIONS.get(compression)
        if self._compress is not None:
            self._headers["content-encoding"] = compression
        self._verify = _variable("CERTIFICATE") or True
        certificate, key = _variable("CLIENT_CERTIFICATE"), _variable("CLIENT_KEY")
        self._certificate = (certificate, key) if certificate and key else certificate

    def send(self, request: bytes) -> bool:
        """Send a request within the time-out; blocks.

        Args:
            request: an ``ExportTraceServiceRequest``.

        Returns:
            whether the collector took it.
        """
        body = request if self._compress is None else self._compress(request)
        until_s, pause_s = time.monotonic() + self._timeout, _PAUSE_S
        while True:
            answer = self._post(body, until_s)
            if answer is not None and answer.ok:
                return True
            if answer is not None and answer.status_code not in _AGAIN:
                return False
            # Processes that were refused together come back apart.
            spread = random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311 - no secret
            wait_s = _read_pause(answer, otherwise=pause_s * spread)
            if time.monotonic() + wait_s >= until_s or self._stopped.wait(wait_s):
                return False
            pause_s *= 2

    def shutdown(self) -> None:
        """Try nothing again, and close the connections."""
        self._stopped.set()
        self._session.close()

    def _post(self, body: bytes, until_s: float) -> requests.Response | None:
        """The collector's answer; ``None``: there is none."""
        # At once a second time: the collector may have closed a connection that was kept open.
        for _ in range(2):
            left_s = until_s - time.monotonic()
            if left_s <= 0:
                break
            try:
                return self._session.post(
                    self._endpoint,
                    data=body,
                    headers=self._headers,
                    timeout=left_s,
                    verify=self._verify,
                    cert=self._certificate,
                )
            except requests.RequestException:
                continue
        return None


def _variable(name: str) -> str | None:
    """A variable for traces, or else for all signals; an empty one is not set."""
    return os.environ.get(f"OTEL_EXPORTER_OTLP_TRACES_{name}") or os.environ.get(f"OTEL_EXPORTER_OTLP_{name}")


def _open_session() -> requests.Session:
    name = os.environ.get("OTEL_PYTHON_EXPORTER_OTLP_HTTP_CREDENTIAL_PROVIDER") or os.environ.get(
        "OTEL_PYTHON_EXPORTER_OTLP_HTTP_TRACES_CREDENTIAL_PROVIDER"
    )
    if not name:
        return requests.Session()
    for each in entry_points(group=_CREDENTIALS, name=name):
        session = each.load()()
        if isinstance(session, requests.Session):
            return session
    raise Misconfigured(
        f"no installed package provides a requests.Session as {name!r} among its entry points {_CREDENTIALS}: "
        "correct OTEL_PYTHON_EXPORTER_OTLP_HTTP_CREDENTIAL_PROVIDER, or unset it"
    )


def _read_pause(answer: requests.Response | None, *, otherwise: float) -> float:
    """Seconds that the collector asks to wait, or what they are otherwise."""
    said = "" if answer is None else answer.headers.get("retry-after", "").strip()
    return max(_LEAST_S, float(said)) if said.isdecimal() else otherwise
