"""Slow clients, on real sockets: heads and bodies that stop, answers that nobody reads; others are served."""

from __future__ import annotations

import hashlib
import socket
import time
from collections.abc import Iterator
from contextlib import closing

import httpx
import pytest
from noderack_registry.server import Settings, serving

SILENCE = 1.0
SHA = "ab" * 32


@pytest.fixture
def served(tmp_path, make_bench) -> Iterator[tuple[str, str, Settings]]:
    bench = make_bench(silence=SILENCE)
    with serving(bench.settings) as url:
        yield url, bench.token(), bench.settings


def line(url: str) -> socket.socket:
    host, port = url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=10)


def ends_within(connection: socket.socket, seconds: float) -> bytes:
    """What still comes until the server closes the connection, which must be soon."""
    started, said = time.monotonic(), b""
    while block := connection.recv(65536):
        said += block
    assert time.monotonic() - started < seconds
    return said


@pytest.mark.parametrize("said", [b"", b"GET /heal", b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-"])
def test_a_head_that_does_not_come(served, said):
    url, _, _ = served
    with closing(line(url)) as slow:
        slow.sendall(said)
        assert ends_within(slow, SILENCE + 3) == b""


def test_a_trickle_is_no_head(served):
    """A byte now and then does not win time."""
    url, _, _ = served
    with closing(line(url)) as slow:
        started = time.monotonic()
        try:
            for byte in b"GET /healthz HTTP/1.1\r\nX: " + b"x" * 100:
                slow.sendall(bytes([byte]))
                time.sleep(0.1)
        except OSError:
            pass
        assert time.monotonic() - started < SILENCE + 3


def test_a_second_question_has_its_time_again(served):
    url, _, _ = served
    with closing(line(url)) as client:
        for _ in range(3):
            client.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert client.recv(65536).startswith(b"HTTP/1.1 200")
            time.sleep(SILENCE * 0.6)


@pytest.mark.parametrize("pause", [0.0, 0.2])
def test_a_body_that_stops_or_trickles(served, pause):
    url, token, settings = served
    head = f"PUT /api/v1/blobs/{SHA} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n"
    with closing(line(url)) as slow:
        slow.sendall((head + "Content-Length: 100000\r\n\r\n").encode() + b"x" * 100)
        for _ in range(15 if pause else 0):
            time.sleep(pause)
            try:
                slow.sendall(b"x")
            except OSError:
                break
        said = ends_within(slow, SILENCE + 3)
    assert b" 408 " in said.split(b"\r\n")[0]
    assert b"too-slow" in said
    assert not list((settings.data / "incoming").iterdir())


def test_an_answer_that_nobody_reads(served):
    url, token, _ = served
    data = bytes(30 << 20)
    sha256 = hashlib.sha256(data).hexdigest()
    headers = {"Authorization": f"Bearer {token}"}
    assert httpx.put(f"{url}/api/v1/blobs/{sha256}", content=data, headers=headers).status_code == 201
    with closing(line(url)) as slow:
        slow.sendall(f"GET /blobs/{sha256}/x HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        time.sleep(SILENCE + 1)
        assert len(ends_within(slow, 10)) < len(data)
    assert httpx.get(f"{url}/blobs/{sha256}/x").content == data


def test_many_slow_ones_hold_nobody_up(served):
    url, _, _ = served
    slow = [line(url) for _ in range(200)]
    for one in slow:
        one.sendall(b"GET /healthz HTTP/1.1\r\nHost: loc")
    started = time.monotonic()
    assert httpx.get(f"{url}/healthz").status_code == 200
    assert time.monotonic() - started < 5
    for one in slow:
        assert ends_within(one, SILENCE + 5) == b""
        one.close()
