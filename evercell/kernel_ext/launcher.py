"""The kernel "Python 3 (evercell)": IPython's own, in which every cell is a step, and which resumes by itself."""

from __future__ import annotations

import os
from typing import Any

from ipykernel.kernelapp import IPKernelApp

from evercell.core.errors import EvercellError
from evercell.kernel_ext.extension import EXTENSION, Extension, attach
from evercell.kernel_ext.runner_watch import RUNNER, load_ipython_extension
from evercell.kernel_ext.self_resume import resume_by_itself


class EvercellKernelApp(IPKernelApp):
    """Loads evercell before the first prompt, after the user's own extensions."""

    def init_extensions(self) -> None:
        """At the end of the kernel's start."""
        super().init_extensions()  # type: ignore[no-untyped-call]
        if RUNNER in os.environ:
            load_ipython_extension(self.shell)
        if RUNNER not in os.environ and getattr(self.shell, EXTENSION, None) is None:
            load(self.shell)


def load(shell: Any) -> None:
    """Attach to the notebook's run, and put back what it had in memory. A kernel starts whatever goes wrong."""
    shell.config.Evercell.setdefault("every_cell", True)
    try:
        extension = attach(shell)
    except EvercellError as error:
        _tell_at_first_cell(shell, f"evercell: not loaded. {error}\n%load_ext evercell tries again.")
        return
    _resume(extension)
    extension.front_end.run_found = lambda: _resume(extension)


def _resume(extension: Extension) -> None:
    if text := resume_by_itself(extension):
        extension.runner.tell_at_next_cell(text)


def _tell_at_first_cell(shell: Any, text: str) -> None:
    def tell(_: object) -> None:
        shell.events.unregister("pre_run_cell", tell)
        print(text)  # noqa: T201

    shell.events.register("pre_run_cell", tell)


def main() -> None:
    """``python -m evercell.kernel_ext.launcher -f CONNECTION_FILE``."""
    EvercellKernelApp.launch_instance()


if __name__ == "__main__":
    main()
