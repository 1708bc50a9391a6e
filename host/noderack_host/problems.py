"""What can be wrong with a prompt, as values: one form for programs, one for people.

Source of the first: host contract §2.1.

Errors:
    PromptInvalid   nothing of a prompt can run; carries every problem
"""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

_MOST_CHOICES = 20


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong. `kind` is the wire's `type`; `outputs` cannot run because of it."""

    kind: str
    message: str
    details: str = ""
    node_id: str | None = None
    node_type: str | None = None
    input_name: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    hint: str = ""
    outputs: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """The error object that existing clients read."""
        named = {"input_name": self.input_name} if self.input_name is not None else {}
        return {
            "type": self.kind,
            "message": self.message,
            "details": self.details,
            "extra_info": {**named, **self.extra},
        }

    def sentence(self) -> str:
        """The problem for a reader: where, what, and what would be right."""
        node = f"node {self.node_id}" if self.node_id is not None else ""
        kind = f" ({self.node_type})" if node and self.node_type else ""
        place = f"{node}{kind}" + (f", input {self.input_name}" if self.input_name is not None else "")
        hint = f"; {self.hint}" if self.hint else ""
        return f"{place}: {self.said()}{hint}" if place else f"{self.said()}{hint}"

    def said(self) -> str:
        """What is wrong, without where."""
        received = self.extra.get("received_value")
        match self.kind:
            case "value_not_in_list":
                return f"{received!r} is not one of its choices"
            case "value_smaller_than_min" | "value_bigger_than_max":
                return self.message
            case "required_input_missing":
                return "it is required, and nothing is given to it"
            case "missing_node_type":
                return "no pack here has this node type"
            case "invalid_input_type" if "exception_message" in self.extra:
                return f"{received!r} cannot be read: {self.extra['exception_message']}"
            case "invalid_input_type" | "return_type_mismatch" | "bad_linked_input":
                return self.details or self.message
            case _:
                return f"{self.message}: {self.details}" if self.details else self.message


class PromptInvalid(Exception):
    """A prompt of which nothing can run."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(problem.sentence() for problem in problems))

    def as_response(self) -> dict[str, Any]:
        """The body of the answer to POST /prompt: `error`, and `node_errors` by node."""
        return {"error": prompt_error(self.problems).as_dict(), "node_errors": node_errors(self.problems)}


def prompt_error(problems: Sequence[Problem]) -> Problem:
    """The one error that stands for all: the first about the prompt itself, else that its outputs failed."""
    own = next((problem for problem in problems if problem.kind in _PROMPT_KINDS), None)
    if own is not None:
        return own
    details = "\n".join(
        dict.fromkeys(f"Output will be ignored: {out}" for p in problems for out in p.outputs)
    )
    return Problem("prompt_outputs_failed_validation", "Prompt outputs failed validation", details)


_PROMPT_KINDS = frozenset({"invalid_prompt", "missing_node_type", "prompt_no_outputs"})


def node_errors(problems: Iterable[Problem]) -> dict[str, Any]:
    """Problems by node, as existing clients read them; those about the whole prompt are left out."""
    found: dict[str, Any] = {}
    for problem in problems:
        if problem.node_id is None or problem.kind in _PROMPT_KINDS:
            continue
        entry = found.setdefault(
            problem.node_id, {"errors": [], "dependent_outputs": [], "class_type": problem.node_type}
        )
        entry["errors"].append(problem.as_dict())
        entry["dependent_outputs"] = sorted({*entry["dependent_outputs"], *problem.outputs})
    return found


def nearest(value: Any, choices: Iterable[Any], listed: bool = True) -> str:
    """A hint: the choice that is close, else (if `listed`) the choices if they are few, else their number."""
    if str(value).startswith(("https://", "http://")):
        return f"that is an address: `nodes models get '{value}'` brings the file; then choose it by its name"
    texts = [str(choice) for choice in choices]
    wanted = str(value).replace("\\", "/")
    by_plain = {text.replace("\\", "/").lower(): text for text in reversed(texts)}
    tail = wanted.rsplit("/", 1)[-1].lower()
    same_file = [plain for plain in by_plain if plain.rsplit("/", 1)[-1] == tail]
    close = same_file or difflib.get_close_matches(wanted.lower(), by_plain, n=1, cutoff=0.6)
    if close:
        return f"did you mean {by_plain[close[0]]!r}?"
    if not listed:
        return ""
    if not texts:
        return "there is nothing to choose from yet"
    return (
        f"use one of: {', '.join(texts)}" if len(texts) <= _MOST_CHOICES else f"it has {len(texts)} choices"
    )


def told_choices(choices: Sequence[Any]) -> str:
    """The choices as the wire's details tell them: not when there are many."""
    return str(list(choices)) if len(choices) <= _MOST_CHOICES else f"(list of length {len(choices)})"


def many(choices: Sequence[Any]) -> bool:
    """Whether there are too many choices to send along."""
    return len(choices) > _MOST_CHOICES
