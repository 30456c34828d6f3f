"""The client over HTTP; needs the extra ``http``."""

from understudy_client.http.client import HttpClient
from understudy_client.http.sync import SyncHttpClient

__all__ = ["HttpClient", "SyncHttpClient"]
