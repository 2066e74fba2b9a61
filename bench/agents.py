"""What an agent's graph costs: bytes and time of a superstep, beside LangGraph's own SQLite saver.

    python -m bench.agents [--supersteps 100 400 4000] [--bytes 1000] [--peer-up-to 400] [--json] [--folder DIR]

It needs LangGraph and langgraph-checkpoint-sqlite (the extra ``test-agents``). One graph, whose only node appends one
message to an ordinary ``add_messages`` list and calls itself, runs on both savers, with ``durability="sync"``: each
superstep waits for its commits. Contents are random, so that compression helps nobody. Stored bytes are those of all
files after a checkpoint of SQLite's log, without an empty store's; state is the final list as LangGraph serialises it.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import tempfile
from base64 import b85encode
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from time import perf_counter, process_time
from typing import Annotated, Any, TypedDict

from evercell.testing import SetClock, open_durable

TARGET_RATIO = 1.5
TARGET_ROW = 1000
"""Stored bytes may be so many times the state, and so many a superstep beside."""

TARGET_GROWTH = 1.3
"""A superstep at the end may take so many times what one at `EARLY` takes, or as many times as it does without any
saver: LangGraph's own reducer looks at each message each time, and so do we (whether somebody changed it in place).
"""

EARLY = 100
WINDOW = 40
"""Supersteps around a place whose median counts."""


@dataclass
class Cost:
    """One saver over one number of supersteps."""

    saver: str
    supersteps: int
    message_bytes: int
    state_bytes: int
    stored_bytes: int
    early_ms: float
    """A superstep around `EARLY`, all of it …"""
    late_ms: float
    """… and at the end."""
    early_cpu_ms: float
    """What of it the process computes: the same on a machine that is busy with something else."""
    late_cpu_ms: float

    @property
    def ratio(self) -> float:
        """Stored bytes for each byte of the state."""
        return self.stored_bytes / self.state_bytes  # (of no saver: 0)

    @property
    def growth(self) -> float:
        """What a superstep computes at the end, beside what it does at `EARLY`."""
        return self.late_cpu_ms / self.early_cpu_ms

    @property
    def target(self) -> float:
        """Bytes that may be stored."""
        return TARGET_RATIO * self.state_bytes + TARGET_ROW * self.supersteps


def run(saver: Any, supersteps: int, size: int) -> tuple[Any, list[float], list[float]]:
    """Runs the graph; returns its messages, and by superstep its seconds and those of its processor."""
    from langchain_core.messages import AIMessage
    from langgraph.graph import END, START, StateGraph
    from langgraph.graph.message import add_messages

    schema = TypedDict("schema", {"messages": Annotated[list, add_messages]})  # type: ignore[misc]  # noqa: UP013
    moments, dice = [(perf_counter(), process_time())], random.Random(1)

    def speak(_: Any) -> dict[str, Any]:
        moments.append((perf_counter(), process_time()))
        number = len(moments)
        return {
            "messages": [AIMessage(b85encode(dice.randbytes(size * 4 // 5)).decode(), id=f"message-{number}")]
        }

    graph = StateGraph(schema)
    graph.add_node("speak", speak)
    graph.add_edge(START, "speak")
    graph.add_conditional_edges("speak", lambda _: END if len(moments) > supersteps else "speak")
    compiled = graph.compile(checkpointer=saver)
    config: Any = {"configurable": {"thread_id": "bench"}, "recursion_limit": supersteps + 10}
    options: Any = {"durability": "sync"} if saver is not None else {}
    result = compiled.invoke({"messages": []}, config, **options)
    seconds = [(after[0] - before[0], after[1] - before[1]) for before, after in pairwise(moments[1:])]
    return result["messages"], [wall for wall, _ in seconds], [cpu for _, cpu in seconds]


def _medians(seconds: Sequence[float]) -> tuple[float, float]:
    """Milliseconds around `EARLY`, and at the end."""
    early = seconds[max(0, EARLY - WINDOW) : EARLY]
    return 1000 * statistics.median(early), 1000 * statistics.median(seconds[-WINDOW - 1 : -1])


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _state(messages: Any) -> int:
    from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

    return len(JsonPlusSerializer().dumps_typed(messages)[1])


@contextmanager
def _folder(parent: Path | None) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir=parent) as name:
        yield Path(name)


def _cost(
    name: str, supersteps: int, size: int, ran: tuple[Any, list[float], list[float]], stored: int
) -> Cost:
    messages, seconds, computed = ran
    return Cost(name, supersteps, size, _state(messages), stored, *_medians(seconds), *_medians(computed))


def ours(supersteps: int, size: int, parent: Path | None) -> Cost:
    """In a step of a run, under its lease."""
    from evercell.langgraph import Saver

    with _folder(parent) as folder:
        with open_durable(folder, SetClock()):
            pass
        _checkpoint(folder / "evercell-test.db")
        empty = _size(folder)
        with open_durable(folder, SetClock()) as durable:
            ran = durable.step("agent", lambda: run(Saver(), supersteps, size))
        _checkpoint(folder / "evercell-test.db")
        return _cost("evercell", supersteps, size, ran, _size(folder) - empty)


def peer(supersteps: int, size: int, parent: Path | None) -> Cost:
    """LangGraph's own."""
    from langgraph.checkpoint.sqlite import SqliteSaver

    with _folder(parent) as folder:
        with SqliteSaver.from_conn_string(str(folder / "peer.db")) as saver:
            ran = run(saver, supersteps, size)
        _checkpoint(folder / "peer.db")
        return _cost("langgraph-checkpoint-sqlite", supersteps, size, ran, _size(folder))


def without(supersteps: int, size: int, parent: Path | None) -> Cost:  # noqa: ARG001
    """LangGraph itself, which keeps nothing."""
    return _cost("no saver", supersteps, size, run(None, supersteps, size), 0)


def _checkpoint(path: Path) -> None:
    import sqlite3
    from contextlib import closing

    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _line(cost: Cost) -> str:
    return (
        f"{cost.saver:28} {cost.supersteps:>6} {cost.state_bytes / 1e6:>8.2f} {cost.stored_bytes / 1e6:>9.2f} "
        f"{cost.ratio:>7.2f} {cost.early_ms:>8.2f} {cost.late_ms:>8.2f} {cost.early_cpu_ms:>8.2f} "
        f"{cost.late_cpu_ms:>8.2f}"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print; returns 1 where a target is missed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--supersteps", type=int, nargs="+", default=[100, 400, 4000])
    parser.add_argument("--bytes", type=int, default=1000)
    parser.add_argument("--peer-up-to", type=int, default=400)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args(arguments)
    costs: list[Cost] = []
    if not options.json:
        print(f"{'saver':28} {'steps':>6} {'state MB':>8} {'stored MB':>9} {'ratio':>7} "
              f"{'@100 ms':>8} {'@end ms':>8} {'cpu':>8} {'cpu':>8}")  # fmt: skip
    for supersteps in options.supersteps:
        for measure in (without, ours, peer) if supersteps <= options.peer_up_to else (without, ours):
            costs.append(measure(supersteps, options.bytes, options.folder))
            if not options.json:
                print(_line(costs[-1]), flush=True)
    mine, alone = _of("evercell", costs), _of("no saver", costs)
    is_small = all(cost.stored_bytes <= cost.target for cost in mine)
    allowed = max(TARGET_GROWTH, alone[-1].growth)
    if options.json:
        growth = {"growth": mine[-1].growth, "growth_without_saver": alone[-1].growth}
        print(json.dumps({"costs": [asdict(cost) for cost in costs], **growth}))
    else:
        part = max(cost.stored_bytes / cost.target for cost in mine)
        print(f"stored: {part:.2f} of {TARGET_RATIO} x state + {TARGET_ROW} B a superstep (at most 1)")
        for who, cost in (("LangGraph, which keeps nothing", alone[-1]), ("with evercell", mine[-1])):
            print(f"{who}: a superstep at {cost.supersteps} takes {cost.late_cpu_ms:.2f} ms of the processor, "
                  f"{cost.growth:.1f} x what it takes at {EARLY}")  # fmt: skip
        print(f"(with evercell at most {allowed:.1f} x; what it adds is {_added(mine, alone)})")
    return 0 if is_small and mine[-1].growth <= allowed else 1


def _added(mine: Sequence[Cost], alone: Sequence[Cost]) -> str:
    early, late = mine[-1].early_cpu_ms - alone[-1].early_cpu_ms, mine[-1].late_cpu_ms - alone[-1].late_cpu_ms
    return f"{early:.2f} ms at {EARLY}, and {late:.2f} ms at {mine[-1].supersteps}"


def _of(saver: str, costs: Sequence[Cost]) -> list[Cost]:
    return [cost for cost in costs if cost.saver == saver]


if __name__ == "__main__":
    sys.exit(main())
