"""One node's call: its inputs as lists, the calls that they make, and what comes back as outputs.

Every value that travels is in a list: a plain output is a list of one. Source: host contract §2.4, §1.5.

Errors:
    BadReturn   a node's function gave something that the contract has no meaning for
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from noderack_host.contract import Contract
from noderack_host.graph import ExecutionBlocker, is_link

Values = dict[str, list[Any]]


class BadReturn(TypeError):
    """What a node gave back is not what its class declares."""


@dataclass(slots=True)
class Gathered:
    """Inputs as lists; `missing` are links without a value yet; `hidden` is what V3 classes get beside."""

    values: Values
    missing: frozenset[str]
    hidden: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Returned:
    """One call's return in one form. `expand` is a sub-graph; then `result` may hold links into it."""

    result: tuple[Any, ...] | None
    ui: Mapping[str, Any] | None = None
    expand: Mapping[str, Any] | None = None


def gather(
    contract: Contract,
    inputs: Mapping[str, Any],
    value_of: Callable[[str], list[Any] | None],
    hidden_value: Callable[[str], Any],
) -> Gathered:
    """The values of a node's inputs; `value_of(input)` is what its link leads to, None if not there yet.

    A link to something that is not there yet counts as [None]. Constants that the class does not declare are
    left out; links are not.
    """
    values: Values = {}
    missing: list[str] = []
    for name, value in inputs.items():
        info = contract.input(name)
        if is_link(value) and not (info is not None and info.options.get("rawLink")):
            found = value_of(name)
            if found is None:
                missing.append(name)
                found = [None]
            values[name] = found
        elif info is not None or contract.accepts_all:
            values[name] = [value]
    hidden = {name: hidden_value(source) for name, source in contract.hidden.items()}
    if not contract.is_v3:
        values.update({name: [value] for name, value in hidden.items()})
        hidden = {}
    return Gathered(values, frozenset(missing), hidden)


def slices(values: Values, whole: bool) -> Iterator[dict[str, Any]]:
    """The arguments of each call: as many as the longest list; shorter ones repeat their last value.

    whole: the node takes lists, so there is one call. Source: host contract §2.4, with its empty-list traps.
    """
    if whole:
        yield dict(values)
        return
    longest = max((len(found) for found in values.values()), default=0)
    if longest == 0:
        yield {}
    for at in range(longest):
        yield {name: found[at] if len(found) > at else found[-1] for name, found in values.items()}


def blocker_in(arguments: Mapping[str, Any], whole: bool) -> ExecutionBlocker | None:
    """The first blocker among the arguments, inside their lists too where the node takes lists."""
    for value in arguments.values():
        if type(value) is ExecutionBlocker:
            return value
        if whole and type(value) is list:
            found = next((item for item in value if type(item) is ExecutionBlocker), None)
            if found is not None:
                return found
    return None


def normalise(value: Any, contract: Contract) -> Returned:
    """What a call gave, in one form; raises BadReturn with what to write instead."""
    if isinstance(value, dict):
        result = value.get("result")
        return Returned(_outputs(result, contract), value.get("ui"), value.get("expand"))
    if hasattr(value, "block_execution"):
        return _from_node_output(value, contract)
    if value is None and contract.output_count == 0:
        return Returned(())
    if value is None:
        raise BadReturn(f"it returned nothing, but declares {contract.output_count} outputs")
    return Returned(_outputs(value, contract))


def _from_node_output(value: Any, contract: Contract) -> Returned:
    ui = value.ui.as_dict() if hasattr(value.ui, "as_dict") else value.ui
    result = value.result
    if value.block_execution is not None:
        result = ExecutionBlocker(value.block_execution or None)
    return Returned(_outputs(result, contract), ui, value.expand)


def _outputs(result: Any, contract: Contract) -> tuple[Any, ...] | None:
    if isinstance(result, ExecutionBlocker):
        return (result,) * contract.output_count
    if result is None or isinstance(result, tuple):
        return result
    if isinstance(result, list):
        return tuple(result)
    raise BadReturn(f"it returned {type(result).__name__}, expected a tuple: write `return (value,)`")


def merge(returns: Sequence[tuple[Any, ...]], contract: Contract) -> tuple[list[Any], ...]:
    """The outputs of all calls of one node, slot by slot; slots that are lists are joined."""
    if not returns:
        return ()
    flags = contract.output_is_list
    return tuple(
        _joined([found[slot] for found in returns])
        if slot < len(flags) and flags[slot]
        else [found[slot] for found in returns]
        for slot in range(len(returns[0]))
    )


def _joined(values: list[Any]) -> list[Any]:
    joined: list[Any] = []
    for value in values:
        if isinstance(value, ExecutionBlocker):
            joined.append(value)
        else:
            joined.extend(value)
    return joined


def merge_ui(payloads: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """The ui payloads of all calls, joined key by key; the first call's keys count."""
    if not payloads:
        return None
    return {key: [item for payload in payloads for item in payload[key]] for key in payloads[0]}


def resolve(
    returned: Returned, contract: Contract, value_of: Callable[[str, int], list[Any] | None]
) -> tuple[Any, ...]:
    """The outputs of an expansion, its links replaced by what the new nodes gave.

    A link to several values keeps them together where the output is a list, and gives the first otherwise.
    """
    found: list[Any] = []
    flags = contract.output_is_list
    for slot, item in enumerate(returned.result or ()):
        if not is_link(item):
            found.append(item)
            continue
        values = value_of(item[0], int(item[1]))
        if slot < len(flags) and flags[slot]:
            found.append(_flat(values or []))
        else:
            found.append(values[0] if values else None)
    return tuple(found)


def _flat(values: list[Any]) -> list[Any]:
    return _joined([value if isinstance(value, (list, ExecutionBlocker)) else [value] for value in values])
