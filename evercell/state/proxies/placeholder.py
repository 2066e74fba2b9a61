"""What could not be kept: named when its step ends, and again by what stands in its place."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NoReturn

from evercell.core.errors import NotKept

_TOUCHES = [
    "call",
    "iter",
    "next",
    "len",
    "bool",
    "getitem",
    "setitem",
    "delitem",
    "contains",
    "enter",
    "exit",
    "aenter",
    "aexit",
    "aiter",
    "anext",
    "await",
    "add",
    "radd",
    "iadd",
    "sub",
    "rsub",
    "isub",
    "mul",
    "rmul",
    "imul",
    "truediv",
    "rtruediv",
    "floordiv",
    "rfloordiv",
    "mod",
    "rmod",
    "divmod",
    "pow",
    "rpow",
    "matmul",
    "rmatmul",
    "and",
    "rand",
    "or",
    "ror",
    "xor",
    "rxor",
    "lshift",
    "rshift",
    "neg",
    "pos",
    "abs",
    "invert",
    "int",
    "float",
    "complex",
    "index",
    "round",
    "lt",
    "le",
    "gt",
    "ge",
    "eq",
    "ne",
    "format",
    "bytes",
    "fspath",
    "reversed",
]


class Placeholder:
    """Raises `NotKept` when it is touched in any way; ``repr`` only tells."""

    __slots__ = ("_evercell_hint", "_evercell_what")

    def __init__(self, what: str, hint: str) -> None:
        object.__setattr__(self, "_evercell_what", what)
        object.__setattr__(self, "_evercell_hint", hint)

    def __repr__(self) -> str:
        return f"<not kept: {object.__getattribute__(self, '_evercell_what')}>"

    def __reduce__(self) -> tuple[Any, ...]:
        get = object.__getattribute__
        return Placeholder, (get(self, "_evercell_what"), get(self, "_evercell_hint"))

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return Placeholder.__reduce__(self)

    # by identity, untouched: containers that hash what they hold must load with one inside
    __hash__ = object.__hash__

    def __getattr__(self, name: str) -> NoReturn:
        __tracebackhide__ = True
        if name.startswith(("_repr_", "_ipython_")) or name == "__wrapped__":
            raise AttributeError(name)  # asked by displays and introspection, not by the user's code
        _raise(self)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        __tracebackhide__ = True
        _raise(self)

    def __delattr__(self, name: str) -> NoReturn:
        __tracebackhide__ = True
        _raise(self)


def _raise(placeholder: Placeholder) -> NoReturn:
    __tracebackhide__ = True
    get = object.__getattribute__
    raise NotKept(get(placeholder, "_evercell_what"), hint=get(placeholder, "_evercell_hint"))


def _touch(self: Placeholder, *args: object, **kwargs: object) -> NoReturn:  # noqa: ARG001
    __tracebackhide__ = True
    _raise(self)


for _name in _TOUCHES:
    setattr(Placeholder, f"__{_name}__", _touch)


@dataclass(frozen=True, slots=True)
class Missing:
    """A value that was left out: the variable that it is (in), its type, why, and what to do."""

    name: str
    type: str
    why: str
    advice: str
    part: str = ""
    """What a user would type to reach it, where it is not the whole variable."""

    @property
    def what(self) -> str:
        """The variable or the part of it, and the reason."""
        return f"{self.part or self.name} ({self.type}) was not kept: {self.why}."

    @property
    def hint(self) -> str:
        """What to do."""
        return f"To have it after a restart, {self.advice}."

    @property
    def message(self) -> str:
        """One sentence of each."""
        return f"{self.what} {self.hint}"

    def placeholder(self) -> Placeholder:
        """What stands in its place after a restore."""
        return Placeholder(self.what, self.hint)


_NAMED_AT_MOST = 5


def summarise(missing: Iterable[Missing]) -> list[str]:
    """A line for each reason: what was lost for it (with a count, where that is much), why, and what to do."""
    reasons: dict[tuple[str, str], dict[str, list[str]]] = {}
    for one in missing:
        names = reasons.setdefault((one.why, one.advice), {}).setdefault(one.type, [])
        names += [name for name in (one.part or one.name).split(", ") if name not in names]
    lines = []
    for (why, advice), kinds in reasons.items():
        several = sum(map(len, kinds.values())) > 1
        lost = ", ".join(f"{_listed(names)} ({kind})" for kind, names in kinds.items())
        were, why = ("were", _of_each(why)) if several else ("was", why)
        lines.append(f"{lost} {were} not kept: {why}. To have it after a restart, {advice}.")
    return lines


def _listed(names: list[str]) -> str:
    names.sort()
    more = f" and {len(names) - _NAMED_AT_MOST} more" if len(names) > _NAMED_AT_MOST else ""
    return ", ".join(names[:_NAMED_AT_MOST]) + more


def _of_each(why: str) -> str:
    """A reason, said of several: "each is a lock"."""
    for verb in ("is", "has"):
        if why.startswith(f"it {verb} "):
            return f"each {why.removeprefix('it ')}"
    return why
