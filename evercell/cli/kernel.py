"""``evercell kernel``: the kernel "Python 3 (evercell)" where front ends find it."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from importlib import resources
from pathlib import Path

import click

from evercell.cli.terminal import say
from evercell.core.errors import UsageError


@click.group()
def kernel() -> None:
    """The kernel in which every cell is a step."""


@kernel.command()
@click.option("--user", is_flag=True, help="For you, whatever environment Jupyter runs in.")
@click.option("--prefix", metavar="DIR", help="Below DIR, such as another environment.")
@click.option(
    "--name", default="evercell", show_default=True, help="Its name: letters, digits, '-', '_', '.'."
)
@click.option("--display-name", metavar="TEXT", help="What front ends call it.")
def install(user: bool, prefix: str | None, name: str, display_name: str | None) -> None:
    """Let Jupyter offer this environment's kernel "Python 3 (evercell)".

    Where Jupyter runs in this environment it is offered already.
    """
    from jupyter_client.kernelspec import KernelSpecManager

    if user and prefix:
        raise UsageError("--user and --prefix name two places.", hint="Give one of them.")
    where = {"prefix": prefix or sys.prefix} if not user else {"user": True}
    with tempfile.TemporaryDirectory() as folder:
        described = _described(Path(folder), display_name)
        try:
            place = KernelSpecManager().install_kernel_spec(str(described), kernel_name=name, **where)
        except ValueError as error:
            raise UsageError(f"{name!r} cannot name a kernel: {error}", hint="Try --name evercell.") from None
        except OSError as error:
            raise UsageError(
                f"The kernel was not installed: {error}.", hint="Try --user, or --prefix DIR."
            ) from None
    say(f"installed the kernel {name} in {place}")


def _described(folder: Path, display_name: str | None) -> Path:
    """The kernel's files, for this very interpreter."""
    files = Path(str(resources.files("evercell.kernel_ext"))) / "kernelspec"
    described = folder / "kernelspec"
    shutil.copytree(files, described)
    spec = json.loads((described / "kernel.json").read_text())
    spec["argv"][0] = sys.executable
    if display_name:
        spec["display_name"] = display_name
    (described / "kernel.json").write_text(json.dumps(spec, indent=1))
    return described
