"""Checks a prompt against the node classes that are there: every problem at once, before anything runs.

A prompt is accepted when at least one of its outputs can run; the problems of the others are told too.
Source: host contract §1.3, §2.1.
"""

import inspect
import traceback
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from noderack_host.call import gather, slices
from noderack_host.check_input import check_link, check_literal, convert
from noderack_host.contract import Contract, ContractError, InputInfo, contract_of, find_input
from noderack_host.fingerprint import bound_method
from noderack_host.graph import ExecutionBlocker, is_link
from noderack_host.lane import finish
from noderack_host.problems import Problem, PromptInvalid, nearest

__all__ = ["Checked", "Problem", "PromptInvalid", "check", "check_prompt"]


@dataclass(frozen=True, slots=True)
class Checked:
    """What a check found: the prompt with its literals converted, the outputs that can run, every problem."""

    prompt: Mapping[str, Any]
    outputs: tuple[str, ...]
    problems: tuple[Problem, ...]

    def or_raise(self) -> "Checked":
        """Itself if something can run; raises PromptInvalid."""
        if not self.outputs:
            raise PromptInvalid(self.problems)
        return self


def check(prompt: Mapping[str, Any], nodes: Mapping[str, Any]) -> tuple[Problem, ...]:
    """Every problem of a prompt."""
    return check_prompt(prompt, nodes).problems


def check_prompt(
    prompt: Mapping[str, Any], nodes: Mapping[str, Any], targets: Collection[str] | None = None
) -> Checked:
    """Checks every node that an output needs; `targets` limits the outputs. Never changes `prompt`.

    Classes are asked what they take, which may read disks, and may check inputs themselves: call it where
    that may take a moment, with `running` set as for the nodes themselves.
    """
    problems = list(_shape(prompt, nodes))
    broken = {problem.node_id for problem in problems}
    known = (
        {key: node for key, node in prompt.items() if key not in broken}
        if isinstance(prompt, Mapping)
        else {}
    )
    outputs = [key for key, node in known.items() if _is_output(nodes.get(node["class_type"]))]
    if targets is not None:
        outputs = [key for key in outputs if key in targets]
    if not outputs and not problems:
        problems.append(
            Problem("prompt_no_outputs", "Prompt has no outputs", hint="add a node such as SaveImage")
        )
    checker = _Checker(prompt, known, nodes)
    good = [output for output in outputs if checker.node_is_good(output)]
    problems += checker.told()
    converted = {**prompt, **checker.converted} if isinstance(prompt, Mapping) else {}
    return Checked(converted, () if broken else tuple(good), tuple(problems))


def _shape(prompt: Any, nodes: Mapping[str, Any]) -> Iterator[Problem]:
    """What keeps nodes from being looked at: no object, no class_type, a type that no pack brings."""
    if not isinstance(prompt, Mapping):
        yield Problem("invalid_prompt", f"the prompt is {type(prompt).__name__}, expected an object of nodes")
        return
    for node_id, node in prompt.items():
        if not isinstance(node, Mapping) or not isinstance(node.get("class_type"), str):
            message = "Cannot execute because a node is missing the class_type property."
            yield Problem("invalid_prompt", message, f"Node ID '#{node_id}'", node_id)
        elif not isinstance(node.get("inputs", {}), Mapping):
            yield Problem("invalid_prompt", "inputs must be an object", f"Node ID '#{node_id}'", node_id)
        elif node["class_type"] not in nodes:
            yield _missing_type(node_id, node, nodes)


def _missing_type(node_id: str, node: Mapping[str, Any], nodes: Mapping[str, Any]) -> Problem:
    kind = node["class_type"]
    meta = node.get("_meta")
    title = meta.get("title") if isinstance(meta, Mapping) else None
    close = nearest(kind, nodes, listed=False)
    return Problem(
        kind="missing_node_type",
        message=f"Node '{title or kind}' not found. The custom node may not be installed.",
        details=f"Node ID '#{node_id}'",
        node_id=node_id,
        node_type=kind,
        extra={"node_id": node_id, "class_type": kind, "node_title": title or kind},
        hint=" ".join(filter(None, (close, "find its pack with: nodes install-missing WORKFLOW"))),
    )


def _is_output(cls: Any) -> bool:
    return getattr(cls, "OUTPUT_NODE", False) is True


class _Checker:
    """Checks each node once, ancestors first, without recursion."""

    def __init__(self, prompt: Any, known: Mapping[str, Any], nodes: Mapping[str, Any]) -> None:
        self.converted: dict[str, Any] = {}
        self._prompt = prompt
        self._known = known
        self._nodes = nodes
        self._problems: dict[str, list[Problem]] = {}
        self._good: dict[str, bool] = {}
        self._contracts: dict[str, Contract | Problem] = {}
        self._users: dict[str, list[str]] = {}

    def told(self) -> Iterator[Problem]:
        """All problems, each with its node and the outputs that it spoils."""
        for node_id, problems in self._problems.items():
            node_type = self._known[node_id]["class_type"]
            outputs = self._outputs_above(node_id) if problems else ()
            for problem in problems:
                yield replace(problem, node_id=node_id, node_type=node_type, outputs=outputs)

    def _outputs_above(self, node_id: str) -> tuple[str, ...]:
        seen, stack = {node_id}, [node_id]
        while stack:
            more = [user for user in self._users.get(stack.pop(), ()) if user not in seen]
            seen.update(more)
            stack += more
        return tuple(key for key in self._known if key in seen and _is_output(self._class(key)))

    def _class(self, node_id: str) -> Any:
        return self._nodes.get(self._known[node_id]["class_type"])

    def node_is_good(self, root: str) -> bool:
        """Whether a node and all its ancestors can run."""
        if root in self._good:
            return self._good[root]
        path: dict[str, None] = {}
        stack = [(root, iter(self._sources(root)))]
        while stack:
            node_id, sources = stack[-1]
            path[node_id] = None
            source = next((item for item in sources if item not in self._good), None)
            if source is None:
                stack.pop()
                del path[node_id]
                self._finish(node_id)
            elif source in path:
                circle = [*list(path)[list(path).index(source) :], source]
                self._add(source, _cycle(circle))
                self._good[source] = False
            else:
                stack.append((source, iter(self._sources(source))))
        return self._good[root]

    def _sources(self, node_id: str) -> list[str]:
        """The nodes of the prompt that this one links to; noted, so that problems find their outputs."""
        links = [value[0] for value in self._known[node_id].get("inputs", {}).values() if is_link(value)]
        found = [source for source in dict.fromkeys(links) if source in self._known]
        for source in found:
            self._users.setdefault(source, []).append(node_id)
        return found

    def _finish(self, node_id: str) -> None:
        problems = self._problems.setdefault(node_id, [])
        problems += self._node_problems(node_id)
        links = [value[0] for value in self._known[node_id].get("inputs", {}).values() if is_link(value)]
        below = all(self._good.get(source, False) for source in links if source in self._known)
        unknown = any(source in self._prompt and source not in self._known for source in links)
        self._good[node_id] = not problems and below and not unknown

    def _add(self, node_id: str, problem: Problem) -> None:
        self._problems.setdefault(node_id, []).append(problem)

    def _contract(self, node_id: str) -> Contract | Problem:
        node_type = self._known[node_id]["class_type"]
        if node_type not in self._contracts:
            try:
                self._contracts[node_type] = contract_of(node_type, self._nodes[node_type])
            except ContractError as cause:
                self._contracts[node_type] = _exception(cause)
        return self._contracts[node_type]

    def _node_problems(self, node_id: str) -> list[Problem]:
        contract = self._contract(node_id)
        if isinstance(contract, Problem):
            return [contract]
        node = self._known[node_id]
        inputs = dict(node.get("inputs", {}))
        own = _OwnCheck(contract)
        declared = contract.cls.LIVE_INPUT_TYPES(inputs) if contract.is_live else contract.declared
        faults: Mapping[str, str] = declared["faults"] if contract.is_live else {}
        problems = [_fault(*fault) for fault in faults.items()]
        received: dict[str, Any] = {}
        for name, info in _listed(declared):
            if name not in inputs:
                if info.kind == "required":
                    problems.append(_required(name))
                continue
            value = inputs[name]
            if isinstance(value, list):
                received[name], problem = self._link(name, value, info, own.checks_types)
            else:
                inputs[name], problem = convert(name, value, info)
                if problem is None and not own.checks(name):
                    problem = check_literal(name, inputs[name], info)
            problems += [problem] if problem is not None else []
        self.converted[node_id] = {**node, "inputs": inputs}
        return problems + own.problems(inputs, received)

    def _link(
        self, name: str, value: list[Any], info: InputInfo, own_types: bool
    ) -> tuple[Any, Problem | None]:
        source = self._prompt.get(value[0]) if is_link(value) else None
        cls = self._nodes.get(source["class_type"]) if source and value[0] in self._known else None
        if source is not None and cls is None:
            return None, None  # its type is missing, which is told already
        return check_link(name, value, info, source, getattr(cls, "RETURN_TYPES", ()), typed=not own_types)


def _listed(declared: Mapping[str, Any]) -> Iterator[tuple[str, InputInfo]]:
    """The declared inputs, in order; never the ones that magic containers would invent."""
    for kind in ("required", "optional"):
        for name in list(declared.get(kind) or ()):
            info = find_input(declared, name)
            if info is not None:
                yield name, info


def _fault(name: str, said: str) -> Problem:
    return Problem("invalid_dynamic_input", "Invalid dynamic input", f"{name}: {said}", input_name=name)


def _required(name: str) -> Problem:
    return Problem("required_input_missing", "Required input is missing", name, input_name=name)


def _cycle(circle: list[str]) -> Problem:
    told = " → ".join(circle)
    return Problem(
        "dependency_cycle",
        "Dependency cycle detected",
        told,
        extra={"cycle_nodes": circle},
        hint="cut one link",
    )


def _exception(cause: BaseException) -> Problem:
    root = cause.__cause__ or cause
    kind = type(root)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    trace = traceback.format_tb(root.__traceback__)
    return Problem(
        kind="exception_during_validation",
        message="Exception when validating node",
        details=str(cause),
        extra={"exception_type": name, "exception_message": str(root), "traceback": trace},
    )


class _OwnCheck:
    """A class's own check of its inputs (VALIDATE_INPUTS): what it takes over, and what it says."""

    def __init__(self, contract: Contract) -> None:
        self._contract = contract
        self._names: frozenset[str] = frozenset()
        self._all = False
        if contract.validator is not None:
            spec = inspect.getfullargspec(getattr(contract.cls, contract.validator))
            self._names = frozenset((*spec.args, *spec.kwonlyargs))
            self._all = spec.varkw is not None

    @property
    def checks_types(self) -> bool:
        """Whether it compares the types of links itself."""
        return "input_types" in self._names

    def checks(self, name: str) -> bool:
        """Whether it checks this input, so that ranges and choices do not count."""
        return self._all or name in self._names or name.partition(".")[0] in self._names

    def problems(self, inputs: Mapping[str, Any], received: Mapping[str, Any]) -> list[Problem]:
        """What the class says about its inputs; links come to it as None."""
        if self._contract.validator is None:
            return []
        try:
            return self._ask(inputs, received)
        except Exception as cause:  # pack code
            return [_exception(cause)]

    def _ask(self, inputs: Mapping[str, Any], received: Mapping[str, Any]) -> list[Problem]:
        contract = self._contract
        gathered = gather(contract, inputs, lambda name: None, lambda source: None)
        given = {name: values for name, values in gathered.values.items() if self.checks(name)}
        if self.checks_types:
            given["input_types"] = [dict(received)]
        method = bound_method(contract, contract.cls, gathered.hidden, str(contract.validator))
        answers = [finish(method(**arguments)) for arguments in slices(given, contract.input_is_list)]
        failed = [
            answer for answer in answers if answer is not True and not isinstance(answer, ExecutionBlocker)
        ]
        return [_custom(name, answer) for name in given for answer in failed]


def _custom(name: str, answer: Any) -> Problem:
    details = name if answer is False else f"{name} - {answer}"
    return Problem("custom_validation_failed", "Custom validation failed for node", details, input_name=name)
