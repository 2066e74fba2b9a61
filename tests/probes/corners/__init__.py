"""More probes, of corners that `tests.probes` does not ask about: one module a room, all of them here."""

from tests.probes.corners import code, containers, libraries, resources, surroundings

PROBES = [
    *surroundings.PROBES, *containers.PROBES, *code.PROBES, *libraries.PROBES, *resources.PROBES,
]  # fmt: skip
