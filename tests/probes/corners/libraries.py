"""Objects of libraries that share memory, carry code, or hide state."""

from tests.probes import Probe

PROBES = [
    Probe(
        "np_windows",
        """
        import numpy as np
        nw_all = np.arange(90_000.)
        nw_left, nw_right = nw_all[:60_000], nw_all[30_000:]
        del nw_all
        """,
        """
        nw_left[40_000] = -1.; assert nw_right[10_000] == -1.
        nw_right[0] = -2.; assert nw_left[30_000] == -2. and np.shares_memory(nw_left, nw_right)
        """,
    ),
    Probe(
        "np_small_windows",
        "import numpy as np\nnsw = np.arange(10); nsw_r = nsw[::-1]; nsw_f = nsw.reshape(2, 5)[1]; nsw_i = nsw.view('u8')",
        "nsw_f[0] = 70; assert nsw[5] == nsw_r[4] == nsw_i[5] == 70\nnsw_r[0] = 1; assert nsw[9] == 1",
    ),
    Probe(
        "np_fields",
        "import numpy as np\nnf = np.zeros(4, [('a', 'f8'), ('b', 'i4')]); nf_a = nf['a']; nf_r = nf.view(np.recarray)",
        "nf_a[2] = 7.; assert nf['a'][2] == 7 and nf_r.a[2] == 7",
    ),
    Probe(
        "np_over_bytes",
        "import numpy as np\nnob = bytearray(800); nob_a = np.frombuffer(nob, 'f8')",
        "nob_a[0] = 1.5; assert np.frombuffer(nob, 'f8')[0] == 1.5, 'the array has memory of its own now'",
    ),
    Probe(
        "np_flags",
        """
        import numpy as np
        nfl = np.arange(5); nfl.flags.writeable = False
        nfl_b = np.broadcast_to(np.array([1., 2.]), (3, 2)); nfl_s = np.array([1, 2], '>i2'); nfl_m = np.matrix([[1]])
        """,
        """
        assert not nfl.flags.writeable and nfl_b.shape == (3, 2) and nfl_b.tolist() == [[1., 2.]] * 3
        assert nfl_s.dtype.byteorder == '>' and nfl_s.tolist() == [1, 2] and type(nfl_m) is np.matrix
        """,
    ),
    Probe(
        "np_subclass",
        """
        import numpy as np
        class nps_A(np.ndarray):
            def __array_finalize__(self, o): self.unit = getattr(o, 'unit', None)
        nps = np.arange(3.).view(nps_A); nps.unit = 'm'
        """,
        "assert type(nps) is nps_A and nps.tolist() == [0., 1., 2.]\nassert nps.unit == 'm', nps.unit",
    ),
    Probe(
        "np_one_bit_generator",
        """
        import numpy as np
        nbg_bits = np.random.PCG64(5)
        nbg_a, nbg_b = np.random.Generator(nbg_bits), np.random.Generator(nbg_bits)
        nbg_a.random(2)
        nbg_expected = np.random.Generator(np.random.PCG64(5)).random(4).tolist()[2:]
        """,
        "assert [nbg_a.random(), nbg_b.random()] == nbg_expected and nbg_a.bit_generator is nbg_bits",
    ),
    Probe(
        "np_map",
        """
        import numpy as np
        np.zeros(10_000).tofile('np_map.bin')
        npm = np.memmap('np_map.bin', 'f8', 'r+', shape=(10_000,)); npm[0] = 3.; npm.flush()
        """,
        """
        from evercell.core.errors import NotKept
        try:
            npm[1] = 4.; npm.flush()
        except NotKept: pass
        else: assert np.fromfile('np_map.bin')[1] == 4., 'it does not write to its file any more'
        """,
    ),
    Probe(
        "np_functions",
        "import numpy as np\nnpf_v = np.vectorize(lambda x: x + 1); npf_p = np.poly1d([1, 2])",
        "assert npf_v([1, 2]).tolist() == [2, 3] and npf_p(2) == 4",
    ),
    Probe(
        "pd_over_array",
        """
        import numpy as np, pandas as pd
        poa = np.zeros((1000, 2)); poa_f = pd.DataFrame(poa, columns=['a', 'b'], copy=False)
        poa_g = pd.DataFrame(poa, columns=['c', 'd'], copy=False)
        poa_shared = np.shares_memory(poa_f['a'].to_numpy(), poa) and np.shares_memory(poa_g['c'].to_numpy(), poa)
        """,
        """
        assert poa_shared, 'they did not share in the first place'
        poa[0, 0] = 9.
        assert poa_f.loc[0, 'a'] == 9. and poa_g.loc[0, 'c'] == 9., 'the frames have memory of their own now'
        """,
    ),
    Probe(
        "pd_column_apart",
        "import pandas as pd\npca = pd.DataFrame({'a': [1., 2.]}); pca_col = pca['a']; pca_b = pca[['a']]",
        "pca.loc[0, 'a'] = 5.; assert pca_col[0] == 1. and pca_b.loc[0, 'a'] == 1., 'a copy on write is none any more'",
    ),
    Probe(
        "pd_copies_on_write",
        """
        import numpy as np, pandas as pd
        pcw = pd.DataFrame({'a': np.arange(50_000.), 'b': np.arange(50_000.)})
        pcw_views = [pcw[['a', 'b']], pcw.reset_index(drop=True), pcw.iloc[10:], pcw.rename(columns={'a': 'c'})]
        pcw_s = pd.Series(np.arange(4.)); pcw_i = pd.DataFrame({'k': pcw_s}).set_index('k')
        pcw_x = pd.Index(pcw_s)
        """,
        """
        pcw.iloc[20, 0] = -1.; pcw_views[0].iloc[21, 0] = -2.
        assert [f.iloc[20 - n, 0] for f, n in zip(pcw_views, (0, 0, 10, 0))] == [20.] * 4
        assert pcw.iloc[21, 0] == 21. and pcw_views[2].iloc[11, 0] == 21.
        pcw_s.iloc[1] = 9.; assert pcw_i.index.tolist() == pcw_x.tolist() == [0., 1., 2., 3.]
        pcw.iloc[22, 0] = -3.; assert pcw.iloc[22, 0] == -3. and pcw_views[1].iloc[22, 0] == 22.
        """,
    ),
    Probe(
        "pd_attributes",
        """
        import pandas as pd
        class pda_F(pd.DataFrame):
            _metadata = ['source']
            @property
            def _constructor(self): return pda_F
        pda = pda_F({'a': [1]}); pda.source = 'db'; pda.attrs['unit'] = 'm'
        pda_flags = pd.DataFrame({'a': [1]}).set_flags(allows_duplicate_labels=False)
        """,
        """
        assert type(pda) is pda_F and pda.source == 'db' and pda.attrs == {'unit': 'm'}
        assert not pda_flags.flags.allows_duplicate_labels and type(pda[['a']]) is pda_F
        """,
    ),
    Probe(
        "pd_forms",
        """
        import pandas as pd
        pdf_s = pd.Series(pd.arrays.SparseArray([0, 0, 1])); pdf_n = pd.Series([1, None], dtype='Int64')
        pdf_c = pd.Categorical(['b', 'a'], categories=['b', 'a'], ordered=True)
        pdf_r = pd.Series([1., 2., 4.]).rolling(2); pdf_t = pd.date_range('2024', periods=3, freq='MS')
        pdf_style = pd.DataFrame({'a': [1]}).style.format({'a': lambda x: f'<{x}>'})
        """,
        """
        assert pdf_s.dtype == pd.SparseDtype(int) and pdf_n.isna().tolist() == [False, True]
        assert pdf_c.min() == 'b' and pdf_r.sum().iloc[2] == 6. and pdf_t.freqstr == 'MS'
        assert '&lt;1&gt;' in pdf_style.to_html() or '<1>' in pdf_style.to_html()
        """,
    ),
    Probe(
        "pl_forms",
        """
        import polars as pl
        plf_e = (pl.col('a') * 2).alias('twice'); plf_s = pl.Series('s', [[1], [2, 3]]); plf_d = pl.DataFrame({'a': [1, 2]})
        plf_c = plf_d.with_columns(pl.Series('c', ['x', 'y'], dtype=pl.Categorical)); plf_g = plf_d.group_by('a')
        """,
        """
        assert plf_d.with_columns(plf_e)['twice'].to_list() == [2, 4] and plf_s.list.len().to_list() == [1, 2]
        assert plf_c['c'].dtype == pl.Categorical and plf_g.len().height == 2
        """,
    ),
    Probe(
        "pl_python_in_plan",
        "import polars as pl\ndef plp_f(x): return x + 10\nplp = pl.LazyFrame({'a': [1]}).select(pl.col('a').map_elements(plp_f, return_dtype=pl.Int64))",
        "assert plp.collect()['a'].to_list() == [11]",
    ),
    Probe(
        "scipy_forms",
        """
        import numpy as np
        from scipy import interpolate, optimize, spatial, stats
        scf_i = interpolate.CubicSpline([0, 1, 2], [0, 1, 4]); scf_d = stats.norm(loc=2); scf_k = spatial.cKDTree([[0, 0], [3, 4]])
        scf_o = optimize.minimize(lambda x: (x[0] - 1) ** 2, [0.])
        """,
        """
        assert float(scf_i(2)) == 4 and scf_d.mean() == 2 and scf_k.query([3, 3])[1] == 1
        assert abs(scf_o.x[0] - 1) < 1e-3 and scf_o.success
        """,
    ),
    Probe(
        "sk_own_parts",
        """
        import numpy as np
        from sklearn.base import BaseEstimator, TransformerMixin, clone
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import FunctionTransformer
        from sklearn.linear_model import SGDRegressor
        class sko_T(TransformerMixin, BaseEstimator):
            def __init__(self, k=1): self.k = k
            def fit(self, X, y=None): self.m_ = X.mean(); return self
            def transform(self, X): return (X - self.m_) * self.k
        sko_rng = np.random.RandomState(4)
        sko_X = np.arange(20.).reshape(10, 2); sko_y = sko_X.sum(1)
        sko = make_pipeline(sko_T(2), FunctionTransformer(lambda X: X / 10), SGDRegressor(random_state=sko_rng)).fit(sko_X, sko_y)
        sko_p = sko.predict(sko_X).tolist()
        """,
        """
        assert sko.predict(sko_X).tolist() == sko_p and sko[-1].random_state is sko_rng
        assert type(clone(sko)[0]) is sko_T and sko[0].k == 2
        """,
    ),
    Probe(
        "mpl_shared",
        """
        import matplotlib; matplotlib.use('agg')
        import matplotlib.pyplot as plt
        mps_fig, (mps_a, mps_b) = plt.subplots(2, sharex=True)
        mps_line, = mps_a.plot([1, 2, 3]); mps_twin = mps_a.twinx(); mps_bar = mps_fig.colorbar(mps_b.imshow([[1, 2]]), ax=mps_b)
        plt.close(mps_fig)
        """,
        """
        assert mps_a.lines[0] is mps_line and mps_line.figure is mps_fig and mps_bar.ax.figure is mps_fig
        mps_a.set_xlim(0, 9); assert mps_b.get_xlim() == (0, 9) == mps_twin.get_xlim(), 'the axes are not shared any more'
        """,
    ),
    Probe(
        "mpl_callback",
        """
        import matplotlib; matplotlib.use('agg')
        import matplotlib.pyplot as plt
        from matplotlib.ticker import FuncFormatter
        mpc_fig = plt.figure(); mpc_ax = mpc_fig.add_subplot(projection='polar')
        mpc_ax.yaxis.set_major_formatter(FuncFormatter(lambda v, p: f'{v:.0f} m')); plt.close(mpc_fig)
        """,
        "assert mpc_ax.yaxis.get_major_formatter()(3, 0) == '3 m' and mpc_ax.name == 'polar'\nmpc_fig.canvas.draw()",
    ),
    Probe(
        "nx_views",
        """
        import networkx as nx
        nxv = nx.DiGraph([(1, 2), (2, 3)]); nxv_sub = nxv.subgraph([1, 2]); nxv_rev = nxv.reverse(copy=False); nxv_edges = nxv.edges
        """,
        "nxv.add_edge(2, 1); assert nxv_sub.has_edge(2, 1) and nxv_rev.has_edge(1, 2) and (2, 1) in nxv_edges",
    ),
    Probe(
        "sympy_code",
        "import sympy\nsyc_x = sympy.Symbol('x', positive=True); syc_F = sympy.Function('F')\nsyc = sympy.lambdify(syc_x, syc_x**2 + 1, 'math')",
        "assert syc(3) == 10 and sympy.Symbol('x', positive=True) == syc_x != sympy.Symbol('x')\nassert syc_F(syc_x).func == sympy.Function('F')",
    ),
    Probe(
        "xr_over_array",
        "import numpy as np, xarray as xr\nxro = np.zeros((50, 50)); xro_d = xr.DataArray(xro, dims=('x', 'y')); xro_s = xr.Dataset({'v': xro_d})",
        "xro[3, 4] = 5.; assert float(xro_d[3, 4]) == 5. and float(xro_s['v'][3, 4]) == 5., 'they have memory of their own now'",
    ),
    Probe(
        "pydantic_forms",
        """
        import pydantic, typing
        pyf_T = typing.TypeVar('pyf_T')
        class pyf_N(pydantic.BaseModel):
            model_config = pydantic.ConfigDict(validate_assignment=True)
            below: 'list[pyf_N]' = []
            _hidden: int = pydantic.PrivateAttr(default=7)
            @pydantic.computed_field
            @property
            def size(self) -> int: return 1 + sum(n.size for n in self.below)
        class pyf_G(pydantic.BaseModel, typing.Generic[pyf_T]): x: pyf_T
        pyf = pyf_N(below=[pyf_N()]); pyf._hidden = 9; pyf_g = pyf_G[int](x='3'); pyf_a = pydantic.TypeAdapter(list[pyf_N])
        """,
        """
        assert pyf.size == 2 and pyf._hidden == 9 and pyf.model_fields_set == {'below'} and pyf_g.x == 3
        assert type(pyf.below[0]) is pyf_N and type(pyf_a.validate_python([{}])[0]) is pyf_N
        assert type(pyf_g) is pyf_G[int], (type(pyf_g), pyf_G[int])
        """,
    ),
    Probe(
        "attrs_classes",
        "import attrs\n@attrs.define\nclass atc_A:\n    x: int = attrs.field(validator=attrs.validators.gt(0))\n    rows: list = attrs.Factory(list)\natc = atc_A(1)",
        "assert atc == atc_A(1) and atc.rows is not atc_A(1).rows\ntry: atc.x = -1\nexcept ValueError: pass\nelse: raise AssertionError('the validator is gone')",
    ),
    Probe(
        "pil_lazy",
        "from PIL import Image, ImageDraw\nImage.new('L', (8, 8), 9).save('pil_lazy.png')\npil_lazy = Image.open('pil_lazy.png')",
        "assert pil_lazy.getpixel((3, 3)) == 9 and pil_lazy.size == (8, 8)",
    ),
]
