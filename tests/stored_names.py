"""Which functions and classes a pickle names, told without loading it."""

from __future__ import annotations

import pickletools
from collections.abc import Iterator


def named_in(stream: bytes) -> Iterator[tuple[str, str]]:
    """Module and qualified name of each global that a pickle refers to."""
    strings: list[str] = []
    memo: dict[int, str] = {}
    for opcode, argument, _ in pickletools.genops(bytes(stream)):
        if opcode.name == "GLOBAL":
            module, _, name = str(argument).partition(" ")
            yield module, name
        elif opcode.name == "STACK_GLOBAL":
            yield strings[-2], strings[-1]
        elif opcode.name in ("SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"):
            strings.append(str(argument))
        elif opcode.name == "MEMOIZE":
            memo[len(memo)] = strings[-1] if strings else ""
        elif opcode.name in ("BINGET", "LONG_BINGET"):
            strings.append(memo[int(argument)])


def ours_named_in(stream: bytes) -> set[str]:
    """What of evercell a pickle names by module: `evercell.persisted`'s entries, or a fault."""
    return {f"{module}.{name}" for module, name in named_in(stream) if module.partition(".")[0] == "evercell"}
