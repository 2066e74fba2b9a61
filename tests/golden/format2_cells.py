"""The notebooks whose runs are in format2/store.db: they name whatever a saved stream can name."""

from __future__ import annotations

from parts import Cell, Ends, Notebook, Send, Unfinished

SETUP = "%%setup tools\nfrom pathlib import Path\nimport evercell\nHOME = Path.cwd()"

VALUES = Notebook(
    "values",
    cells=[
        SETUP,
        """%%step functions
import functools, types, typing
def double(x: int, *, by: int = 2) -> int:
    "Twice."
    return x * by
double.calls = [1]
old_double = double
def double(x: int, *, by: int = 2) -> int:
    return helper(x) * by
def helper(x):
    return x + 0
def counter():
    n = 0
    def up():
        nonlocal n
        n += 1
        return n
    return up, lambda: n
def with_empty_cell():
    def inner():
        return later
    if False:
        later = 1
    return inner
up, now_at = counter()
up()
unset = with_empty_cell()
partly = functools.partial(double, by=5)
async def waits(x):
    return x
def counts(n):
    yield from range(n)
@functools.lru_cache(maxsize=8)
def cached(x):
    return [x]
@functools.singledispatch
def told(x):
    return "other"
@told.register
def _told_int(x: int):
    return "int"
recursive = lambda n: n and n + recursive(n - 1)
code = double.__code__
""",
        """%%step classes
import abc, dataclasses, enum
class Slotted:
    __slots__ = ("x", "__hidden")
    def __init__(self, x):
        self.x, self.__hidden = x, -x
    def hidden(self):
        return self.__hidden
class Base:
    known = []
    def __init_subclass__(cls, **options):
        Base.known.append(cls.__name__)
class Child(Base):
    @functools.cached_property
    def dear(self):
        return [self]
    @classmethod
    def make(cls):
        return cls()
    @staticmethod
    def plain(x):
        return x
class Asks:
    def __init__(self):
        self.inner = {"a": 1}
    def __getattr__(self, name):
        return self.inner[name]
class Colour(enum.Enum):
    RED = 1
class Pair(typing.NamedTuple):
    left: int
    right: str = "r"
@dataclasses.dataclass(frozen=True, slots=True)
class Order:
    number: int
    lines: list = dataclasses.field(default_factory=list)
class Shape(abc.ABC):
    @abc.abstractmethod
    def area(self): ...
class Square(Shape):
    def area(self):
        return 4
T = typing.TypeVar("T")
class Box(typing.Generic[T]):
    def __init__(self, content: T):
        self.content = content
UserId = typing.NewType("UserId", int)
slotted, child, asks, order, square, box = Slotted(3), Child(), Asks(), Order(7, [1]), Square(), Box([1])
child_dear, child_make, area = child.dear, Child.make, square.area
annotated = {UserId: [UserId], Colour: Colour.RED}
""",
        """%%step containers
import collections
settings = {"a": 1, "b": [2]}
keys, values, items, proxy = settings.keys(), settings.values(), settings.items(), types.MappingProxyType(settings)
rows = [{"city": "Oslo"}, {"city": "Rome"}]
warmest, rows_again = rows[1], rows
ring = [1]; ring.append(ring)
counted, ordered = collections.Counter("aab"), collections.OrderedDict(x=1)
deep = []
for level in range(3000):
    deep = [deep]
gone = 1
print(len(rows), "rows")
""",
        """%%step errors
class Refused(Exception):
    def __init__(self, code, *, why):
        super().__init__(f"{code}: {why}")
        self.code = code
class OutOfStock(evercell.NonDeterminism):
    pass
try:
    try:
        1 / 0
    except ZeroDivisionError as cause:
        raise Refused(5, why="no") from cause
except Refused as raised:
    refused = raised
missing_key, group_of_errors = KeyError("k"), ExceptionGroup("two", [ValueError(1), OSError(2, "no")])
out_of_stock = OutOfStock("none left", hint="order some")
cannot = evercell.CannotRebuild("a thing", "make it", called="thing")
del gone
""",
        "%%step drawn\nfrom IPython.display import HTML, display\ndisplay(HTML('<b>bold</b>'))\n"
        "print('to stdout')\nlast = 5\nlast * 2",
    ],
    expressions=[
        "double(3), old_double(3), old_double.calls, old_double.__doc__, double.__annotations__",
        "double is old_double, partly(2), partly.func is double",
        "(globals().__setitem__('helper', lambda x: x + 100), double(1))[1]",
        "now_at(), up(), now_at(), up.__closure__[0] is now_at.__closure__[0]",
        "unset.__closure__[0] == type(unset.__closure__[0])()",
        "await waits(4), list(counts(3)), recursive(4)",
        "cached(2) is cached(2), cached.cache_parameters()",
        "told(1), told('x'), code == double.__code__, code.co_name",
        "type(slotted) is Slotted, slotted.x, slotted.hidden(), hasattr(slotted, '__dict__'), Slotted.__slots__",
        "Base.known, isinstance(child, Base), child.dear is child_dear, child_dear[0] is child",
        "Child().dear is not child_dear, type(child_make()) is Child, Child.plain(3)",
        "asks.a, asks.inner, type(asks) is Asks",
        "Colour.RED is Colour(1), annotated[Colour] is Colour.RED, annotated[UserId][0] is UserId, UserId(5)",
        "UserId.__name__, UserId.__supertype__, UserId.__module__",
        "Pair(1), order, order.lines is order.lines, order == Order(7, [1]), hasattr(order, '__dict__')",
        "area(), isinstance(square, Shape), box.content, Box[int] is Box[int]",
        "(settings.__setitem__('c', 3), list(keys), list(values), list(items), dict(proxy))[1:]",
        "type(keys).__name__, type(values).__name__, type(items).__name__, type(proxy).__name__",
        "warmest is rows[1], rows_again is rows, ring[1] is ring, counted, ordered",
        "(lambda d: [d := d[0] for _ in range(2999)][-1])(deep)",
        "'gone' in globals(), last",
        "type(refused) is Refused, refused.code, str(refused), type(refused.__cause__), refused.__suppress_context__",
        "missing_key.args, group_of_errors.exceptions[1].errno, str(group_of_errors.exceptions[0])",
        "type(out_of_stock) is OutOfStock, out_of_stock.what, out_of_stock.hint",
        "type(cannot) is evercell.CannotRebuild, cannot.args, cannot.__dict__",
    ],
)

ERRORS = [
    "EvercellError",
    "StoreError",
    "StoreUnavailable",
    "StoreReadOnly",
    "StoreTooNew",
    "SqliteTooOld",
    "JournalBroken",
    "RunNotFound",
    "StepNotFound",
    "RunNameTaken",
    "LeaseHeld",
    "LeaseLost",
    "IllegalTransition",
    "UsageError",
    "DuplicateStep",
    "MisplacedStep",
    "StepTimeout",
    "NonDeterminism",
    "SignalTimeout",
    "ApprovalNotFound",
    "AlreadyDecided",
    "NotAnApprover",
    "ApprovalTimeout",
    "Rejected",
    "RunPaused",
    "CallFailed",
    "AttemptUnknown",
    "StateError",
    "NotKept",
    "Tampered",
    "ChunkMissing",
    "KeyUnusable",
    "NotebookError",
    "NotebookNotFound",
    "NotANotebook",
    "KernelDied",
]

PUBLIC = [
    "step",
    "call",
    "map",
    "gather",
    "sleep",
    "sleep_until",
    "asleep",
    "wait_for",
    "await_signal",
    "send",
    "approve",
    "inbox",
    "now",
    "random",
    "uuid",
    "record",
    "transaction",
    "idempotency_key",
    "heartbeat",
    "last_heartbeat",
    "NonDeterminism",
    "resource",
    "rebuilds",
    "CannotRebuild",
    "load_ipython_extension",
    "unload_ipython_extension",
]

IMPORTED = [
    "LeaseLost",
    "StepTimeout",
    "Rejected",
    "StoreReadOnly",
    "step",
    "map",
    "approve",
    "record",
    "transaction",
    "random",
    "resource",
    "sleep",
]
"""Kept as variables, as most notebooks have them; the others in lists, which takes less."""

NAMES = Notebook(
    "names",
    cells=[
        f"%%step errors\nfrom evercell.core.errors import {', '.join(ERRORS)}\n"
        f"raised = [kind('what', hint='do') for kind in [{', '.join(ERRORS)}]]\nkinds = [type(e) for e in raised]\n"
        f"del {', '.join(e for e in ERRORS if e not in IMPORTED)}",
        f"%%step public\nimport evercell\nfrom evercell import {', '.join(PUBLIC)}\npublic = [{', '.join(PUBLIC)}]\n"
        f"del {', '.join(name for name in PUBLIC if name not in IMPORTED)}",
        """%%step beside
import evercell.core.errors as errors
from evercell.engine.approvals.decision import Decision
from evercell.engine.calls.policy import CallPolicy
from evercell.state.placeholder import Placeholder
from evercell.state.resource import Resource
from evercell.state.surroundings import Withheld
from evercell.testing import Died, Durable, SetClock
from functools import partial
policy, asks = CallPolicy(retries=2, retry_on=(OSError, LeaseLost)), partial(approve, "Go?", timeout="3d")
made_by_hand = Placeholder("a thing was not kept.", "make it")
clock = SetClock()
""",
        """%%step durable
from pathlib import Path
import sqlalchemy as sa
@step
def act(n):
    return n * 7
def cancel(result, n):
    return None
@step(retries=2, backoff=0.01, timeout=60, undo=cancel, key=lambda n: f"book {n}", retry_on=(OSError, StepTimeout))
def book(n):
    return f"booking {n}"
@step(name="asks", heartbeat_timeout=30)
async def aact(n):
    return n + 1
@step(approve=True)
def pay(invoice):
    return f"paid {invoice}"
@step(approve=True)
async def apay(invoice):
    return f"paid {invoice}"
Path("orders.db").touch()
engine = sa.create_engine("sqlite:///orders.db")
@transaction(engine)
def save(connection, order):
    connection.execute(sa.text("create table if not exists orders (n integer)"))
    connection.execute(sa.text("insert into orders values (:n)"), {"n": order})
    return order
class Completions:
    def create(self, **asked):
        return asked
class Chat:
    completions = Completions()
class Client:
    chat, models = Chat(), ["small"]
decorators = [step(retries=2, backoff=0), transaction(engine)]
client = record(Client(), prices={"small": (1.0, 4.0)}, retries=1, backoff=0)
chat, create = client.chat, client.chat.completions.create
""",
    ],
    expressions=[
        "[type(e).__name__ for e in raised] == [k.__name__ for k in kinds], len(kinds)",
        "all(getattr(errors, k.__name__) is k for k in kinds), LeaseLost is errors.LeaseLost",
        "{e.what + e.hint for e in raised}, str(raised[-1]), isinstance(raised[3], StoreReadOnly)",
        "len(public), [f for f in public if f not in [getattr(m, f.__name__, 0) for m in (evercell, evercell.aio)]], "
        "map is public[2]",
        "policy.retries, policy.retry_on[1] is LeaseLost, asks.func is approve, asks.keywords",
        "[k.__name__ for k in (Decision, CallPolicy, Placeholder, Died, Durable, SetClock)]",
        "type(made_by_hand) is Placeholder, repr(made_by_hand), clock().year",
        "act(2), book(3), await aact(1), pay(4), await apay(5)",
        "act.__name__, act.__wrapped__(1), act.__evercell_policy__, book.__evercell_policy__.timeout",
        "[d(lambda *given: len(given))(1) for d in decorators]",
        "save(9), save(10), save.__wrapped__.__name__",
        "save.__closure__[[*save.__code__.co_freevars].index('engine')].cell_contents is engine, str(engine.url)",
        "type(client).__name__, client.models, create(model='small'), chat.completions.create(a=1)",
        "create.args[0].__self__ is Chat.completions, create.args[1:]",
    ],
)

LIBRARIES = Notebook(
    "libraries",
    cells=[
        """%%step arrays
import numpy as np
whole = np.array([[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]])
turned, locked = np.asfortranarray(np.ones((2, 3))), np.arange(3)
locked.flags.writeable = False
row, transposed = whole[1], whole.T
memory = bytearray(16)
over_memory = np.frombuffer(memory, "u1")
structured = np.array([(1, 2.5)], dtype=[("a", "i4"), ("b", "f8")])
class Tagged(np.ndarray):
    pass
tagged = np.arange(4.0).view(Tagged); tagged.unit = "m"
owner = np.ndarray.__new__(Tagged, (2,)); owner[:] = 5; owner.unit = "s"
of_objects = np.array([[], {}], dtype=object).view(Tagged); of_objects.unit = "kg"
masked, texts, things = np.ma.masked_array([1, 2], [0, 1]), np.array(["a", "bc"]), np.array([None, [1]], dtype=object)
large = np.ones(20_000, int)
every_second = large[::2]
waiting = np.zeros(1_200_000)
generator, legacy, default = np.random.default_rng(1), np.random.RandomState(3), np.random.mtrand._rand
generator.random(3)
""",
        """%%step mapped
mapped = np.memmap("mapped.bin", "i4", "w+", shape=(4,))
mapped[:] = [1, 2, 3, 4]
mapped_part = mapped[1:3]
""",
        """%%step frames
import pandas as pd
frame = pd.DataFrame({"a": [1.0, 2.0], "b": [3.0, 4.0], "c": ["x", None]})
shallow, column, same = frame[:], frame["a"], frame
index = pd.Index(column)
alone = pd.Series([1, 2], name="s")
alone_too = alone[:]
dates = pd.DataFrame({"t": pd.date_range("2024", periods=2, tz="UTC"), "k": pd.Categorical(["x", "y"])})
others = [pd.Period("2024-01"), pd.NaT, pd.NA, pd.Timedelta("1d"), frame.groupby("a")]
""",
        """%%step figures
from matplotlib.figure import Figure
from matplotlib.path import Path as Outline
figure = Figure(figsize=(2, 1)); axes = figure.subplots(); (line,) = axes.plot([1, 2], [3, 4])
outline = Outline([(0, 0), (1, 1)], [Outline.MOVETO, Outline.LINETO])
""",
    ],
    expressions=[
        "whole.tolist(), row.base is whole, transposed.base is whole",
        "(row.__setitem__(0, -1.0), whole[1, 0], transposed[0, 1])[1:]",
        "turned.flags.f_contiguous, turned.sum(), locked.flags.writeable, locked.tolist()",
        "(memory.__setitem__(0, 7), int(over_memory[0]))[1]",
        "structured['b'].tolist(), structured.dtype.names",
        "type(tagged) is Tagged, tagged.unit, tagged.tolist(), type(tagged.base).__name__",
        "type(owner) is Tagged, owner.unit, owner.tolist()",
        "type(of_objects) is Tagged, of_objects.unit, of_objects.tolist()",
        "masked.sum(), texts.tolist(), things.tolist()",
        "every_second.base is large, (large.__setitem__(4, -1), int(every_second[2]))[1], waiting.shape, waiting.sum()",
        "generator.random(2).tolist(), legacy.rand(), default is np.random.mtrand._rand",
        "type(mapped).__name__, mapped.tolist(), mapped_part.tolist()",
        "(mapped.__setitem__(1, 20), int(mapped_part[0]))[1]",
        "same is frame, shallow.equals(frame), column.tolist(), index.tolist(), alone_too.equals(alone)",
        "[np.shares_memory(one.to_numpy(), column.to_numpy()) for one in (frame['a'], index, shallow['a'])]",
        "(frame.__setitem__('a', frame['a'] + 1), [one.tolist() for one in (frame.a, shallow.a, column, index)])[1]",
        "(alone.__setitem__(0, 50), alone.tolist(), alone_too.tolist())[1:]",
        "list(map(str, dates.dtypes)), str(dates.t[1]), others[0].month, others[1] is pd.NaT, others[2] is pd.NA",
        "others[4].b.sum().tolist()",
        "line.axes is axes, figure.axes[0] is axes, line.get_ydata()",
        "outline.vertices.tolist(), outline.codes.tolist()",
    ],
)

REBUILT = Notebook(
    "rebuilt",
    cells=[
        SETUP,
        """%%step files
(HOME / "lines.txt").write_text("one\\ntwo\\n")
(HOME / "bytes.bin").write_bytes(bytes(10))
reading = open(HOME / "lines.txt"); reading.readline()
writing = open(HOME / "written.txt", "w"); writing.write("one ")
adding = open(HOME / "added.txt", "a"); adding.write("one ")
binary = open(HOME / "bytes.bin", "rb+"); binary.seek(4)
raw = open(HOME / "bytes.bin", "rb", buffering=0); raw.seek(2)
closed = open(HOME / "lines.txt"); closed.close()
reading_too = reading
""",
        """%%step databases
import sqlite3
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine
rows_db = sqlite3.connect(HOME / "rows.db"); rows_db.row_factory = sqlite3.Row
rows_db.execute("create table t (x)"); rows_db.execute("insert into t values (5)"); rows_db.commit()
memory_db = sqlite3.connect(":memory:")
memory_db.execute("create table t (x)"); memory_db.execute("insert into t values (7)"); memory_db.commit()
engine = sa.create_engine(f"sqlite:///{HOME / 'rows.db'}", echo=False)
async_engine = create_async_engine("postgresql+psycopg://ann:secret@localhost:1/db")
""",
        """%%step network
import httpx, requests
client = httpx.Client(base_url="http://localhost:1/v1", headers={"X-A": "b"}, timeout=3, follow_redirects=True)
client.cookies.set("c", "d")
async_client = httpx.AsyncClient(params={"q": "1"}, auth=("u", "p"))
session = requests.Session(); session.headers["X-A"] = "b"; session.cookies.set("c", "d"); session.auth = ("u", "p")
""",
        """%%step threads
import logging, queue, threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
lock, rlock, event, unset = threading.Lock(), threading.RLock(), threading.Event(), threading.Event()
event.set()
bounded, semaphore = threading.BoundedSemaphore(3), threading.Semaphore(2)
bounded.acquire()
condition, barrier = threading.Condition(lock), threading.Barrier(2, timeout=5)
jobs, urgent, last_first, simple = queue.Queue(5), queue.PriorityQueue(), queue.LifoQueue(), queue.SimpleQueue()
jobs.put([1]); jobs.put(2); urgent.put(3); urgent.put(1); last_first.put(1)
threads = ThreadPoolExecutor(2, thread_name_prefix="golden")
processes = ProcessPoolExecutor(1)
logger, root = logging.getLogger("golden.log"), logging.getLogger()
logger.setLevel(logging.ERROR)
""",
        """%%step displays
import io
from tqdm import tqdm
bar = tqdm(total=10, desc="golden", file=io.StringIO()); bar.update(4)
done = tqdm(total=3, disable=True)
made = []
shared = evercell.resource(lambda: {"a": made.append(1) or len(made)})
""",
        """%%step refused
import socket, weakref
sock, gen = socket.socket(), (n for n in range(3))
held = threading.Lock(); held.acquire()
busy = sqlite3.connect(":memory:"); busy.execute("create table t (x)"); busy.execute("insert into t values (1)")
thing = {1}
weak = weakref.ref(thing)
holder = {"sock": sock, "n": 1}
opened = sa.create_engine("sqlite://")
class Stubborn:
    def __reduce__(self):
        raise TypeError("not me")
stubborn = [Stubborn()]
window = memoryview(b"abc")
""",
    ],
    expressions=[
        "reading.readline(), reading.mode, reading_too is reading, closed.closed",
        "(writing.write('two'), writing.close(), (HOME / 'written.txt').read_text())[2]",
        "(adding.write('two'), adding.close(), (HOME / 'added.txt').read_text())[2]",
        "binary.tell(), raw.tell(), type(binary).__name__, type(raw).__name__, binary.write(b'x')",
        "rows_db.execute('select x from t').fetchone()['x'], memory_db.execute('select x from t').fetchall()",
        "engine.connect().execute(sa.text('select x from t')).scalar(), str(engine.url).endswith('rows.db')",
        "type(async_engine).__name__, async_engine.url.render_as_string(hide_password=False)",
        "str(client.base_url), client.headers['x-a'], client.timeout.read, client.cookies['c']",
        "type(async_client).__name__, str(async_client.params), type(async_client.auth).__name__",
        "session.headers['X-A'], session.cookies['c'], session.auth, type(session).__name__",
        "condition._lock is lock, lock.locked(), lock.acquire(blocking=False), rlock.acquire(blocking=False)",
        "event.is_set(), unset.is_set(), barrier.parties, bounded._value, semaphore._value, type(bounded).__name__",
        "jobs.get_nowait(), jobs.qsize(), jobs.maxsize, jobs.unfinished_tasks, urgent.get(), last_first.get()",
        "simple.empty(), threads.submit(lambda: 5).result(10), threads._max_workers, processes._max_workers",
        "processes.submit(len, 'abc').result(30), logger is logging.getLogger('golden.log'), logger.level, root.name",
        "bar.n, bar.total, bar.desc, done.n, done.total, done.disable",
        "shared['a'], len(shared), isinstance(shared, dict), shared['a']",
        "holder['n'], stubborn.__class__",
    ],
    not_kept=["sock", "gen", "held", "busy", "weak", "holder['sock']", "opened", "stubborn[0]", "window"],
)

SURROUNDINGS = Notebook(
    "surroundings",
    cells=[
        """%%step settings
import os, random, sys
import numpy as np
from golden_settings import SETTINGS, client
SETTINGS["b"] = 2; client.calls = 5
os.environ["GOLDEN_KEPT"], os.environ["GOLDEN_SECRET"] = "kept", "secret"
random.seed(5); np.random.seed(6); random.random(); np.random.rand()
sys.path.insert(0, "/golden/front"); sys.path.append("/golden/back")
""",
        "%%step folder\nos.mkdir('below'); os.chdir('below')\nopen('here.txt', 'w').close()",
    ],
    expressions=[
        "random.random(), np.random.rand()",
        "os.getcwd(), sys.path[0], sys.path[-1], os.environ['GOLDEN_KEPT']",
        "__import__('golden_settings').SETTINGS is SETTINGS, SETTINGS",
        "__import__('golden_settings').client is client, client.calls",
    ],
    environ={"EVERCELL_ENVIRON": "GOLDEN_KEPT"},
    also={"surroundings-1@folder": ["'GOLDEN_SECRET' in os.environ", "'GOLDEN_KEPT' in os.environ"]},
)

DURABLE = """
import asyncio, dataclasses, os
import evercell
def noted(word):
    with open("effects.txt", "a") as file:
        print(word, file=file)
@dataclasses.dataclass
class Answer:
    text: str
    tokens: int
class Overloaded(Exception):
    pass
def cancel(result, n):
    noted(f"cancelled {n}")
@evercell.step
def act(n):
    noted(f"act {n}")
    return Answer(f"answer {n}", n)
@evercell.step(undo=cancel)
def book(n):
    return {"booked": n, "as": Answer}
@evercell.step(retries=1, backoff=0)
def fails(n):
    raise Overloaded(f"call {n}")
@evercell.step
def times_out():
    raise evercell.NonDeterminism("of the user's own", hint="none")
@evercell.step
def large(n):
    return bytes(n * 256), n
@evercell.step
async def aact(n):
    await asyncio.sleep(0)
    return n + 1
@evercell.step
def beats(n):
    evercell.heartbeat({"sent": n})
    return evercell.last_heartbeat(), len(evercell.idempotency_key())
@evercell.step
def outer(n):
    return [act(n), act(n + 1)]
@evercell.step
def makes_function(n):
    def add(x):
        return x + n
    return add
class Completions:
    def create(self, model, stream=False):
        noted(f"asked {model}")
        parts = [Answer(part, 1) for part in ("a", "b")]
        return iter(parts) if stream else parts[0]
class Chat:
    completions = Completions()
class Client:
    chat = Chat()
client = evercell.record(Client())
"""

CALLS = """
seen = [act(n) for n in range(3)]
survived = []
for call in (fails, times_out):
    try:
        call(*([1] if call is fails else []))
    except (Overloaded, evercell.NonDeterminism) as error:
        survived.append(error)
booked, big, beat, nested, add = book(4), large(400), beats(5), outer(10), makes_function(2)
asynchronous = await evercell.gather(aact(1), aact(2))
mapped = evercell.map(act, [20, 21], max_concurrency=2, progress=False)
streamed = [part.text for part in client.chat.completions.create(model="small", stream=True)]
asked = client.chat.completions.create(model="large")
moment, chance, identity = evercell.now(), evercell.random(), evercell.uuid()
evercell.sleep(0.01)
await evercell.asleep(0.01)
payload = evercell.wait_for("go", timeout=60)
other = await evercell.await_signal("other")
length = evercell.call(len, "abc")
sent = evercell.send("values-1", "greeting", {"from": "calls"})
"""

TOLD = [
    "[a.text for a in seen], type(seen[0]) is Answer, [(type(e).__name__, str(e)) for e in survived]",
    "booked['as'] is Answer, len(big[0]), big[1], beat, [a.text for a in nested], add(3)",
    "asynchronous, [a.text for a in mapped], streamed, asked.text, payload, other, length, sent",
    "moment, chance, identity",
    "open('effects.txt').read().split()",
]

SIGNALS: list[Cell] = [
    Send("go", {"n": 1, "when": ("noon", frozenset({1}))}),
    Send("other", [1, None]),
]

AGAIN = """%%step again
asked_for = [act(n) for n in range(30, 33)]
try:
    fails(2)
except Overloaded as error:
    overloaded = error
again = [book(6), large(300), beats(7), makes_function(3)(1), evercell.map(act, [40, 41], progress=False)]
again += [part.text for part in client.chat.completions.create(model="again", stream=True)]
drawn = evercell.now(), evercell.random(), evercell.uuid()
evercell.sleep(0.01)
again.append(evercell.wait_for("go"))
if not os.path.exists("go-on"):
    os.kill(os.getpid(), 9)
after = act(99)
"""

CALLED = Notebook(
    "calls",
    cells=[
        DURABLE,
        "%%step begin\nbegun = True",
        *SIGNALS,
        f"%%step agent{CALLS}",
        Ends("KernelGone", AGAIN),
    ],
    expressions=TOLD,
    unfinished=Unfinished(
        step=AGAIN,
        plain=("open('go-on', 'w').close()",),
        expressions=(
            "[a.text for a in asked_for], type(asked_for[0]) is Answer, type(overloaded) is Overloaded, after.text",
            "again[0]['as'] is Answer, len(again[1][0]), again[2:4], [a.text for a in again[4]], again[5:]",
            "drawn",
            "open('effects.txt').read().split()",
        ),
    ),
)

NEST = """%%step agent
first = outer(1)
second = act(5)
if not os.path.exists("go-on"):
    os.kill(os.getpid(), 9)
"""

NESTED = Notebook(
    "nested",
    cells=[
        "import os\nimport evercell\n@evercell.step\ndef act(n):\n    return n\n"
        "@evercell.step\ndef outer(n):\n    return [act(n), act(n + 1)]",
        "%%step begin\nbegun = True",
        Ends("KernelGone", NEST),
    ],
    expressions=["begun, outer(2)"],
    unfinished=Unfinished(step=NEST, plain=("open('go-on', 'w').close()",), error="NonDeterminism"),
)

PENDING = "%%step pending\nlater = evercell.approve('Leave this open?', details='for a later version')"

APPROVALS = Notebook(
    "approvals",
    cells=[
        "import dataclasses\nimport evercell\n"
        "@dataclasses.dataclass\nclass Mail:\n    subject: str = 'Results'\n    copies: int = 1",
        "%%step plain\ndecision = evercell.approve('Send 3 mails?', details='3 rows')",
        "%%step awaited\nawaited = await evercell.approve('Send it now?', timeout='3d', approvers=('ann', 'bob'))",
        "%%step forms\nwith_dict = evercell.approve('A dict?', form={'copies': 1})\n"
        "with_class = evercell.approve('A class?', form=Mail, choices=('Go', 'Stay'))",
        "%%step rejected\nrejected = evercell.approve('Reject this?')",
        "%%step late\nlate = evercell.approve('Nobody answers', timeout=0.3, on_timeout='approve')",
        "%%approve leave Send 1,204 mails? --timeout 3d\nsent = 1204",
        Ends("Rejected", "%%approve refused Reject the cell?\nsent = 0"),
        "%%step calls\n@evercell.step(approve=True)\ndef pay(n):\n    return f'paid {n}'\npaid = pay(5)",
        "%%step kept\nboth = [decision, with_class.values]\nfrom evercell.core.errors import Rejected",
        Ends("KernelGone", PENDING),
    ],
    expressions=[
        "decision, bool(decision), both[0] is decision",
        "awaited.choice, awaited.by, awaited.at.tzinfo, awaited.via, awaited.values",
        "with_dict.values, with_class.values, type(with_class.values) is Mail, both[1] is with_class.values",
        "with_class.choice, rejected.choice, bool(rejected), rejected.comment, late.choice, late.by, late.via",
        "sent, paid, bool(decision)",
    ],
    unfinished=Unfinished(step=PENDING, expressions=("later.choice, later.by, later.comment",)),
)

HISTORY = Notebook(
    "history",
    cells=[
        "%%step load\nrows = [1, 2, 3]\nprint(len(rows), 'rows')",
        "%%step plan\nplan = 'first'\nprint(plan)",
        "%%step plan\nplan = 'second'\nprint(plan)",
        "%%step use\nused = plan + str(rows)\nrows.append(4)",
        "%%step load\nrows = [1, 2, 3]\nprint(len(rows), 'rows')",
        "%%step flaky --retries 2 --backoff 0.01\nfrom pathlib import Path\n"
        "appended = globals().get('appended', []) + [1]\n"
        "if not Path('tried').exists():\n    Path('tried').touch()\n    raise OSError('the first time')",
        Ends("ValueError", "%%step fails\nprint('so far')\nhalf = [1]\nraise ValueError('no')"),
        "%%step once --once\neffect = 'had'",
        "%branch --from plan@1 --name what-if",
        "%%step use\nused = plan + str(rows)\nrows.append(5)",
    ],
    expressions=["plan, used, rows"],
    run="what-if",
    also={
        "history-1": ["plan, rows, effect, appended, 'used' in globals()"],
        "history-1@plan@1": ["plan, rows, 'used' in globals()"],
        "history-1@use": ["plan, used, rows"],
    },
)

FORMAT = 2
NOTEBOOKS = [VALUES, NAMES, LIBRARIES, REBUILT, SURROUNDINGS, CALLED, NESTED, APPROVALS, HISTORY]
FILES = {
    "surroundings/golden_settings.py": 'SETTINGS = {"a": 1}\n\n\nclass Client:\n    calls = 0\n\n\nclient = Client()\n'
}
