"""`nodes top` on a server that really runs."""

import json
import subprocess
import sys
from pathlib import Path

from noderack_cli.commands.top import lines

NODES = [sys.executable, "-m", "noderack_cli"]
NOW = {
    **{"up_seconds": 75.0, "paused": True, "clients": 1, "over": {"completed": 3, "failed": 1}},
    **{"waiting_in_all": 1, "waiting": [{"id": "w", "client": "me", "nodes": 7, "priority": 5}]},
    "running": {
        **{"id": "r", "nodes": 7, "seconds": 4.0, "node": "3", "node_type": "KSampler"},
        **{"value": 5, "max": 20, "per_second": 0.5},
    },
    "memory": {"resident": 2 << 30, "total": 16 << 30, "free": 8 << 30},
    "devices": [{"name": "cuda:0", "type": "cuda", "vram_free": 1 << 30, "vram_total": 8 << 30}],
    "node_types": [{"node_type": "KSampler", "runs": 2, "seconds": 20.0}],
}


def test_it_shows_queue_nodes_memory_and_speed() -> None:
    text = "\n".join(lines(NOW, "http://x"))
    for told in ("PAUSED", "3 completed", "KSampler  ", "5/20", "2.0 s/it", "priority 5", "cuda:0", "2 runs"):
        assert told in text, text
    assert "nothing runs" in "\n".join(lines({**NOW, "running": None}, "http://x"))


def test_without_a_server_it_says_so(tmp_path: Path) -> None:
    (tmp_path / "host.toml").touch()
    words = [*NODES, "top", "--once", "--host", str(tmp_path), "--json"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    told = json.loads(done.stdout)["error"]
    assert done.returncode == 4 and "nodes serve" in told["hint"]
