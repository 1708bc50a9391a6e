import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from noderack_host.execute import RunResult
from noderack_host.folder import Host, HostConfig
from noderack_host.headless import written
from noderack_host.measure import Timing
from noderack_host.trace import trace_of, write_trace

PROMPT = {
    "1": {"class_type": "StringConcatenate", "inputs": {"string_a": "a", "string_b": "b", "delimiter": "-"}},
    "2": {"class_type": "PreviewAny", "inputs": {"source": ["1", 0]}},
}
FAILS = {
    "1": {
        "class_type": "RegexMatch",
        "inputs": {"string": "a", "regex_pattern": "(", "case_insensitive": 1, "multiline": 0, "dotall": 0},
    },
    "2": {"class_type": "PreviewAny", "inputs": {"source": ["1", 0]}},
}


@pytest.fixture
def host(tmp_path: Path) -> Host:
    made = Host(tmp_path / "host", HostConfig())
    made.save()
    (made.root / "wf.json").write_text(json.dumps(PROMPT), encoding="utf-8")
    (made.root / "fails.json").write_text(json.dumps(FAILS), encoding="utf-8")
    return made


def call(host: Host, *words: str) -> tuple[int, list[dict[str, Any]]]:
    command = [sys.executable, "-m", "noderack_host", *words]
    done = subprocess.run(command, cwd=host.root, capture_output=True, text=True, timeout=120, check=False)
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]


def test_a_batch_runs_shared_work_once_and_can_be_resumed(host: Host) -> None:
    words = ("run", "wf.json", "--grid", "2.source=4,7", "--set", "1.string_a=x", "--record", "done.jsonl")
    code, lines = call(host, *words, "--trace", "trace.json")
    assert code == 0
    shown = [line["data"]["output"]["text"] for line in lines if line["type"] == "executed"]
    assert shown == [["4"], ["7"]]
    bars = json.loads((host.root / "trace.json").read_text())["traceEvents"]
    assert [bar["name"] for bar in bars if bar["ph"] == "X"] == ["PreviewAny", "PreviewAny"]
    code, lines = call(host, *words, "--resume")
    assert code == 0 and [line["type"] for line in lines].count("noderack.job_skipped") == 2


@pytest.mark.parametrize(
    ("words", "code", "exit_code"),
    [
        (("run", "wf.json", "--host", "/nowhere"), "host", 4),
        (("run", "gone.json"), "bad-workflow", 3),
        (("run", "wf.json", "--set", "1.delimter=3"), "bad-setting", 3),
        (("run", "wf.json", "--set", '2.source=["9", 0]'), "prompt-invalid", 8),
        (("run", "wf.json", "--cache", "lots"), "bad-input", 3),
        (("run", "fails.json"), "node-failed", 7),
    ],
)
def test_bad_input_is_one_json_line_with_its_exit_code(
    host: Host, words: tuple[str, ...], code: str, exit_code: int
) -> None:
    returned, lines = call(host, *words)
    error = lines[-1]["error"]
    assert (returned, error["exit"], error["code"]) == (exit_code, exit_code, code)
    assert error["message"]


def test_an_output_below_an_open_socket_is_left_out_and_told(host: Host) -> None:
    open_ended = {**PROMPT, "3": {"class_type": "PreviewAny", "inputs": {}}}
    (host.root / "open.json").write_text(json.dumps(open_ended), encoding="utf-8")
    code, lines = call(host, "run", "open.json")
    assert code == 0 and [line["data"]["node"] for line in lines if line["type"] == "executed"] == ["2"]
    (note,) = [line["data"] for line in lines if line["type"] == "noderack.note"]
    assert (note["code"], note["where"]) == ("open-socket", "3") and "without output 3" in note["message"]


def test_inspect_lists_types_as_object_info(host: Host) -> None:
    code, lines = call(host, "inspect", "--types", "PreviewAny", "--host", str(host.root))
    assert code == 0 and list(lines[0]["node_types"]) == ["PreviewAny"]
    assert lines[0]["node_types"]["PreviewAny"]["output_node"] is True
    assert lines[0]["failures"] == []


def test_written_files_are_found_in_the_host_s_folders(host: Host) -> None:
    file = host.output / "sub/a.png"
    file.parent.mkdir(parents=True)
    file.touch()
    images = [
        {"filename": "a.png", "subfolder": "sub", "type": "output"},
        {"filename": "b.png", "type": "temp"},
    ]
    assert list(written({"9": {"images": images, "text": ["x"], "n": [1]}}, host)) == [("9", file)]


@pytest.mark.skipif(
    signal.getsignal(signal.SIGINT) is signal.SIG_IGN, reason="who started us ignores interrupts"
)
def test_an_interrupt_ends_a_run_with_its_own_exit_code(host: Host) -> None:
    waits = {"1": {"class_type": "Waits", "inputs": {}}}
    (host.root / "waits.json").write_text(json.dumps(waits), encoding="utf-8")
    dist = host.root / "waiting-1.0.dist-info"
    dist.mkdir()
    (dist / "METADATA").write_text("Metadata-Version: 2.1\nName: waiting\nVersion: 1.0\n")
    (dist / "entry_points.txt").write_text("[noderack.packs]\nwaiting = waiting_pack\n")
    (host.root / "waiting_pack.py").write_text(
        "import time\nfrom noderack_host.native import Progress, node\n"
        "from collections.abc import Generator\n@node(output=True)\n"
        "def waits() -> Generator[Progress, None, None]:\n"
        "    for step in range(1000):\n        yield Progress(step, 1000)\n        time.sleep(0.05)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(host.root)}
    command = [sys.executable, "-m", "noderack_host", "run", "waits.json"]
    with subprocess.Popen(command, cwd=host.root, env=environment, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        line = next(line for line in run.stdout if '"progress"' in line)
        run.send_signal(signal.SIGINT)
        rest = [line, *run.stdout]
        assert run.wait(20) == 130
    assert json.loads(rest[-1])["error"]["code"] == "interrupted"


def test_a_trace_puts_parallel_nodes_into_rows() -> None:
    times = [Timing("a", "A", 0.0, 2.0), Timing("b", "B", 1.0, 2.0, 99), Timing("c", "C", 2.5, 1.0)]
    result = RunResult("p", {}, {}, (), tuple(times))
    events = [event for event in trace_of(result.timings)["traceEvents"] if event["ph"] == "X"]
    assert [(event["name"], event["tid"], event["dur"]) for event in events] == [
        ("A", 1, 2e6),
        ("B", 2, 2e6),
        ("C", 1, 1e6),
    ]
    assert events[1]["args"] == {"node": "b", "peak_bytes": 99}


def test_a_trace_is_of_the_form_that_viewers_open() -> None:
    """The trace event format: complete events with times in µs, a name for the process and each row."""
    times = (Timing("a", "A", 5.0, 2.0), Timing("b", "B", 6.0, 2.0, 99))
    trace = json.loads(write_trace(times))
    assert trace["displayTimeUnit"] in ("ms", "ns")
    complete = [event for event in trace["traceEvents"] if event["ph"] == "X"]
    assert [(event["ts"], event["dur"]) for event in complete] == [(0, 2e6), (1e6, 2e6)]
    named = {(event["name"], event.get("tid")) for event in trace["traceEvents"] if event["ph"] == "M"}
    assert {("process_name", 0), ("thread_name", 1), ("thread_name", 2)} <= named
    counters = [event for event in trace["traceEvents"] if event["ph"] == "C"]
    assert [event["args"] for event in counters] == [{"bytes": 99}]
    for event in trace["traceEvents"]:
        assert {"name", "ph", "pid"} <= event.keys() and isinstance(event["pid"], int)
        assert isinstance(event.get("tid", 0), int) and event.get("ts", 0) >= 0
