"""Probes that are small and many: each has a namespace of its own, so their names may be short. No kernel is needed."""

from tests.probes.alone import (
    caches,
    classes,
    edges,
    everyday,
    exceptions,
    identity,
    memory,
    namespaces,
    oddities,
    shared,
)

PROBES = [
    *shared.PROBES, *caches.PROBES, *classes.PROBES, *edges.PROBES, *everyday.PROBES, *exceptions.PROBES, *identity.PROBES, *memory.PROBES,
    *namespaces.PROBES, *oddities.PROBES,
]  # fmt: skip
