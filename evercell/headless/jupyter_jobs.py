"""A scheduler of jupyter-scheduler that goes on with jobs whose process died, and with those whose wait is over."""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
from collections import Counter
from contextlib import suppress
from typing import Any

import psutil
from jupyter_scheduler.executors import ExecutionManager
from jupyter_scheduler.models import DescribeJob, Status
from jupyter_scheduler.orm import Job
from jupyter_scheduler.scheduler import Scheduler
from jupyter_scheduler.task_runner import BaseTaskRunner, TaskRunner
from jupyter_scheduler.utils import get_utc_timestamp
from traitlets import Type

from evercell.core.errors import EvercellError
from evercell.core.records import Run
from evercell.core.statuses import RunStatus
from evercell.engine.leasing import is_live
from evercell.engine.workspace import Workspace
from evercell.headless.jupyter_scheduler import job_key, job_workspace
from evercell.headless.living_kernel import is_without_runner

log = logging.getLogger("evercell")

_MOST_DEATHS = 3
"""How many processes of one job may die under one server before it gives up. (The end of a wait is no death.)"""

_START_SLACK = 1000
"""Milliseconds between the start of a job's process and what its row says of it, as clocks tell them."""


class DurableTaskRunner(TaskRunner):  # type: ignore[misc]
    """Beside the jobs that are due, it starts those again that can go on."""

    async def start(self) -> None:
        """As jupyter-scheduler calls it, once: looks every ``poll_interval`` seconds."""
        await asyncio.gather(super().start(), self._go_on_again_and_again())

    async def _go_on_again_and_again(self) -> None:
        while True:
            try:
                await asyncio.to_thread(self.scheduler.go_on)
            except Exception:
                log.exception("evercell: jobs could not be looked at; they are again in a moment")
            await asyncio.sleep(self.poll_interval)


class DurableScheduler(Scheduler):  # type: ignore[misc]
    """Jobs run durably: ``c.SchedulerApp.scheduler_class`` of a Jupyter server."""

    execution_manager_class = Type(
        "evercell.headless.jupyter_scheduler.DurableExecutionManager", klass=ExecutionManager, config=True
    )
    task_runner_class = Type(
        "evercell.headless.jupyter_jobs.DurableTaskRunner", klass=BaseTaskRunner, allow_none=True, config=True
    )

    def __init__(self, *args: Any, **options: Any) -> None:
        self._deaths: Counter[str] = Counter()
        super().__init__(*args, **options)

    def stop_job(self, job_id: str) -> None:
        """Have a job's process suspend its run, and end: kernel and all."""
        with self.db_session() as session:
            job = session.query(Job).filter(Job.job_id == job_id).one()
            session.expunge_all()
        if job.status == Status.IN_PROGRESS:
            self._set_job(
                job_id, status=Status.STOPPED, status_message=None
            )  # first: the process looks at it
            if _has_process(job):
                with suppress(psutil.Error):
                    psutil.Process(job.pid).terminate()

    def go_on(self) -> None:
        """Start the jobs again that have no process and something to do."""
        jobs = self._jobs_without_process()
        if not jobs:
            return
        try:
            with job_workspace(self.root_dir) as workspace:
                for job in jobs:
                    if _can_go_on(workspace, job):
                        self._start_again(job)
        except EvercellError as error:
            log.warning("evercell: jobs are not looked at now: %s", error.what)

    def _jobs_without_process(self) -> list[Any]:
        """Those in progress, and those that say why they stopped. (One that somebody stopped does not.)"""
        with self.db_session() as session:
            in_progress = session.query(Job).filter(Job.status == Status.IN_PROGRESS).all()
            stopped = session.query(Job).filter(Job.status == Status.STOPPED, Job.status_message.isnot(None))
            found = [*in_progress, *stopped.all()]
            session.expunge_all()
        return [job for job in found if not _has_process(job)]

    def _start_again(self, job: Any) -> None:
        if job.status == Status.IN_PROGRESS:
            self._deaths[job.job_id] += 1
            if self._deaths[job.job_id] > _MOST_DEATHS:
                self._set_job(job.job_id, status=Status.FAILED, status_message=_gave_up())
                return
        manager = self.execution_manager_class(
            job_id=job.job_id,
            staging_paths=self.get_staging_paths(DescribeJob.from_orm(job)),
            root_dir=self.root_dir,
            db_url=self.db_url,
        )
        process = multiprocessing.get_context("spawn").Process(target=manager.process)
        process.start()
        self._set_job(job.job_id, status=Status.IN_PROGRESS, pid=process.pid, start_time=get_utc_timestamp())

    def _set_job(self, job_id: str, **values: Any) -> None:
        with self.db_session() as session:
            session.query(Job).filter(Job.job_id == job_id).update(values)
            session.commit()


def _has_process(job: Any) -> bool:
    """Whether the process that the job's row names lives, and is no later one of the same number."""
    with suppress(psutil.Error, TypeError):
        process = psutil.Process(job.pid)
        is_earlier = process.create_time() * 1000 <= (job.start_time or job.create_time) + _START_SLACK
        return bool(is_earlier and process.status() != psutil.STATUS_ZOMBIE)
    return False


def _can_go_on(workspace: Workspace, job: Any) -> bool:
    """Whether there is something to do about a job without a process, and nobody who does it."""
    run = _run_of(workspace, job)
    if run is None:
        return bool(job.status == Status.IN_PROGRESS)
    lease = workspace.store.leases.get(run.id)
    if lease is not None and is_live(workspace, lease) and not is_without_runner(lease):
        return False  # somebody executes it
    if job.status == Status.IN_PROGRESS:
        return True
    if run.status is RunStatus.WAITING:
        return run.id in workspace.store.waits.due()
    return run.status is RunStatus.COMPLETED  # somebody went on with it; the job is to say so


def _run_of(workspace: Workspace, job: Any) -> Run | None:
    return workspace.store.runs.find_by_key(job_key(job.job_id))


def _gave_up() -> str:
    return f"Its process died {_MOST_DEATHS + 1} times. Look at the server's log; a new job begins at its first cell."
