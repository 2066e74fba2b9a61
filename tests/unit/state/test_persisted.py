"""Saved state names what is evercell's by names that stay, and nothing else of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from evercell import evals, persisted, policies
from evercell.engine.evals.trajectory import Trajectory
from evercell.state.content.chunk_reader import join
from evercell.state.content.manifest import VerifiedManifest
from evercell.state.pickling import former_names
from tests.stored_names import ours_named_in
from tests.unit.state.memory import Cells, resumed

GOLDEN = Path(__file__).parents[2] / "golden"

ENTRIES = {"evercell.persisted.load", "evercell.persisted.decorated"}

STATE = """\
import collections, dataclasses, enum, functools, queue, sqlite3, threading, types, typing
import numpy as np, pandas as pd, sqlalchemy as sa
import evercell
from evercell import (
    aio, step, call, map, sleep, sleep_until, wait_for, send, approve, now, random, uuid, record, transaction,
    idempotency_key, heartbeat, last_heartbeat, resource, rebuilds, CannotRebuild, inbox,
)
from evercell.aio import gather, sleep as aio_sleep, wait_for as aio_wait_for
from evercell.core.errors import LeaseLost, StepTimeout, Rejected
from evercell.engine.approvals.decision import Decision
from evercell.engine.calls.policy import CallPolicy
class Slotted:
    __slots__ = ("a", "__private")
class Registered:
    def __init_subclass__(cls): pass
class Sub(Registered):
    x = functools.cached_property(lambda self: 1)
    def __getattr__(self, name): raise AttributeError(name)
class Failure(evercell.NonDeterminism): pass
UserId = typing.NewType("UserId", int)
def outer(n):
    def inner(m=1, *, k=2): return n + m + k
    return inner
inner = outer(3)
cached = functools.lru_cache(outer)
instance, slotted = Sub(), Slotted()
slotted.a = 1
views = [d.keys() for d in [{}]], types.MappingProxyType({"a": 1})
error = [ValueError("x"), LeaseLost("gone", hint="do"), Failure("what", hint="h")]
array = np.arange(20000.0)
view, structured = array[10:], np.zeros(3, [("a", "i4")])
class Masked(np.ndarray): pass
masked = array.view(Masked)
frame = pd.DataFrame({"a": [1, 2]})
series, index = frame["a"], frame.set_index("a").index
connection = sqlite3.connect(":memory:")
engine = sa.create_engine("sqlite:///nowhere.db")
locks = [threading.Lock(), threading.Event(), threading.Semaphore(2), queue.Queue()]
made = resource(dict)
generator = (x for x in "ab")
@step(retries=3, timeout=60)
def ask(prompt): return prompt
@step(key=lambda x: str(x), undo=lambda *a: None)
async def ask_later(x): return x
@transaction(engine)
def save(connection, x): return x
ask.calls = 7
client = record(types.SimpleNamespace(messages=types.SimpleNamespace(create=ask)))
held = [ask, step, approve, Rejected, functools.partial(ask, "x")]
policy = CallPolicy(retries=2)
"""


def _streams(manifest: VerifiedManifest, cells: Cells) -> dict[str, bytes]:
    return {name: bytes(join(group.stream, cells.memory)) for name, group in manifest.groups.items()}


@pytest.fixture
def cells() -> Cells:
    made = Cells()
    made.step("all", STATE)
    return made


def test_streams_name_nothing_of_ours_that_could_move(cells: Cells) -> None:
    found = {
        name
        for stream in _streams(cells.memory.verified("all"), cells).values()
        for name in ours_named_in(stream)
    }
    assert found == ENTRIES


def test_what_is_decorated_by_us_is_kept_without_our_code(cells: Cells) -> None:
    assert [m for m in cells.missing if not m.startswith("generator")] == []
    fresh = resumed(cells)
    assert fresh["ask"]("hello") == "hello" and fresh["ask"].calls == 7
    assert fresh["held"][0] is fresh["ask"] and fresh["held"][1] is fresh["step"]
    assert fresh["ask"].__name__ == "ask" and fresh["ask"].__module__ == "__main__"
    again = fresh["ask"].__evercell_durable__.policy
    assert (again.retries, again.timeout) == (3, 60)
    fresh["engine"].dispose()
    cells["engine"].dispose()
    fresh["connection"].close()
    cells["connection"].close()


OF_FRAMEWORKS = ("langgraph.", "pydantic_ai.", "openai_agents.")
"""How names begin that need a framework to be imported."""


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.agents if name.startswith(OF_FRAMEWORKS) else ())
        for name in sorted(persisted.names())
    ],
)
def test_every_name_leads_to_what_has_it(name: str) -> None:
    found = persisted.load(name)
    assert persisted.is_ours(found) and persisted.name_of(found) == name


def test_no_name_is_ever_taken_away() -> None:
    """The names of each format, as they were when it was released."""
    for released in sorted(GOLDEN.glob("names-of-format-*.txt")):
        gone = set(released.read_text().split()) - set(persisted.names())
        assert not gone, f"{released.name}: stored state may name these: {sorted(gone)}"


def test_an_unknown_name_is_named() -> None:
    with pytest.raises(AttributeError, match="knows no 'make_gold'"):
        persisted.load("make_gold")


@pytest.mark.parametrize(
    "source",
    [
        "from evercell.state.namespace import Namespace as lost",
        "from evercell.state.code.analysis import analyse\nlost = analyse('1')",
        "from evercell.engine.spec import StepSpec\nlost = StepSpec('a')",
        "from evercell.engine.spec import StepSpec\nlost = [1, {'spec': StepSpec('a')}]",
        "import evercell.cli.common\nlost = evercell.cli.common.parse_parameters",
    ],
    ids=["a class", "an object", "a record", "inside of others", "a function"],
)
def test_other_parts_of_evercell_are_left_out_by_name(source: str) -> None:
    cells = Cells()
    cells.step("s", source)
    assert any("a part of evercell itself" in message for message in cells.missing)
    found = {
        name
        for stream in _streams(cells.memory.verified("s"), cells).values()
        for name in ours_named_in(stream)
    }
    assert found <= ENTRIES


def test_what_the_first_version_named_is_found_where_it_is_now() -> None:
    assert former_names.find("evercell.state.factories", "make_array") is persisted.load("make_array")
    assert former_names.find("evercell.rebuilders.files", "_closed_file") is persisted.load(
        "make_closed_file"
    )
    with pytest.raises(AttributeError, match=r"has no evercell\.state\.factories\.make_gold"):
        former_names.find("evercell.state.factories", "make_gold")


METRICS = """\
from evercell.evals import Score, advancement, completion, flow, intent, tool_choice
from evercell.policies import Allow, Ask
cats = intent("find papers about cats")
order = flow(["search", "read"])
held = {"done": completion(lambda variables: "report" in variables), "tools": tool_choice(["search"])}
judged = [advancement(judge=lambda prompt: "yes", votes=1), intent("dogs", judge=lambda prompt: "no", votes=1)]
score, asked = Score("mine", 0.5, "why"), Ask("so much?")
"""


def test_metrics_and_what_policies_say_are_kept_with_what_they_were_told() -> None:
    cells = Cells()
    cells.step("s", METRICS)
    assert cells.missing == []
    fresh = resumed(cells)
    nothing = Trajectory((), variables={"report": 1})
    assert fresh["intent"] is evals.intent and fresh["Allow"] is policies.Allow
    for metric in (fresh["cats"], fresh["order"], *fresh["held"].values(), *fresh["judged"]):
        assert isinstance(metric(nothing), evals.Score)
    assert fresh["held"]["done"](nothing).label == "yes" and fresh["judged"][1](nothing).label == "no"
    assert fresh["judged"][1].waits and not fresh["cats"].waits
    assert (fresh["score"], fresh["asked"]) == (evals.Score("mine", 0.5, "why"), policies.Ask("so much?"))
