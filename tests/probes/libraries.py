"""Objects of the libraries that data scientists use."""

from tests.probes import Probe

PROBES = [  # one line a cell, however long: that is how they read best
    Probe(
        "np_arrays",
        """
        import numpy as np
        na = [np.arange(6.).reshape(2, 3), np.asfortranarray(np.ones((2, 3))), np.array(5), np.array(['2024-01-01'], 'M8[D]'),
              np.array([(1, 2.5)], dtype=[('a', 'i4'), ('b', 'f8')]), np.ma.masked_array([1, 2], [0, 1]), np.array([[], {}], dtype=object)]
        """,
        "assert na[0][1, 2] == 5 and na[1].flags.f_contiguous and na[2].shape == () and str(na[3][0]) == '2024-01-01'\nassert na[4]['b'][0] == 2.5 and na[5].sum() == 1 and na[6][1] == {}",
    ),
    Probe(
        "np_views",
        "import numpy as np\nnv_base = np.zeros((100, 100)); nv_row = nv_base[3]; nv_t = nv_base.T\nnv_row[5] = 7",
        "assert nv_row.base is nv_base and nv_base[3, 5] == 7\nnv_row[6] = 8; nv_base[0, 1] = 9; assert nv_base[3, 6] == 8 and nv_t[1, 0] == 9",
    ),
    Probe(
        "np_large",
        "import numpy as np\nnl_a = np.arange(3_000_000.); nl_v = nl_a[::2]\n----\nnl_a[4] = -1.",
        "assert nl_a[4] == -1 == nl_v[2] and nl_a[-1] == 2_999_999\nnl_v[0] = 5; assert nl_a[0] == 5",
    ),
    Probe(
        "np_generators",
        "import numpy as np, random\nng_g = np.random.default_rng(1); ng_g.random(3)\nng_r = random.Random(2); ng_r.random()\nng_expected = [np.random.default_rng(1).random(5)[3:].tolist(), [random.Random(2).random() for _ in range(1)]]",
        "assert ng_g.random(2).tolist() == ng_expected[0]\nrng = random.Random(2); rng.random(); assert ng_r.random() == rng.random()",
    ),
    Probe(
        "np_state",
        "import numpy as np\nns_legacy = np.random.RandomState(3); ns_legacy.rand()\nns_default = np.random.mtrand._rand",
        "r = np.random.RandomState(3); r.rand(); assert ns_legacy.rand() == r.rand()\nassert ns_default is np.random.mtrand._rand",
    ),
    Probe(
        "pd_frames",
        """
        import pandas as pd
        pf = pd.DataFrame({'a': [1, 2], 'c': pd.Categorical(['x', 'y']), 't': pd.date_range('2024', periods=2, tz='UTC'), 's': ['q', None]})
        pf_multi = pf.set_index(['a', 's'])
        pf_same = pf
        """,
        "assert pf_same is pf and list(pf.dtypes.astype(str))[1] == 'category' and str(pf.t.dt.tz) == 'UTC' and pf_multi.index.nlevels == 2\npf['n'] = 1; assert 'n' in pf_same",
    ),
    Probe(
        "pd_shared",
        "import pandas as pd, numpy as np\nps_a = np.arange(20_000.); ps_f = pd.DataFrame(ps_a.reshape(-1, 2), copy=False)\nps_s = pd.Series([1., 2.], name='s')",
        "assert ps_f.shape == (10_000, 2) and ps_f.iloc[-1, 1] == 19_999 and ps_s.name == 's'",
    ),
    Probe(
        "pd_column",
        "import pandas as pd\npc_f = pd.DataFrame({'a': [1., 2.], 'b': [3., 4.]})\npc_col = pc_f['a']",
        "assert pc_col.tolist() == [1., 2.] and pc_col.name == 'a' and pc_f['a'].equals(pc_col)",
    ),
    Probe(
        "pd_beside",
        """
        import pandas as pd
        class pb_Series(pd.Series):
            _metadata = ['unit']
            @property
            def _constructor(self): return pb_Series
        pb_f = pd.DataFrame({'a': [1, 2]}); pb_f.note = 'from the laboratory'; pb_log = []; pb_f.attrs['unit'] = 'm'; pb_attrs = pb_f.attrs
        object.__setattr__(pb_f, 'log', pb_log); pb_s = pb_Series([1, 2], name='n'); pb_s.unit = 'm'
----
        pb_log.append('weighed')
        """,
        "pb_log.append('dried'); assert pb_f.note == 'from the laboratory' and pb_f.log == ['weighed', 'dried'] and pb_f.a.tolist() == [1, 2]\nassert pb_attrs is pb_f.attrs == {'unit': 'm'} and pb_s.name == 'n' and pb_s[1:].unit == 'm' and type(pb_s) is pb_Series",
    ),
    Probe(
        "np_made_functions",
        """
        import numpy as np
        def nf_half(a, b=2): return a / b
        nf_v = np.vectorize(nf_half, otypes=[float]); nf_c = np.vectorize(nf_half, otypes=[float], cache=True); nf_u = np.frompyfunc(nf_half, 2, 1, identity=1); nf_v([2]); nf_c([2])
        """,
        "assert nf_v([4, 6]).tolist() == [2, 3] == nf_c([4, 6]).tolist() and nf_u([8], 4).tolist() == [2] and nf_u.nin == 2 and nf_u.identity == 1 and nf_v.pyfunc is nf_half",
    ),
    Probe(
        "mpl_listeners",
        """
        import matplotlib.pyplot as plt, numpy as np
        from matplotlib.widgets import Slider
        class ml_Drawn:
            def __init__(self, figure): self.times = 0; figure.canvas.mpl_connect('draw_event', self.count)
            def count(self, event): self.times += 1
        ml_f, ml_a = plt.subplots(); ml_i = ml_a.imshow(np.eye(2)); ml_bar = ml_f.colorbar(ml_i); ml_line, = ml_a.plot([1, 2]); ml_d = ml_Drawn(ml_f); plt.close(ml_f)
        ml_got = []; ml_s = Slider(ml_a, 's', 0, 9); ml_s.on_changed(ml_got.append); ml_id = ml_f.canvas.mpl_connect('resize_event', ml_got.append); ml_norm = plt.Normalize(0, 1); ml_norm.callbacks.connect('changed', lambda: ml_got.append('norm'))
        ml_a.callbacks.connect('xlim_changed', lambda axes: ml_got.append(axes is ml_a))
----
        ml_s.set_val(5)
        """,
        """
        ml_s.set_val(7); ml_norm.vmax = 4; ml_a.set_xlim(0, 3); ml_f.canvas.callbacks.process('resize_event', 'event'); assert ml_got == [5, 7, 'norm', True, 'event']
        ml_f.canvas.mpl_disconnect(ml_id); ml_f.canvas.callbacks.process('resize_event', 'event'); ml_f.canvas.callbacks.process('draw_event', 'event'); assert len(ml_got) == 5 and ml_d.times == 1
        ml_i.set_clim(0, 7); assert ml_bar.vmax == 7 and ml_f.canvas.figure is ml_f
        ml_f.stale = ml_a.stale = ml_line.stale = False; ml_line.set_ydata([5, 6]); assert ml_f.stale
        """,
    ),
    Probe(
        "plotly_frames",
        "import plotly.graph_objects as go\nply_r = go.Figure(go.Scatter(y=[1]), frames=[go.Frame(data=[go.Scatter(y=[2])], name='a')]); ply_frame = ply_r.frames[0]; ply_trace = ply_frame.data[0]",
        "ply_frame.name = 'b'; ply_trace.name = 't'; assert ply_r.frames[0] is ply_frame and ply_r.frames[0].name == 'b' and ply_r.frames[0].data[0].name == 't'",
    ),
    Probe(
        "plotly_listeners",
        """
        import plotly.graph_objects as go
        ply_got = []; ply_f = go.Figure([go.Scatter(y=[1, 2]), go.Bar(y=[3])]); ply_f.layout.on_change(lambda layout, title: ply_got.append(title.text), 'title')
        ply_f.data[1].on_change(lambda trace, colour: ply_got.append(colour), ('marker', 'color')); ply_f.layout.xaxis.on_change(lambda axis, range: ply_got.append(range), 'range')
        """,
        "ply_f.layout.title = 'T'; ply_f.data[1].marker.color = 'red'; ply_f.layout.xaxis.range = [0, 1]; assert ply_got == ['T', 'red', (0, 1)]",
    ),
    Probe(
        "pd_others",
        "import pandas as pd\npo = [pd.Period('2024-01'), pd.Interval(0, 1), pd.Timestamp('2024', tz='UTC'), pd.Timedelta('1d'), pd.NA, pd.NaT, pd.Index([1, 2], name='i'), pd.DataFrame({'k': [1, 1], 'v': [1, 2]}).groupby('k')]",
        "assert po[0].month == 1 and po[1].right == 1 and po[3].days == 1 and po[4] is pd.NA and po[5] is pd.NaT and po[6].name == 'i' and po[7].v.sum()[1] == 3",
    ),
    Probe(
        "polars",
        "import polars as pl\npl_f = pl.DataFrame({'a': [1, 2], 'b': ['x', None]})\npl_lazy = pl_f.lazy().filter(pl.col('a') > 1)",
        "assert pl_f['b'].to_list() == ['x', None] and pl_lazy.collect()['a'].to_list() == [2]",
    ),
    Probe(
        "scipy_sparse",
        "import scipy.sparse as ss, numpy as np\nss_m = ss.csr_matrix(np.eye(3)); ss_c = ss.coo_array(np.eye(2))",
        "assert ss_m.sum() == 3 and ss_c.toarray()[1, 1] == 1",
    ),
    Probe(
        "sk_estimator",
        "from sklearn.linear_model import LogisticRegression\nfrom sklearn.datasets import load_iris\nsk_X, sk_y = load_iris(return_X_y=True)\nsk_m = LogisticRegression(max_iter=500).fit(sk_X, sk_y)\nsk_p = sk_m.predict_proba(sk_X[:5]).tolist()",
        "assert sk_m.predict_proba(sk_X[:5]).tolist() == sk_p",
    ),
    Probe(
        "sk_pipeline",
        "from sklearn.pipeline import make_pipeline\nfrom sklearn.preprocessing import StandardScaler\nfrom sklearn.ensemble import RandomForestClassifier\nfrom sklearn.model_selection import GridSearchCV\nfrom sklearn.datasets import load_iris\nsp_X, sp_y = load_iris(return_X_y=True)\nsp_s = StandardScaler()\nsp_p = make_pipeline(sp_s, RandomForestClassifier(5, random_state=0)).fit(sp_X, sp_y)\nsp_g = GridSearchCV(RandomForestClassifier(3, random_state=0), {'max_depth': [1, 2]}, cv=2).fit(sp_X, sp_y)\nsp_score = sp_p.score(sp_X, sp_y)",
        "assert sp_p.steps[0][1] is sp_s and sp_p.score(sp_X, sp_y) == sp_score and sp_g.best_params_['max_depth'] in (1, 2)",
    ),
    Probe(
        "mpl_figure",
        "import matplotlib; matplotlib.use('agg')\nimport matplotlib.pyplot as plt\nmf_fig, mf_ax = plt.subplots()\nmf_ax.plot([1, 2], label='l'); mf_ax.set_title('t')\nplt.close(mf_fig)",
        "assert mf_fig.axes[0] is mf_ax and mf_ax.get_title() == 't'\nmf_ax.plot([3, 4]); assert len(mf_ax.lines) == 2\nimport io; mf_fig.savefig(io.BytesIO())",
    ),
    Probe(
        "plotly",
        "import plotly.graph_objects as go\nply = go.Figure(go.Scatter(y=[1, 2]))",
        "assert list(ply.data[0].y) == [1, 2]\nply.update_layout(title='t'); assert ply.layout.title.text == 't'",
    ),
    Probe(
        "networkx",
        "import networkx as nx\nnx_g = nx.path_graph(4); nx_g.nodes[0]['x'] = [1]\nnx_n = nx_g.nodes[0]['x']",
        "assert nx.shortest_path_length(nx_g, 0, 3) == 3 and nx_g.nodes[0]['x'] is nx_n",
    ),
    Probe(
        "sympy",
        "import sympy\nsy_x, sy_y = sympy.symbols('x y')\nsy_e = sy_x**2 + sy_y",
        "assert sy_e.diff(sy_x) == 2 * sy_x and sy_e.free_symbols == {sy_x, sy_y} and sympy.Symbol('x') == sy_x",
    ),
    Probe(
        "pillow",
        "from PIL import Image\npil = Image.new('RGB', (20, 10), (255, 0, 0)); pil.putpixel((1, 1), (0, 255, 0))",
        "assert pil.size == (20, 10) and pil.getpixel((1, 1)) == (0, 255, 0)",
    ),
    Probe(
        "xarray",
        "import xarray as xr, numpy as np\nxa_d = xr.DataArray(np.arange(4.).reshape(2, 2), dims=('x', 'y'), coords={'x': [10, 20]}, attrs={'u': 'm'})\nxa_s = xr.Dataset({'d': xa_d})",
        "assert float(xa_d.sel(x=20)[1]) == 3 and xa_d.attrs == {'u': 'm'} and float(xa_s.d.sum()) == 6",
    ),
    Probe(
        "pydantic",
        "import pydantic\nclass py_M(pydantic.BaseModel):\n    x: int\n    rows: list[int] = []\n    @pydantic.field_validator('x')\n    def positive(cls, v):\n        assert v > 0\n        return v\npy_m = py_M(x='5')",
        "assert py_m.x == 5 and py_M.model_validate_json('{\"x\": 1}').rows == [] and type(py_m) is py_M\ntry: py_M(x=-1)\nexcept pydantic.ValidationError: pass\nelse: raise AssertionError('the validator is gone')",
    ),
    Probe(
        "figure_data",
        "import numpy as np\nfd = {f'k{i}': np.full(5000, i) for i in range(5)}\nfd_one = fd['k3']",
        "assert fd['k3'] is fd_one and fd['k4'][0] == 4",
    ),
    Probe(
        "requests_objects",
        "import requests\nrq_r = requests.Request('GET', 'http://localhost/x', params={'a': 1}).prepare()",
        "assert rq_r.url == 'http://localhost/x?a=1'",
    ),
    Probe(
        "bunch",
        "from sklearn.utils import Bunch\nbu = Bunch(data=[1], target=[2])\nbu_d = bu.data",
        "assert bu.data is bu_d and bu['target'] == [2]",
    ),
]
