"""What cells tell Python, libraries and IPython: it is told again to a new kernel, or named."""

from tests.probes import Probe

PROBES = [
    Probe(
        "reg_accessors",
        """
        import pandas as pd, polars as pl, xarray as xr
        class reg_Size:
            def __init__(self, of): self.of = of
            def rows(self): return len(self.of)
        pd.api.extensions.register_dataframe_accessor('reg_size')(reg_Size); pd.api.extensions.register_series_accessor('reg_size')(reg_Size)
        pl.api.register_dataframe_namespace('reg_size')(reg_Size); xr.register_dataset_accessor('reg_size')(reg_Size)
        """,
        "import pandas as pd, polars as pl, xarray as xr\nassert pd.DataFrame({'a': [1, 2]}).reg_size.rows() == 2 == pd.Series([1, 2]).reg_size.rows() == pl.DataFrame({'a': [1, 2]}).reg_size.rows() and xr.Dataset().reg_size.rows() == 0",
    ),
    Probe(
        "reg_figures",
        """
        import matplotlib as mpl, plotly.io as pio, plotly.graph_objects as go
        mpl.colormaps.register(mpl.colors.ListedColormap(['r', 'g'], name='reg_map'))
        pio.templates['reg_template'] = go.layout.Template(layout={'title': {'text': 'T'}}); pio.templates.default = 'reg_template'
        """,
        "import matplotlib as mpl, plotly.io as pio\nassert mpl.colormaps['reg_map'].N == 2 and pio.templates.default == 'reg_template' and pio.templates['reg_template'].layout.title.text == 'T'\npio.templates.default = 'plotly'",
    ),
    Probe(
        "reg_axes",
        """
        import datetime, matplotlib.pyplot as plt, matplotlib.scale, matplotlib.units
        from matplotlib.axes import Axes
        from matplotlib.projections import register_projection
        from matplotlib.transforms import IdentityTransform
        class reg_Axes(Axes): name = 'reg_axes'
        class reg_Scale(matplotlib.scale.ScaleBase):
            name = 'reg_scale'
            def get_transform(self): return IdentityTransform()
            def set_default_locators_and_formatters(self, axis): pass
        class reg_Metres:
            def __init__(self, n): self.n = n
        class reg_Converter(matplotlib.units.ConversionInterface):
            @staticmethod
            def convert(value, unit, axis): return [one.n for one in value]
        register_projection(reg_Axes); matplotlib.scale.register_scale(reg_Scale); matplotlib.units.registry[reg_Metres] = reg_Converter()
        """,
        """
        import matplotlib.pyplot as plt
        reg_f, reg_a = plt.subplots(subplot_kw={'projection': 'reg_axes'}); reg_a.set_yscale('reg_scale'); reg_line, = reg_a.plot([0, 1], [reg_Metres(3), reg_Metres(4)]); plt.close(reg_f)
        assert type(reg_a) is reg_Axes and reg_line.get_ydata(orig=False).tolist() == [3, 4]
        """,
    ),
    Probe(
        "reg_tables",
        """
        import altair as alt, numpy as np, pandas as pd
        @pd.api.extensions.register_extension_dtype
        class reg_Dtype(pd.api.extensions.ExtensionDtype):
            name = 'reg_dtype'; type = object
        @alt.theme.register('reg_theme', enable=False)
        def reg_theme(): return {'config': {'background': 'red'}}
        alt.renderers.register('reg_renderer', lambda spec, **options: {'text/plain': 'chart'}); reg_days = np.busdaycalendar(holidays=['2024-01-01'])
        """,
        "import altair as alt, numpy as np, pandas as pd\nreg_active = alt.theme.active; alt.theme.enable('reg_theme')\nassert alt.theme.get() is reg_theme and type(pd.api.types.pandas_dtype('reg_dtype')) is reg_Dtype and 'reg_renderer' in alt.renderers.names() and np.busday_count('2024-01-01', '2024-01-03', busdaycal=reg_days) == 1\nalt.theme.enable(reg_active)",
    ),
    Probe(
        "reg_python",
        """
        import copyreg, csv, os, sqlite3
        class reg_Point:
            def __init__(self, x): self.x = x
        def reg_apart(p): return reg_Point, (p.x,)
        csv.register_dialect('reg_semi', delimiter=';'); os.umask(0o027); copyreg.pickle(reg_Point, reg_apart)
        sqlite3.register_adapter(reg_Point, lambda p: f'at {p.x}'); sqlite3.register_converter('reg_point', lambda b: reg_Point(int(b[3:])))
        """,
        """
        import copyreg, csv, os, sqlite3
        assert csv.get_dialect('reg_semi').delimiter == ';' and os.umask(0o022) == 0o027 and copyreg.dispatch_table[reg_Point] is reg_apart
        reg_c = sqlite3.connect(':memory:', detect_types=sqlite3.PARSE_DECLTYPES); reg_c.execute('create table t(p reg_point)'); reg_c.execute('insert into t values (?)', (reg_Point(7),))
        assert reg_c.execute('select p from t').fetchone()[0].x == 7; reg_c.close()
        """,
    ),
    Probe(
        "reg_polars", "import polars as pl\npl.Config.set_tbl_rows(3) and None",
        "import polars as pl\nassert pl.Config.state()['POLARS_FMT_MAX_ROWS'] == '3'; pl.Config.restore_defaults() and None",
    ),
    Probe(
        "reg_main",
        "import __main__ as reg_main\nreg_main.reg_xs = [1]\n----\nreg_main.reg_xs.append(2); reg_main.reg_other = 5",
        "assert reg_main.reg_xs is reg_xs == [1, 2] and vars(reg_main) is globals()\nreg_main.reg_new = 3; assert reg_new == 3 and reg_other == 5",
    ),
    Probe(
        "reg_shown",
        """
        class reg_Money:
            def __init__(self, n): self.n = n
        get_ipython().display_formatter.formatters['text/plain'].for_type(reg_Money, lambda one, printer, _: printer.text(f'${one.n}')) and None
        reg_money = reg_Money(3)
        """,
        "from IPython.core.formatters import format_display_data\nassert format_display_data(reg_money)[0]['text/plain'] == '$3'",
    ),
    Probe("reg_codec", "import codecs\ncodecs.register_error('reg', lambda e: ('?', e.end))", "pass", "codecs.register_error (a call) was not kept"),
    Probe("reg_hook", "def reg_before(info): pass\nget_ipython().events.register('pre_run_cell', reg_before)", "pass", "events.register('pre_run_cell') (a call) was not kept: it is what this kernel calls around cells"),
    Probe("reg_magic", "from IPython.core.magic import register_line_magic\n@register_line_magic\ndef reg_twice(line): return line * 2", "pass", "register_line_magic (a call) was not kept: it is a magic of this kernel"),
    Probe("reg_config", "%config InlineBackend.figure_format = 'svg'", "pass", "%config (a call) was not kept: it is a setting of this kernel"),
    Probe("reg_alarm", "import signal\nsignal.setitimer(signal.ITIMER_REAL, 5000) and None", "pass", "signal.setitimer (a call) was not kept: it is a timer of this kernel"),
    Probe(
        "reg_thread",
        "import threading\nreg_stop, reg_rows = threading.Event(), []\ndef reg_poll():\n    while not reg_stop.wait(0.05): pass\nthreading.Thread(target=reg_poll, daemon=True, name='reg_poller').start()",
        "pass", "thread 'reg_poller' (threading.Thread) was not kept: it is running beside the cells",
    ),
    Probe(
        "reg_altair", "import altair as alt\nalt.data_transformers.disable_max_rows()\nalt.theme.enable('dark') and None",
        "import altair as alt\nassert alt.data_transformers.options == {'max_rows': None} and alt.theme.active == 'dark'\nalt.theme.enable('default') and None",
    ),
    Probe(
        "reg_patch",
        "from unittest import mock\nimport textwrap\nreg_patcher = mock.patch('textwrap.fill', lambda text: 'patched')\nreg_patcher.start() and None",
        "import textwrap\nassert textwrap.fill('a') == 'a'", "patch of textwrap.fill (unittest.mock) was not kept: it is a patch of what this kernel",
    ),
    Probe(
        "reg_task",
        "import asyncio\nasync def reg_wait(): await asyncio.sleep(3600)\nasyncio.get_running_loop().create_task(reg_wait()) and None",
        "pass", "task of reg_wait() (asyncio.Task) was not kept: it is running beside the cells",
    ),
    Probe(
        "reg_later", "import asyncio\nreg_late = []\nasyncio.get_running_loop().call_later(5000, reg_late.append, 1) and None",
        "assert reg_late == []", "loop.call_later(list.append) (asyncio.TimerHandle) was not kept",
    ),
    Probe(
        "reg_abstract",
        "import collections.abc, numbers\nclass reg_V: pass\n@collections.abc.Mapping.register\nclass reg_W: pass\ncollections.abc.Sized.register(reg_V); numbers.Number.register(reg_V)",
        "import collections.abc as reg_a, numbers\nassert issubclass(reg_V, reg_a.Sized) and isinstance(reg_W(), reg_a.Mapping) and isinstance(reg_V(), numbers.Number) and not issubclass(reg_V, reg_a.Mapping)",
    ),
]  # fmt: skip
