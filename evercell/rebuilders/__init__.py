"""Rebuilders of what data scientists hold, by field. Each module registers its own when it is imported."""

from evercell.rebuilders import (
    contexts as contexts,
)
from evercell.rebuilders import (
    databases as databases,
)
from evercell.rebuilders import (
    displays as displays,
)
from evercell.rebuilders import (
    files as files,
)
from evercell.rebuilders import (
    logs as logs,
)
from evercell.rebuilders import (
    loops as loops,
)
from evercell.rebuilders import (
    network as network,
)
from evercell.rebuilders import (
    registries as registries,
)
from evercell.rebuilders import (
    running as running,
)
from evercell.rebuilders import (
    settings as settings,
)
from evercell.rebuilders import (
    sqlite as sqlite,
)
from evercell.rebuilders import (
    surroundings as surroundings,
)
from evercell.rebuilders import (
    threads as threads,
)
from evercell.rebuilders import (
    tls as tls,
)
from evercell.rebuilders import (
    torch as torch,
)
