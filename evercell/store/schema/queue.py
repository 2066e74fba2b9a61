"""What is started when, by whom, and under which limits."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Float, ForeignKey, Index, Integer, LargeBinary, String, Table, Text

from evercell.store.column_types import JsonText, Moment
from evercell.store.schema.definitions import metadata

queue = Table(
    "queue",
    metadata,
    # runs that `evercell serve` starts, or starts again; a row goes when its run has ended
    Column("run_id", String(12), ForeignKey("runs.id"), primary_key=True),
    Column("priority", Integer, nullable=False, default=0),
    # among whom starts are shared out evenly
    Column("share", String(200), nullable=False),
    # keys of limits that it counts for as long as it holds a kernel
    Column("limits", JsonText, nullable=False),
    Column("enqueued_at", Moment, nullable=False),
    # how many starts there had been by then; NULL: nobody has seen it yet
    Column("turn", BigInteger),
    # not before; NULL: at once
    Column("ready_at", Moment),
    # those in a row that came to nothing, and the head that the run had at the last one
    Column("starts", Integer, nullable=False, default=0),
    Column("head", String(12)),
    # why the last start came to nothing
    Column("problem", Text),
    # the server that starts it now, and the process that executes it
    Column("admitted_at", Moment),
    Column("admitted_by", String(12)),
    Column("runner", JsonText),
    Index("queue_by_share", "share"),
)

shares = Table(
    "shares",
    metadata,
    Column("name", String(200), primary_key=True),
    # the number of its last start, counted over all shares: whose was longer ago comes first
    Column("turn", BigInteger, nullable=False),
)

waits = Table(
    "waits",
    metadata,
    # what a run without a kernel waits for; it goes on when one of them is there
    Column("run_id", String(12), ForeignKey("runs.id"), primary_key=True),
    # a moment, a signal of this name, the approval or the run of this id
    Column("kind", String(12), primary_key=True),
    Column("name", String(200), primary_key=True),
    # when it goes on in any case; NULL: never
    Column("due_at", Moment),
    Index("waits_by_moment", "due_at"),
)

limits = Table(
    "limits",
    metadata,
    Column("key", String(200), primary_key=True),
    # how many may hold it at the same time; NULL: any number
    Column("at_once", Integer),
    # so many begin within any period of so many seconds; NULL: any number
    Column("rate", Integer),
    Column("period", Float),
    Column("set_at", Moment, nullable=False),
    Column("set_by", Text, nullable=False),
)

slots = Table(
    "slots",
    metadata,
    # of a limit: wanted, taken, given back; a row goes when nothing counts it any more
    Column("id", String(12), primary_key=True),
    Column("limit_key", String(200), ForeignKey("limits.key"), nullable=False),
    Column("run_id", String(12), ForeignKey("runs.id"), nullable=False),
    # a step or call; empty: the run itself, for as long as it is admitted
    Column("holder", Text, nullable=False),
    Column("share", String(200), nullable=False),
    # of the lease under which it was taken: it counts as long as that one is live. NULL: the run's own
    Column("token", BigInteger),
    # the slot of whatever is around it: only one at a time uses that, and counts no second time
    Column("lent_by", String(12)),
    Column("wanted_at", Moment, nullable=False),
    Column("taken_at", Moment),
    Column("given_back_at", Moment),
    Index("slots_by_key", "limit_key"),
    Index("slots_by_run", "run_id"),
)

servers = Table(
    "servers",
    metadata,
    Column("id", String(12), primary_key=True),
    Column("host", Text, nullable=False),
    Column("boot", Text, nullable=False),
    Column("pid", BigInteger, nullable=False),
    Column("started", Float, nullable=False),
    Column("jobs", Integer, nullable=False),
    # address of the cluster that it hands runs to; NULL: this machine
    Column("runs_on", Text),
    Column("started_at", Moment, nullable=False),
    Column("seen_at", Moment, nullable=False),
)

schedules = Table(
    "schedules",
    metadata,
    Column("name", String(200), primary_key=True),
    Column("cron", Text, nullable=False),
    Column("timezone", String(100), nullable=False),
    Column("notebook", Text, nullable=False),
    Column("output", Text),
    Column("params", JsonText, nullable=False),
    Column("kernel", Text),
    Column("catch_up", String(12), nullable=False),
    Column("overlap", String(12), nullable=False),
    Column("priority", Integer, nullable=False, default=0),
    Column("limits", JsonText, nullable=False),
    # the firing that is due next; NULL: none will
    Column("next_at", Moment),
    # the newest firing that was looked at, and the newest run that was made
    Column("last_at", Moment),
    Column("last_run", String(12)),
    # ids of its runs that had not ended when it was looked at, in the order of their firings
    Column("unfinished", JsonText, nullable=False),
    # firings that became no run: how many, and about the last of them in words
    Column("left_out", Integer, nullable=False, default=0),
    Column("remark", Text, nullable=False, default=""),
    Column("remark_at", Moment),
    Column("paused_at", Moment),
    Column("created_at", Moment, nullable=False),
    Column("created_by", Text, nullable=False),
    # the mission that each of its runs is launched as, signed
    Column("mission", JsonText),
    Column("mission_mac", LargeBinary),
    Index("schedules_by_next", "next_at"),
)
