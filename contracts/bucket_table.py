"""Bucket table: the state beside the event log, who writes it and who reads it."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from contracts.pipeline import CLIENT, OPERATOR, STAGES

_DAY_S: Final = 86_400


class Bucket(msgspec.Struct, frozen=True, kw_only=True):
    """One bucket: state that may be lost, since the log is the record."""

    name: str
    store: Literal["KV", "OBJ"] = "KV"
    written_by: tuple[str, ...]
    read_by: tuple[str, ...]
    #: Seconds that an entry is kept; 0: as long as the entry itself says, in an object store for ever.
    life_s: int = 0
    #: One line for the generated documentation.
    says: str

    @property
    def stream(self) -> str:
        """The stream that keeps it."""
        return f"{self.store}_{self.name}"

    @property
    def subjects(self) -> tuple[str, ...]:
        """The subjects of its stream (ADR-8 and ADR-20 of NATS)."""
        if self.store == "KV":
            return (f"$KV.{self.name}.>",)
        return (f"$O.{self.name}.C.>", f"$O.{self.name}.M.>")


CACHE: Final = Bucket(
    name="cache",
    written_by=("context-build", "validate-repair", OPERATOR),
    read_by=("context-build", "validate-repair", OPERATOR),
    says="result-cache entries, and how often they were hit",
)
#: Its key on which a purge tells every process of stages to forget what it has in memory.
FORGET: Final = f"$KV.{CACHE.name}.forget"
FLIGHTS: Final = Bucket(
    name="flights",
    written_by=("context-build",),
    read_by=("context-build",),
    says="single-flight leases: who generates what others wait for",
)
BUDGETS: Final = Bucket(
    name="budgets",
    # Validate-repair: what evaluation costs.
    written_by=("freeform-gen", "structuring", "validate-repair"),
    read_by=("freeform-gen", "structuring", "validate-repair", OPERATOR),
    says="reservations and totals of budgets",
)
STRIKES: Final = Bucket(
    name="strikes",
    # The operator: doctor tries whether it may write.
    written_by=(*STAGES, OPERATOR),
    read_by=STAGES,
    life_s=3600,
    says="starts of redelivered messages that have not ended (rule 5)",
)
LEDGER: Final = Bucket(
    name="ledger",
    written_by=("validate-repair",),
    read_by=("validate-repair",),
    life_s=30 * _DAY_S,
    says="the first output of each seed, by which drift is found",
)
REPLAYS: Final = Bucket(
    name="replays",
    written_by=(OPERATOR,),
    read_by=("context-build", "validate-repair", "fallback"),
    # As long as letters are kept.
    life_s=30 * _DAY_S,
    says="marks of the replays that the command line has published, and the cache entries that they replaced",
)
ASSETS: Final = Bucket(
    name="assets",
    store="OBJ",
    written_by=(*STAGES, OPERATOR),
    read_by=(CLIENT, "context-build", OPERATOR),
    says="contents and dead bodies that are too large for a message",
)
BUCKETS: Final = (CACHE, FLIGHTS, BUDGETS, STRIKES, LEDGER, REPLAYS, ASSETS)
