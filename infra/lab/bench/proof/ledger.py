"""Ledger of a campaign: every stored request and result, and whether a result says what it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from contracts.policy import fingerprint
from contracts.request import DEFAULT_DEADLINE_MS
from contracts.result import Origin, ResultBody, Status
from infra.lab.bench.outcomes import Outcomes

if TYPE_CHECKING:
    from infra.nats.log import LogEntry
    from infra.nats.multiplexer import RequestMultiplexer
    from infra.stores.samples import SampleStore

_WRITTEN: Final = frozenset({Origin.LIVE, Origin.SCRIPTED, Origin.CACHE})


class _Asked(msgspec.Struct, frozen=True):
    deadline_ms: int = DEFAULT_DEADLINE_MS


class LabelCheck:
    """Finds results that pass off one thing as another.

    Args:
        samples: what stands in for a model.
    """

    def __init__(self, samples: SampleStore) -> None:
        self._hashes = {
            *(each.hash for each in samples.golden_samples()),
            *(each.hash for each in samples.default_contents().values()),
        }

    def find_fault(self, body: bytes) -> str | None:
        """Say what is wrong with the label of a result; ``None``: it says what it is.

        Beyond the rules of :func:`contracts.result.check`: the hash is the content's own, content said to be
        written by a model is no prepared document, and a prepared document is one of ours.
        """
        try:
            result = msgspec.json.decode(body, type=ResultBody)
        except msgspec.ValidationError as error:
            return str(error)
        if result.content is not None and fingerprint.digest(result.content) != result.content_hash:
            return "content_hash is not the hash of the content"
        if result.origin in _WRITTEN and result.content_hash in self._hashes:
            return f"a prepared document with origin {result.origin}"
        if result.stand_in is not None and result.stand_in.hash not in self._hashes:
            return f"stand_in {result.stand_in.name} is no document of ours"
        if result.status is Status.SUCCESS and not result.attempts:
            return "status success without a provider call"
        return None


class Ledger(Outcomes):
    """Follows a broker as :class:`Outcomes` does, and reads deadlines and labels too.

    Args:
        wire: an open wire with a long time-out.
        labels: checks every stored result.
    """

    def __init__(self, wire: RequestMultiplexer, labels: LabelCheck) -> None:
        super().__init__(wire)
        self._labels = labels
        #: Deadline by request id, milliseconds after the request was stored.
        self.deadlines: dict[str, int] = {}
        #: What is wrong with the label of a result, by request id.
        self.unlabelled: dict[str, str] = {}
        #: Broker's timestamp of the newest request, milliseconds since the epoch.
        self.newest_ms = 0.0

    def note_request(self, request_id: str, entry: LogEntry) -> None:
        """A stored request."""
        super().note_request(request_id, entry)
        self.newest_ms = max(self.newest_ms, entry.time_ns / 1e6)
        self.deadlines.setdefault(request_id, msgspec.json.decode(entry.body, type=_Asked).deadline_ms)

    def note_result(self, request_id: str, entry: LogEntry) -> None:
        """A stored result."""
        super().note_result(request_id, entry)
        fault = self._labels.find_fault(entry.body)
        if fault is not None:
            self.unlabelled[request_id] = fault
