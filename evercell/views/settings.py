"""The settings as a table: what each is, and where that was said."""

from __future__ import annotations

from collections.abc import Sequence

from evercell.engine.configuration import Resolved
from evercell.views.table import Table

_FOOTER = (
    "Each is set by (the first wins): EVERCELL_NAME in the environment; c.Evercell.name in ipython_kernel_config.py;\n"
    "name = … below [tool.evercell] in the project's pyproject.toml. The kernel reads them when evercell is loaded."
)


def settings_view(rows: Sequence[Resolved], *, explained: bool = True) -> Table:
    """A row for each setting; ``explained``: with what it is."""
    columns = 4 if explained else 3
    shown = [(row.name, row.value or "-", row.origin, row.help)[:columns] for row in rows]
    return Table("Settings", ("setting", "value", "from", "what it is")[:columns], shown, _FOOTER)
