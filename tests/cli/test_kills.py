"""kill -9 at random moments of an install, and a disk that is really full: `env` is the old generation or the
new one, and a second run finishes the work. `test_broken_calls.py` breaks each call on its own."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from noderack_cli import generations
from noderack_cli.doctor import look
from noderack_cli.exits import Exit
from noderack_cli.installed import installed
from noderack_host.folder import Host

NODES = [sys.executable, "-m", "noderack_cli"]
INSTALL = [*NODES, "install", "film", "--yes"]
TEN = [*NODES, "install", "film", *(f"pack-{n}" for n in range(9)), "--yes"]


@pytest.fixture
def stand(shop: Any, rack: Host, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Host:
    """A host and a registry with a pack of a few files, not installed yet."""
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv-cache"))
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    files = {f"data/{n}.txt": b"x" * 1000 for n in range(20)}
    shop.sell("film", types=["FilmGrain"], requires=["lib"], files=files)
    shop.sell("lib", library=True)
    return rack


def whole(host: Host) -> generations.Generation:
    """The generation in use; fails unless it is complete and starts."""
    now = generations.current(host)
    have = installed(now.path)
    assert set(now.packs) <= set(have), "every recorded pack is there"
    assert {n for n in have if n.startswith(("film", "pack-"))} <= set(now.packs), "old or new, no mix"
    names = [name.replace("-", "_") for name, pack in now.packs.items() if pack.origin != "host"]
    subprocess.run([now.python, "-c", f"import {', '.join(['sys', *names])}"], check=True)
    assert look(host) == [], "doctor finds nothing"
    return now


def finish(host: Host, command: Sequence[str] = INSTALL) -> None:
    """A second run ends the work; then all is as at the start."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert set(command) & {"film", "pack-0", "pack-8"} <= set(whole(host).packs)
    generations.rollback(host, 1)
    generations.prune(host, 0)
    assert [p.name for p in host.generations.iterdir()] == ["1"]


def killed_after(seconds: float, command: Sequence[str]) -> bool:
    child = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        child.wait(seconds)
        return False
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        return True


def random_kills(host: Host, rounds: int, seed: int, command: Sequence[str] = INSTALL) -> int:
    """Kill `rounds` installs at random moments of a normal run's time; returns how many were really cut."""
    finish(host, command)  # fills uv's cache
    start = time.monotonic()
    finish(host, command)
    usual, chance = time.monotonic() - start, random.Random(seed)
    cut = 0
    for _ in range(rounds):
        cut += killed_after(chance.uniform(0.2, 1.0) * usual, command)
        if len(whole(host).packs) > 1:
            generations.rollback(host, 1)
    finish(host, command)
    return cut


def test_random_kills_leave_the_old_or_the_new(stand: Host) -> None:
    assert random_kills(stand, 4, seed=1) > 0


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_two_hundred_random_kills_of_ten_packs(stand: Host, shop: Any) -> None:
    for n in range(9):
        shop.sell(f"pack-{n}", types=[f"T{n}"], requires=["lib"])
    rounds, seed = (
        int(os.environ.get(f"NODERACK_KILLS{name}", n)) for name, n in (("", "200"), ("_SEED", "2"))
    )
    cut = random_kills(stand, rounds, seed=seed, command=TEN)
    print(f"{cut} of {rounds} kills cut an install")
    assert cut > rounds // 4


SMALL = """
set -e
mount -t tmpfs -o size={size} small {place}
cp -a {host}/. {place}/
cd {place}
export NODERACK_HOST={place}
rm -f env; ln -s generations/1 env
{python} -m noderack_cli install film --yes --json || echo "exit=$?"
ls generations
readlink env
"""


def test_a_full_disk_is_one_sentence(stand: Host, shop: Any, tmp_path: Path) -> None:
    place = tmp_path / "small"
    place.mkdir()
    shop.sell("film", "2.0", types=["FilmGrain"], files={"big.bin": os.urandom(6 << 20)})
    script = SMALL.format(size="4m", place=place, host=stand.root, python=sys.executable)
    done = subprocess.run(["unshare", "-m", "sh", "-c", script], capture_output=True, text=True, check=False)
    if "mount:" in done.stderr or "unshare" in done.stderr:
        pytest.skip("this machine lets nobody mount a small filesystem")
    error = next(json.loads(line)["error"] for line in done.stdout.splitlines() if '"error"' in line)
    assert (error["code"], error["exit"]) == ("no-space", Exit.NO_SPACE), done.stdout
    assert done.stdout.split()[-3:] == [f"exit={int(Exit.NO_SPACE)}", "1", "generations/1"]


def test_a_request_to_end_is_obeyed_and_leaves_nothing(stand: Host, shop: Any) -> None:
    shop.sell("slow", source="import time; time.sleep(60)", declared=["Slow"])
    words = [*NODES, "install", "slow", "--yes"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        while child.poll() is None and not (stand.generations / "2" / "pyvenv.cfg").exists():
            time.sleep(0.05)
        child.terminate()
        _, err = child.communicate()
    assert (child.returncode, err) == (Exit.INTERRUPTED, "\nnodes: Stopped.\n"), err
    assert [p.name for p in stand.generations.iterdir()] == ["1"] and look(stand) == []


def test_two_installers_at_once(stand: Host, shop: Any) -> None:
    shop.sell("other", types=["Other"])
    first = subprocess.Popen(INSTALL, stdout=subprocess.PIPE)
    second = subprocess.run(
        [*NODES, "install", "other", "--yes"], capture_output=True, text=True, check=False
    )
    first.communicate()
    assert first.returncode == 0 and second.returncode == 0, second.stderr
    assert {"film", "other"} <= set(generations.current(stand).packs)
