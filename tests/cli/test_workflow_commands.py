"""`nodes workflow ...` from the outside: what is printed, what is written, how it ends."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from noderack_cli.main import run
from noderack_cli.workflow_schemas import ask_registry
from noderack_host.workflow import read_workflow
from noderack_registry.client import RegistryClient

CASES = Path(__file__).parents[1] / "cases/workflows"
UI, API, SCHEMAS = (str(CASES / name) for name in ("txt2img.ui.json", "txt2img.api.json", "object_info.json"))

Nodes = Callable[..., tuple[int, str, str]]


@pytest.fixture
def nodes(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Nodes:
    """Run `nodes workflow ARGS` in an empty folder: exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NODERACK_HOST", raising=False)

    def call(*args: str) -> tuple[int, str, str]:
        code = run(["workflow", *args])
        out, err = capsys.readouterr()
        return code, out, err

    return call


def test_show(nodes: Nodes) -> None:
    code, out, _ = nodes("show", UI)
    assert code == 0
    assert "3 KSampler" in out
    assert "checkpoints/tiny-shapes.safetensors  node 4  https://models.example/" in out
    data = json.loads(nodes("show", UI, "--json")[1])
    assert data["models"][0]["sha256"] == "ab" * 32


def test_convert_to_api_on_stdout(nodes: Nodes) -> None:
    code, out, err = nodes("convert", UI, "--schemas", SCHEMAS)
    assert (code, err) == (0, "")
    assert json.loads(out)["3"]["inputs"]["seed"] == 156680208700286


def test_notes_do_not_spoil_the_output(nodes: Nodes) -> None:
    _, out, err = nodes("convert", UI)
    assert json.loads(out)["3"]["class_type"] == "KSampler"
    assert "note: nodes[4]: no schema for 'KSampler'" in err


def test_a_registry_describes_what_the_host_lacks() -> None:
    entry = {"input": {"required": {"strength": ["FLOAT", {"default": 1.0}]}}, "output": ["IMAGE"]}
    claim = {
        "type": "Grain",
        "pack": "film",
        "version": "1.2",
        "origin": "verified",
        "rank": 1,
        "reason": "only one",
    }
    unread = {**claim, "type": "Odd", "version": None, "origin": "catalogue"}
    version = {"pack": "film", "version": "1.2", "node_types": {"Grain": entry, "Other": {}}}

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/resolve"):
            return httpx.Response(
                200, json={"node_types": {"Grain": [claim], "Odd": [unread], "No": []}, "models": {}}
            )
        assert request.url.path.endswith("/packs/film/versions/1.2")
        return httpx.Response(200, json=version)

    http = httpx.Client(transport=httpx.MockTransport(answer))
    found = ask_registry(RegistryClient("http://registry.test", http=http), ["Grain", "Odd", "No"])
    assert list(found) == ["Grain"]
    assert found["Grain"].inputs[0].default == 1.0


def test_there_and_back(nodes: Nodes, tmp_path: Path) -> None:
    code, out, err = nodes("convert", API, "--to", "ui", "--schemas", SCHEMAS, "-o", "made.json")
    assert (code, out, err) == (0, "", "wrote made.json\n")
    assert nodes("diff", "made.json", UI, "--schemas", SCHEMAS)[1] == "The two workflows run the same.\n"
    assert [p.name for p in tmp_path.iterdir()] == ["made.json"]


def test_diff(nodes: Nodes, tmp_path: Path) -> None:
    changed = json.loads(Path(API).read_text())
    changed["3"]["inputs"]["steps"] = 30
    changed["12"] = changed.pop("7")
    changed["3"]["inputs"]["negative"] = ["12", 0]
    del changed["9"]
    (tmp_path / "b.json").write_text(json.dumps(changed))
    _, out, _ = nodes("diff", API, "b.json")
    assert out.splitlines() == [
        "- 9 SaveImage",
        "= 12 CLIPTextEncode: node 7 there",
        "~ 3 KSampler.steps: 20 -> 30",
        "3 differences",
    ]
    assert len(json.loads(nodes("diff", API, "b.json", "--json")[1])["changes"]) == 3


def test_check(nodes: Nodes, tmp_path: Path) -> None:
    assert nodes("check", UI, "--schemas", SCHEMAS)[:2] == (0, "Nothing is wrong.\n")
    broken = json.loads(Path(API).read_text())
    del broken["8"]["inputs"]["vae"]
    broken["3"]["inputs"]["sampler_name"] = "unheard of"
    (tmp_path / "b.json").write_text(json.dumps(broken))
    code, out, _ = nodes("check", "b.json", "--schemas", SCHEMAS)
    assert code == 8
    assert "error: 8.inputs.vae: VAEDecode needs vae (VAE)" in out
    assert "warning: 3.inputs.sampler_name: 'unheard of' is not among the 2 choices offered" in out


@pytest.mark.parametrize("name", ["graph.svg", "graph.png"])
@pytest.mark.parametrize("source", [UI, API])
def test_a_drawing_carries_its_workflow(nodes: Nodes, tmp_path: Path, name: str, source: str) -> None:
    if name.endswith("png"):
        pytest.importorskip("PIL")
    assert nodes("draw", source, "-o", name, "--schemas", SCHEMAS)[0] == 0
    drawn, original = read_workflow(tmp_path / name), read_workflow(Path(source))
    assert (drawn.ui, drawn.api) == (original.ui, original.api)


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (("show", "none.json"), 3, "cannot be opened"),
        (("check", SCHEMAS), 3, "no graph in it"),
        (("convert", UI, "--schemas", "none.json"), 3, "cannot be opened"),
        (("convert", UI, "--schemas", UI), 3, "input"),
        (("convert", UI, "--to", "png"), 2, "Invalid value"),
        (("draw", UI, "-o", "none/x.svg"), 4, "none"),
    ],
)
def test_bad_input_is_one_sentence(nodes: Nodes, args: tuple[str, ...], code: int, words: str) -> None:
    got, out, err = nodes(*args)
    assert got == code
    assert words in out + err
    assert "Traceback" not in err


def test_a_type_that_is_not_there_is_an_error_where_others_are_known(nodes: Nodes, tmp_path: Path) -> None:
    (tmp_path / "a flow.json").write_text('{"7": {"class_type": "Nope", "inputs": {}}}')
    code, out, _ = nodes("check", "a flow.json", "--schemas", SCHEMAS)
    assert code == 8
    assert out.splitlines() == [
        "error: node 7: there is no node type 'Nope' here",
        "1 error, 0 warnings",
        "To bring the packs that it needs: nodes install-missing 'a flow.json'",
    ]
