"""How the kernels of headless runs are reached, and what is called in them."""

from __future__ import annotations

import os
import uuid
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel
from jupyter_core.paths import jupyter_runtime_dir
from jupyter_core.utils import ensure_dir_exists
from traitlets import TraitError

from evercell.core.errors import KernelNotFound

PYTHON = "python3"
"""The kernel of a notebook that names none."""

LAUNCHER = "evercell.kernel_ext.launcher"
"""The module that starts the kernel "Python 3 (evercell)"."""

_LONGEST_FOLDER = 50
"""Characters; the path of a Unix socket may have about 100 in all."""


def reach_through_sockets(manager: Any) -> Any:
    """Have a kernel manager use Unix sockets in this user's runtime folder, where the system has them.

    Ports are open to everybody on the machine, and are chosen before the kernel takes them: of many kernels that
    start at once, one now and then finds its own taken.
    """
    folder = jupyter_runtime_dir()
    if os.name == "posix" and _is_ours(folder):
        # by itself a manager would name its sockets "kernel-ipc-1" and so on, in whatever folder it is in
        manager.connection_file = str(Path(folder, f"kernel-{uuid.uuid4()}.json"))
        if len(folder) < _LONGEST_FOLDER:
            manager.transport = "ipc"
    return manager


def mark_of(manager: Any) -> Path | None:
    """The file by which a kernel sees that its runner lives; None where it must end with its runner.

    (It has to look after that from its first instant, by an extension that only IPython's kernel loads.)
    """
    is_ours = manager.ipykernel or LAUNCHER in (manager.kernel_spec.argv if manager.kernel_spec else ())
    if os.name != "posix" or not manager.connection_file or not is_ours:
        return None
    return Path(manager.connection_file).with_suffix(".runner")


def kernel_of(notebook: Any) -> tuple[str, str]:
    """Kernel name and language of a notebook; one that names none is taken for Python's."""
    spec, language_info = (_mapping(notebook.metadata.get(key)) for key in ("kernelspec", "language_info"))
    language = spec.get("language") or language_info.get("name") or "python"
    return str(spec.get("name") or PYTHON), str(language)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


_UNREADABLE = (NoSuchKernel, ValueError, TypeError, LookupError, OSError, TraitError)
"""What Jupyter raises for a kernel that is not there, or that nobody can make sense of."""


def require_kernel(name: str) -> None:
    """Raise `KernelNotFound` for a kernel that is not there, or is not Python's."""
    manager = KernelSpecManager()
    try:
        language = str(manager.get_kernel_spec(name).language)
    except _UNREADABLE as error:
        raise KernelNotFound(f"There is no kernel {name!r} here.", hint=_which_kernels(manager)) from error
    if is_foreign(language):
        raise KernelNotFound(
            f"The kernel {name!r} runs {language}; evercell executes notebooks of Python.",
            hint=_which_kernels(manager),
        )


def is_foreign(language: str) -> bool:
    """Whether this is the name of another language than Python."""
    return bool(language) and not language.lower().startswith(("python", "ipython", "sage"))


def _which_kernels(manager: KernelSpecManager) -> str:
    names = []
    for name in sorted(manager.find_kernel_specs()):
        with suppress(*_UNREADABLE):
            if not is_foreign(manager.get_kernel_spec(name).language):
                names.append(name)
    if not names:
        return "None of Python is installed: pip install ipykernel"
    choice = PYTHON if PYTHON in names else names[0]
    return f"There is: {', '.join(names)}. Choose one with --kernel {choice}, or in the notebook."


def unusable(name: str, why: str, hint: str) -> KernelNotFound:
    """The error for a kernel that is installed, and of no use."""
    return KernelNotFound(f"The kernel {name!r} {why}.", hint=hint)


def remote_call(function: str, *arguments: str | dict[str, str]) -> str:
    """Source of a cell that calls a function of `evercell.kernel_ext.remote`; it leaves no name behind."""
    written = ", ".join(map(repr, arguments))
    return f"__import__('evercell.kernel_ext.remote', fromlist=['remote']).{function}({written})"


def _is_ours(folder: str) -> bool:
    """Whether this user may write there. (The home of a scheduled job may be read-only.)"""
    with suppress(OSError):
        ensure_dir_exists(folder, mode=0o700)
    return os.access(folder, os.W_OK)
