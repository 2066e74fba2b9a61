"""Questions about PyTorch, for environments that have it."""

from tests.probes.with_torch import memory, models, surroundings, tensors

PROBES = [*tensors.PROBES, *memory.PROBES, *models.PROBES, *surroundings.PROBES]

ALONE = [*PROBES, *surroundings.ALONE]
"""Those that are asked in a namespace of their own, what they set for all of PyTorch last."""
