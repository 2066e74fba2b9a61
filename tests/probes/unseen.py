"""What is shared, changed or remembered without a name that shows it, in a real kernel. (Many more are in `alone`.)"""

from tests.probes import Probe

PROBES = [
    Probe(
        "unseen_names",
        "exit = 'mine'; __unseen_x__ = [3]; _unseen_private = 2; quit = 4\nfor _ in range(3): pass\nunseen_names = 1",
        "assert (exit, __unseen_x__, _unseen_private, quit, _) == ('mine', [3], 2, 4, 2)\ndel exit, quit, _",
    ),
    Probe(
        "unseen_run",
        "from pathlib import Path\nPath('unseen_script.py').write_text('unseen_n = 0\\ndef unseen_inc():\\n    global unseen_n\\n    unseen_n += 1\\ndef unseen_get(): return unseen_n\\n')\n%run unseen_script.py\nunseen_inc()\n----\nunseen_inc()",
        "assert unseen_get() == 2\nunseen_inc(); assert unseen_get() == 3 and unseen_inc.__globals__ is unseen_get.__globals__",
    ),
    Probe(
        "unseen_cache",
        "import functools\nunseen_calls = []\n@functools.cache\ndef unseen_paid(x): unseen_calls.append(x); return [x]\nunseen_paid(1)\n----\nunseen_b = unseen_paid(2)",
        "assert unseen_paid(2) is unseen_b and unseen_paid(1) == [1] and unseen_calls == [1, 2]",
    ),
    Probe(
        "unseen_generator",
        "unseen_rows = []\ndef unseen_agent(rows):\n    while True:\n        rows.append(len(rows)); yield\nunseen_generator = unseen_agent(unseen_rows); next(unseen_generator)\n----\nnext(unseen_generator)\n----\nnext(unseen_generator)",
        refuses="suspended code",
    ),
    Probe("unseen_generator_rows", "unseen_rest = 1", "assert unseen_rows == [0, 1, 2] and unseen_rest == 1"),
    Probe(
        "unseen_bound",
        "unseen_list = [1]; unseen_add = unseen_list.append\n----\nunseen_add(2)",
        "unseen_add(3); assert unseen_list == [1, 2, 3]",
    ),
    Probe(
        "unseen_context",
        "import contextvars\nunseen_ctx = contextvars.ContextVar('un', default=0); unseen_ctx.set({'a': 1})",
        "assert unseen_ctx.get() == {'a': 1}",
    ),
    Probe(
        "unseen_window",
        "import numpy as np\nunseen_a = np.arange(9.); unseen_w = np.lib.stride_tricks.sliding_window_view(unseen_a, 3, writeable=True); unseen_m = np.ma.masked_array(unseen_a, mask=unseen_a > 7, copy=False); unseen_v = memoryview(unseen_a)\n----\nunseen_w[0, 0] = 50\n----\nunseen_v[1] = 60.0",
        "assert unseen_a[0] == unseen_m[0] == 50 and unseen_a[1] == 60\nunseen_m[2] = 70; assert unseen_w[0, 2] == unseen_v[2] == 70",
    ),
    Probe(
        "unseen_nan",
        "import dataclasses, inspect, numpy as np\nunseen_nan = [np.nan, float('nan')]; unseen_first = unseen_nan[1]; unseen_unset = (inspect.Parameter.empty, dataclasses.MISSING)",
        "assert np.nan in unseen_nan and unseen_first in unseen_nan and unseen_unset[0] is inspect.Parameter.empty and unseen_unset[1] is dataclasses.MISSING",
    ),
    Probe(
        "unseen_weak",
        "import weakref\nclass unseen_Node:\n    def __init__(self, parent=None): self.parent = parent and weakref.ref(parent); self.rows = []\nunseen_root = unseen_Node(); unseen_kid = unseen_Node(unseen_root)\n----\nunseen_kid.parent().rows.append(1)",
        "assert unseen_kid.parent() is unseen_root and unseen_root.rows == [1]",
    ),
]
