"""The papermill engine as papermill finds it: ``papermill in.ipynb out.ipynb --engine evercell``.

Every command of papermill looks here, whatever its engine, so this imports nothing; and nothing of papermill's, which
is half imported itself while it looks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any


class DurableEngine:
    """Executes every code cell as a durable step; completed ones are replayed, not executed again."""

    @classmethod
    def execute_notebook(
        cls, nb: Any, kernel_name: str, output_path: str | None = None, **options: Any
    ) -> Any:
        """Papermill's entry. The options are those of `papermill_engine.execute_notebook`."""
        from evercell.core.garbage import imports_spared

        is_command = _is_command()
        with _started_ahead(kernel_name, options) if is_command else nullcontext() as ahead:
            with imports_spared() if is_command else nullcontext():
                from evercell.headless.papermill_engine import execute_notebook
            return execute_notebook(nb, kernel_name, output_path, evercell_ahead=ahead, **options)

    @classmethod
    def nb_kernel_name(cls, nb: Any, name: str | None = None) -> str:
        """The notebook's kernel; one that names none is taken for Python's."""
        from evercell.headless.kernels import kernel_of

        return name or kernel_of(nb)[0]

    @classmethod
    def nb_language(cls, nb: Any, language: str | None = None) -> str:
        """The notebook's language, by the same rule."""
        from evercell.headless.kernels import kernel_of

        return language or kernel_of(nb)[1]


_OF_KERNELS = frozenset(("config", "extra_arguments", "ipython_hist_file", "kernel_manager_class"))
"""Options that say how the kernel itself is to be started."""


@contextmanager
def _started_ahead(kernel_name: str, options: Mapping[str, Any]) -> Iterator[Any]:
    """A kernel that comes up while we are imported. Where it turns out that nothing is executed, it is killed."""
    if "evercell_claim" in options or options.keys() & _OF_KERNELS:
        yield None
        return
    from evercell.headless.kernel_process import start_ahead

    kernel = start_ahead(kernel_name)
    try:
        yield kernel
    finally:
        if kernel is not None:
            kernel.kill()


def _is_command() -> bool:
    """Whether papermill is this process, rather than called by it."""
    import click

    return click.get_current_context(silent=True) is not None
