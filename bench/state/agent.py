"""An agent's state: very many small objects, of which a cell changes one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

from bench.state.contest import Bench, Cell, Contest, Measured, compete, contest, elsewhere
from bench.state.figures import Elsewhere, Row, Spread
from bench.state.notebooks import evercell_kernel
from bench.state.rivals import PICKLE, Pickle
from bench.state.workloads import MESSAGES, PIN_EVERY
from bench.steps import BenchError

TAKE = "agent = workloads.take()\nrecent = agent['threads'][-1]"
DUMPS = "workloads.clock(workloads.pickle.dumps, agent, 5)"
CHECK = "seen = workloads.walk(agent), workloads.lost_aliases(agent) + (recent is not agent['threads'][-1])"


def agent(bench: Bench) -> Iterator[Row]:
    """Cells beside, on and in very many small dicts; then all of it in a new kernel."""
    bench.progress(f"an agent's state of {bench.dicts:,} dicts")
    with bench.folder() as folder:
        with contest(bench, folder, ["agent", "recent"]) as between:
            between.prepare(f"workloads.prepare_agent({bench.dicts})")
            before = between.evercell.store.bytes()
            first = between.evercell.step(TAKE)
            between.plain.run(TAKE)
            for rival in between.others:
                rival.follow(TAKE, is_setup=True)
            full = between.evercell.store.bytes() - before
            found, dumps = _measure(bench, between)
            told = {label: elsewhere(between, measured) for label, measured in found.items()}
            saved, size = Spread.of(between.saves[PICKLE]), between.pickle.size()
            between.plain.run(CHECK)
            seen = between.plain.value("seen")
        yield Row(f"agent, {bench.dicts:,} dicts: first checkpoint", "s", first, PICKLE, saved)
        yield Row("agent: first checkpoint, stored", "B", full, PICKLE, Spread.exactly(size))
        yield from _rows(found, told, saved, dumps, full)
        yield from _back(folder, between.pickle, seen, bench.dicts // PIN_EVERY + 1)


def _measure(bench: Bench, between: Contest) -> tuple[dict[str, Measured], Spread]:
    """Each kind of cell, with a turn of C's ``pickle.dumps`` in the plain kernel after each round."""
    rounds = 5 if bench.quick else 9
    dumps: list[float] = []

    def dump() -> None:
        between.plain.run(DUMPS)
        dumps.append(between.plain.value("workloads.spent"))

    threads = bench.dicts // MESSAGES

    def set_field(number: int) -> str:
        thread, message = number * 37 % threads, number * 11 % MESSAGES
        return f"agent['threads'][{thread}][{message}]['score'] = {number}.5"

    def insert(number: int) -> str:
        """A whole new thread in the middle: everything behind it moves."""
        thread = f"[{{'id': -{number}, 'text': f'new {{n}}'}} for n in range({MESSAGES})]"
        return f"agent['threads'].insert({threads // 2 + number}, {thread})"

    before_insert: dict[str, Cell] = {
        "untouched": lambda n: f"y = {n}",
        "read": lambda n: f"found = len(agent['threads'][{n % threads}]) + {n}",
        "read into a list": lambda n: f"listed = [len(agent['threads'][{n % threads}]), {n}]",
        "one field set": set_field,
    }
    after_insert: dict[str, Cell] = {"insert": insert, "one field set after an insert": set_field}
    found = compete(between, before_insert, rounds=rounds, after_round=dump)
    found |= compete(between, after_insert, rounds=rounds, after_round=dump)
    return found, Spread.of(dumps)


def _rows(
    found: Mapping[str, Measured], told: Mapping[str, Elsewhere], saved: Spread, dumps: Spread, full: int
) -> Iterator[Row]:
    untouched, read, listed = found["untouched"], found["read"], found["read into a list"]
    yield Row("agent: untouched, added", "s", untouched.p50(), PICKLE, saved, limit=0.005,
              elsewhere=told["untouched"])  # fmt: skip
    yield Row("agent: read, added", "s", read.p50(), "C pickle.dumps", dumps, ratio_limit=4.0,
              elsewhere=told["read"])  # fmt: skip
    yield Row("agent: read into a new list, added", "s", listed.p50(), "C pickle.dumps", dumps,
              ratio_limit=4.0, elsewhere=told["read into a list"])  # fmt: skip
    yield Row("agent: read, stored", "B", read.stored_p50(), "all of it", Spread.exactly(full))
    for label in ("one field set", "insert", "one field set after an insert"):
        measured = found[label]
        yield Row(f"agent: {label}, added", "s", measured.p50(), "C pickle.dumps", dumps,
                  elsewhere=told[label])  # fmt: skip
        yield Row(f"agent: {label}, stored", "B", measured.stored_p50(), "all of it", Spread.exactly(full),
                  ratio_limit=0.02)  # fmt: skip


def _back(folder: Path, pickle: Pickle, seen: tuple[int, int], aliases: int) -> Iterator[Row]:
    """Five times each: a new kernel that walks through all messages, and counts aliases that were lost."""
    ours: list[float] = []
    plain: list[float] = []
    lost = 0
    for _ in range(5):
        with ExitStack() as stack:
            pickle.open(stack)
            opened = stack.enter_context(evercell_kernel(folder, opening=["%load_ext evercell"]))
            pickle.ready()
            opened.ready()
            ours.append(opened.run("%resume") + opened.run(CHECK))
            checksum, broken = opened.value("seen")
            if checksum != seen[0]:
                raise BenchError("The agent's state that came back is not what was saved.")
            lost = max(lost, broken)
            loaded, walked = pickle.restore(), pickle.follow(CHECK)
            plain.append((loaded or 0.0) + (walked or 0.0))
    yield Row("agent: in a new kernel, all touched", "s", Spread.of(ours).median, "pickle.load",
              Spread.of(plain), ratio_limit=1.5)  # fmt: skip
    yield Row("agent: aliases lost on the way", "", lost, "aliases", Spread.exactly(aliases), limit=0)
