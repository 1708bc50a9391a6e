"""Reads and converts every file of a folder; where one carries the editor's own prompt, compares with it.

    make bench-workflows                   small inputs of its own
    make bench-workflows CORPUS=DIR        any folder of files
    .venv/bin/python tests/benchmarks/bench_workflows.py DIR --schemas object_info.json

Figures: `read_crashes`; `nodes_equal` and `files_equal` in percent; `files_equal_unedited` leaves out files
that prove that their graph was edited after the prompt was made; `ms_median`, `ms_p99`, `ms_largest`: to
read and convert one file, the better of two runs, CPU time; `import_ms`. Every refused file and every file
that differs is listed with the reason.

What "equal" means for a node: the same class and the same links; and for a type whose schema is known the
same value for each input that the schema has. Values that the file has none for are left out on both sides
(the prompt comes from an older host), and texts may differ as far as the browser draws `{a|b}` or the date.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from noderack_host.schema import NodeSchema, read_schemas
from noderack_host.workflow import Workflow, WorkflowError, read_workflow
from noderack_host.workflow.browser import replace_names, strip_comments
from noderack_host.workflow.layout import is_link, to_ui

ROOT = Path(__file__).parents[2]
CASES = ROOT / "tests/cases/workflows"
KNOWN = ROOT.parent / "shared/data/object_info.json"
ABSENT = "(none)"
NOW = datetime(2000, 1, 2, 3, 4, 5)


@dataclass
class Result:
    """One file: how reading ended, how long it took (seconds of CPU), and the differences found."""

    path: Path
    outcome: str = "read"
    reason: str = ""
    seconds: float = 0.0
    nodes: int = 0
    compared: int = 0
    unequal: list[str] = field(default_factory=list)
    edited: str = ""


def measure(path: Path, schemas: Mapping[str, NodeSchema]) -> Result:
    result = Result(path)
    times = []
    for _ in range(2):
        began = time.process_time()
        try:
            workflow = read_workflow(path)
            prompt = workflow.prompt(schemas, defaults=False).prompt
        except WorkflowError as error:
            result.outcome, result.reason = "refused", str(error)
            return result
        except Exception as error:  # a crash is what this looks for
            result.outcome, result.reason = "crash", f"{type(error).__name__}: {error}"
            return result
        times.append(time.process_time() - began)
    result.seconds, result.nodes = min(times), len(prompt)
    if workflow.ui is not None and workflow.api is not None:
        named = replace_names(prompt, workflow, schemas, now=NOW)
        compare(result, named, workflow, schemas)
    return result


def compare(
    result: Result, prompt: Mapping[str, Any], workflow: Workflow, schemas: Mapping[str, NodeSchema]
) -> None:
    api = {str(k): v for k, v in (workflow.api or {}).items() if isinstance(v, Mapping) and "class_type" in v}
    result.compared = len(api.keys() | prompt.keys())
    for key in [*api, *(key for key in prompt if key not in api)]:
        result.unequal.extend(_difference(key, prompt.get(key), api.get(key), schemas))
    result.edited = edited_later(result.path, workflow, api)


def edited_later(path: Path, workflow: Workflow, api: Mapping[str, Any]) -> str:
    """Evidence in the file itself that the graph was changed after the prompt was made of it, or nothing."""
    nodes = (workflow.ui or {}).get("nodes", [])
    drawn = {str(node.get("id")) for node in nodes if isinstance(node, Mapping)}
    if any(key.split(":")[0] not in drawn for key in api):
        return "the prompt names nodes that the graph lacks"
    return "a text chunk was rewritten without its checksum" if _wrong_checksum(path) else ""


def _wrong_checksum(path: Path) -> bool:
    data = path.read_bytes()
    at = 8 if data.startswith(b"\x89PNG") else len(data)
    while at + 12 <= len(data):
        end = at + 8 + int.from_bytes(data[at : at + 4], "big")
        if data[at + 4 : at + 8] == b"tEXt" and zlib.crc32(data[at + 4 : end]) != _number(data, end):
            return True
        at = end + 4
    return False


def _number(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 4], "big")


def _difference(key: str, mine: Any, other: Any, schemas: Mapping[str, NodeSchema]) -> Iterator[str]:
    if mine is None or other is None:
        side = "only in the embedded prompt" if mine is None else "only in the graph"
        yield f"{key} {(mine or other)['class_type']}: {side}"
        return
    if mine["class_type"] != other["class_type"]:
        yield f"{key}: {mine['class_type']} here, {other['class_type']} in the embedded prompt"
        return
    schema = schemas.get(mine["class_type"])
    declared = {i.name: i for i in schema.of_kind("required", "optional")} if schema else {}
    theirs = other.get("inputs", {})
    wrong = []
    for name in dict.fromkeys([*mine["inputs"], *theirs]):
        ours, embedded = mine["inputs"].get(name, ABSENT), theirs.get(name, ABSENT)
        if is_link(ours) or is_link(embedded):
            same = _link(ours) == _link(embedded)
        else:
            same = name not in declared or _same(ours, embedded)
        if not same:
            wrong.append(f"{name} = {_short(ours)}, embedded {_short(embedded)}")
    if wrong:
        yield f"{key} {mine['class_type']}: {'; '.join(wrong)}"


def _link(value: Any) -> Any:
    return [str(value[0]), value[1]] if is_link(value) else ABSENT


def _same(ours: Any, embedded: Any) -> bool:
    if isinstance(ours, str) and isinstance(embedded, str):
        return ours == embedded or bool(_readings(ours).fullmatch(embedded))
    return bool(ours == embedded) and isinstance(ours, bool) == isinstance(embedded, bool)


def _readings(text: str) -> re.Pattern[str]:
    """All texts that the browser may make of one: each `{a|b}` one of its choices, the date any date."""
    made, at = "", 0
    text = re.sub(r"2000|01|02|03|04|05", "\0", text) if "\0" not in text and "2000" in text else text
    for part in re.split(r"(\\[{}|]|[{}|]|\0)", strip_comments(text)):
        if part in ("{", "}"):
            at += 1 if part == "{" else -1
            made += "(?:" if part == "{" else ")"
        elif part == "|":
            made += "|" if at > 0 else re.escape(part)
        elif part == "\0":
            made += r"\d+"
        else:
            made += re.escape(part[1:] if part[:1] == "\\" and len(part) == 2 else part)
    try:
        return re.compile(made, re.DOTALL)
    except re.error:
        return re.compile(re.escape(text))


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=True, default=str)
    return text if len(text) <= 70 else f"{text[:69]}..."


def files_in(folder: Path) -> Iterator[Path]:
    for place, folders, names in os.walk(folder):
        folders.sort()
        yield from (Path(place) / name for name in sorted(names))


def report(results: Sequence[Result]) -> dict[str, float]:
    """Print what was refused and what differs; return the figures."""
    for result in results:
        if result.outcome != "read":
            print(f"{result.outcome}: {result.reason if result.outcome == 'refused' else result.path}")
            if result.outcome == "crash":
                print(f"    {result.reason}")
    both = [r for r in results if r.compared]
    for result in (r for r in both if r.unequal):
        why = f"edited after it ran: {result.edited}" if result.edited else ""
        print(f"differs: {result.path}: {len(result.unequal)} of {result.compared} nodes. {why}")
        for line in result.unequal[:6]:
            print(f"    {line}")
    outcomes = Counter(r.outcome for r in results)
    print(f"{len(results)} files: {dict(outcomes)}; {len(both)} carry both forms")
    edited = sum(bool(r.edited) for r in both if r.unequal)
    print(
        f"{sum(bool(r.unequal) for r in both)} of them differ; {edited} of these were edited after they ran"
    )
    return _figures(results, both)


def _figures(results: Sequence[Result], both: Sequence[Result]) -> dict[str, float]:
    read = sorted((r for r in results if r.outcome == "read"), key=lambda r: r.seconds)
    nodes, wrong = sum(r.compared for r in both), sum(len(r.unequal) for r in both)
    whole = [r for r in both if not (r.unequal and r.edited)]
    largest = max(read, key=lambda r: r.nodes, default=None)
    return {
        "files": len(results),
        "read_crashes": sum(r.outcome == "crash" for r in results),
        "refused": sum(r.outcome == "refused" for r in results),
        "files_both": len(both),
        "nodes_both": nodes,
        "nodes_equal": percent(nodes - wrong, nodes),
        "files_equal": percent(sum(not r.unequal for r in both), len(both)),
        "files_equal_unedited": percent(sum(not r.unequal for r in whole), len(whole)),
        "ms_median": round(1000 * read[len(read) // 2].seconds, 2) if read else 0.0,
        "ms_p99": round(1000 * read[int(len(read) * 0.99)].seconds, 2) if read else 0.0,
        "ms_largest": round(1000 * largest.seconds, 2) if largest else 0.0,
        "import_ms": round(import_ms(), 1),
    }


def percent(part: int, whole: int) -> float:
    return round(100 * part / whole, 2) if whole else 100.0


def import_ms() -> float:
    """The least of seven fresh processes, CPU time of the import alone."""
    code = "import time; t=time.process_time(); import noderack_host.workflow; print(time.process_time()-t)"
    runs = [
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        for _ in range(7)
    ]
    return 1000 * min(float(run.stdout) for run in runs)


def own_inputs(folder: Path, schemas: Mapping[str, NodeSchema]) -> None:
    """Made-up files: the cases of the tests, and prompts of many sizes laid out as graphs, in PNG."""
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    for path in sorted(CASES.glob("*.json")):
        if path.name != "object_info.json":
            (folder / path.name).write_bytes(path.read_bytes())
    base = json.loads((CASES / "txt2img.api.json").read_text())
    for copies in (1, 2, 5, 20, 100, 199):
        prompt = {
            f"{int(k) + 10 * n}": _renumbered(v, 10 * n) for n in range(copies) for k, v in base.items()
        }
        info = PngInfo()
        info.add_text("workflow", json.dumps(to_ui(prompt, schemas).ui))
        info.add_text("prompt", json.dumps(prompt))
        Image.new("RGB", (8, 8)).save(folder / f"made-{copies}.png", pnginfo=info)


def _renumbered(node: Mapping[str, Any], by: int) -> dict[str, Any]:
    inputs = {k: [str(int(v[0]) + by), v[1]] if is_link(v) else v for k, v in node["inputs"].items()}
    return {**node, "inputs": inputs}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("corpus", nargs="?", type=Path, default=os.environ.get("CORPUS") or None)
    parser.add_argument(
        "--schemas", type=Path, default=KNOWN if KNOWN.exists() else CASES / "object_info.json"
    )
    options = parser.parse_args()
    schemas = read_schemas(options.schemas)
    with tempfile.TemporaryDirectory() as made:
        folder = Path(options.corpus) if options.corpus else Path(made)
        if not options.corpus:
            own_inputs(folder, schemas)
        results = [measure(path, schemas) for path in files_in(folder)]
    figures = report(results)
    print(json.dumps({"bench": "workflows", "figures": figures}))


if __name__ == "__main__":
    main()
