"""Authentication: who sends a request, by its token, by its session's cookie, or as the user of this machine."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import msgspec

from infra.gateway.access import LOCAL_USER, Principal
from infra.gateway.problems import Problem
from infra.gateway.roles import AccessRole, parse_role
from infra.gateway.tokens import hash_secret, make_secret, matches, parse_token
from infra.stores import access_tokens
from infra.stores.access_tokens import NO_ACCESS, StoredAccess, StoredSession, StoredToken
from infra.stores.database import DatabaseError
from infra.telemetry.gateway_events import AccessUnread

if TYPE_CHECKING:
    from starlette.requests import Request

    from infra.gateway.audit_database import GatewayDatabase
    from infra.settings.gateway import GatewaySettings
    from infra.telemetry.dispatch import Telemetry

#: Name of the session's cookie.
COOKIE: Final = "understudy_session"
#: Seconds for which what the database said of tokens is used: a revocation elsewhere takes effect within them.
FRESH_S: Final = 1.0
#: Seconds for which it is used while the database is away.
_STALE_S: Final = 3600.0
#: Milliseconds between two notes of a token's use.
_USE_MS: Final = 60_000
_SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_CHALLENGE: Final = {"WWW-Authenticate": "Bearer", "Cache-Control": "no-store"}


class OpenedSession(msgspec.Struct, frozen=True, kw_only=True):
    """A new session."""

    #: Value of the cookie; it is shown to the browser alone.
    secret: str
    principal: Principal

    def __repr__(self) -> str:
        """The session without its secret."""
        return f"OpenedSession(principal={self.principal!r})"


class Authenticator:
    """Tokens and sessions of the database, as the gateway uses them.

    Args:
        settings: whether a token is needed, and how long a session lasts.
        database: what has them.
        telemetry: gets what happens.
        now_ms: gives milliseconds since the epoch.
    """

    def __init__(
        self,
        settings: GatewaySettings,
        database: GatewayDatabase,
        *,
        telemetry: Telemetry,
        now_ms: Callable[[], int],
    ) -> None:
        self._settings = settings
        self._always = settings.tokens == "required" or not settings.loopback
        self._database = database
        self._telemetry = telemetry
        self._now_ms = now_ms
        self._access: StoredAccess | None = None
        self._read_at_s = -_STALE_S
        #: Why the database could not be read the last time; empty: it could.
        self._failing = ""
        self._reading: asyncio.Task[StoredAccess | None] | None = None
        self._used_ms: dict[str, int] = {}
        self._noted_ms: dict[str, int] = {}
        self._noting: asyncio.Task[None] | None = None

    async def __call__(self, request: Request) -> Principal:
        """Who sends a request.

        Raises:
            Problem: 401, it has no valid token; 403, a session's change without ``Origin``.
            DatabaseError: the tokens cannot be read.
        """
        if self._settings.tokens == "off":
            return LOCAL_USER
        access = await self._current()
        if not self._needs_token(access):
            # Clients that always send a key, such as those of OpenAI, work without tokens too.
            return LOCAL_USER
        headers = request.headers.getlist("authorization")
        if headers:
            return self._principal(self._bearer(access, headers))
        cookie = request.cookies.get(COOKIE)
        if cookie is None:
            raise _refuse("this needs a token: send it as Authorization: Bearer us_…")
        session, token = self._session(access, cookie)
        if request.method not in _SAFE_METHODS and "origin" not in request.headers:
            # The middleware compares it with the host; browsers always send it.
            raise Problem(403, "forbidden", "a change with a session's cookie needs the header Origin")
        return self._principal(token, session=session)

    async def admits(self, principal: Principal) -> bool:
        """Whether what somebody was known by is still valid; also where the tokens cannot be read."""
        if principal.token_id is None:
            return True
        try:
            access = await self._current()
        except DatabaseError:
            return True
        token = access.tokens.get(principal.token_id)
        expires_ms = principal.expires_ms
        return (
            token is not None
            and token.is_valid(self._now_ms())
            and (expires_ms is None or expires_ms > self._now_ms())
            and (principal.session_hash is None or principal.session_hash in access.sessions)
        )

    async def open_session(self, text: str) -> OpenedSession:
        """Begin the session of a browser.

        Args:
            text: the token.

        Raises:
            Problem: 401, it is not valid.
            DatabaseError: the database cannot be used.
        """
        token = self._valid(await self._current(), text)
        now_ms = self._now_ms()
        ends_ms = now_ms + round(self._settings.session_hours * 3_600_000)
        secret = make_secret()
        session = StoredSession(
            session_hash=hash_secret(secret),
            token_id=token.token_id,
            created_ms=now_ms,
            expires_ms=ends_ms if token.expires_ms is None else min(ends_ms, token.expires_ms),
        )
        await self._database.update(lambda engine: access_tokens.add_session(engine, session))
        self.forget()
        return OpenedSession(secret=secret, principal=self._principal(token, session=session))

    async def close_session(self, secret: str) -> None:
        """End the session of a browser, if there is one.

        Raises:
            DatabaseError: the database cannot be used.
        """
        session_hash = hash_secret(secret)
        await self._database.update(lambda engine: access_tokens.remove_session(engine, session_hash))
        self.forget()

    def forget(self) -> None:
        """Read the tokens again before the next request: they were changed here."""
        self._read_at_s -= FRESH_S
        self._reading = None

    async def close(self) -> None:
        """Store when tokens were last used."""
        if self._noting is not None:
            await self._noting
        await self._note_uses()

    def _needs_token(self, access: StoredAccess) -> bool:
        # Also a revoked one counts: to revoke the last token must open nothing.
        return self._always or bool(access.tokens)

    def _bearer(self, access: StoredAccess, headers: list[str]) -> StoredToken:
        scheme, _, text = headers[0].partition(" ")
        if len(headers) > 1 or scheme.lower() != "bearer":
            raise _refuse("send one header Authorization: Bearer us_…")
        return self._valid(access, text.strip())

    def _valid(self, access: StoredAccess, text: str) -> StoredToken:
        token = parse_token(text)
        stored = None if token is None else access.tokens.get(token.token_id)
        if token is None or stored is None or not matches(token.secret, stored.secret_hash):
            raise _refuse("the token is not known; `understudy tokens ls` lists all")
        self._check_valid(stored)
        return stored

    def _session(self, access: StoredAccess, cookie: str) -> tuple[StoredSession, StoredToken]:
        session = access.sessions.get(hash_secret(cookie))
        token = None if session is None else access.tokens.get(session.token_id)
        if session is None or token is None or session.expires_ms <= self._now_ms():
            raise _refuse("the session has ended; send the token again")
        self._check_valid(token)
        return session, token

    def _check_valid(self, token: StoredToken) -> None:
        if token.revoked_ms is not None:
            raise _refuse(f"token {token.token_id} was revoked")
        if not token.is_valid(self._now_ms()):
            raise _refuse(f"token {token.token_id} has expired")

    def _principal(self, token: StoredToken, *, session: StoredSession | None = None) -> Principal:
        self._note_use(token)
        return Principal(
            role=_role_of(token),
            token_id=token.token_id,
            name=token.name,
            workspace=token.workspace,
            require_live=token.require_live,
            via="token" if session is None else "session",
            session_hash=None if session is None else session.session_hash,
            expires_ms=token.expires_ms if session is None else session.expires_ms,
        )

    async def _current(self) -> StoredAccess:
        """Tokens and sessions, at most a second old; older where the database is away.

        Raises:
            DatabaseError: they cannot be read, and those that are known are too old.
        """
        age_s = time.monotonic() - self._read_at_s
        known = self._access if age_s < _STALE_S else None
        if known is not None and age_s < FRESH_S:
            return known
        reading = self._reading
        if reading is None:
            reading = self._reading = asyncio.create_task(self._read())
        if known is not None and self._failing:
            # A database that is away must not delay every request.
            return known
        # A client that goes away must not end it for the others.
        found = await asyncio.shield(reading) or known
        if found is None:
            raise DatabaseError(self._failing)
        return found

    async def _read(self) -> StoredAccess | None:
        """What the database says; ``None``: it does not answer."""
        now_s, now_ms = time.monotonic(), self._now_ms()
        mine = asyncio.current_task()
        try:
            found = await self._database.query(
                lambda engine: access_tokens.read_access(engine, now_ms), missing=NO_ACCESS
            )
        except DatabaseError as error:
            if not self._failing:
                self._telemetry.emit(AccessUnread(problem=str(error)))
            self._failing = str(error)
            return None
        finally:
            # Otherwise something was changed meanwhile.
            current = self._reading is mine
            if current:
                self._reading = None
        if current:
            self._access, self._read_at_s, self._failing = found, now_s, ""
        return found

    def _note_use(self, token: StoredToken) -> None:
        now_ms = self._now_ms()
        if now_ms - self._noted_ms.get(token.token_id, token.used_ms or 0) < _USE_MS:
            return
        self._noted_ms[token.token_id] = self._used_ms[token.token_id] = now_ms
        if self._noting is None or self._noting.done():
            self._noting = asyncio.create_task(self._note_uses())

    async def _note_uses(self) -> None:
        used, self._used_ms = self._used_ms, {}
        if not used:
            return
        try:
            await self._database.update(lambda engine: access_tokens.note_uses(engine, used))
        except DatabaseError as error:
            # The next use tries again.
            self._noted_ms.clear()
            self._telemetry.emit(AccessUnread(problem=str(error)))


def _role_of(token: StoredToken) -> AccessRole:
    try:
        return parse_role(token.role)
    except ValueError as error:
        raise _refuse(f"token {token.token_id}: {token.role!r} {error}") from None


def _refuse(detail: str) -> Problem:
    return Problem(401, "unauthorized", detail, headers=_CHALLENGE)
