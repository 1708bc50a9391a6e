"""What hostile code cannot do in the jail, on this very machine."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from noderack_registry.jail import Ended, JailError, Limits, run

PYTHON = "/usr/bin/python3" if Path("/usr/bin/python3").exists() else sys.executable
pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="the jail is made of Linux's walls"),
    pytest.mark.skipif(sys.executable == PYTHON, reason="needs the system's own Python in /usr/bin"),
]


def jailed(code: str, **limits: int) -> Ended:
    try:
        return run([PYTHON, "-I", "-c", code], limits=Limits(**{"seconds": 20, **limits}))
    except JailError as cause:
        pytest.skip(f"no jail on this machine: {cause}")


def test_every_wall_says_whether_it_stood():
    ended = jailed("print('in')")
    assert (ended.code, ended.why, ended.out) == (0, "", b"in\n")
    assert {"files", "network", "limits", "own world", "own files", "account"} <= set(ended.walls)
    assert all(said == "stood" or said.startswith("did not stand: ") for said in ended.walls.values())


HANG = "while True: pass"
HANG_ASLEEP = "import time, threading; threading.Thread(target=lambda: time.sleep(999)).start()"
BOMB = "import os, time\nwhile True:\n    try: os.fork()\n    except OSError: time.sleep(0.1)"
EATS = "x = []\nwhile True: x.append(b'1' * 10_000_000)"
EAT_TOGETHER = "import os, time\nfor i in range(8): os.fork() and None\nx = b'1' * 20_000_000\ntime.sleep(30)"
CRASH = "import ctypes; ctypes.string_at(0)"


@pytest.mark.parametrize(
    ("code", "limits", "why", "exit_code"),
    [
        (HANG, {"seconds": 1}, "time", -9),
        (HANG_ASLEEP, {"seconds": 1}, "time", -9),
        (BOMB, {"seconds": 2, "processes": 20}, "time", -9),
        (EATS, {"memory": 100 << 20}, "", 1),
        (EAT_TOGETHER, {"memory": 200 << 20, "processes": 300}, "memory", -9),
        ("while True: print('y' * 100_000)", {"output": 1 << 20}, "output", -9),
        ("open('/tmp/a', 'wb').write(bytes(50 << 20))", {"disk": 10 << 20}, "", 1),
        ("import os; os._exit(7)", {}, "", 7),
        (CRASH, {}, "", -11),
        ("import os; os.kill(os.getppid(), 9); os.kill(-1, 9); print('here')", {}, None, None),
    ],
)
def test_what_takes_too_much_or_breaks_is_ended_and_told(code, limits, why, exit_code):
    ended = jailed(code, **limits)
    if why is not None:
        assert (ended.why, ended.code) == (why, exit_code)
    assert not left_behind()


def left_behind() -> list[str]:
    folders = [path.name for path in Path(tempfile.gettempdir()).glob("noderack-jail-*")]
    told = [path / "cmdline" for path in Path("/proc").iterdir() if path.name.isdigit()]
    texts = [path.read_bytes() for path in told if path.exists()]
    return [*folders, *(text.decode() for text in texts if b"jail/walls.py" in text)]


SOCKETS = """
import socket
for family, address in ((2, ('127.0.0.1', PORT)), (10, ('::1', PORT)), (2, ('192.0.2.1', 80))):
    for kind in (1, 2):
        try:
            one = socket.socket(family, kind); one.settimeout(1); one.connect(address)
            one.send(b'x'); print('reached', address)
        except OSError: pass
print('done')
"""


def test_nothing_of_the_network_can_be_reached():
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        ended = jailed(SOCKETS.replace("PORT", str(server.getsockname()[1])))
    assert ended.out == b"done\n"


def test_files_of_others_are_not_there_and_nothing_can_be_written(tmp_path, monkeypatch):
    secret = tmp_path / "secret"
    secret.write_text("token")
    secret.chmod(0o644)
    monkeypatch.setenv("NODERACK_TOKEN", "ndr_secret")
    places = ["/usr/x", "/etc/x", "/x", "/root/x", "/dev/x", "/var/x", "/tmp/../usr/x", str(tmp_path / "x")]
    code = f"""
import os
for place in {places!r}:
    try: open(place, 'w'); print('wrote', place)
    except OSError: pass
for place in ({str(secret)!r}, '/etc/shadow', '/root/.bashrc', '/etc/hostname'):
    try: print('read', place, open(place).read()[:20])
    except OSError: pass
print(sorted(os.environ), os.getuid() != 0)
"""
    assert jailed(code).out.decode().splitlines()[-1] == "['LC_CTYPE'] True"
    assert len(jailed(code).out.splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["secret"]


ESCAPES = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
tries = {
    'unshare': lambda: libc.unshare(0x10000000),
    'mount': lambda: libc.mount(b'x', b'/tmp', b'tmpfs', 0, None),
    'ptrace': lambda: libc.ptrace(16, os.getppid(), 0, 0), 'setuid': lambda: libc.setuid(0),
    'chroot': lambda: libc.chroot(b'/tmp'),
}
print([name for name, attempt in tries.items() if attempt() == 0])
"""


def test_walls_cannot_be_taken_down_from_within():
    assert jailed(ESCAPES).out == b"[]\n"


def test_what_is_shown_can_be_read_and_not_changed(tmp_path):
    file = tmp_path / "shown" / "a.txt"
    file.parent.mkdir()
    file.write_text("hello")
    code = f"print(open({str(file)!r}).read())\ntry: open({str(file)!r}, 'a')\nexcept OSError: print('no')"
    try:
        ended = run([PYTHON, "-I", "-c", code], shown=[file.parent])
    except JailError as cause:
        pytest.skip(f"no jail on this machine: {cause}")
    assert ended.out == b"hello\nno\n"


# A machine where nobody may make namespaces: what stands then is Landlock, the filter of calls, the limits.
NO_NAMESPACES = "for n in user mnt net pid; do echo 0 > /proc/sys/user/max_${n}_namespaces || exit 9; done; "
HELD = """
import sys; sys.path[:0] = SYS_PATH
from noderack_registry.jail import run
ended = run([PYTHON, '-I', '-c', CODE])
print(ended.out.decode(), ended.walls)
"""
TRIES = """
import socket
for work in (lambda: socket.socket(2), lambda: open('/etc/hostname'), lambda: open('/usr/x', 'w')):
    try: work(); print('could')
    except OSError: print('refused')
open('mine', 'w').write('x')
"""


@pytest.mark.skipif(not shutil.which("unshare"), reason="needs unshare to take namespaces away")
def test_without_namespaces_other_walls_stand_or_nothing_is_run(tmp_path):
    code = (
        HELD.replace("SYS_PATH", repr(sys.path)).replace("PYTHON", repr(PYTHON)).replace("CODE", repr(TRIES))
    )
    script = f'{NO_NAMESPACES} exec "$0" -c "$1"'
    command = ["unshare", "-Ur", "sh", "-c", script, sys.executable, code]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    if done.returncode == 9 or "unshare" in done.stderr:
        pytest.skip("namespaces cannot be taken away here")
    if "no walls for a jail" in done.stderr:
        return  # an older kernel, without Landlock: then nothing is run
    assert done.stdout.count("refused") == 3, done.stderr
    assert "'own world': 'did not stand" in done.stdout
