"""What `nodes memory` says."""

import json
import subprocess
import sys
from pathlib import Path

from noderack_cli.commands.memory import lines

TOLD = {
    "rooms": [
        {
            **{"device": "cuda", "capacity": 12 * 10**9, "reserve": 8 * 10**8},
            "models": [
                {"name": "sdxl:unet", "bytes": 5 * 10**9, "here": 3 * 10**9, "streamed": ["a", "b"]},
                {"name": "sdxl:vae", "bytes": 10**8, "here": 10**8, "streamed": []},
            ],
            "happened": [{"what": "sdxl:clip gave up 33 blocks", "why": ["last used 2 runs ago"]}],
        }
    ]
}


def test_it_shows_models_what_went_and_why() -> None:
    text = "\n".join(lines(TOLD))
    for told in ("cuda", "kept free", "sdxl:unet", "streams 2 blocks", "gave up 33", "last used 2 runs ago"):
        assert told in text, text
    assert lines({"rooms": []}) == ["no model has been used yet"]


def test_without_a_server_it_says_so(tmp_path: Path) -> None:
    (tmp_path / "host.toml").touch()
    words = [sys.executable, "-m", "noderack_cli", "memory", "--host", str(tmp_path), "--json"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    told = json.loads(done.stdout)["error"]
    assert done.returncode == 4 and "nodes serve" in told["hint"]
