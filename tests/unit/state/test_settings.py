"""P3: what cells set in the process, and later cells rely on, is what it was."""

from __future__ import annotations

import logging
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from evercell.state.changes.process_state import ProcessState
from evercell.state.typerules import settings
from evercell.state.typerules.settings import Setting
from tests.unit.state.memory import Cells, in_a_new_process


@pytest.fixture(autouse=True)
def put_back(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The settings of this process, after the tests."""
    process = ProcessState()
    for one in settings.all_settings():
        if one.is_loaded and one.words and one.title != "warnings":
            process.read(source=" ".join(one.words))
    before = [(one, one.copy(one.read())) for one in settings.all_settings() if one.is_loaded]
    with warnings.catch_warnings():
        yield
        for one, state in before:
            if one.title != "warnings":
                one.write(state)


SET: dict[str, tuple[str, str, object]] = {
    "warnings": (
        "import warnings\nwarnings.filterwarnings('ignore', 'of mine', UserWarning)",
        "(lambda f: (f[0], f[2].__name__))(__import__('warnings').filters[0])", ("ignore", "UserWarning"),
    ),
    "decimal": (
        "import decimal\ndecimal.getcontext().prec = 50\ndecimal.getcontext().traps[decimal.Inexact] = True",
        "(lambda d: (d.getcontext().prec, d.getcontext().traps[d.Inexact]))(__import__('decimal'))", (50, True),
    ),
    "the locale": (
        "import locale\nlocale.setlocale(locale.LC_NUMERIC, 'C.UTF-8')",
        "(lambda l: l.setlocale(l.LC_NUMERIC))(__import__('locale'))", "C.UTF-8",
    ),
    "how deep": ("import sys\nsys.setrecursionlimit(2345)", "__import__('sys').getrecursionlimit()", 2345),
    "how long": (
        "import socket\nsocket.setdefaulttimeout(7)", "__import__('socket').getdefaulttimeout()", 7.0,
    ),
    "how wide": ("import csv\ncsv.field_size_limit(10**6)", "__import__('csv').field_size_limit()", 10**6),
    "a signal's handler": (
        "import signal\nseen = []\ndef on_usr1(*_): seen.append(1)\nsignal.signal(signal.SIGUSR1, on_usr1)",
        "(lambda s: (s.raise_signal(s.SIGUSR1), seen)[1])(__import__('signal'))", [1],
    ),
    "levels of loggers": (
        "import logging\nlogging.getLogger('mine.deep').setLevel(5)\nlogging.getLogger('mine').propagate = False\n"
        "logging.addLevelName(5, 'TINY')",
        "(lambda g: (g.getLogger('mine.deep').level, g.getLogger('mine').propagate, g.getLevelName(5)))"
        "(__import__('logging'))", (5, False, "TINY"),
    ),
    "the root logger": (
        "import logging as l, sys\nl.basicConfig(level=l.INFO, format='%(message)s!', stream=sys.stdout, force=True)",
        "(lambda r: (r.level, [(type(h).__name__, h.stream is __import__('sys').stdout, h.formatter._fmt)"
        " for h in r.handlers]))(__import__('logging').root)",
        (logging.INFO, [("StreamHandler", True, "%(message)s!")]),
    ),
    "a handler that is a variable": (
        "import logging\nrows = []\nclass Keeping(logging.Handler):\n"
        "    def emit(self, r): rows.append(r.getMessage())\n"
        "h = Keeping(); logging.getLogger('kept').addHandler(h)",
        "(lambda l: (l.warning('one'), l.handlers == [h], rows)[1:])(__import__('logging').getLogger('kept'))",
        (True, ["one"]),
    ),
    "NumPy's": (
        "import numpy as np\nnp.set_printoptions(precision=3, suppress=True)\nnp.seterr(divide='raise')",
        "(lambda n: (n.get_printoptions()['precision'], n.get_printoptions()['suppress'], n.geterr()['divide']))"
        "(__import__('numpy'))", (3, True, "raise"),
    ),
    "pandas'": (
        "import pandas as pd\npd.set_option('display.max_rows', 7)\npd.options.display.precision = 2",
        "(lambda p: (p.get_option('display.max_rows'), p.options.display.precision))(__import__('pandas'))", (7, 2),
    ),
    "Matplotlib's": (
        "import matplotlib as mpl\nmpl.rcParams['figure.dpi'] = 123\nmpl.rc('font', size=3)\n"
        "mpl.rcParams['axes.prop_cycle'] = mpl.cycler(color=['r', 'b'])",
        "(lambda m: (m.rcParams['figure.dpi'], m.rcParams['font.size'], [*m.rcParams['axes.prop_cycle']][1]))"
        "(__import__('matplotlib'))", (123.0, 3.0, {"color": "b"}),
    ),
    "scikit-learn's": (
        "import sklearn\nsklearn.set_config(display='text')", "__import__('sklearn').get_config()['display']", "text",
    ),
    "xarray's": (
        "import xarray\nxarray.set_options(display_width=55)",
        "__import__('xarray').get_options()['display_width']", 55,
    ),
    "Plotly's": (
        "import plotly.io as pio\npio.templates.default = 'plotly_dark'",
        "__import__('plotly.io').io.templates.default", "plotly_dark",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("source", "asked", "expected"), SET.values(), ids=SET)
def test_a_setting_comes_back(source: str, asked: str, expected: object) -> None:
    cells = Cells()
    cells.step("s", source)
    assert cells.missing == []
    assert in_a_new_process(cells, asked) == (expected, [])


def test_what_no_cell_set_has_no_state() -> None:
    libraries = "logging, decimal, locale, numpy, pandas, matplotlib.pyplot, sklearn, xarray, plotly.io"
    assert in_a_kernel_of_its_own(
        f"c.step('s', 'import {libraries}, signal, gc')\n"
        "print(*sorted(n.replace(' ', '_') for n in c.memory.verified('s').variables if n in STATES))"
    ) == [":numpy.random", ":random"]


def test_an_attempt_that_failed_leaves_no_settings_behind() -> None:
    cells = Cells()
    cells.plain("x = 1")
    cells.fail("s", "import decimal, os\ndecimal.getcontext().prec = 5\nos.environ['TEST_FAILED'] = '1'")
    asked = "__import__('decimal').getcontext().prec, __import__('os').environ.get('TEST_FAILED')"
    assert eval(asked) == (28, None)


def test_a_log_file_goes_on_at_its_end(tmp_path: Path) -> None:
    path = tmp_path / "log.txt"
    cells = Cells()
    cells.step(
        "s",
        f"import logging\nlogging.getLogger('f').addHandler(logging.FileHandler({str(path)!r}, mode='w'))\n"
        "logging.getLogger('f').warning('one')",
    )
    logging.getLogger("f").warning("two")
    handler = logging.getLogger("f").handlers[0]
    in_a_new_process(cells, "__import__('logging').getLogger('f').warning('three')")
    assert path.read_text() == "one\ntwo\nthree\n"
    logging.getLogger("f").removeHandler(handler)
    handler.close()


def test_an_earlier_checkpoint_has_the_settings_that_it_had() -> None:
    cells = Cells()
    cells.step("a", "x = 1")
    cells.step("b", "import decimal\ndecimal.getcontext().prec = 11")
    cells.step("c", "decimal.getcontext().prec = 12")
    asked = "__import__('decimal').getcontext().prec"
    for name, expected in (("b", 11), ("a", 28), ("c", 12)):
        cells.restore(name)
        assert eval(asked) == expected


def test_a_setting_that_is_not_taken_here_is_named_and_the_rest_is_there() -> None:
    told: list[Any] = [0]

    def write(_: object) -> None:
        raise ValueError("no such value")

    settings.keeps_settings([Setting("a test", "sys", lambda: told[0], write, ("told",), usual=0)])
    cells = Cells()
    cells.variables["told"] = told
    cells.step("s", "told[0] = 5\nx = 1")
    told[0] = 0
    fresh = Cells(cells.memory)
    missing = [m.message for m in fresh.restore("s").missing]
    assert missing and "settings of a test" in missing[0] and "no such value" in missing[0]
    assert fresh["x"] == 1
    settings.keeps_settings([Setting("a test", "no_such_module", lambda: 0, lambda _: None)])


def test_no_library_is_imported_to_look_at_its_settings() -> None:
    assert not {"numpy", "pandas", "matplotlib", "cryptography"} & set(
        in_a_kernel_of_its_own("c.step('s', 'x = 1')\nprint(*{m.split('.')[0] for m in sys.modules})")
    )


def in_a_kernel_of_its_own(script: str) -> list[str]:
    """What cells ``c`` of another process print."""
    before = "import sys\nfrom evercell.state import STATES\nfrom tests.unit.state.memory import Cells\nc = Cells()\n"
    command = [sys.executable, "-c", before + script]
    return (
        subprocess.run(command, capture_output=True, text=True, check=True)
        .stdout.replace(" :", "\n:")
        .split()
    )


PATCHED: dict[str, tuple[str, str, object]] = {
    "a value": ("import json\njson.mine = [1]", "__import__('json').mine", [1]),
    "a function": (
        "import json as j\ndef dumps(x): return 'mine'\nj.dumps = dumps", "__import__('json').dumps(5)", "mine",
    ),
    "a method of a class": (
        "import textwrap\nfrom textwrap import TextWrapper as T\nT.fill = lambda self, text: text + '!'",
        "__import__('textwrap').fill('a')", "a!",
    ),
    "of a module in a module": ("import xml.dom\nxml.dom.mine = 3", "__import__('xml.dom').dom.mine", 3),
    "by its name": ("import json\nsetattr(json, 'mine', 5)", "__import__('json').mine", 5),
    "a key": (
        "import types, json\njson.api_key = 'typed-' + 'in-key'", "__import__('json').api_key", "typed-in-key",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("source", "asked", "expected"), PATCHED.values(), ids=PATCHED)
def test_an_attribute_of_a_module_that_a_cell_assigned_comes_back(
    source: str, asked: str, expected: object
) -> None:
    script = (
        f"c.step('s', {source!r})\nimport pickle, base64\nassert c.missing == [], c.missing\n"
        "from tests.unit.state.memory import in_a_new_process\n"
        f"print(repr(in_a_new_process(c, {asked!r})).replace(' ', '_'))\n"
        "print(any(b'typed-in-key' in bytes(k.data) for k in c.memory.chunks.values()))"
    )
    told, is_exposed = in_a_kernel_of_its_own(script)
    assert told == repr((expected, [])).replace(" ", "_") and is_exposed == "False"
