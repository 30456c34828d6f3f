"""Every exception that the client raises; a class's docstring is its message where no other is given."""

from __future__ import annotations


class ClientError(Exception):
    """The request could not be served."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or (type(self).__doc__ or "").splitlines()[0])


class InvalidRequest(ClientError):  # noqa: N818 - names the state of the request
    """The request is not one that a pipeline accepts; nothing was published.

    Args:
        field: the argument or field at fault.
        message: what is wrong and what to do.
    """

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field


class IdTaken(ClientError):  # noqa: N818 - names the state of the id
    """The id belongs to another request; nothing of that request is returned.

    Args:
        request_id: the id.
        kind: content kind of the request that has it.
        sequence: that request's sequence in REQUESTS; ``None`` where the log has only its result, or over HTTP.
        expected: the kind that the caller meant.
        place: what is known of that request beside its sequence.
    """

    def __init__(
        self,
        request_id: str,
        kind: str,
        sequence: int | None,
        *,
        expected: str | None = None,
        place: str = "its result is still in the log",
    ) -> None:
        owner = f"a {kind} request"
        if expected not in (None, kind):
            owner += f", not a {expected} request"
        elif expected == kind:
            owner += " with another body"
        if sequence is not None:
            place = f"sequence {sequence} of REQUESTS"
        super().__init__(
            f"the id {request_id} was used for {owner} ({place}); choose another id, or leave it out"
        )
        self.request_id = request_id
        self.kind = kind
        self.sequence = sequence


class Busy(ClientError):  # noqa: N818 - names the state of the pipeline
    """The pipeline accepts no more requests now: nothing was stored; try again later."""


class Unavailable(ClientError):  # noqa: N818 - names the state of the broker
    """The broker does not answer; publish the same request again, under the same id."""


class AccessDenied(ClientError):  # noqa: N818 - names the state of the token
    """The gateway refuses the token, or the broker the key; or the role or workspace does not allow this."""


class Unreachable(ClientError):  # noqa: N818 - names the state of the broker
    """No broker answers at the URL."""


class BrokerLost(Unreachable):
    """The connection was lost during a wait and did not come back; the request is safe.

    Args:
        url: the broker's URL, without a password; over HTTP the gateway's.
        request_id: the request whose result was awaited.
        what: what was lost.
    """

    def __init__(self, url: str, request_id: str, *, what: str = "broker") -> None:
        super().__init__(
            f"lost the {what} at {url} while waiting; the request is safe: `understudy wait {request_id}`"
        )
        self.request_id = request_id


class NotSetUp(ClientError):  # noqa: N818 - names the state of the broker
    """The broker lacks the pipeline's streams; start the pipeline, or run `understudy topology apply`."""


class NoResult(ClientError):  # noqa: N818 - names what is not there
    """No result came in time.

    Args:
        request_id: the request.
        seconds: how long the client waited.
    """

    def __init__(self, request_id: str, seconds: float) -> None:
        super().__init__(
            f"no result for {request_id} within {seconds:g} s; `understudy why {request_id}` shows how far it got"
        )
        self.request_id = request_id


class Unreadable(ClientError):  # noqa: N818 - names the state of what is stored
    """The stored result or content cannot be read."""


class MissingExtra(ClientError):  # noqa: N818 - names what is not installed
    """A feature needs an extra that is not installed.

    Args:
        feature: what needs it.
        extra: the extra's name.
        needs: the distribution that it brings.
    """

    def __init__(self, feature: str, extra: str, needs: str) -> None:
        super().__init__(
            f"{feature} needs the extra {extra!r} of understudy-client: run `pip install '{needs}'`, "
            "which is all that the extra adds"
        )
        self.extra = extra
