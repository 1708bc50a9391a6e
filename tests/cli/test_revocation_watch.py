"""What was revoked is not started; the list is brought up to date beside the start, and its age is told."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from noderack_cli.main import run
from noderack_cli.revocation_watch import Watch, age, brought_up_to_date, old
from noderack_cli.trust import LIST
from noderack_host.folder import Host
from noderack_host.revoked import revoked_packs

NODES = str(Path(sys.executable).with_name("nodes"))
DAY = 86_400


def revoke(shop: Any, name: str) -> None:
    body = {"name": name, "version": "1.0", "reason": "steals tokens"}
    headers = {"Authorization": f"Bearer {shop.token}"}
    httpx.post(f"{shop.url}/api/v1/revocations", json=body, headers=headers).raise_for_status()


@pytest.fixture
def with_film(shop: Any, rack: Host) -> Host:
    shop.sell("film", types=["FilmGrain"])
    shop.sell("sheet", types=["Sheet"])
    assert run(["install", "film", "sheet", "--yes"]) == 0
    return rack


def test_a_revoked_pack_is_not_loaded_and_says_what_to_do(shop: Any, with_film: Host) -> None:
    revoke(shop, "film")
    assert revoked_packs(with_film) == {}  # the host has not heard of it yet
    assert brought_up_to_date(with_film) == ""
    assert revoked_packs(with_film) == {"film": "steals tokens"}
    words = [NODES, "serve", "--host", str(with_film.root), "--port", "0", "--json"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        ready = json.loads(child.stdout.readline())
        os.kill(child.pid, signal.SIGTERM)
        child.wait(20)
    (failed,) = [one for one in ready["failed"] if one["pack"] == "film"]
    assert failed["cause"] == (
        "Revoked: its registry revoked it: steals tokens. Take it out: nodes uninstall film"
    )


def test_what_is_revoked_while_a_server_runs_is_told_once(shop: Any, with_film: Host) -> None:
    said: list[str] = []
    watch = Watch(with_film, said.append)
    revoke(shop, "film")
    watch._ask()
    watch._ask()
    (line,) = said
    assert line.startswith("The registry has revoked film: steals tokens. It runs until this ends")


def test_a_registry_that_cannot_be_asked_is_told_with_the_age_of_the_list(with_film: Host) -> None:
    assert age(with_film) is not None and age(with_film, time.time() + 60) >= 60
    away = with_film.with_config(registry="http://127.0.0.1:9")
    (away.root / LIST).touch()
    os.utime(away.root / LIST, (0, time.time() - 3 * DAY - 60))
    told = brought_up_to_date(away)
    assert told.startswith("The list of revoked packs was not brought up to date: ")
    assert told.endswith("; the one here is 3 days old.")
    (away.root / LIST).unlink()
    assert old(away) == "there is none here yet"


def test_a_host_without_a_registry_asks_nobody(rack: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    watch = Watch(rack.with_config(registry=None), said.append)
    watch.start()
    assert not watch._thread.is_alive() and said == []
