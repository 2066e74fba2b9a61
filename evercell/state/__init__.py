"""A namespace as bytes and back. Knows no kernel and no database.

What other rooms use of it is here; they import nothing below (rebuilders excepted, which register themselves).

    namespace   a live dict of variables: what a cell could reach, what it changed, what is to be saved
    save        a signed manifest of what changed, and the chunks that the store lacks
    restore     a verified manifest put back: all of it, or what one step made
    beside      values of a verified manifest for a look at them, beside the live ones

    proxies     what stands where a value is not: not kept, or not loaded yet
    internals   names that libraries keep to themselves
    code        source: what a cell reads and binds, where a value comes from
    content     bytes under names: chunks, manifests, signatures
    typerules   how the values of each type are kept
    pickling    values as pickle streams, and back
    changes     what changed in memory, and who shares what

Each of these may import those above it.
"""

from __future__ import annotations

from evercell.state.beside import Beside, Unseen
from evercell.state.changes.process_state import STATES
from evercell.state.code.analysis import source_digest
from evercell.state.code.definitions import is_definition_node
from evercell.state.code.provenance import CellPlan, cell_key
from evercell.state.content.chunk_reader import content_digests, index_digests, join, read_content
from evercell.state.content.chunking import split, split_stream
from evercell.state.content.manifest import (
    Group,
    OwnContent,
    Variable,
    VerifiedManifest,
    live_blobs,
    own_groups,
    read_own,
    verify,
)
from evercell.state.content.signing import Signer, find_key, load_key
from evercell.state.namespace import Namespace, Restored
from evercell.state.pickling.values import Values
from evercell.state.proxies.placeholder import Missing, summarise
from evercell.state.typerules.secrets import holds_secret_of_environment, is_secret_name

__all__ = [
    "Beside",
    "CellPlan",
    "Group",
    "Missing",
    "Namespace",
    "OwnContent",
    "Restored",
    "STATES",
    "Signer",
    "Unseen",
    "Values",
    "Variable",
    "VerifiedManifest",
    "cell_key",
    "content_digests",
    "find_key",
    "holds_secret_of_environment",
    "index_digests",
    "is_definition_node",
    "is_secret_name",
    "join",
    "live_blobs",
    "own_groups",
    "load_key",
    "read_content",
    "read_own",
    "source_digest",
    "split",
    "split_stream",
    "summarise",
    "verify",
]
