"""What a search for a person found."""

from __future__ import annotations

import msgspec

from contracts.ownership import PurgeScope


class PersonsRequests(msgspec.Struct, frozen=True, kw_only=True):
    """The requests of a person, and what else is theirs by its content alone."""

    scope: PurgeScope
    #: Ids whose messages in the log are theirs; also ids that the log has no request of any more.
    ids: frozenset[str]
    #: Ids that the log has another person's request of: only rows of the audit are theirs.
    reused: frozenset[str]
    #: Single messages under the ids of others or of nobody, by stream and sequence.
    messages: frozenset[tuple[str, int]]

    #: When the broker stored the requests that the log has of them, by id; ms since the epoch.
    stored_ms: dict[str, int]
    #: Ids that the audit has rows of.
    archived: frozenset[str]

    @property
    def every_id(self) -> frozenset[str]:
        """All ids that they used."""
        return self.ids | self.reused
