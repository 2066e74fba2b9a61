"""What a firing costs: many schedules that are due, in bare commits of the same disk, and a look when none is.

    python -m bench.schedules [--schedules N] [--json]

Schedules are due in twenty minutes, one after the other; in turn with each of them come as many bare ``INSERT`` +
``COMMIT``, so that both meet the same moments of the machine. A firing is a run with its journal, its place in the
queue, and the schedule's next moment, in one transaction.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import perf_counter

from bench.steps import sqlite_database
from evercell.engine.scheduling import NewSchedule, add_schedule, fire_due
from evercell.engine.settings import Settings
from evercell.engine.workspace import open_workspace

MINUTES = 20
BEGIN = datetime(2026, 11, 26, tzinfo=UTC)


def measure(schedules: int) -> dict[str, float]:
    """Milliseconds of a firing and of a bare commit: medians over the minutes; and of a look with nothing due."""
    each = max(1, schedules // MINUTES)
    now = BEGIN
    firings, commits, looks = [], [], []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "nb.ipynb").write_text("{}")
        settings = Settings(f"sqlite:///{folder / 'store.db'}", folder / "key")
        with (
            open_workspace(settings, clock=lambda: now) as workspace,
            sqlite_database(folder / "b.db") as bare,
        ):
            for number in range(each * MINUTES):
                cron = f"{1 + number % MINUTES} * * * *"
                new = NewSchedule(cron, folder / "nb.ipynb", name=f"s{number}", timezone="Europe/Berlin")
                add_schedule(workspace, new)
            for _ in range(MINUTES):
                now += timedelta(minutes=1)
                began = perf_counter()
                fire_due(workspace, now)
                fired = perf_counter()
                for _ in range(each):
                    bare.commit()
                committed = perf_counter()
                fire_due(workspace, now)
                looks.append(perf_counter() - committed)
                firings.append((fired - began) / each)
                commits.append((committed - fired) / each)
            assert len(workspace.store.runs.all()) == each * MINUTES
    firing, commit = statistics.median(firings), statistics.median(commits)
    return {
        "schedules": each * MINUTES,
        "commit_ms": 1000 * commit,
        "firing_ms": 1000 * firing,
        "firing_commits": firing / commit,
        "look_ms": 1000 * statistics.median(looks),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--schedules", type=int, default=1000, metavar="N", help="all in all (1000)")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = measure(options.schedules)
    if options.json:
        print(json.dumps(found))
        return
    for name, value in found.items():
        print(f"  {name:20} {value:12.3f}")


if __name__ == "__main__":
    main()
