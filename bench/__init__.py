"""Measurements: ``python -m bench.steps``. No part of the package, and nothing in it imports from here."""

from __future__ import annotations

import compileall
from pathlib import Path


def compile_package() -> None:
    """Compile evercell, as pip does where it installs it: a checkout may be compiled anew by each process."""
    compileall.compile_dir(Path(__file__).parent.parent / "evercell", quiet=2)
