"""New packs in a running server: a real server, a real installer, a real registry; live where it is safe."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from noderack_host.folder import Host

NODES = [sys.executable, "-m", "noderack_cli"]
SAY = """
class Say:
    RETURN_TYPES = ()
    FUNCTION = "say"
    OUTPUT_NODE = True

    @classmethod
    def INPUT_TYPES(cls):
        return {{"required": {{"text": ("STRING", {{}})}}}}

    def say(self, text):
        return {{"ui": {{"text": [text + {mark!r}]}}}}

NODE_CLASS_MAPPINGS = {{{name!r}: Say}}
"""


@dataclass
class Served:
    """A server that runs: where, and what it is asked."""

    url: str
    host: Host

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(self.url + path, timeout=10) as answer:
            return json.load(answer)

    def post(self, path: str, body: Any, **headers: str) -> Any:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        request = urllib.request.Request(self.url + path, json.dumps(body).encode(), sent)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.loads(answer.read() or b"null")

    def presence(self) -> dict[str, Any]:
        return dict(json.loads((self.host.user / "server.json").read_text()))

    def tell(self, number: int) -> Any:
        token = self.presence()["token"]
        return self.post("/noderack/generation", {"generation": number}, X_Noderack_Token=token)

    def say(self, kind: str) -> str:
        """Runs one prompt of that node type; gives what it said."""
        node = {"class_type": kind, "inputs": {"text": "hi"}}
        prompt_id = self.post("/prompt", {"prompt": {"1": node}})["prompt_id"]
        return str(
            within(10, lambda: self.get(f"/history/{prompt_id}"))[prompt_id]["outputs"]["1"]["text"][0]
        )


def within(seconds: float, look: Any) -> Any:
    """What `look` gives as soon as that is something; a server that starts may refuse for a while."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            if found := look():
                return found
        except (urllib.error.URLError, ConnectionError, FileNotFoundError):
            pass
        time.sleep(0.05)
    raise AssertionError(f"nothing came within {seconds} s")


@pytest.fixture
def served(rack: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv-cache"))
    words = [*NODES, "serve", "--host", str(rack.root), "--port", "0", "--json"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        yield Served(json.loads(child.stdout.readline())["url"], rack)
        child.send_signal(signal.SIGTERM)
        assert child.wait(20) == 0
    assert not (rack.user / "server.json").exists(), "it is removed at the end"


def install(host: Host, *words: str) -> int:
    """Installs in a child; gives the number of the generation in use afterwards."""
    done = subprocess.run([*NODES, *words, "--yes"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return int(host.env.readlink().name)


def test_a_new_pack_is_used_without_a_restart_and_a_changed_one_after_one(shop: Any, served: Served) -> None:
    before = served.presence()
    assert before["url"] == served.url and before["generation"] == 1
    assert oct((served.host.user / "server.json").stat().st_mode & 0o777) == "0o600"
    shop.sell("talk", types=["Talk"], source=SAY.format(name="Talk", mark="!"))
    assert "Talk" not in served.get("/object_info")
    taken = served.tell(install(served.host, "install", "talk"))
    assert taken["taken"] == "live", taken
    assert served.say("Talk") == "hi!"
    now = served.presence()
    assert now["pid"] == before["pid"] and now["generation"] == 2 and now["generations"] == [1, 2]

    served.post("/queue", {"pause": True})
    node = {"class_type": "Talk", "inputs": {"text": "later"}}
    served.post("/prompt", {"prompt": {"1": node}, "prompt_id": "kept"})
    shop.sell("talk", "2.0", types=["Talk"], source=SAY.format(name="Talk", mark="?"))
    number = install(served.host, "update", "talk")
    try:
        taken = served.tell(number)
        assert taken["taken"] == "restart" and "talk" in taken["reason"]
    except (urllib.error.URLError, FileNotFoundError):
        pass  # the installer told by itself, and the server starts again already
    within(20, lambda: served.presence()["pid"] != before["pid"])
    pending = within(10, lambda: served.get("/queue"))["queue_pending"]
    assert [item[1] for item in pending] == ["kept"]
    served.post("/queue", {"pause": False})
    assert within(10, lambda: served.get("/history/kept"))["kept"]["outputs"]["1"]["text"] == ["later?"]


def test_a_generation_that_nobody_tells_of_is_noticed(shop: Any, served: Served) -> None:
    shop.sell("talk", types=["Talk"], source=SAY.format(name="Talk", mark="!"))
    install(served.host, "install", "talk")
    assert within(10, lambda: served.get("/object_info/Talk"))
    assert served.say("Talk") == "hi!"


def test_only_the_token_of_the_start_may_tell(served: Served) -> None:
    for token in ("", "guess"):
        with pytest.raises(urllib.error.HTTPError) as refused:
            served.post("/noderack/generation", {"generation": 1}, X_Noderack_Token=token)
        assert refused.value.code == 403 and b"server.json" in refused.value.read()
    token = served.presence()["token"]
    for body, code in (({"generation": 99}, 404), ({"generation": "1"}, 400), ([], 400)):
        with pytest.raises(urllib.error.HTTPError) as refused:
            served.post("/noderack/generation", body, X_Noderack_Token=token)
        assert refused.value.code == code


def test_a_pack_under_development_is_loaded_again(shop: Any, served: Served) -> None:
    shop.sell("talk", types=["Talk"], source=SAY.format(name="Talk", mark="!"))
    served.tell(install(served.host, "install", "talk"))
    assert served.say("Talk") == "hi!"
    file = next(served.host.generations.glob("2/lib/python3*/site-packages/talk/__init__.py"))
    file.unlink()
    file.write_text(SAY.format(name="Talk", mark=" again"))
    with (served.host.user / "packs-changed").open("a") as lines:
        lines.write(json.dumps({"pack": "talk", "time": time.time()}) + os.linesep)
    within(10, lambda: served.say("Talk") == "hi again")
