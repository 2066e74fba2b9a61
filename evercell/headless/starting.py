"""What executes the runs that `evercell serve` admits: processes of this machine, or somebody else's cluster."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

from evercell.core.errors import EvercellError


class StarterAway(EvercellError):
    """Whoever executes runs cannot be reached now. What was admitted is given back, and tried again later."""


class Starter(Protocol):
    """Whoever executes admitted runs. It holds no truth: all it is told is the id of a run.

    What it executes is `evercell.headless.admitted.execute_admitted`, or that function's command `runner_command`.
    A run that is delivered twice, late, or after another server started it, is executed once: the runner claims it
    first, and goes where it is executed already or is not admitted any more.
    """

    @property
    def runs_on(self) -> str | None:
        """The cluster's address, for people; None: this machine."""

    def start(self, run_id: str) -> None:
        """Have a run executed, and return at once. Raises `StarterAway` where that cannot be asked for now."""

    def alive(self) -> Collection[str]:
        """The runs that were handed over by this process and have not ended, as far as this one knows.

        One that is missing has no runner any more: if the store says that it has not ended, it is started again.
        Raises `StarterAway` where that cannot be told now; then only the ends of leases count.
        """

    def close(self, *, suspend: bool) -> None:
        """Leave what runs to go on by itself; ``suspend``: end it in good order, to be gone on with, within 10 s."""
