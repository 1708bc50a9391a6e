"""Webhooks: who wants to know is called when a prompt is over, signed, and again until it was heard.

The form is that of Standard Webhooks (headers webhook-id, webhook-timestamp, webhook-signature), so that
existing libraries verify it. A call is written down in the same transaction as the prompt's end, so that it
outlives a crash. An address that a prompt names must be of an origin that the server was told to allow:
nobody may have this machine call addresses of their choice.
"""

import asyncio
import base64
import binascii
import hashlib
import hmac
import json
import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from noderack_host.server.jobs import job
from noderack_host.server.queue import Call, Entry, Queue

log = logging.getLogger(__name__)
DELAYS = (5.0, 30.0, 120.0, 600.0, 3600.0, 21600.0)  # seconds after the 1st, 2nd … try that failed
PATIENCE = aiohttp.ClientTimeout(total=15)
GONE = 410
LOOK_EVERY = 1.0


def refused_hook(extra: Any, origins: Sequence[str]) -> str | None:
    """Why the address that a prompt names is not called; None if it is, or if it names none."""
    url = extra.get("webhook") if isinstance(extra, dict) else None
    if url is None:
        return None
    if isinstance(url, str) and origin_of(url) in origins:
        return None
    return f"this server does not call {url!r}; allow its origin with --webhook-origin"


def origin_of(url: str) -> str | None:
    """`https://host:port` of an address; None if it is none of HTTP's."""
    try:
        parts = urlsplit(url)
        found = f"{parts.scheme}://{parts.netloc}" if parts.scheme in ("http", "https") else None
    except ValueError:
        return None
    return found if parts.hostname and parts.username is None else None


def calls_for(entry: Entry, everyone: Sequence[str]) -> list[tuple[str, str]]:
    """(address, body) of the calls that a prompt's end is told by."""
    own = entry.extra.get("webhook")
    urls = dict.fromkeys([*everyone, *([own] if isinstance(own, str) else [])])
    told = {
        "type": f"prompt.{entry.state}",
        "timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "data": {**job(entry), "outputs": entry.outputs},
    }
    body = json.dumps(told, default=str)
    return [(url, body) for url in urls]


def signed(secret: str, call_id: str, moment: int, body: str) -> Mapping[str, str]:
    """The headers of a call."""
    message = f"{call_id}.{moment}.{body}".encode()
    mark = base64.b64encode(hmac.new(key_of(secret), message, hashlib.sha256).digest()).decode()
    return {
        "Content-Type": "application/json",
        "webhook-id": call_id,
        "webhook-timestamp": str(moment),
        "webhook-signature": f"v1,{mark}",
    }


def key_of(secret: str) -> bytes:
    """The bytes of a secret: base64 after `whsec_`, else the text itself."""
    if secret.startswith("whsec_"):
        try:
            return base64.b64decode(secret.removeprefix("whsec_"), validate=True)
        except binascii.Error:
            pass
    return secret.encode()


class Webhooks:
    """Makes the calls that the queue holds, each until it was answered with 2xx, or for seven times."""

    def __init__(self, queue: Queue, secret: str, delays: Sequence[float] = DELAYS) -> None:
        self.sent = self.failed = 0
        self._queue, self._secret, self._delays = queue, secret, delays

    async def work(self) -> None:
        """Makes calls for ever."""
        async with aiohttp.ClientSession(timeout=PATIENCE) as http:
            while True:
                due = [call for call in self._queue.calls() if call.due <= time.time()]
                await asyncio.gather(*(self._make(http, call) for call in due[:20]))
                if len(due) <= 20:
                    await asyncio.sleep(LOOK_EVERY)

    async def _make(self, http: aiohttp.ClientSession, call: Call) -> None:
        status = await self._status(http, call)
        if 200 <= status < 300:
            self.sent += 1
            self._queue.called(call, None)
            return
        self.failed += 1
        if status == GONE or call.tries >= len(self._delays):
            log.error("%s was not heard (%s); given up after %s tries", call.url, status, call.tries + 1)
            self._queue.called(call, None)
            return
        self._queue.called(call, time.time() + self._delays[call.tries])

    async def _status(self, http: aiohttp.ClientSession, call: Call) -> int:
        moment = int(time.time())
        headers = signed(self._secret, f"msg_{call.id}", moment, call.body)
        try:
            posted = http.post(call.url, data=call.body, headers=headers, allow_redirects=False)
            async with posted as answer:
                return answer.status
        except (aiohttp.ClientError, TimeoutError, asyncio.TimeoutError, ValueError) as error:
            log.warning("%s could not be called: %s", call.url, error or type(error).__name__)
            return 0
