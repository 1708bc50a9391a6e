"""Asks node classes whether they changed: IS_CHANGED of V1, fingerprint_inputs of V3.

Source: host contract §1.1.
"""

from collections.abc import Callable, Mapping
from typing import Any

from noderack_host.call import gather, slices
from noderack_host.contract import Contract
from noderack_host.graph import DynamicPrompt
from noderack_host.lane import finish


class Fingerprints:
    """The fingerprints of one run: each node is asked once, with links as None and constants as they are."""

    def __init__(
        self,
        graph: DynamicPrompt,
        hidden_value: Callable[[str, str], Any],
        versions: Mapping[str, str],
    ) -> None:
        self._graph = graph
        self._hidden_value = hidden_value
        self._versions = versions
        self._known: dict[str, Any] = {}

    def sign(self, node_id: str, node: dict[str, Any], contract: Contract) -> tuple[Any, str]:
        """(fingerprint, version of the class): what joins the key beside the inputs.

        A class that has no fingerprint gives False; one that fails gives NaN, so that it always runs again.
        What a class says is written into the prompt, where readers of PROMPT see it.
        """
        version = self._versions.get(contract.node_type, "")
        if contract.fingerprint is None:
            return False, version
        if node_id not in self._known:
            try:
                self._known[node_id] = self._ask(node_id, node, contract)
                self._graph.note_changed(node_id, self._known[node_id])
            except Exception:  # pack code: the contract says that any failure means "changed"
                self._known[node_id] = float("nan")
        return self._known[node_id], version

    def _ask(self, node_id: str, node: dict[str, Any], contract: Contract) -> list[Any]:
        gathered = gather(
            contract,
            node.get("inputs", {}),
            lambda name: None,
            lambda source: self._hidden_value(source, node_id),
        )
        method = bound_method(contract, contract.cls, gathered.hidden, str(contract.fingerprint))
        whole = contract.input_is_list
        return [finish(method(**arguments)) for arguments in slices(gathered.values, whole)]


def bound_method(contract: Contract, owner: Any, hidden: Mapping[str, Any], name: str) -> Callable[..., Any]:
    """A method ready to be called with inputs: of the instance or class for V1, of a locked clone for V3."""
    if contract.is_v3:
        owner = contract.cls.BIND(hidden)
    method: Callable[..., Any] = getattr(owner, name)
    return method
