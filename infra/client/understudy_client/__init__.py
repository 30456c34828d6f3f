"""Client of the Understudy generation pipeline: publish a request, await its one labelled result."""

from understudy_client.answer import Answer, Submitted
from understudy_client.client import Client
from understudy_client.connection import Servers
from understudy_client.errors import (
    AccessDenied,
    BrokerLost,
    Busy,
    ClientError,
    IdTaken,
    InvalidRequest,
    MissingExtra,
    NoResult,
    NotSetUp,
    Unavailable,
    Unreachable,
    Unreadable,
)
from understudy_client.protocol import new_id
from understudy_client.result import USABLE, Origin, Progress, Result, Status
from understudy_client.sync import SyncClient

__all__ = [
    "USABLE",
    "AccessDenied",
    "Answer",
    "BrokerLost",
    "Busy",
    "Client",
    "ClientError",
    "IdTaken",
    "InvalidRequest",
    "MissingExtra",
    "NoResult",
    "NotSetUp",
    "Origin",
    "Progress",
    "Result",
    "Servers",
    "Status",
    "Submitted",
    "SyncClient",
    "Unavailable",
    "Unreachable",
    "Unreadable",
    "new_id",
]
