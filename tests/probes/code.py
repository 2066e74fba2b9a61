"""Functions, closures and classes of the notebook."""

from tests.probes import Probe

PROBES = [  # one line a cell, however long: that is how they read best
    Probe(
        "global_write",
        "gw_x = [0]\ndef gw_set():\n    global gw_x\n    gw_x = gw_x + [1]\n----\ngw_set()",
        "assert gw_x == [0, 1]\ngw_set(); assert gw_x == [0, 1, 1]",
    ),
    Probe("globals_update", "globals().update(gu_a=1, gu_b=[2])", "assert gu_a == 1 and gu_b == [2]"),
    Probe(
        "user_ns",
        "un_rows = [1]\n----\nget_ipython().user_ns['un_rows'].append(2)\nget_ipython().user_ns['un_new'] = 3",
        "assert un_rows == [1, 2] and un_new == 3",
    ),
    Probe("exec_cell", "exec('ex_a = 5')\n----\nexec('ex_a += 1')", "assert ex_a == 6"),
    Probe("shell", "sh_out = !echo hello", "assert list(sh_out) == ['hello']"),
    Probe(
        "reads_globals",
        "rg_factor = 3\ndef rg_f(x): return x * rg_factor",
        "assert rg_f(2) == 6\nrg_factor = 5; assert rg_f(2) == 10",
    ),
    Probe(
        "redefined",
        "def rd_helper(): return 1\ndef rd_caller(): return rd_helper()",
        "assert rd_caller() == 1\ndef rd_helper(): return 2\nassert rd_caller() == 2",
    ),
    Probe(
        "old_function",
        "def of_f(): return 'old'\nof_kept = of_f\n----\ndef of_f(): return 'new'",
        "assert (of_kept(), of_f()) == ('old', 'new')",
    ),
    Probe(
        "recursion",
        "def rc_fact(n): return 1 if n < 2 else n * rc_fact(n - 1)\ndef rc_even(n): return n == 0 or rc_odd(n - 1)\ndef rc_odd(n): return n != 0 and rc_even(n - 1)",
        "assert rc_fact(5) == 120 and rc_even(10) and not rc_odd(10)",
    ),
    Probe(
        "loop_closures",
        "lc_fs = [lambda i=i: i for i in range(3)]\nlc_late = [lambda: j for j in range(3)]",
        "assert [f() for f in lc_fs] == [0, 1, 2] and [f() for f in lc_late] == [2, 2, 2]",
    ),
    Probe(
        "shared_cell",
        "def sc_make():\n    n = 0\n    def add():\n        nonlocal n\n        n += 1\n    return add, lambda: n\nsc_add, sc_get = sc_make(); sc_add()",
        "sc_add(); assert sc_get() == 2",
    ),
    Probe(
        "closure_list",
        "def cl_make(rows): return lambda: rows\ncl_rows = [1]\ncl_f = cl_make(cl_rows)",
        "assert cl_f() is cl_rows",
    ),
    Probe(
        "decorated",
        "import functools\ndef dc_twice(f):\n    @functools.wraps(f)\n    def inner(*a): return 2 * f(*a)\n    return inner\n@dc_twice\ndef dc_f(x):\n    'doc'\n    return x + 1",
        "assert dc_f(1) == 4 and dc_f.__name__ == 'dc_f' and dc_f.__doc__ == 'doc' and dc_f.__wrapped__(1) == 2",
    ),
    Probe(
        "signatures",
        "def sg_f(a, /, b=[1], *c, d: int = 2, **e): return a, b, c, d, e\nsg_f(0)[1].append(9)",
        "assert sg_f(0) == (0, [1, 9], (), 2, {})\nimport inspect; assert str(inspect.signature(sg_f)) == '(a, /, b=[1, 9], *c, d: int = 2, **e)'",
    ),
    Probe(
        "source",
        "def so_f(x):\n    # a remark\n    return x",
        "import inspect; assert '# a remark' in inspect.getsource(so_f)",
    ),
    Probe(
        "kinds_of_functions",
        "def kf_gen():\n    yield 1\nasync def kf_async(): return 2\nkf_lambda = lambda: 3",
        "assert list(kf_gen()) == [1] and kf_lambda() == 3\nassert await kf_async() == 2",
    ),
    Probe(
        "attributes",
        "def at_f(): at_f.calls += 1\nat_f.calls = 0\n----\nat_f()",
        "at_f(); assert at_f.calls == 2",
    ),
    Probe(
        "partials",
        "import functools, operator\npa_rows = []\npa_p = functools.partial(pa_rows.append, 1)\npa_get = operator.itemgetter(0)",
        "pa_p(); assert pa_rows == [1] and pa_get([5]) == 5",
    ),
    Probe(
        "caches",
        "import functools\n@functools.lru_cache(maxsize=2)\ndef ca_f(x): return x + 1\nca_f(1)\n@functools.singledispatch\ndef ca_s(x): return 'any'\n@ca_s.register\ndef _(x: int): return 'int'",
        "assert ca_f(1) == 2 and ca_f.cache_info().maxsize == 2 and ca_s(1) == 'int' and ca_s('') == 'any'",
    ),
    Probe(
        "bound_method",
        "class bm_C:\n    def __init__(self): self.n = 0\n    def add(self): self.n += 1; return self.n\nbm_c = bm_C()\nbm_m = bm_c.add",
        "assert bm_m.__self__ is bm_c and bm_m() == 1 and bm_c.n == 1",
    ),
    Probe(
        "dataclasses",
        """
        import dataclasses
        @dataclasses.dataclass
        class da_A:
            x: int
            rows: list = dataclasses.field(default_factory=list)
        @dataclasses.dataclass(frozen=True, slots=True)
        class da_B:
            a: da_A
        da_a = da_A(1); da_b = da_B(da_a)
        """,
        """
        assert da_b.a is da_a and da_A(1) == da_a and dataclasses.asdict(da_a) == {'x': 1, 'rows': []}
        assert dataclasses.replace(da_a, x=2).x == 2 and da_A(5).rows is not da_a.rows
        try: da_b.a = 1
        except dataclasses.FrozenInstanceError: pass
        else: raise AssertionError('it is not frozen any more')
        """,
    ),
    Probe(
        "enums",
        "import enum\nclass en_E(enum.Enum):\n    A = 1\n    B = 2\nclass en_F(enum.Flag):\n    X = 1\n    Y = 2\nen_a = en_E.A\nen_xy = en_F.X | en_F.Y",
        "assert en_a is en_E.A and en_E(2) is en_E.B and en_F.Y in en_xy and [e.name for e in en_E] == ['A', 'B']",
    ),
    Probe(
        "named_tuples",
        "import typing, collections\nclass nt_P(typing.NamedTuple):\n    x: int\n    y: int = 2\nnt_Q = collections.namedtuple('nt_Q', 'a b')\nnt_p, nt_q = nt_P(1), nt_Q(1, 2)",
        "assert nt_p == (1, 2) and type(nt_p) is nt_P and nt_q._replace(a=5).a == 5 and type(nt_q) is nt_Q",
    ),
    Probe(
        "abstract",
        "import abc\nclass ab_B(abc.ABC):\n    @abc.abstractmethod\n    def f(self): ...\nclass ab_C(ab_B):\n    def f(self): return super().__init__() or 1\nab_c = ab_C()",
        "assert ab_c.f() == 1 and isinstance(ab_c, ab_B)\ntry: ab_B()\nexcept TypeError: pass\nelse: raise AssertionError('not abstract any more')",
    ),
    Probe(
        "generics",
        "import typing\nge_T = typing.TypeVar('ge_T')\nclass ge_Box(typing.Generic[ge_T]):\n    def __init__(self, x: ge_T): self.x = x\nge_b: ge_Box[int] = ge_Box(1)",
        "assert ge_Box[int].__args__ == (int,) and type(ge_b) is ge_Box and ge_Box.__parameters__ == (ge_T,)",
    ),
    Probe(
        "protocols",
        "import typing\n@typing.runtime_checkable\nclass pr_P(typing.Protocol):\n    def quack(self): ...\nclass pr_D:\n    def quack(self): return 1\nclass pr_T(typing.TypedDict):\n    a: int\npr_d = pr_D()\npr_t: pr_T = {'a': 1}",
        "assert isinstance(pr_d, pr_P) and pr_T.__annotations__ == {'a': int} and pr_t == pr_T(a=1)",
    ),
    Probe(
        "typed_dicts",
        "import typing\ntd_A = typing.TypedDict('td_A', {'a': int, 'b-c': typing.NotRequired[str]})\nclass td_B(typing.TypedDict, total=False):\n    x: int\nclass td_C(td_B):\n    y: typing.Required[int]\ntd_a: td_A = {'a': 1}\ntd_c = td_C(y=2)",
        "import typing\nassert td_A(a=1) == td_a and td_A.__required_keys__ == {'a'} and td_C.__required_keys__ == {'y'} and td_C.__optional_keys__ == {'x'}\nassert typing.is_typeddict(td_C) and set(typing.get_type_hints(td_C)) == {'x', 'y'} and td_c == {'y': 2}",
    ),
    Probe(
        "hints",
        "class hi_A: pass\ndef hi_f(a: 'hi_A', b: list[int]) -> hi_A | None: ...",
        "import typing; assert typing.get_type_hints(hi_f) == {'a': hi_A, 'b': list[int], 'return': hi_A | None}",
    ),
    Probe(
        "inheritance",
        "class in_A:\n    shared = []\n    def hello(self): return 'A'\nclass in_B(in_A):\n    def hello(self): return super().hello() + 'B'\nin_b = in_B(); in_A.shared.append(in_b)",
        "assert in_b.hello() == 'AB' and in_B.shared is in_A.shared and in_A.shared[0] is in_b and in_B.__mro__[1] is in_A",
    ),
    Probe(
        "metaclass",
        "class me_M(type):\n    def __getitem__(cls, k): return cls, k\nclass me_C(metaclass=me_M): pass",
        "assert type(me_C) is me_M and me_C[1] == (me_C, 1)",
    ),
    Probe(
        "descriptors",
        "class ds_C:\n    count = 0\n    __slots__ = ('_x', '__weakref__')\n    def __init__(self): self._x = 1; type(self).count += 1\n    @property\n    def x(self): return self._x\n    @x.setter\n    def x(self, v): self._x = v\n    @classmethod\n    def n(cls): return cls.count\n    @staticmethod\n    def s(): return 's'\nds_c = ds_C()",
        "ds_c.x = 5; assert (ds_c.x, ds_C.n(), ds_C.s()) == (5, 1, 's')\nds_C(); assert ds_C.n() == 2",
    ),
    Probe(
        "redefined_class",
        "class rk_C:\n    def who(self): return 'old'\nrk_old = rk_C()\n----\nclass rk_C:\n    def who(self): return 'new'\nrk_new = rk_C()",
        "assert (rk_old.who(), rk_new.who()) == ('old', 'new') and type(rk_new) is rk_C and not isinstance(rk_old, rk_C)",
    ),
    Probe(
        "cached_property",
        "import functools\nclass cp_C:\n    @functools.cached_property\n    def rows(self): return [1]\ncp_c = cp_C(); cp_rows = cp_c.rows",
        "assert cp_c.rows is cp_rows and cp_C().rows is not cp_rows",
    ),
    Probe(
        "contextmanagers",
        "import contextlib\n@contextlib.contextmanager\ndef cm_f():\n    yield 5",
        "with cm_f() as cm_v: assert cm_v == 5",
    ),
    Probe(
        "modules_kept",
        "import math as mo_m, os.path as mo_p\nmo_f = mo_m.sqrt",
        "assert mo_f(4) == 2 and mo_p.join('a', 'b')",
    ),
    Probe(
        "protocols_kept",
        """
        import typing
        @typing.runtime_checkable
        class pc_Runs(typing.Protocol):
            def run(self): ...
        class pc_Runner:
            def run(self): return 1
        pc_P = typing.ParamSpec('pc_P'); pc_T = typing.TypeVar('pc_T'); pc_C = typing.Callable[pc_P, pc_T]
----
        pc_is = isinstance(pc_Runner(), pc_Runs) and issubclass(pc_Runner, pc_Runs)
        """,
        "assert pc_is and isinstance(pc_Runner(), pc_Runs) and issubclass(pc_Runner, pc_Runs) and not isinstance(1, pc_Runs) and pc_C.__args__[0] is pc_P",
    ),
    Probe(
        "dicts_of_objects",
        """
        import argparse, types
        class do_Settings: pass
        do_s = do_Settings(); do_d = vars(do_s); do_m = types.MappingProxyType(vars(do_s)); do_a = argparse.Namespace(n=1); do_v = types.MappingProxyType(vars(do_a))
        """,
        "do_s.x = 1; do_a.k = 2; assert do_d == {'x': 1} == dict(do_m) and dict(do_v) == {'n': 1, 'k': 2}",
    ),
    Probe(
        "dicts_of_several",
        """
        import argparse
        class dv_Borg:
            shared = {}
            def __init__(self): self.__dict__ = dv_Borg.shared
        class dv_Attributes(dict):
            def __init__(self, *given, **named): super().__init__(*given, **named); self.__dict__ = self
        class dv_Guarded(dv_Attributes):
            def __setitem__(self, key, value): super().__setitem__(key, value)
            def __getattr__(self, name): raise AttributeError(name)
        class dv_Slotted:
            __slots__ = ('a', '__dict__')
            def __init__(self): self.a = 1; self.b = 2
        dv_s = dv_Slotted(); dv_slots = {'of': vars(dv_s)}
        class dv_View:
            def __init__(self, of): self.of = of.__dict__
        dv_1 = dv_Borg(); dv_2 = dv_Borg(); dv_1.x = 1; dv_a = dv_Attributes(n=1); dv_g = dv_Guarded(n=1); dv_held = {'a': dv_a}
        dv_args = argparse.Namespace(rate=1); dv_run = {'config': vars(dv_args)}; dv_view = dv_View(dv_args); dv_both = [vars(dv_1), dv_Borg()]
----
        dv_2.y = 2; dv_args.rate = 5
        """,
        """
        dv_1.z = 3; assert vars(dv_2) is dv_Borg.shared is dv_both[0] and dv_both[1].z == 3 and dv_2.y == 2
        dv_a.m = 2; dv_a['k'] = 3; dv_g.m = 2; assert dv_a == {'n': 1, 'm': 2, 'k': 3} and dv_a.k == 3 and dv_held['a'] is dv_a and dv_g == {'n': 1, 'm': 2}
        dv_s.c = 3; assert dv_slots['of'] == {'b': 2, 'c': 3} and dv_s.a == 1
        dv_args.more = 1; assert dv_run['config'] == {'rate': 5, 'more': 1} == dv_view.of
        """,
    ),
    Probe(
        "properties_of_metaclasses",
        """
        import sympy as sp
        class pm_Double(sp.Function):
            nargs = 1
            @classmethod
            def eval(cls, of): return sp.Integer(0) if of == 0 else None
        pm_x = sp.Symbol('x'); pm_d = pm_Double(pm_x)
        class pm_Meta(type):
            @property
            def size(cls): return cls.__dict__['size'] * 2
        class pm_C(metaclass=pm_Meta): size = 4
        """,
        "assert pm_d.subs(pm_x, 0) == 0 and pm_d.func is pm_Double and pm_Double.nargs == {1} and pm_C.size == 8",
    ),
    Probe(
        "classes_of_no_statement",
        "import types\nno_made = types.new_class('no_made', (), {}, lambda names: names.update(rows=[1])); no_made.first = 1\n----\nno_made.rows.append(2); no_made.first = 2",
        "assert no_made.rows == [1, 2] and no_made.first == 2",
    ),
    Probe(
        "modules_by_hand",
        """
        import json, sys, types
        mh_made = types.ModuleType('mh_made'); mh_made.rows = [1]; sys.modules['mh_made'] = mh_made; json.mh_here = [2]
        """,
        "import json, mh_made as mh_again\nassert mh_again is mh_made and mh_made.rows == [1] and json.mh_here == [2]",
    ),
    Probe(
        "dict_of_a_namespace",
        "import types\ndn_n = types.SimpleNamespace(a=1); dn_d = vars(dn_n)",
        "assert dn_n.a == 1 and dn_d == {'a': 1}",
        refuses="what vars() gave of it is a dict of its own after a restart",
    ),
]
