"""``evercell doctor``: each thing that keeps runs from going on is named, with what to do about it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from click.testing import CliRunner

from evercell.cli.app import app
from evercell.core.clock import system_clock
from evercell.core.ids import new_id
from evercell.core.records import Holder, NewRun
from evercell.core.statuses import RunStatus
from evercell.engine.diagnosis import Finding, Level, diagnose
from evercell.engine.holder import this_holder
from evercell.engine.scheduling import NewSchedule, add_schedule, pause_schedule, start_now
from evercell.engine.settings import Settings, resolve_settings
from evercell.engine.workspace import Workspace, open_workspace
from tests.contract.test_schedules import SetClock
from tests.database import open_database
from tests.unit.sessions import Notebook

DEAD = replace(this_holder(), pid=2**22 + 1)


@pytest.fixture
def settings(store_url: str, tmp_path: Path) -> Settings:
    (tmp_path / "nb.ipynb").write_text("{}")
    return Settings(store_url, tmp_path / "key")


@pytest.fixture
def workspace(settings: Settings) -> Iterator[Workspace]:
    with open_workspace(settings) as opened:
        yield opened


def findings(settings: Settings) -> dict[str, list[Finding]]:
    found: dict[str, list[Finding]] = {}
    for finding in diagnose(settings):
        found.setdefault(finding.check, []).append(finding)
    return found


def worst(settings: Settings, check: str) -> tuple[Level, str]:
    """The level and all words of the worst finding of a check."""
    found = sorted(findings(settings)[check], key=lambda f: [*Level].index(f.level))[-1]
    return found.level, f"{found.what} → {found.advice}"


def serve(settings: Settings, process: Holder, *, seconds_ago: float = 0) -> None:
    """A server's row, as one writes it."""
    at = int((system_clock().timestamp() - seconds_ago) * 1e6)
    row = {
        "id": new_id(),
        "host": process.host,
        "boot": process.boot,
        "pid": process.pid,
        "started": process.started,
    }
    with open_database(settings.store_url) as connection:
        connection.execute(
            sa.text(
                "INSERT INTO servers (id, host, boot, pid, started, jobs, started_at, seen_at)"
                " VALUES (:id, :host, :boot, :pid, :started, 2, :at, :at)"
            ),
            {**row, "at": at},
        )


def test_a_store_with_nothing_wrong_is_all_ok(settings: Settings, workspace: Workspace) -> None:
    assert {f.check for f in diagnose(settings)} >= {"store", "clock", "key", "sessions", "servers", "queue"}
    assert {f.level for f in diagnose(settings)} == {Level.OK}
    notebook = Notebook(workspace)
    notebook.step("one", "x = 1")
    assert worst(settings, "sessions") == (Level.OK, "1 at work → ")
    notebook.session.detach()
    add_schedule(workspace, NewSchedule("0 2 * * *", settings.key_path.with_name("nb.ipynb")))
    serve(settings, this_holder())
    assert {f.level for f in diagnose(settings)} == {Level.OK}
    assert "2 jobs" in worst(settings, "servers")[1]


def test_a_run_that_a_dead_session_left_is_named(settings: Settings, workspace: Workspace) -> None:
    run = workspace.store.runs.create(NewRun(None, name="left", status=RunStatus.RUNNING))
    ttl = timedelta(seconds=30)
    workspace.store.leases.acquire(run.id, session_id=new_id(), holder=DEAD, ttl=ttl)
    level, said = worst(settings, "sessions")
    assert level is Level.WARN and "left" in said and "evercell resume" in said


def test_what_is_overdue_or_queued_with_nobody_to_start_it_fails(settings: Settings, clock: SetClock) -> None:
    nb = settings.key_path.with_name("nb.ipynb")
    with open_workspace(settings, clock=clock) as then:
        for name in ("nightly", "paused"):
            add_schedule(then, NewSchedule("0 * * * *", nb, name=name))
        clock.now = system_clock()
        pause_schedule(then, "paused")
        start_now(then, "nightly")
    level, said = worst(settings, "schedules")
    assert level is Level.FAIL and "1 schedule overdue" in said and "evercell serve" in said
    level, said = worst(settings, "queue")
    assert (
        level is Level.FAIL and "nobody serves" in said and "nightly-20" in said and "evercell serve" in said
    )
    serve(settings, DEAD)
    assert worst(settings, "queue")[0] is Level.FAIL, "a server that died serves nobody"
    level, said = worst(settings, "servers")
    assert level is Level.WARN and "no sign of life" in said
    serve(settings, replace(DEAD, boot="elsewhere"), seconds_ago=60)
    assert worst(settings, "queue")[0] is Level.FAIL
    serve(settings, replace(DEAD, boot="elsewhere"))
    assert worst(settings, "queue")[0] is Level.OK
    assert "what does it print" in worst(settings, "schedules")[1]


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.mark.parametrize(
    ("change", "level", "said"),
    [("timezone = 'Atlantis/X'", Level.FAIL, "no time zone"), ("limits = '{'", Level.FAIL, "damaged")],
)
def test_a_schedule_that_cannot_be_read_is_named(
    settings: Settings, workspace: Workspace, change: str, level: Level, said: str
) -> None:
    add_schedule(workspace, NewSchedule("0 2 * * *", settings.key_path.with_name("nb.ipynb"), name="nightly"))
    with open_database(settings.store_url) as connection:
        connection.execute(sa.text(f"UPDATE schedules SET {change}"))
    found = worst(settings, "schedules")
    assert found[0] is level and said in found[1] and "nightly" in found[1]


def test_a_key_that_is_missing_unsafe_or_another_one_is_named(
    settings: Settings, workspace: Workspace
) -> None:
    assert "the first step makes it" in worst(settings, "key")[1]
    notebook = Notebook(workspace)
    notebook.step("one", "x = 1")
    notebook.session.detach()
    path = settings.key_path
    assert worst(settings, "key")[0] is Level.OK
    path.chmod(0o644)
    level, said = worst(settings, "key")
    assert level is Level.FAIL and f"chmod 600 {path}" in said
    path.chmod(0o600)
    path.rename(path.with_name("mine"))
    level, said = worst(settings, "key")
    assert level is Level.FAIL and "cannot be loaded" in said
    path.write_text("0" * 64)
    path.chmod(0o600)
    level, said = worst(settings, "key")
    assert level is Level.FAIL and "did not sign" in said and "EVERCELL_KEY" in said


@pytest.mark.parametrize(
    ("room", "level"), [(10**10, Level.OK), (5 * 10**8, Level.WARN), (10**6, Level.FAIL), (None, None)]
)
def test_a_disk_that_fills_up_is_named(
    settings: Settings,
    workspace: Workspace,
    monkeypatch: pytest.MonkeyPatch,
    room: int | None,
    level: Level | None,
) -> None:
    monkeypatch.setattr("evercell.store.condition.room_at", lambda _: room)
    if level is None or settings.store_url.startswith("postgres"):
        assert "disk" not in findings(settings)
    else:
        assert worst(settings, "disk")[0] is level


@pytest.mark.parametrize(
    ("skew", "level"), [(0, Level.OK), (5, Level.WARN), (-5, Level.WARN), (3600, Level.FAIL)]
)
def test_a_clock_that_goes_otherwise_than_the_databases_is_named(
    settings: Settings, workspace: Workspace, monkeypatch: pytest.MonkeyPatch, skew: int, level: Level
) -> None:
    if settings.store_url.startswith("sqlite"):
        assert worst(settings, "clock")[0] is Level.OK, "there is one clock only"
        return
    monkeypatch.setattr(
        "evercell.engine.diagnosis.system_clock", lambda: system_clock() + timedelta(seconds=skew)
    )
    found, said = worst(settings, "clock")
    assert found is level and ("NTP" in said) == (level is not Level.OK)
    assert ("ahead of" in said, "behind" in said) == (skew > 0, skew < 0)


def schema_of_tomorrow(url: str) -> None:
    with open_database(url) as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))


def rows_of_the_leases_gone(url: str) -> None:
    with open_database(url) as connection:
        connection.execute(sa.text("DROP TABLE leases"))


@pytest.mark.parametrize("harm", [schema_of_tomorrow, rows_of_the_leases_gone])
def test_a_store_that_cannot_be_used_is_a_finding_and_no_traceback(
    settings: Settings, harm: Callable[[str], None]
) -> None:
    open_workspace(settings).close()
    harm(settings.store_url)
    found = [finding for finding in diagnose(settings) if finding.level is Level.FAIL]
    assert found and all(finding.what and finding.advice for finding in found)


def test_a_store_that_is_read_only_or_not_there(tmp_path: Path) -> None:
    settings = Settings(f"sqlite:///{tmp_path / 'none' / 'store.db'}", tmp_path / "key")
    assert worst(settings, "store")[0] is Level.WARN and not (tmp_path / "none").exists()
    (tmp_path / "file").touch()
    blocked = Settings(f"sqlite:///{tmp_path / 'file' / 'store.db'}", tmp_path / "key")
    assert worst(blocked, "store")[0] is Level.FAIL
    away = Settings("postgresql://ann:secret@127.0.0.1:1/x", tmp_path / "key")
    level, said = worst(away, "store")
    assert level is Level.FAIL and "secret" not in said


def test_the_command_says_each_on_a_line_and_its_exit_code_tells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVERCELL_STORE", str(tmp_path / "store.db"))
    open_workspace(resolve_settings()).close()
    done = CliRunner().invoke(app, ["doctor"])
    assert done.exit_code == 0 and all(line.startswith("ok ") for line in done.output.splitlines()), (
        done.output
    )
    listed = json.loads(CliRunner().invoke(app, ["doctor", "--json"]).output)
    assert listed["healthy"] is True and {check["level"] for check in listed["checks"]} == {"ok"}
    key = resolve_settings().key_path
    key.parent.mkdir(parents=True)
    key.write_text("no key")
    os.chmod(key, 0o644)  # noqa: PTH101
    done = CliRunner().invoke(app, ["doctor"])
    assert done.exit_code == 1 and "fail  key" in done.output and "→ chmod 600" in done.output


def test_a_kernel_that_cannot_be_run_is_a_finding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVERCELL_STORE", str(tmp_path / "store.db"))
    folder = tmp_path / "jupyter" / "kernels" / "python3"
    folder.mkdir(parents=True)
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    spec = {
        "argv": ["/no/such/python", "-m", "x", "{connection_file}"],
        "language": "python",
        "display_name": "P",
    }
    (folder / "kernel.json").write_text(json.dumps(spec))
    done = CliRunner().invoke(app, ["doctor"])
    assert done.exit_code == 1 and "/no/such/python, which is not there" in done.output
    (folder / "kernel.json").write_text("{")
    done = CliRunner().invoke(app, ["doctor"])
    assert done.exit_code == 1 and "fail  kernel" in done.output
