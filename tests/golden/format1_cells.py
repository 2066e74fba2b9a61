"""The notebook whose run is in format1/store.db: what 0.1.0 could keep when it landed."""

from __future__ import annotations

from parts import Cell, Ends, Notebook

FORMAT = 1
CELLS: list[Cell] = [
    "%%setup tools\nimport functools",
    """%%step load
rows = [{"city": "Oslo", "t": 4}, {"city": "Rome", "t": 17}]
warmest = max(rows, key=lambda row: row["t"])
print(len(rows), "rows")
""",
    """%%step functions
def double(x, *, by=2):
    return helper(x) * by
def helper(x):
    return x
def counter():
    n = 0
    def up():
        nonlocal n
        n += 1
        return n
    return up, lambda: n
up, now_at = counter()
@functools.lru_cache
def cached(x):
    return [x]
class Point:
    def __init__(self, x):
        self.x = x
    @functools.cached_property
    def far(self):
        return self.x * 10
point = Point(3)
error = ValueError("no")
up()
""",
    """%%step arrays
import numpy as np
import pandas as pd
array = np.arange(6.0)
view = array[2:4]
large = np.zeros(20_000)
frame = pd.DataFrame({"a": [1, 2], "b": ["x", "y"]})
frame
""",
    "%%step plan\nplan = 'first'\nprint(plan)",
    "%%step plan\nplan = 'second'\nprint(plan)",
    "%%step refused\nimport socket, random\nsock = socket.socket()\nrandom.seed(5)\nvalue = random.random()",
    Ends("ZeroDivisionError", "%%step fails\nprint('so far')\n1 / 0"),
    "%branch --from plan@1 --name what-if",
    "%%step use\nused = plan + '!'\nprint(used)",
]

NOTEBOOKS = [
    Notebook(
        "first",
        cells=CELLS,
        expressions=["plan, used, warmest is rows[1], 'frame' in globals()"],
        run="what-if",
        also={
            "first-1": [
                "warmest is rows[1], double(3), up(), now_at(), cached(1) is cached(1)",
                "type(point) is Point, point.far, error.args",
                "(array.__setitem__(2, 9.0), array.tolist(), view[0])[1:], large.sum()",
                "frame.to_dict('list'), plan, value",
                "random.random(), repr(sock)",
            ]
        },
    )
]
FILES: dict[str, str] = {}
