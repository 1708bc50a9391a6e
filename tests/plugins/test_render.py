"""Workflow files run whole: read, converted, checked, and drawn with random weights of real structure."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[1] / "benchmarks/bench_render.py"


@pytest.mark.slow
def test_our_own_workflows_run(tmp_path: Path) -> None:
    left_out = ("PEER", "CORPUS", "RENDER_ONLY")
    own = {name: value for name, value in os.environ.items() if name not in left_out}
    told = {**own, "RENDER_WORK": str(tmp_path)}
    done = subprocess.run([sys.executable, BENCH], env=told, capture_output=True, text=True, check=True)
    figures = json.loads(done.stdout.splitlines()[-1])["figures"]
    assert figures["workflows"] == 3
    assert figures["ran"] == 100.0, done.stdout
    assert list(tmp_path.rglob("ours/output/**/*.png"))
