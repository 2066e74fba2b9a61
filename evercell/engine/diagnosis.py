"""What a user should know before asking why something does not go on: each finding with what to do about it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from pathlib import Path

from evercell.core.clock import local_text, system_clock
from evercell.core.errors import EvercellError, KeyUnusable, Tampered, UsageError
from evercell.core.queueing import ServerRow
from evercell.core.statuses import ENDED
from evercell.core.text import counted, one_line
from evercell.engine.facts import require_signed
from evercell.engine.firing_times import read_times
from evercell.engine.holder import is_gone
from evercell.engine.leasing import is_live
from evercell.engine.queue_states import Obstacles, is_alive
from evercell.engine.scheduling import ON_TIME
from evercell.engine.settings import Settings, without_passwords
from evercell.engine.workspace import Workspace, open_workspace
from evercell.state import find_key

_LITTLE_ROOM, _NO_ROOM = 1_000_000_000, 50_000_000
_SKEW, _LARGE_SKEW = timedelta(seconds=2), timedelta(seconds=10)
_BUSY_SECONDS = 5.0
_NAMED = 5
"""So many names are told."""

SERVE = "Start one: evercell serve"


class Level(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """How one thing stands."""

    check: str
    level: Level
    what: str
    advice: str = ""

    def as_json(self) -> dict[str, object]:
        """For ``--json``."""
        return {"check": self.check, "level": str(self.level), "what": self.what, "advice": self.advice}


def diagnose(settings: Settings) -> Iterator[Finding]:
    """What there is to say of the store, the key, sessions, servers, schedules and the queue.

    Nothing is changed, but that a store of an older evercell is brought up to date, as by any other command.
    """
    if missing := _missing_store(settings):
        yield missing
        yield from _guarded("key", lambda: _key(settings, None))
        return
    try:
        workspace = open_workspace(settings, create=False)
    except EvercellError as error:
        yield Finding("store", Level.FAIL, error.what, error.hint)
        yield from _guarded("key", lambda: _key(settings, None))
        return
    with workspace, workspace.store.outages.nobody_waits(busy=_BUSY_SECONDS):
        yield from _guarded("store", lambda: _store(workspace))
        yield from _guarded("disk", lambda: _disk(workspace))
        yield from _guarded("clock", lambda: _clock(workspace))
        yield from _guarded("key", lambda: _key(settings, workspace))
        yield from _guarded("sessions", lambda: _sessions(workspace))
        yield from _guarded("aside", lambda: _aside(settings))
        yield from _guarded("servers", lambda: _servers(workspace))
        yield from _guarded("schedules", lambda: _schedules(workspace))
        yield from _guarded("queue", lambda: _queue(workspace))


def _guarded(check: str, look: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """What a look finds; where it cannot look, that is what it found."""
    try:
        yield from list(look())
    except EvercellError as error:
        yield Finding(check, Level.FAIL, error.what, error.hint)


# -- the store -----------------------------------------------------------------------------------


def _missing_store(settings: Settings) -> Finding | None:
    """Where the file of an SQLite store is not there: its first run makes it, if it can."""
    scheme, _, path = settings.store_url.partition(":///")
    file = Path(path.partition("?")[0])
    if scheme != "sqlite" or file.exists() or not path:
        return None
    folder = next((parent for parent in file.parents if parent.exists()), file.parent)
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        return Finding(
            "store", Level.FAIL, f"There is no store at {file}, and none can be made in {folder}.",
            "Set EVERCELL_STORE to a place that you may write to.",
        )  # fmt: skip
    return Finding("store", Level.WARN, f"There is no store at {file} yet.", "The first run makes it.")


def _store(workspace: Workspace) -> Iterator[Finding]:
    answer = workspace.store.condition.ask()
    workspace.store.condition.require_writable()
    milliseconds = round(answer.seconds * 1000)
    where = without_passwords(workspace.store.url)
    yield Finding("store", Level.OK, f"{where} answers in {milliseconds} ms, schema {answer.revision}")


def _disk(workspace: Workspace) -> Iterator[Finding]:
    room = workspace.store.condition.ask().room
    if room is None:
        return
    level = Level.FAIL if room < _NO_ROOM else Level.WARN if room < _LITTLE_ROOM else Level.OK
    advice = "Free some: evercell gc removes what no run needs, evercell stats says what is large."
    size = f"{room / 1e9:,.1f} GB" if room >= _LITTLE_ROOM else f"{room / 1e6:,.0f} MB"
    yield Finding("disk", level, f"{size} left beside the store", "" if level is Level.OK else advice)


def _clock(workspace: Workspace) -> Iterator[Finding]:
    before = system_clock()
    answer = workspace.store.condition.ask()
    skew = answer.now - (before + (system_clock() - before) / 2)
    level = Level.OK if abs(skew) < _SKEW else Level.WARN if abs(skew) < _LARGE_SKEW else Level.FAIL
    seconds = abs(skew.total_seconds())
    how = "behind" if skew > timedelta() else "ahead of"
    what = (
        f"this machine's clock is {seconds:,.1f} s {how} the database's"
        if level is not Level.OK
        else "in step"
    )
    advice = (
        "" if level is Level.OK else "Let both be set by the network (NTP): firings and timers go by them."
    )
    yield Finding("clock", level, what, advice)


def _key(settings: Settings, workspace: Workspace | None) -> Iterator[Finding]:
    head = workspace.store.condition.newest_head() if workspace is not None else None
    try:
        is_there = find_key(settings.key_path) is not None
    except KeyUnusable as error:
        yield Finding("key", Level.FAIL, error.what, error.hint)
        return
    where = "EVERCELL_KEY" if os.environ.get("EVERCELL_KEY") else str(settings.key_path)
    if not is_there and head is None:
        yield Finding("key", Level.OK, f"there is none at {where} yet: the first step makes it")
    elif not is_there:
        advice = "Copy the key of whoever made it, or set EVERCELL_KEY. Runs can be listed and shown without."
        yield Finding(
            "key", Level.FAIL, f"saved state cannot be loaded: there is no signing key at {where}", advice
        )
    else:
        yield _fitting_key(workspace, head, where)


def _fitting_key(workspace: Workspace | None, head: str | None, where: str) -> Finding:
    """Whether it is the key that the newest state was signed with."""
    if workspace is not None and head is not None:
        checkpoint = workspace.store.checkpoints.get(head)
        try:
            require_signed(checkpoint, workspace.signer, workspace.store.store_id)
        except Tampered:
            what = (
                f"{where} did not sign what step {one_line(checkpoint.step)} of run {checkpoint.run_id} saved"
            )
            advice = "Another user's store needs the key that it was made with: set EVERCELL_KEY. Otherwise"
            return Finding("key", Level.FAIL, what, f"{advice}: evercell verify {checkpoint.run_id}")
    return Finding("key", Level.OK, where)


def _aside(settings: Settings) -> Iterator[Finding]:
    for folder in settings.aside_folders:
        try:
            count = sum(not path.name.startswith(".") for path in folder.iterdir())
        except OSError:
            continue
        if count:
            what = f"{count} steps that completed while the store was away wait in {folder}"
            yield Finding("aside", Level.WARN, what, "Resume their runs: that takes them up.")


# -- who works on it -----------------------------------------------------------------------------


def _sessions(workspace: Workspace) -> Iterator[Finding]:
    now, held = workspace.store.leases.now(), workspace.store.leases.all()
    left = [run_id for run_id, lease in held.items() if is_gone(lease.holder) or lease.expires_at <= now]
    if not left:
        yield Finding("sessions", Level.OK, f"{len(held)} at work" if held else "none")
        return
    names = _names(workspace, left)
    what = f"{counted(len(left), 'run')} {'was' if len(left) == 1 else 'were'} left by a session that died: {names}"
    yield Finding("sessions", Level.WARN, what, "evercell serve goes on with them, or: evercell resume RUN")


def _names(workspace: Workspace, run_ids: list[str]) -> str:
    names = []
    for run_id in run_ids[:_NAMED]:
        name = run_id
        with suppress(EvercellError):
            name = workspace.store.runs.find(run_id).name
        names.append(one_line(name))
    return ", ".join(names) + (", …" if len(run_ids) > _NAMED else "")


def _servers(workspace: Workspace) -> Iterator[Finding]:
    now, found = workspace.store.leases.now(), workspace.store.servers.all()
    living = [server for server in found if is_alive(server, now)]
    for server in found:
        if server not in living:
            what = f"{_who(server)} gave no sign of life since {local_text(server.seen_at)}"
            yield Finding("servers", Level.WARN, what, "" if living else SERVE)
    if living:
        yield Finding("servers", Level.OK, ", ".join(map(_who, living)))
    elif not found:
        what = "none: needed by schedules, queued runs, and waits whose kernel has ended"
        yield Finding("servers", Level.OK, what)


def _who(server: ServerRow) -> str:
    place = f" on {one_line(without_passwords(server.runs_on))}" if server.runs_on else ""
    return (
        f"{one_line(server.process.host)}, process {server.process.pid}, {counted(server.jobs, 'job')}{place}"
    )


def _is_served(workspace: Workspace) -> bool:
    now = workspace.store.leases.now()
    return any(is_alive(server, now) for server in workspace.store.servers.all())


# -- what is to be done --------------------------------------------------------------------------


def _schedules(workspace: Workspace) -> Iterator[Finding]:
    now, found = workspace.clock(), workspace.store.schedules.all()
    for error in found.damaged:
        yield Finding("schedules", Level.FAIL, error.what, error.hint)
    for schedule in found:
        try:
            read_times(schedule.cron, schedule.timezone)
        except UsageError as error:
            what = f"{one_line(schedule.name)} cannot fire here: {error.what}"
            yield Finding("schedules", Level.FAIL, what, error.hint)
    overdue = {
        one_line(s.name): s.next_at
        for s in found
        if s.paused_at is None and s.next_at is not None and now - s.next_at > 2 * ON_TIME
    }
    if overdue:
        names = ", ".join([*overdue][:_NAMED]) + (", …" if len(overdue) > _NAMED else "")
        since = local_text(min(overdue.values()))
        busy = "A server is there and does not fire them: what does it print?"
        yield Finding(
            "schedules", Level.FAIL, f"{counted(len(overdue), 'schedule')} overdue, since {since}: {names}",
            busy if _is_served(workspace) else SERVE,
        )  # fmt: skip
    elif not found.damaged:
        paused = sum(s.paused_at is not None for s in found)
        yield Finding("schedules", Level.OK, f"{len(found)}, {paused} paused" if paused else str(len(found)))


def _queue(workspace: Workspace) -> Iterator[Finding]:
    picture = workspace.store.queue.look()
    held = {entry.run_id for entry in picture.entries if entry.lease and is_live(workspace, entry.lease)}
    waiting = Obstacles(picture, held, {}).candidates()
    if not waiting:
        left = sum(entry.status not in ENDED for entry in picture.entries)
        yield Finding("queue", Level.OK, f"{left}, none to be started" if left else "empty")
        return
    since = local_text(min(entry.enqueued_at for entry in waiting))
    what = f"{counted(len(waiting), 'run')} to be started, the first since {since}"
    if _is_served(workspace):
        yield Finding("queue", Level.OK, what)
        return
    names = ", ".join(one_line(entry.name) for entry in waiting[:_NAMED])
    names += ", …" if len(waiting) > _NAMED else ""
    advice = f"{SERVE}, or by hand: evercell resume RUN"
    yield Finding("queue", Level.FAIL, f"{what}, and nobody serves this store: {names}", advice)
