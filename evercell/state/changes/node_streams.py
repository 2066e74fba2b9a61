"""The streams of live nodes: of one alone, of several together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from evercell.core.chunks import Blob
from evercell.state.code.definitions import Definitions, is_definition_node
from evercell.state.content.chunking import name as chunk_name
from evercell.state.pickling.pickled import Pickled
from evercell.state.pickling.serialiser import Serialiser

GONE = object()
"""The value of a node that is not there any more."""


class NodeStreams:
    """Serialises the nodes of a namespace."""

    def __init__(
        self, value_of: Callable[[str], Any], definitions: Definitions, serialiser: Serialiser
    ) -> None:
        """``value_of`` gives a variable's value, or `GONE`."""
        self._value_of = value_of
        self._definitions = definitions
        self._serialiser = serialiser

    def value(self, node: str) -> Any:
        """The live object of a node, `GONE` where there is none."""
        if not is_definition_node(node):
            return self._value_of(node)
        definition = self._definitions.value(node)
        return GONE if definition is None else definition

    def is_its_place(self, node: str) -> bool:
        """Whether its stream is its place in a setup cell, which says nothing of the functions that it holds."""
        return self._serialiser.setup.place(self.value(node)) is not None

    def is_defined_in_setup(self, node: str) -> bool:
        """Whether a node is a function or class that a setup cell makes in each kernel: nothing is tied to it."""
        return is_definition_node(node) and self._serialiser.setup.place_of_code(self.value(node)) is not None

    def whole(self, nodes: frozenset[str]) -> Pickled:
        """These nodes in one stream."""
        return self.of({node: self.value(node) for node in sorted(nodes)})

    def alone(self, node: str) -> Pickled:
        """One node in a stream of its own."""
        return self._alone(node, self.value(node))

    def _alone(self, node: str, value: Any) -> Pickled:
        members = [value] if is_definition_node(node) else []
        return self._serialiser.dumps(value, members, name=_called([(node, value)]))

    def of(self, values: Mapping[str, Any]) -> Pickled:
        """One stream of nodes that have these values: of one as it is, of several as a dict."""
        if len(values) == 1:
            return self._alone(*next(iter(values.items())))
        name = _called(values.items())
        members = [value for node, value in values.items() if is_definition_node(node)]
        variables = {node: value for node, value in values.items() if not is_definition_node(node)}
        return self._serialiser.dumps(values, members, name=name, variables=variables)

    def doubt_addresses(self, nodes: frozenset[str], whole: Pickled) -> None:
        """Note at the stream of these nodes, which is about to be saved, what only this process knows of it."""
        values = {node: self.value(node) for node in nodes}
        self._serialiser.doubt_addresses(whole, values, name=_called(values.items()))

    def reference(self, node: str) -> Blob:
        """The stream of a variable that is a live definition, and nothing else."""
        stream = self._serialiser.dumps(self._definitions.value(node), [], name=node).stream
        return Blob(len(stream), (chunk_name(stream),))

    def with_placeholders(self, nodes: frozenset[str], whole: Pickled) -> Pickled:
        """Nodes of which one cannot be serialised (``whole`` is a placeholder), with a placeholder for that one."""
        alone = {node: self.alone(node) for node in sorted(nodes)}
        if not any(new.is_placeholder for new in alone.values()):
            alone = dict.fromkeys(alone, whole)  # each can be kept, but not together: none is
        lost = {id(m): m for new in alone.values() if new.is_placeholder for m in new.notes.left_out}
        kept = {
            node: new.notes.left_out[0].placeholder() if new.is_placeholder else self.value(node)
            for node, new in alone.items()
        }
        rest = self.of(kept)
        rest.notes.left_out += lost.values()
        return rest


def _called(nodes: Iterable[tuple[str, Any]]) -> str:
    """What the user calls these nodes: variables by their names, only definitions by theirs."""
    pairs = list(nodes)
    variables = [node.lstrip(":") for node, _ in pairs if not is_definition_node(node)]
    return ", ".join(variables or [getattr(value, "__qualname__", "a definition") for _, value in pairs])
