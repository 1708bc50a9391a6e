"""Values that are set from outside: one for a run, or many for a batch; and the jobs that follow from them.

    --set 6.text="a cat"            one value; the node by id, by title, or by type where there is one of it
    --set 6.text=@prompts.txt       one job for each line
    --grid 3.cfg=4,7,10             one job for each value; several grids multiply
    --inputs table.csv|rows.jsonl   one job for each row, whose columns are named like 6.text

Errors:
    SettingError   a setting that cannot be read, or that names nothing in the prompt
"""

import csv
import io
import itertools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from noderack_host.problems import nearest
from noderack_host.schema import NodeSchema

Job = dict[str, Any]
"""{target such as "6.text": value}."""
_SEEDS = ("seed", "noise_seed")


class SettingError(ValueError):
    """A setting that cannot be used; `hint` says what to write."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Place:
    """One input of one node of a prompt."""

    node_id: str
    input_name: str


def jobs_from(
    sets: Sequence[str] = (), grids: Sequence[str] = (), inputs: Path | None = None
) -> tuple[Job, ...]:
    """All combinations that the settings ask for; one empty job where they ask for nothing. Reads the files.

    The last setting varies fastest, so that what the others decide is worked out once.
    """
    axes = [_axis(text, _set_values) for text in sets] + [_axis(text, _grid_values) for text in grids]
    rows = list(_rows(inputs)) if inputs is not None else [{}]
    return tuple({**row, **dict(chosen)} for row in rows for chosen in itertools.product(*axes))


def _axis(text: str, values: Any) -> list[tuple[str, Any]]:
    target, equals, value = text.partition("=")
    if not equals or "." not in target.strip("."):
        raise SettingError(f"{text!r} sets nothing", "write NODE.INPUT=VALUE, for example 3.seed=42")
    found = [(target.strip(), item) for item in values(value)]
    if not found:
        raise SettingError(f"{text!r} has no values")
    return found


def _set_values(value: str) -> list[Any]:
    if value.startswith("@@"):
        return [value[1:]]
    if not value.startswith("@"):
        return [value]
    return [line for line in _read(Path(value[1:])).splitlines() if line.strip()]


def _grid_values(value: str) -> list[Any]:
    """Comma-separated values; one that holds a comma stands in quotes, as in CSV."""
    return next(csv.reader([value], skipinitialspace=True), [])


def _rows(file: Path) -> Iterator[Job]:
    text = _read(file)
    if file.suffix.lower() == ".csv":
        yield from (dict(row) for row in csv.DictReader(io.StringIO(text)))
        return
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as cause:
            raise SettingError(f"{file}, line {number} is not JSON: {cause}") from cause
        if not isinstance(row, dict):
            raise SettingError(f"{file}, line {number} is {type(row).__name__}, expected an object")
        yield row


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as cause:
        raise SettingError(f"{file} cannot be read: {cause}") from cause


def apply(
    prompt: Mapping[str, Any], job: Mapping[str, Any], schemas: Mapping[str, NodeSchema]
) -> dict[str, Any]:
    """The prompt with a job's values in place of its own (links too); raises SettingError."""
    changed: dict[str, Any] = dict(prompt)
    for target, value in job.items():
        place = find(changed, target, schemas)
        node = changed[place.node_id]
        schema = schemas.get(node["class_type"])
        kind = schema.input(place.input_name) if schema else None
        given = _value(value, kind.type if kind else "*")
        changed[place.node_id] = {**node, "inputs": {**node["inputs"], place.input_name: given}}
    return changed


def seeded(prompt: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """The prompt with every seed that is a number set to `seed`."""
    changed: dict[str, Any] = {}
    for node_id, node in prompt.items():
        own = {name: seed for name in _SEEDS if isinstance(node["inputs"].get(name), (int, float))}
        changed[node_id] = {**node, "inputs": {**node["inputs"], **own}} if own else node
    return changed


def find(prompt: Mapping[str, Any], target: str, schemas: Mapping[str, NodeSchema]) -> Place:
    """The input that a target names; raises SettingError with what there is instead."""
    parts = target.split(".")
    for cut in range(1, len(parts)):
        name, input_name = ".".join(parts[:cut]), ".".join(parts[cut:])
        ids = _nodes_named(prompt, name)
        if len(ids) > 1:
            raise SettingError(f"{target}: {name!r} could be any of the nodes {', '.join(ids)}", "use the id")
        if ids and input_name in _inputs_of(prompt[ids[0]], schemas):
            return Place(ids[0], input_name)
        if ids and cut == len(parts) - 1:
            known = _inputs_of(prompt[ids[0]], schemas)
            kind = prompt[ids[0]]["class_type"]
            raise SettingError(
                f"node {ids[0]} ({kind}) has no input {input_name!r}", nearest(input_name, known)
            )
    raise SettingError(f"{target} names no node of the workflow", nearest(parts[0], _names(prompt)))


def _nodes_named(prompt: Mapping[str, Any], name: str) -> list[str]:
    """The nodes of that id, else of that title, else of that type."""
    if name in prompt:
        return [name]
    titled = [node_id for node_id, node in prompt.items() if (node.get("_meta") or {}).get("title") == name]
    return titled or [node_id for node_id, node in prompt.items() if node["class_type"] == name]


def _names(prompt: Mapping[str, Any]) -> list[str]:
    titles = [(node.get("_meta") or {}).get("title") for node in prompt.values()]
    types = [node["class_type"] for node in prompt.values()]
    return list(dict.fromkeys([*prompt, *filter(None, titles), *types]))


def _inputs_of(node: Mapping[str, Any], schemas: Mapping[str, NodeSchema]) -> list[str]:
    schema = schemas.get(node["class_type"])
    declared = [found.name for found in schema.of_kind("required", "optional")] if schema else []
    return list(dict.fromkeys([*node["inputs"], *declared]))


def _value(value: Any, kind: str) -> Any:
    """A text from the command line as the input's type; anything else as it is."""
    if not isinstance(value, str) or kind in ("STRING", "COMBO"):
        return value
    if kind == "BOOLEAN" and value.lower() in ("true", "false", "yes", "no", "on", "off", "1", "0"):
        return value.lower() in ("true", "yes", "on", "1")
    if kind in ("INT", "FLOAT"):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value


def label(job: Mapping[str, Any]) -> str:
    """A job in few words, for a picture's caption."""
    return "  ".join(f"{target.rpartition('.')[2]}={_short(value)}" for target, value in job.items())


def _short(value: Any) -> str:
    text = str(value).replace("\n", " ")
    return text if len(text) <= 40 else text[:39] + "…"


def job_key(job: Mapping[str, Any]) -> str:
    """A job as one line of text, by which a resumed batch knows what is done."""
    return json.dumps(job, sort_keys=True, ensure_ascii=False)


def done_jobs(record: Path) -> dict[str, list[str]]:
    """{job key: files} of the jobs that a record says are done and whose files are still there."""
    if not record.is_file():
        return {}
    found: dict[str, list[str]] = {}
    for line in record.read_text(encoding="utf-8").splitlines():
        try:
            row = json.loads(line)
        except ValueError:  # the last line of a batch that was killed while writing it
            continue
        if all(Path(file).is_file() for file in row["files"]):
            found[job_key(row["job"])] = row["files"]
    return found


def note_done(record: Path, job: Mapping[str, Any], files: Iterable[str]) -> None:
    """Adds a job to the record."""
    record.parent.mkdir(parents=True, exist_ok=True)
    with record.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps({"job": job, "files": list(files)}, ensure_ascii=False) + "\n")
