"""Whether live values are what was stored, by their content: who shares them by now goes on sharing them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from evercell.core.errors import EvercellError
from evercell.state.changes.process_state import STATES
from evercell.state.changes.variables import LiveVariables
from evercell.state.code.definitions import is_definition_node
from evercell.state.content.manifest import VerifiedManifest

LARGEST = 32 * 1024 * 1024
"""Bytes of a group's stream (its buffers lie beside it) that is compared so; what is larger is put back."""


def same_content(
    live: LiveVariables, values: Mapping[str, object], manifest: VerifiedManifest
) -> Iterator[str]:
    """Those of the loaded ``values`` that are in memory already, in the same provenance and with the same content.

    The variables of a stored group are compared together, so that they share among them what they shared: those that
    the step only read one by one, too, for what was executed anew since is tied as it was then. Where that cannot be
    told, they count as different.
    """
    groups: dict[str, list[str]] = {}
    for name in values:
        groups.setdefault(manifest.variables[name].group, []).append(name)
    for group, names in groups.items():
        stored = manifest.groups[group]
        if stored.missing or stored.stream.size > LARGEST or any(map(is_definition_node, stored.nodes)):
            continue
        if set(stored.nodes) != set(names):
            continue
        is_same = _are_alike(live, values, sorted(names), manifest)
        if not is_same and manifest.wrote.isdisjoint(names):
            is_same = all(_are_alike(live, values, [name], manifest) for name in names)
        if is_same:
            yield from names
            for name in names:
                live.groups.note_content(name, group)


def _are_alike(
    live: LiveVariables, values: Mapping[str, object], names: list[str], manifest: VerifiedManifest
) -> bool:
    for name in names:
        origin = live.origins.get(name)
        if origin is None or origin.provenance != manifest.variables[name].provenance or name in STATES:
            return False
        if name not in live.variables or name in live.setup_names or name not in live.groups:
            return False
        try:
            live.lazy.load([name])
        except EvercellError:
            return False
    streams = live.groups.streams
    there = streams.of({name: live.variables[name] for name in names})
    stored = streams.of({name: values[name] for name in names})
    is_whole = not (there.notes.left_out or stored.notes.left_out)
    return is_whole and there.fingerprint == stored.fingerprint
