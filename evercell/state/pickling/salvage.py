"""Loading a stream of which a part cannot be put together: only that part is lost.

`pickle` gives up at the first object that raises. Here each object that does is replaced by a placeholder, and
everything else of the stream is loaded as ever, with what it shares.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

from evercell.core.errors import ChunkMissing, StateError, Tampered
from evercell.state.internals.standard_library import PythonUnpickler
from evercell.state.pickling import former_names
from evercell.state.proxies.placeholder import Placeholder

_NO_FAULT_OF_ONE_OBJECT = (Tampered, ChunkMissing, MemoryError)

_FILLS = "fill_"
"""Our own factories that put state into their first argument are called so."""


@dataclass(frozen=True, slots=True)
class Unloadable:
    """An object that could not be put together."""

    type: str
    why: str
    is_absent: bool
    """Its class or function is not there."""
    placeholder: Placeholder
    unbound: str | None = None
    """The variable that was not there as it was put together."""


class SalvagingUnpickler(PythonUnpickler):  # type: ignore[misc]
    """Loads what can be loaded. ``lost`` has what could not, the innermost objects first."""

    dispatch: ClassVar[dict[int, Callable[[Any], None]]] = dict(PythonUnpickler.dispatch)

    def __init__(
        self, stream: bytes, buffers: Iterable[Any], *, find: Callable[[Any], Any] | None = None
    ) -> None:
        """``find`` gives what the stream refers to beside classes and functions (`ExactUnpickler`)."""
        super().__init__(io.BytesIO(stream), buffers=buffers)
        if find is not None:
            self.persistent_load = find
        self.lost: list[Unloadable] = []

    def find_class(self, module: str, name: str) -> Any:
        """The class or function; a placeholder for one that is not there."""
        try:
            return former_names.find_class(super().find_class, module, name)
        except _NO_FAULT_OF_ONE_OBJECT:
            raise
        except Exception as error:  # noqa: BLE001  whatever an import raises
            return self._lose(f"{module}.{name}", error, is_absent=True)

    def _lose(self, kind: str, error: Exception, *, is_absent: bool = False) -> Placeholder:
        why = error.what if isinstance(error, StateError) else f"{type(error).__name__}: {error}"
        lost = Placeholder(f"A {kind} could not be put together again ({why}).", "Make it anew.")
        unbound = error.name if isinstance(error, NameError) else None
        self.lost.append(Unloadable(kind, why[:300], is_absent, lost, unbound))
        return lost

    def _guarded(self, make: Callable[[], Any], maker: Any, arguments: Iterable[Any] = ()) -> Any:
        """What ``make`` returns; where it raises a placeholder, that among the arguments if there is one."""
        if type(maker) is Placeholder:
            return maker
        try:
            return make()
        except _NO_FAULT_OF_ONE_OBJECT:
            raise
        except Exception as error:  # noqa: BLE001  user code runs
            for cause in arguments:
                if type(cause) is Placeholder:
                    return cause
            kind = getattr(maker, "__qualname__", type(maker).__qualname__)
            return self._lose(f"{maker.__module__}.{kind}", error)

    def _replace(self, old: Any, new: Any) -> None:
        for stack in (self.stack, *self.metastack):
            stack[:] = [new if item is old else item for item in stack]
        self.memo.update({key: new for key, value in self.memo.items() if value is old})

    # -- opcodes that run the code of classes ----------------------------------------------------

    def _reduce(self) -> None:
        arguments = self.stack.pop()
        function = self.stack[-1]
        made = self._guarded(lambda: function(*arguments), function, arguments)
        if type(made) is Placeholder and getattr(function, "__name__", "").startswith(_FILLS):
            self._replace(arguments[0], made)
        self.stack[-1] = made

    def _new_object(self) -> None:
        arguments, kind = self.stack.pop(), self.stack.pop()
        self.append(self._guarded(lambda: kind.__new__(kind, *arguments), kind, arguments))

    def _new_object_with_keywords(self) -> None:
        named, arguments, kind = self.stack.pop(), self.stack.pop(), self.stack.pop()
        self.append(self._guarded(lambda: kind.__new__(kind, *arguments, **named), kind, arguments))

    dispatch[pickle.REDUCE[0]] = _reduce
    dispatch[pickle.NEWOBJ[0]] = _new_object
    dispatch[pickle.NEWOBJ_EX[0]] = _new_object_with_keywords


def _filling(opcode: bytes, holder: Callable[[Any], Any]) -> Callable[[Any], None]:
    """An opcode that puts something into an object (``holder`` says which); a placeholder takes nothing in."""
    usual = PythonUnpickler.dispatch[opcode[0]]

    def fill(unpickler: SalvagingUnpickler) -> None:
        filled = holder(unpickler)
        if type(filled) is Placeholder:
            unpickler._replace(filled, pretended := _Anything())
            usual(unpickler)
            unpickler._replace(pretended, filled)
            return
        done = unpickler._guarded(lambda: usual(unpickler), type(filled))
        if type(done) is Placeholder:
            unpickler._replace(filled, done)

    return fill


class _Anything:
    """Takes in whatever belonged into an object that was lost."""

    def __setstate__(self, state: object) -> None: ...

    def __setitem__(self, key: object, value: object) -> None: ...

    def append(self, value: object) -> None: ...

    def add(self, value: object) -> None: ...


for _opcode in (pickle.APPENDS, pickle.SETITEMS, pickle.ADDITEMS):
    SalvagingUnpickler.dispatch[_opcode[0]] = _filling(_opcode, lambda unpickler: unpickler.metastack[-1][-1])
SalvagingUnpickler.dispatch[pickle.BUILD[0]] = _filling(pickle.BUILD, lambda unpickler: unpickler.stack[-2])
SalvagingUnpickler.dispatch[pickle.APPEND[0]] = _filling(pickle.APPEND, lambda unpickler: unpickler.stack[-2])
SalvagingUnpickler.dispatch[pickle.SETITEM[0]] = _filling(
    pickle.SETITEM, lambda unpickler: unpickler.stack[-3]
)
