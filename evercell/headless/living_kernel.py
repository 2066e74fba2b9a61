"""A kernel that goes on after its runner died: found by its run's lease, and taken over as it is."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil
from jupyter_client.manager import AsyncKernelManager
from jupyter_client.provisioning.provisioner_base import KernelProvisionerBase

from evercell.core.errors import KernelDied, UnderWay
from evercell.core.records import Lease, Run
from evercell.engine.claiming import Claim, claim_run
from evercell.engine.holder import is_of_this_machine
from evercell.engine.leasing import HeldLease, is_live
from evercell.engine.workspace import Workspace
from evercell.headless.runner_mark import RunnerMark

_LOOK = 0.1
"""Seconds between two looks whether a process has ended."""


@dataclass(frozen=True, slots=True)
class LivingKernel:
    """A kernel whose runner we are from now on."""

    pid: int
    connection_file: Path
    mark: RunnerMark


@dataclass(slots=True, kw_only=True)
class AdoptedClaim(Claim):
    """A run whose kernel lives, and has the right to write to it; we drive that kernel from now on."""

    kernel: LivingKernel

    def give_back(self) -> None:
        """Let the kernel go, if it still is there."""
        self.kernel.mark.let_go()
        Claim.give_back(self)


def claim_or_adopt(workspace: Workspace, run: Run) -> Claim:
    """The run, or the kernel that is on it and whose runner has died. Raises `UnderWay` where somebody executes it."""
    try:
        return claim_run(workspace, run)
    except UnderWay:
        adopted = adopt(workspace, run)
        if adopted is None:
            raise
        return adopted


def adopt(workspace: Workspace, run: Run) -> AdoptedClaim | None:
    """The living kernel of a run, if its runner has died; of several that ask at the same instant one gets it."""
    lease = workspace.store.leases.get(run.id)
    if lease is None or not is_live(workspace, lease):
        return None
    found = _connection_file(lease)
    mark = RunnerMark.take(found.with_suffix(".runner")) if found is not None else None
    if found is None or mark is None:
        return None
    held = HeldLease(workspace, lease)
    held.stop()  # the kernel keeps it alive
    return AdoptedClaim(run, held, is_ours=False, kernel=LivingKernel(lease.holder.pid, found, mark))


def is_without_runner(lease: Lease) -> bool:
    """Whether the kernel that holds a lease has lost its runner: `claim_or_adopt` takes it over."""
    found = _connection_file(lease)
    mark = RunnerMark.take(found.with_suffix(".runner")) if found is not None else None
    if mark is not None:
        mark.let_go()
    return mark is not None


def _connection_file(lease: Lease) -> Path | None:
    """Of the kernel that holds the lease, where it runs on this machine and we may see it."""
    if not is_of_this_machine(lease.holder):
        return None
    try:
        words = psutil.Process(lease.holder.pid).cmdline()
    except psutil.Error:
        return None
    for option, value in pairwise(words):
        if option == "-f" and value.endswith(".json"):
            return Path(value)
    return None


def manager_of(kernel: LivingKernel, kernel_name: str) -> AsyncKernelManager:
    """A manager as that of a kernel that this process started."""
    manager = AsyncKernelManager(kernel_name=kernel_name, connection_file=str(kernel.connection_file))
    manager.load_connection_file()
    provisioner = AdoptedProcess(kernel_id=kernel.connection_file.stem, parent=manager)
    provisioner.kernel_spec = manager.kernel_spec
    provisioner.adopt(kernel.pid)
    manager.provisioner = provisioner
    return manager


class AdoptedProcess(KernelProvisionerBase):
    """The process of a kernel that somebody else started."""

    def adopt(self, pid: int) -> None:
        """Be the one of this process."""
        self._found: psutil.Process | None = psutil.Process(pid)

    @property
    def has_process(self) -> bool:
        """Until it was waited for."""
        return self._found is not None

    async def poll(self) -> int | None:
        """None while it lives. (Its exit status is its parent's to know.)"""
        with suppress(psutil.Error):
            found = self._found
            if found is not None and found.is_running() and found.status() != psutil.STATUS_ZOMBIE:
                return None
        return 0

    async def wait(self) -> int | None:
        """Until it has ended."""
        while await self.poll() is None:
            await asyncio.sleep(_LOOK)
        self._found = None
        return 0

    async def send_signal(self, signum: int) -> None:
        """To its whole group, for it has one of its own."""
        if self._found is not None and await self.poll() is None:
            with suppress(OSError):
                os.killpg(self._found.pid, signum)

    async def kill(self, restart: bool = False) -> None:  # noqa: ARG002
        """SIGKILL."""
        await self.send_signal(signal.SIGKILL)

    async def terminate(self, restart: bool = False) -> None:  # noqa: ARG002
        """SIGTERM."""
        await self.send_signal(signal.SIGTERM)

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> Any:  # noqa: ARG002
        """Never: it is there."""
        raise KernelDied("The kernel that was taken over has died.", hint="evercell resume RUN")

    async def cleanup(self, restart: bool = False) -> None:
        """Nothing is ours."""
