"""Last error of each provider, from the audit."""

from __future__ import annotations

from typing import Final

import msgspec
from sqlalchemy import Engine, select

from contracts import timestamp
from infra.stores.database import GENERATIONS, reading

_COLUMNS: Final = GENERATIONS.c
_DAY_MS: Final = 86_400_000
#: Failed requests that are looked at.
_MOST: Final = 2_000


class ProviderFailure(msgspec.Struct, frozen=True, kw_only=True):
    """The last request of a provider that ended with an error."""

    at: str
    request_id: str
    code: str
    stage: str | None
    message: str | None


def find_last_errors(engine: Engine, *, now_ms: int) -> dict[str, ProviderFailure]:
    """The last error of each provider, by its name, among the latest failed requests of a day.

    Args:
        engine: the audit's database.
        now_ms: ms since the epoch.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: the database cannot be read.
    """
    query = (
        select(
            _COLUMNS.provider,
            _COLUMNS.ended_at_ms,
            _COLUMNS.request_id,
            _COLUMNS.error_code,
            _COLUMNS.error_stage,
            _COLUMNS.error_message,
        )
        .where(
            _COLUMNS.ended_at_ms >= now_ms - _DAY_MS,
            _COLUMNS.error_code.is_not(None),
            _COLUMNS.provider.is_not(None),
            _COLUMNS.shadow.is_(None),
        )
        .order_by(_COLUMNS.ended_at_ms.desc())
        .limit(_MOST)
    )
    found: dict[str, ProviderFailure] = {}
    with reading(engine) as connection:
        for provider, ended, request_id, code, stage, message in connection.execute(query):
            found.setdefault(
                provider,
                ProviderFailure(
                    at=timestamp.format_ms(ended),
                    request_id=request_id,
                    code=code,
                    stage=stage,
                    message=message,
                ),
            )
    return found
