"""``returns()``: what a notebook hands back to whoever started its run, as signed content of the store."""

from __future__ import annotations

import json
from hashlib import sha256
from hmac import compare_digest
from typing import Any

from evercell.core.chunks import Supply
from evercell.core.errors import Tampered, UsageError
from evercell.core.records import Returned
from evercell.engine.calls.log import LARGE_VALUE
from evercell.engine.calls.ownership import require_scope
from evercell.engine.calls.words import value_in_words
from evercell.engine.workspace import Workspace
from evercell.state import Signer, Values, holds_secret_of_environment, join, split

DEFAULT = "value"
"""The name of what a notebook returns without naming it."""

_LONGEST_NAME = 200
_SCRAP = "application/scrapbook.scrap.json+json"
"""The MIME type by which scrapbook finds what a notebook glued."""

_LONGEST_SCRAP = 1_000_000
"""Characters: a larger value is in the store, and in the notebook in short."""


def returns(value: Any, name: str = DEFAULT) -> None:
    """Hand a value to whoever started this notebook's run; they read it as ``r.value``, or ``r["name"]``.

    Any value that a step may keep, of any size. Returned again, it replaces the former one. The output notebook has
    it, too, where scrapbook finds it. Raises `NotKept`, with what cannot be kept.
    """
    step = require_scope("returns").step
    if not isinstance(name, str) or not 0 < len(name) <= _LONGEST_NAME or not name.isprintable():
        raise UsageError(
            f"A value is returned by the name {name!r:.80}.",
            hint=f"Use a text of 1 to {_LONGEST_NAME} characters.",
        )
    content = Values({}).dumps(value, name=f"The value {name!r} that the notebook returns")
    kept: Any = content
    chunks = Supply()
    if len(content) > LARGE_VALUE:
        kept, chunks = split(content)
    workspace = step.workspace
    mac = workspace.signer.sign(signed_part(step.run_id, name, content))
    with step.deferred_interrupts():
        returned = Returned(step.run_id, name, kept, mac, workspace.clock())
        workspace.store.results.put(step.lease(), returned, chunks)
    if step.page is not None:
        step.page.publish(_scrap(name, value), {"scrapbook": {"name": name, "data": True, "display": False}})


def read_returned(workspace: Workspace, returned: Returned) -> Any:
    """The value; raises `Tampered` unless this key signed it."""
    value = returned.value
    content = value if isinstance(value, bytes) else bytes(join(value, workspace.store.chunks))
    verify_returned(returned, content, workspace.signer)
    return Values({}).loads(content)


def verify_returned(returned: Returned, content: bytes, signer: Signer) -> None:
    """Raise `Tampered` unless this key signed what a run returned, with ``content`` for its value."""
    if not compare_digest(signer.sign(signed_part(returned.run_id, returned.name, content)), returned.mac):
        raise Tampered(
            f"The value {returned.name!r} that run {returned.run_id} returned is not what was signed with your key.",
            hint="Do not trust it. Whoever executes the run needs the same key: set EVERCELL_KEY on both sides.",
        )


def signed_part(run_id: str, name: str, content: bytes) -> bytes:
    """What the signature of a returned value is of."""
    return b"returned\0" + f"{run_id}\0{name}\0".encode() + sha256(content).digest()


# -- for readers of the notebook -----------------------------------------------------------------


def _scrap(name: str, value: Any) -> dict[str, Any]:
    """What scrapbook's ``glue`` shows: JSON where the value is that, and its words where not."""
    encoder, data = "json", _as_json(value)
    words = value_in_words(value)
    if data is None:
        encoder, data = "text", words
    scrap = {"name": name, "data": data, "encoder": encoder, "version": 1}
    return {_SCRAP: scrap, "text/plain": f"returned {name}: {words}"}


def _as_json(value: Any) -> Any:
    """The value itself where it is plain JSON, and short, and holds no secret; None otherwise."""
    try:
        text = json.dumps(value, allow_nan=False)
        is_same = len(text) <= _LONGEST_SCRAP and json.loads(text) == value
    except (TypeError, ValueError, RecursionError):
        return None
    return value if is_same and not holds_secret_of_environment(text) else None
