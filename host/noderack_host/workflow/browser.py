"""What the editor does in the browser when a prompt is queued, as explicit steps with explicit seeds.

`Workflow.prompt` leaves texts as they were typed. These functions do the rest, each on its own, or all by
`as_queued`: comments and `{a|b}` choices in prompts, `%date:...%` and `%Node.widget%` in file names, and the
seeds for the next run.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from noderack_host.schema import NodeSchema
from noderack_host.workflow.convert import Conversion, Prompt
from noderack_host.workflow.errors import Note
from noderack_host.workflow.graph import mapping, sequence

if TYPE_CHECKING:
    from noderack_host.workflow.model import Workflow

SEED_LIMIT = 1 << 50
"""Editors draw random seeds below this, though the widgets go to 2^64."""
SAVERS = frozenset(
    (
        *("SaveImage", "SaveAnimatedWEBP", "SaveAnimatedPNG", "SaveWEBM", "SaveVideo", "SaveGLB"),
        *(
            "SaveLatent",
            "SaveAudio",
            "SaveAudioMP3",
            "SaveAudioOpus",
            "SaveSVGNode",
            "CheckpointSave",
            "ModelSave",
        ),
        *("CLIPSave", "VAESave", "LoraSave", "SaveLoRANode", "ImageOnlyCheckpointSave", "SaveImageAdvanced"),
    )
)
_LINE_END = re.compile("[\n\r\u2028\u2029]")
_ESCAPED = re.compile(r"\\([{}|])")
_REPLACEMENT = re.compile(r"%([^%]+)%")
_DATE_PART = re.compile(r"dd?|MM?|hh?|mm?|ss?|yyy?y?")
_UNSAFE = re.compile(r'[/?<>\\:*|"\x00-\x1f\x7f]')


def as_queued(
    workflow: Workflow, schemas: Mapping[str, NodeSchema], *, seed: int, now: datetime, defaults: bool = True
) -> Conversion:
    """The prompt as the editor would queue it: converted, choices drawn from `seed`, names dated `now`."""
    conversion = workflow.prompt(schemas, defaults=defaults)
    prompt = draw_choices(conversion.prompt, schemas, seed=seed)
    return Conversion(replace_names(prompt, workflow, schemas, now=now), conversion.notes)


def draw_choices(prompt: Prompt, schemas: Mapping[str, NodeSchema], *, seed: int) -> Prompt:
    """Comments cut and `{a|b}` choices drawn in every input that its schema declares `dynamicPrompts`.

    The same seed gives the same choices, whatever other nodes the prompt has.
    """

    def drawn(node_id: str, node: Mapping[str, Any], name: str, value: Any) -> Any:
        schema = schemas.get(node["class_type"])
        declared = schema.input(name) if schema else None
        if declared is None or not declared.options.get("dynamicPrompts") or not isinstance(value, str):
            return value
        return choose(value, random.Random(f"{seed}/{node_id}/{name}"))

    return _mapped(prompt, drawn)


def _mapped(prompt: Prompt, change: Any) -> Prompt:
    return {
        key: {**node, "inputs": {n: change(key, node, n, v) for n, v in node["inputs"].items()}}
        for key, node in prompt.items()
    }


def strip_comments(text: str) -> str:
    """Without `/* */` and `//` comments. The latter also cuts addresses, as it does in editors."""
    kept: list[str] = []
    at = 0
    while (slash := text.find("/", at)) >= 0:
        kept.append(text[at:slash])
        at = _comment_end(text, slash)
        if at == slash:
            kept.append("/")
            at += 1
    return "".join([*kept, text[at:]])


def _comment_end(text: str, at: int) -> int:
    """Where the comment that begins at `at` ends; `at` itself when none does."""
    if text.startswith("//", at):
        found = _LINE_END.search(text, at)
        return found.start() if found else len(text)
    if text.startswith("/*", at):
        end = text.find("*/", at + 2)
        return end + 2 if end >= 0 else at
    return at


def choose(text: str, rng: random.Random) -> str:
    """One reading of a dynamic prompt: `{a|b}` nests, `\\{`, `\\|` and `\\}` stand for themselves."""
    body, _ = _choices(strip_comments(text), 0, rng, inside=False)
    return _ESCAPED.sub(r"\1", body)


def _choices(text: str, at: int, rng: random.Random, *, inside: bool, depth: int = 0) -> tuple[str, int]:
    options: list[list[str]] = [[]]
    while at < len(text):
        char = text[at]
        at += 1
        if char == "\\":
            options[-1].append(text[at - 1 : at + 1])
            at += 1
        elif char == "{" and depth < 100:
            inner, at = _choices(text, at, rng, inside=True, depth=depth + 1)
            options[-1].append(inner)
        elif inside and char == "|":
            options.append([])
        elif inside and char == "}":
            break
        else:
            options[-1].append(char)
    chosen = options[rng.randrange(len(options))] if inside else options[0]
    return "".join(chosen), at


def format_date(pattern: str, now: datetime) -> str:
    """`now` by an editor's pattern: d dd M MM h hh m mm s ss yy yyyy; hours run to 23."""
    parts = {"d": now.day, "M": now.month, "h": now.hour, "m": now.minute, "s": now.second}

    def part(match: re.Match[str]) -> str:
        token = match[0]
        if token[0] == "y":
            return {"yy": f"{now.year:04}"[2:], "yyyy": f"{now.year:04}"}.get(token, token)
        return str(parts[token[0]]).zfill(len(token))

    return _DATE_PART.sub(part, pattern)


@dataclass(frozen=True, slots=True)
class _Named:
    """A node as `%Node.widget%` finds it."""

    search_name: str
    title: str
    values: Mapping[str, Any]


def replace_names(
    prompt: Prompt, workflow: Workflow, schemas: Mapping[str, NodeSchema], *, now: datetime
) -> Prompt:
    """`%date:...%` and `%Node.widget%` replaced in the `filename_prefix` of nodes that save."""
    nodes = list(_named(workflow, prompt, schemas))

    def replaced(_: str, node: Mapping[str, Any], name: str, value: Any) -> Any:
        if name != "filename_prefix" or node["class_type"] not in SAVERS or not isinstance(value, str):
            return value
        return replace_tokens(value, nodes, now)

    return _mapped(prompt, replaced) if _wants_names(prompt) else prompt


def _wants_names(prompt: Prompt) -> bool:
    return any("%" in str(node["inputs"].get("filename_prefix", "")) for node in prompt.values())


def replace_tokens(text: str, nodes: list[_Named], now: datetime) -> str:
    """Known tokens replaced, others left: the host itself knows `%width%`, `%height%` and the like."""

    def replaced(match: re.Match[str]) -> str:
        token = match[1]
        if token.startswith("date:") and "." not in token:
            return format_date(token[5:], now)
        node_name, dot, widget = token.partition(".")
        if not dot or "." in widget:
            return match[0]
        return _widget_text(nodes, node_name, widget, match[0])

    return _REPLACEMENT.sub(replaced, text)


def _widget_text(nodes: list[_Named], name: str, widget: str, otherwise: str) -> str:
    for attribute in ("search_name", "title"):
        found = next((node for node in nodes if getattr(node, attribute) == name), None)
        if found is not None:
            value = found.values.get(widget, otherwise)
            return otherwise if value is otherwise else _UNSAFE.sub("_", script_text(value))
    return otherwise


def script_text(value: Any) -> str:
    """A value as the browser prints it: 8.0 is "8", true is "true", nothing is empty."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e21:
        return str(int(value))
    return str(value)


def _named(workflow: Workflow, prompt: Prompt, schemas: Mapping[str, NodeSchema]) -> Iterator[_Named]:
    from noderack_host.workflow.widgets import names_in_prompt, saved_values

    if workflow.ui is None:
        for node in prompt.values():
            title = str(mapping(node.get("_meta")).get("title", ""))
            yield _Named(node["class_type"], title, node["inputs"])
        return
    learned = names_in_prompt(workflow.api)
    for drawn in workflow.document().root.nodes.values():
        values = dict(saved_values(drawn, schemas.get(drawn.type), learned.get(drawn.id)).found)
        if drawn.type == "PrimitiveNode" and sequence(drawn.values):
            values = {"value": sequence(drawn.values)[0]}
        search_name = str(drawn.properties.get("Node name for S&R", ""))
        yield _Named(search_name, drawn.title or drawn.type, {**values, **_sent(prompt, drawn.id)})


def _sent(prompt: Prompt, node_id: str) -> Mapping[str, Any]:
    inputs = mapping(mapping(prompt.get(node_id)).get("inputs"))
    return {name: value for name, value in inputs.items() if not isinstance(value, (list, dict))}


def advance(value: Any, mode: str, *, rng: random.Random, low: int = 0, high: int = SEED_LIMIT) -> Any:
    """A controlled number's next value. `low` and `high` are the widget's bounds, both inclusive."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return value
    low, high = max(low, -SEED_LIMIT), min(high, SEED_LIMIT)
    match mode:
        case "increment":
            return min(value + 1, high)
        case "increment-wrap":
            return value + 1 if value + 1 <= high else low
        case "decrement":
            return max(value - 1, low)
        case "randomize":
            return rng.randint(low, high)
    return value


def next_run(
    workflow: Workflow, schemas: Mapping[str, NodeSchema], *, seed: int
) -> tuple[dict[str, Any], tuple[Note, ...]]:
    """The editor's graph with every controlled number advanced as after queueing, and what was changed.

    Only numbers whose control word the file holds are changed; an API prompt has none.
    """
    import copy

    ui: dict[str, Any] = copy.deepcopy(dict(workflow.ui or {}))
    notes: list[Note] = []
    bodies = [ui, *sequence(mapping(ui.get("definitions")).get("subgraphs"))]
    for body in bodies:
        for node in sequence(mapping(body).get("nodes")):
            notes.extend(_advance_node(mapping(node), schemas, seed))
    return ui, tuple(notes)


def _advance_node(node: Mapping[str, Any], schemas: Mapping[str, NodeSchema], seed: int) -> Iterator[Note]:
    from noderack_host.workflow.widgets import CONTROL_WORDS

    values = node.get("widgets_values")
    if not isinstance(values, list):
        return
    schema = schemas.get(str(node.get("type")))
    for at in range(len(values) - 1):
        mode = values[at + 1]
        if not isinstance(mode, str) or mode not in CONTROL_WORDS or isinstance(values[at], str):
            continue
        low, high = _bounds(schema)
        rng = random.Random(f"{seed}/{node.get('id')}/{at}")
        new = advance(values[at], mode, rng=rng, low=low, high=high)
        if new != values[at]:
            yield Note("advanced", f"{mode}: {values[at]} becomes {new}", f"node {node.get('id')}")
            values[at] = new


def _bounds(schema: NodeSchema | None) -> tuple[int, int]:
    from noderack_host.workflow.widgets import has_control

    controlled = next((item for item in schema.inputs if has_control(item)), None) if schema else None
    options = controlled.options if controlled else {}
    bounds = options.get("min", 0), options.get("max", SEED_LIMIT)
    low, high = (int(b) if isinstance(b, (int, float)) else None for b in bounds)
    return low or 0, SEED_LIMIT if high is None else high
