"""P6: a living holder is never taken for dead, whatever the clock, the container or the host's name say."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import pytest

from evercell.core.records import Holder
from evercell.engine.holder import is_gone, is_this_process, this_holder

SAY_WHO = (
    "import dataclasses, json\nfrom evercell.engine.holder import this_holder\n"
    "print(json.dumps(dataclasses.asdict(this_holder())), flush=True)\ninput()"
)


@contextmanager
def another_process(*prefix: str) -> Iterator[tuple[subprocess.Popen[str], Holder]]:
    """A process that says who it is and then waits."""
    command = [*prefix, sys.executable, "-W", "ignore", "-c", SAY_WHO]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process, Holder(**json.loads(process.stdout.readline()))
        finally:
            process.kill()


def test_a_process_knows_itself_and_lives() -> None:
    assert is_this_process(this_holder())
    assert not is_gone(this_holder())


def test_a_holder_lives_until_its_process_ends() -> None:
    with another_process() as (process, holder):
        assert not is_gone(holder) and not is_this_process(holder)
        process.send_signal(signal.SIGSTOP)
        assert not is_gone(holder), "a stopped process may go on"
        process.send_signal(signal.SIGCONT)
        process.kill()
        psutil.wait_procs([psutil.Process(process.pid)], timeout=60)
        assert is_gone(holder), "dead, be its parent still to collect it or not"
    assert is_gone(holder)


def test_a_process_id_that_is_used_again_is_another_process() -> None:
    earlier = dataclasses.replace(this_holder(), started=this_holder().started - 60)
    assert is_gone(earlier) and not is_this_process(earlier)


def test_a_host_that_is_called_otherwise_meanwhile_is_the_same() -> None:
    with another_process() as (process, holder):
        renamed = dataclasses.replace(holder, host="another-name")
        assert not is_gone(renamed)
        process.kill()
        process.wait()
        assert is_gone(renamed)


@pytest.mark.parametrize("boot", ["", "an earlier boot", socket.gethostname()])
def test_after_a_reboot_or_on_another_machine_of_the_name_the_lease_decides(boot: str) -> None:
    assert not is_gone(dataclasses.replace(this_holder(), boot=boot, pid=2**22 + 1))


def test_a_holder_in_another_container_is_not_taken_for_dead() -> None:
    unshare = shutil.which("unshare")
    assert unshare is not None and os.geteuid() == 0, "this test makes a PID namespace"
    with another_process(unshare, "--pid", "--fork", "--mount-proc", "--kill-child") as (process, holder):
        assert holder.pid == 1, "as in a container"
        assert holder.host == socket.gethostname()
        assert holder.boot != this_holder().boot
        assert not is_gone(holder)
        assert process.poll() is None


ASK = (
    "import json, sys\nfrom evercell.core.records import Holder\nfrom evercell.engine.holder import is_gone\n"
    "print(is_gone(Holder(**json.loads(sys.argv[1]))))"
)


def test_a_boot_time_that_moved_by_an_hour_kills_nobody() -> None:
    """A time namespace shows what a set clock shows: all processes seem to have started an hour earlier."""
    shifted = ["unshare", "--time", "--boottime", "3600", "--fork"]
    with another_process() as (_, holder):
        ask = [sys.executable, "-W", "ignore", "-c", ASK, json.dumps(dataclasses.asdict(holder))]
        told = subprocess.run([*shifted, *ask], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "False"


def test_what_is_recorded_does_not_hang_on_the_clock() -> None:
    assert this_holder().started < psutil.boot_time(), "counted since the boot, not since 1970"
