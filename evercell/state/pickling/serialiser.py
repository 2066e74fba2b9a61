"""Nodes of a live namespace as streams."""

from __future__ import annotations

import io
from collections.abc import Sequence, Set
from typing import Any

from evercell.state.code.definitions import Definitions
from evercell.state.code.sources import Sources
from evercell.state.pickling.exact import MARK, ExactPickler, needs_exactness
from evercell.state.pickling.framing import without_frames
from evercell.state.pickling.loader import Loading, load_failure
from evercell.state.pickling.pickled import Notes, Pickled
from evercell.state.pickling.pickler import NotebookPickler
from evercell.state.pickling.recursion import is_too_deep, with_room
from evercell.state.pickling.setup_parts import SetupParts
from evercell.state.proxies.placeholder import Missing
from evercell.state.typerules.refused import UNKNOWN_ADVICE, type_name


class Serialiser:
    """Serialises nodes of one live namespace."""

    def __init__(
        self, variables: dict[str, Any], definitions: Definitions, setup_names: Set[str] = frozenset()
    ) -> None:
        """``setup_names``: variables that setup cells make anew in each kernel, as of the moment."""
        self.setup = SetupParts(variables, setup_names)
        self._variables = variables
        self._definitions = definitions
        self._sources = Sources()

    def dumps(self, value: Any, members: Sequence[Any], *, name: str) -> Pickled:
        """Serialise the value of the variable ``name``.

        ``members`` are the definitions that belong into it rather than beside it.

        What cannot be kept is left out, a placeholder in its place; the rest is kept.
        """
        if value is self._variables:
            return self._as_placeholder(name, value, ValueError("it is the notebook's own namespace"))
        inside = {id(member) for member in members}
        try:
            try:
                pickler = self._take_apart(value, inside, name)
            except Exception as error:
                if not is_too_deep(error):
                    raise
                pickler = with_room(lambda: self._take_apart(value, inside, name))
        except Exception as error:  # noqa: BLE001  user code runs in __reduce__; whatever it raises costs this value only
            if is_too_deep(error):
                error = RecursionError("its objects nest too deeply")
            return self._as_placeholder(name, value, error)
        mark = MARK if isinstance(pickler, ExactPickler) else b""
        stream, notes = without_frames(pickler.stream.getvalue()) + mark, pickler.notes
        if notes.left_out and not members and not notes.rebuilt:  # to rebuild has effects: not for a trial
            loading = Loading(self._variables, self._definitions.value)
            if failure := load_failure(loading, stream, pickler.buffers):
                return self._as_placeholder(name, value, failure, notes.left_out[0])
        bare = self._bare_fingerprint(value, inside, name) if notes.has_caches else b""
        return Pickled(stream, pickler.buffers, notes, bare=bare, root=id(value), pickler=pickler)

    def _bare_fingerprint(self, value: Any, inside: set[int], name: str) -> bytes:
        pickler = self._with(ExactPickler, value, inside, name, forgets_caches=True)
        return Pickled(without_frames(pickler.stream.getvalue()), pickler.buffers).fingerprint

    def _take_apart(self, value: Any, inside: set[int], name: str) -> NotebookPickler:
        try:
            pickler = self._with(NotebookPickler, value, inside, name)
        except Exception as error:
            if is_too_deep(error):
                raise
            return self._with(ExactPickler, value, inside, name)  # may refer to what cannot be taken apart
        if needs_exactness(pickler, pickler.stream.getvalue(), self.setup):
            return self._with(ExactPickler, value, inside, name)
        return pickler

    def _with(
        self,
        kind: type[NotebookPickler],
        value: Any,
        inside: set[int],
        name: str,
        *,
        forgets_caches: bool = False,
    ) -> NotebookPickler:
        pickler = kind(io.BytesIO(), [], self._variables, self._definitions, self._sources, inside, name)
        pickler.setup, pickler.forgets_caches = self.setup, forgets_caches
        pickler.dump(value)
        return pickler

    def _as_placeholder(
        self, name: str, value: Any, error: Exception, cause: Missing | None = None
    ) -> Pickled:
        why, advice = f"it cannot be serialised ({type(error).__name__}: {error})", UNKNOWN_ADVICE
        if cause is not None:
            why, advice = f"it depends on {cause.type}: {cause.why}", cause.advice
        note = Missing(name, type_name(type(value)), why[:300], advice)
        stream = self._take_apart(note.placeholder(), set(), name).stream.getvalue()
        return Pickled(stream, notes=Notes(left_out=[note]), is_placeholder=True)
