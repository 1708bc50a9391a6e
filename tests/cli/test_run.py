import json
import sys
from pathlib import Path

import pytest
from noderack_cli.main import run
from noderack_cli.run_view import RunView
from noderack_host.folder import Host, HostConfig

TEXT = {
    "1": {"class_type": "StringConcatenate", "inputs": {"string_a": "a", "string_b": "b", "delimiter": "-"}},
    "2": {"class_type": "PreviewAny", "inputs": {"source": ["1", 0]}},
}


@pytest.fixture
def host(tmp_path: Path) -> Host:
    """A host that runs in this environment."""
    made = Host(tmp_path / "host", HostConfig())
    made.save()
    made.env.symlink_to(sys.prefix)
    (made.root / "wf.json").write_text(json.dumps(TEXT), encoding="utf-8")
    return made


def test_a_workflow_is_run_and_shown(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    code = run(["run", str(host.root / "wf.json"), "--host", str(host.root), "--set", "1.delimiter=+", "-v"])
    said = capsys.readouterr().out
    assert code == 0
    assert "node 2: a+b" in said and "PreviewAny (node 2):" in said and "2 nodes ran" in said


def test_json_is_the_child_s_lines_and_its_error_the_last(
    host: Host, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run(["run", str(host.root / "wf.json"), "--host", str(host.root), "--json", "--set", "1.x=3"])
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert code == 3 and lines[0]["type"] == "noderack.packs"
    assert lines[-1]["error"]["code"] == "bad-setting"
    assert sum("error" in line for line in lines) == 1


def test_a_host_without_python_says_what_to_do(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    host.env.unlink()
    assert run(["run", str(host.root / "wf.json"), "--host", str(host.root)]) == 4
    assert "nodes init" in capsys.readouterr().err


def test_node_types_are_shown_with_their_sockets(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["node", "show", "StringConcatenate", "--host", str(host.root)]) == 0
    shown = capsys.readouterr().out
    assert "delimiter" in shown and "STRING" in shown
    assert run(["node", "show", "StringConcat", "--host", str(host.root)]) == 4
    assert "Did you mean StringConcatenate" in capsys.readouterr().err


def test_long_nodes_get_a_line_and_short_ones_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    view = RunView()
    for seconds in (0.001, 2.5):
        timed = {"node": "3", "node_type": "KSampler", "seconds": seconds, "peak_bytes": 5_000_000}
        view({"type": "noderack.node_timed", "data": timed})
    view({"type": "noderack.done", "data": {"seconds": 2.6, "cached": ["1"]}})
    assert capsys.readouterr().out.splitlines() == [
        "  KSampler (node 3): 2.5 s, process peak 5.0 MB",
        "Done in 2.6 s: 2 nodes ran, 1 of them in no time; 1 node kept from before",
    ]
