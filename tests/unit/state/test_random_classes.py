"""P3: what classes, objects and functions share unseen is shared in another process, too. Drawn at random."""

from __future__ import annotations

import pickle
import random

from tests.unit.state.alone import in_a_process
from tests.unit.state.random_classes import Drawn

_HOW_MANY = 60


def test_classes_and_what_they_share_come_back_as_they_were(chance: random.Random) -> None:
    seeds = [str(chance.getrandbits(32)) for _ in range(_HOW_MANY)]
    home = "from tests.unit.state.random_classes import ask_all, save_all"
    content = in_a_process(f"{home}; save_all({seeds!r})")
    faults = pickle.loads(in_a_process(f"{home}; ask_all()", content))
    shown = [f"{fault}\n" + "\n----\n".join(Drawn(seed).cells) for seed, fault in faults.items()]
    assert not faults, f"{len(faults)} of {_HOW_MANY}; the shortest:\n{min(shown, key=len)}"
