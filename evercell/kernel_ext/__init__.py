"""The live shell: running cells, recording and replaying what they show. Wires the other rooms together."""

from evercell.kernel_ext.extension import load_ipython_extension, unload_ipython_extension

__all__ = ["load_ipython_extension", "unload_ipython_extension"]
