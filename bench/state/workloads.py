"""What the kernels of this bench have in memory. Runs inside of them; knows neither evercell nor the bench.

It is put among the builtins (`INSTALL`): as a variable of the notebook it would itself be saved by everybody.
Objects are made beforehand and handed over by `take`, so that the cell that brings them into the notebook
takes no time of its own, and all that is measured is the saving.
"""

from __future__ import annotations

import os
import pickle
import zlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from time import perf_counter
from typing import Any

INSTALL = """
def _install():
    import builtins, importlib
    builtins.workloads = importlib.import_module("bench.state.workloads")
_install()
del _install
"""

ARRAYS_AND_FRAMES = ("big", "signal", "counts", "image", "codes", "readings", "events")
MESSAGES = 100
PIN_EVERY = 10

spent = 0.0
"""Seconds of the last `clock`."""

_made: list[Any] = []


def clock(function: Callable[..., object], *given: object) -> None:
    """Call a function and note its time, without a kernel's messages."""
    global spent
    began = perf_counter()
    function(*given)
    spent = perf_counter() - began


def take() -> Any:
    """Hand over what was prepared, keeping no reference."""
    return _made.pop()


def prepare_arrays(mib: int) -> None:
    """Make arrays and frames of so many MiB: half of them noise, half of what shrinks. The first has an eighth."""
    import numpy as np
    import pandas as pd

    part = (mib << 20) // 8
    rng = np.random.default_rng(7)
    rows = part // 64
    readings = {f"sensor_{n}": rng.standard_normal(2 * rows) for n in range(8)}
    events: dict[str, Any] = {f"field_{n}": rng.integers(0, 1000, rows) for n in range(6)}
    events["at"] = np.datetime64("2026-01-01") + np.arange(rows).astype("timedelta64[s]")
    events["value"] = rng.random(rows)
    values = (
        rng.random(part // 8),
        rng.standard_normal(part // 4, dtype=np.float32),
        rng.integers(0, 100, part // 8),
        rng.integers(0, 256, part, dtype=np.uint8),
        np.arange(part // 8) // 16,
        pd.DataFrame(readings),
        pd.DataFrame(events),
    )
    _made.append(values)


def prepare_agent(dicts: int) -> None:
    """Make so many small dicts in lists in a dict, each tenth of them reachable a second way."""
    import random

    rng = random.Random(7)
    threads = [
        [_message(rng, thread * MESSAGES + n) for n in range(MESSAGES)] for thread in range(dicts // MESSAGES)
    ]
    pinned = [message for thread in threads for message in thread[::PIN_EVERY]]
    _made.append({"threads": threads, "pinned": pinned, "settings": {"model": "small", "budget": 20}})


def _message(rng: Any, number: int) -> dict[str, Any]:
    return {
        "id": number,
        "role": ("user", "assistant", "tool")[number % 3],
        "text": f"{rng.getrandbits(640):x}",
        "score": rng.random(),
        "tags": [f"topic-{number % 97}", number % 13],
    }


def size_of(values: Iterable[Any]) -> int:
    """Bytes of arrays and frames."""
    return sum(
        int(value.memory_usage(index=False).sum()) if hasattr(value, "memory_usage") else int(value.nbytes)
        for value in values
    )


def touch(*values: Any) -> int:
    """Read every byte of arrays and frames; returns a sum of them, for two restored states to be compared."""
    total = 0
    for value in values:
        parts = [value[name].to_numpy() for name in value] if hasattr(value, "columns") else [value]
        for part in parts:
            total = (total * 31 + int(part.view("uint64").sum())) & 0xFFFFFFFFFFFF
    return total


def walk(agent: Mapping[str, Any]) -> int:
    """Read every message of an agent's state; returns a checksum."""
    total = 0
    for thread in agent["threads"]:
        for message in thread:
            total = zlib.crc32(repr(message).encode(), total)
    return total


def lost_aliases(agent: Mapping[str, Any]) -> int:
    """How many pinned messages are no longer the very objects that their threads hold."""
    held = {id(message) for thread in agent["threads"] for message in thread}
    return sum(id(message) not in held for message in agent["pinned"])


def save(path: str, names: Iterable[str], variables: Mapping[str, Any]) -> None:
    """The plain way to save: one pickle of everything, safe on the disk."""
    with Path(path).open("wb") as file:
        pickle.dump({name: variables[name] for name in names}, file, protocol=5)
        file.flush()
        os.fsync(file.fileno())


def load(path: str, variables: dict[str, Any]) -> None:
    """The plain way back."""
    with Path(path).open("rb") as file:
        variables.update(pickle.load(file))
