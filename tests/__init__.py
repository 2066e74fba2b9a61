"""Tests begin as programs do on a user's machine, and so do the processes that they start."""

import os
import sys

# where it is set, each kernel, command and server compiles evercell's modules anew
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False
