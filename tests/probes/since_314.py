"""What Python 3.14 has that those before it do not; and annotations, which it evaluates when they are asked for."""

from tests.probes import Probe

LATE_ANNOTATIONS = [  # one line a cell, however long: that is how they read best
    Probe(
        "class_asked_late",
        "class la_C:\n    x: int\n    y: list[int] = None\n    def m(self, a: str) -> bytes: ...",
        "assert la_C.__annotations__ == {'x': int, 'y': list[int]}\nassert la_C.m.__annotations__ == {'a': str, 'return': bytes}",
    ),
    Probe(
        "forward_references",
        "def lf_f(a: lf_Later, b: list[lf_Later]) -> lf_Later: return a\nclass lf_C:\n    x: lf_Later\n    def m(self, a: lf_Later): return a\nlf_c = lf_C()",
        "assert lf_f(1, 2) == 1 and lf_c.m(3) == 3\nclass lf_Later: pass\nassert lf_f.__annotations__ == {'a': lf_Later, 'b': list[lf_Later], 'return': lf_Later}\nassert lf_C.__annotations__ == {'x': lf_Later} and lf_C.m.__annotations__ == {'a': lf_Later}",
    ),
    Probe(
        "what_was_never_asked_is_not_asked",
        "ln_asked = []\ndef ln_T(x): ln_asked.append(x); return int\ndef ln_f(a: ln_T('f')): ...\nclass ln_C:\n    x: ln_T('C')\n    def m(self, a: ln_T('m')): ...\n----\nln_more = 1",
        "assert ln_asked == []\nassert ln_f.__annotations__ == {'a': int} and ln_asked == ['f']\nassert ln_C.__annotations__ == {'x': int} and ln_C.m.__annotations__ == {'a': int} and ln_asked == ['f', 'C', 'm']",
    ),
    Probe(
        "rebound_before_it_is_asked",
        "lr_T = int\ndef lr_f(a: lr_T): ...\nclass lr_C:\n    x: lr_T\n----\nlr_T = str",
        "assert lr_f.__annotations__ == {'a': str} and lr_C.__annotations__ == {'x': str}",
    ),
    Probe(
        "rebound_after_it_was_asked",
        "lq_T = int\ndef lq_f(a: lq_T): ...\nclass lq_C:\n    x: lq_T\n    def m(self, a: lq_T): ...\nlq_f.__annotations__; lq_C.__annotations__; lq_C.m.__annotations__\n----\nlq_T = str",
        "assert lq_f.__annotations__ == {'a': int} and lq_C.__annotations__ == {'x': int} and lq_C.m.__annotations__ == {'a': int}\nassert lq_f.__annotate__(1) == {'a': str} and lq_C.__annotate__(1) == {'x': str} and lq_C.m.__annotate__(1) == {'a': str}",
    ),
    Probe(
        "changed_in_place",
        "def lp_f(a: int): ...\nlp_f.__annotations__['a'] = lp_f.__annotations__['b'] = str\nclass lp_C:\n    x: int\nlp_C.__annotations__['y'] = list",
        "assert lp_f.__annotations__ == {'a': str, 'b': str} and lp_C.__annotations__ == {'x': int, 'y': list}\nassert lp_f.__annotate__(1) == {'a': int}",
    ),
    Probe(
        "given_anew",
        "def lg_f(a: int): ...\nlg_f.__annotations__ = {'z': str}\nclass lg_C:\n    x: int\nlg_C.__annotations__ = {'z': str}\ndef lg_g(a: int): ...\nlg_g.__annotate__ = lambda f: {'w': lg_T}\nlg_T = int\nclass lg_D: pass\nlg_D.__annotate__ = lambda f: {'w': lg_T}\nclass lg_E:\n    x: int\nlg_E.__annotations__ = {}",
        "assert lg_f.__annotations__ == lg_C.__annotations__ == {'z': str} and lg_f.__annotate__ is lg_C.__annotate__ is None\nlg_T = bytes; assert lg_g.__annotations__ == lg_D.__annotations__ == {'w': bytes}\nassert lg_E.__annotations__ == {} and lg_E.__annotate__ is None",
    ),
    Probe(
        "as_texts_and_forward_references",
        "import annotationlib as lt_lib\ndef lt_f(a: lt_No, b: 'quoted') -> list[lt_No]: ...\nclass lt_C:\n    x: lt_No\n    def m(self, a: lt_No | int): ...",
        "assert lt_lib.get_annotations(lt_f, format=4) == {'a': 'lt_No', 'b': 'quoted', 'return': 'list[lt_No]'}\nassert lt_lib.get_annotations(lt_C, format=4) == {'x': 'lt_No'} and lt_lib.get_annotations(lt_C.m, format=4) == {'a': 'lt_No | int'}\nlt_r = lt_lib.get_annotations(lt_C, format=3)['x']; assert lt_r.__forward_arg__ == 'lt_No'\ntry: lt_C.__annotations__\nexcept NameError: pass\nelse: raise AssertionError('it was made')",
    ),
    Probe(
        "names_of_the_class",
        "class nc_C:\n    T = int\n    class In:\n        U = str\n        y: U\n    x: T\n    i: In\n    __p: T\n    def m(self, a: T, b: In) -> 'T': ...\n    @staticmethod\n    def s(a: T): ...\n    @classmethod\n    def c(cls, a: T): ...\n    @property\n    def p(self) -> T: ...\nclass nc_D(nc_C):\n    T = bytes\n    z: T\nclass nc_S:\n    __slots__ = ('x',)\n    T = int\n    x: T",
        "assert nc_C.__annotations__ == {'x': int, 'i': nc_C.In, '_nc_C__p': int} and nc_C.In.__annotations__ == {'y': str}\nassert nc_C.m.__annotations__ == {'a': int, 'b': nc_C.In, 'return': 'T'} and nc_C.s.__annotations__ == nc_C.c.__annotations__ == {'a': int}\nassert nc_C.p.fget.__annotations__ == {'return': int} and nc_D.__annotations__ == {'z': bytes} and nc_S.__annotations__ == {'x': int}",
    ),
    Probe(
        "names_of_the_class_change",
        "class nd_C:\n    T = int\n    x: T\n    def m(self, a: T): ...",
        "nd_C.T = str\nassert nd_C.__annotations__ == {'x': str} and nd_C.m.__annotations__ == {'a': str}",
    ),
    Probe(
        "conditional",
        "ci_on = True\nclass ci_C:\n    if ci_on:\n        a: int\n    else:\n        b: int\n    for _i in range(2):\n        c: str\n    with open('/dev/null') as _f:\n        d: bytes\n    del _f",
        "assert ci_C.__annotations__ == {'a': int, 'c': str, 'd': bytes}",
    ),
    Probe(
        "closures",
        "def lc_make(t):\n    class Local:\n        x: t\n        def m(self, a: t): ...\n    def inner(a: t) -> Local: ...\n    return inner, Local\nlc_f, lc_L = lc_make(int)",
        "assert lc_f.__annotations__ == {'a': int, 'return': lc_L} and lc_L.__annotations__ == {'x': int} and lc_L.m.__annotations__ == {'a': int}",
    ),
    Probe(
        "wrapped",
        "import functools\ndef lw_f(a: lw_Later): return a\n@functools.wraps(lw_f)\ndef lw_w(*a): return lw_f(*a)\n@functools.cache\ndef lw_c(a: lw_Later): return a",
        "assert lw_w.__wrapped__ is lw_f and lw_w(1) == lw_c(1) == 1 and lw_w.__annotate__ is lw_f.__annotate__\nlw_Later = int; assert lw_w.__annotations__ == lw_f.__annotations__ == {'a': int} and lw_c.__annotate__(1) == {'a': int}\n@functools.wraps(lw_f)\ndef lw_again(*a): ...\nassert lw_again.__annotations__ == {'a': int}",
    ),
    Probe(
        "typed_dicts",
        "import typing\nclass td_A(typing.TypedDict):\n    a: int\nclass td_B(td_A, total=False):\n    b: td_Later\n    c: typing.Required[int]\ntd_F = typing.TypedDict('td_F', {'x': int})\ntd_v: td_A = {'a': 1}",
        "class td_Later: pass\nassert td_A.__annotations__ == {'a': int} and td_v == td_A(a=1)\nassert td_B.__required_keys__ == {'a', 'c'} and td_B.__optional_keys__ == {'b'} and td_B.__orig_bases__ == (td_A,)\nassert td_B.__annotations__['b'] is td_Later and typing.get_type_hints(td_B) == {'a': int, 'b': td_Later, 'c': int}, td_B.__annotations__\nassert td_F.__annotations__ == {'x': int}\nclass td_C(td_A):\n    n: str\nassert td_C.__required_keys__ == {'a', 'n'} and td_C.__annotations__ == {'a': int, 'n': str}",
    ),
    Probe(
        "named_tuples",
        "import typing\nclass nt_P(typing.NamedTuple):\n    x: int\n    y: nt_Later = 2\n    def s(self, a: int) -> int: return self.x + self.y + a\nnt_p = nt_P(1)\nclass nt_Q(nt_P):\n    w: str\nnt_q = nt_Q(1, 3)",
        "class nt_Later: pass\nassert type(nt_p) is nt_P and nt_p.s(1) == 4 and nt_P.__annotations__ == {'x': int, 'y': nt_Later} and nt_P.s.__annotations__ == {'a': int, 'return': int}\nassert nt_q == (1, 3) and type(nt_q) is nt_Q and nt_Q.__annotations__ == {'w': str} and nt_p._replace(x=5).x == 5",
    ),
    Probe(
        "data_classes",
        "import dataclasses, copy\n@dataclasses.dataclass\nclass dc_A:\n    x: int\n    n: dc_Later | None = None\n    rows: list = dataclasses.field(default_factory=list)\n@dataclasses.dataclass(slots=True, frozen=True, kw_only=True)\nclass dc_S:\n    x: int\n    n: 'dc_S | None' = None\ndc_a, dc_s = dc_A(1), dc_S(x=1)",
        "class dc_Later: pass\nassert dc_A(1) == dc_a and dc_A.__annotations__['x'] is int and dc_s == dc_S(x=1) and dc_S.__annotations__ == {'x': int, 'n': 'dc_S | None'}\nassert copy.replace(dc_s, x=2) == dc_S(x=2) and copy.replace(dc_a, x=3).x == 3 and dataclasses.asdict(dc_a) == {'x': 1, 'n': None, 'rows': []}\nimport inspect; assert str(inspect.signature(dc_S)) == \"(*, x: int, n: 'dc_S | None' = None) -> None\"\n@dataclasses.dataclass\nclass dc_B(dc_A):\n    z: str = ''\nassert [f.name for f in dataclasses.fields(dc_B)] == ['x', 'n', 'rows', 'z']",
    ),
    Probe(
        "enums_and_protocols",
        "import enum, typing, abc\nclass ep_E(enum.Enum):\n    note: str\n    A = 1\n    def m(self, a: int): ...\n@typing.runtime_checkable\nclass ep_P(typing.Protocol):\n    x: int\n    def m(self, a: int) -> str: ...\nclass ep_B(abc.ABC):\n    x: int\n    @abc.abstractmethod\n    def m(self, a: ep_E): ...\nclass ep_I:\n    x = 1\n    def m(self, a): ...\nep_a, ep_i = ep_E.A, ep_I()",
        "assert ep_a is ep_E.A and ep_E.__annotations__ == {'note': str} and ep_E.m.__annotations__ == {'a': int}\nassert isinstance(ep_i, ep_P) and ep_P.__annotations__ == {'x': int} and ep_P.m.__annotations__ == {'a': int, 'return': str}\nassert ep_B.__annotations__ == {'x': int} and ep_B.m.__annotations__ == {'a': ep_E}",
    ),
    Probe(
        "metaclasses",
        "class mt_M(type):\n    def __setattr__(cls, n, v): raise AttributeError(n)\nclass mt_C(metaclass=mt_M):\n    x: mt_Later\n    def m(self, a: mt_Later): ...\nclass mt_R:\n    known = []\n    def __init_subclass__(cls): mt_R.known.append(cls)\nclass mt_D(mt_R):\n    y: int",
        "mt_Later = int\nassert mt_C.__annotations__ == {'x': int} and mt_C.m.__annotations__ == {'a': int}\nassert mt_R.known == [mt_D] and mt_D.__annotations__ == {'y': int}",
    ),
    Probe(
        "type_parameters",
        "class tp_G[T]:\n    x: T\n    def m[U](self, u: U, t: T) -> 'tp_G[T]': return u\ndef tp_f[V](a: V) -> list[V]: return [a]\ntp_g = tp_G[int]()",
        "assert tp_f(1) == [1] and tp_g.m(1, 2) == 1 and type(tp_g) is tp_G\nassert tp_G.__annotations__ == {'x': tp_G.__type_params__[0]} and tp_f.__annotations__ == {'a': tp_f.__type_params__[0], 'return': list[tp_f.__type_params__[0]]}\nassert tp_G.m.__annotations__['u'] is tp_G.m.__type_params__[0] and tp_G.m.__annotations__['t'] is tp_G.__type_params__[0]",
    ),
    Probe(
        "pydantic",
        "import pydantic\nfrom typing import Annotated\nclass py_N(pydantic.BaseModel):\n    x: Annotated[int, pydantic.Field(gt=0)]\n    sub: list[py_N] = []\ndef py_f(a: Annotated[int, pydantic.Field(gt=0)], b: py_N): return a\npy_f.__annotations__\npy_n = py_N(x=1, sub=[{'x': 2}])\npy_v = pydantic.validate_call(py_f)",
        "assert py_n == py_N(x=1, sub=[{'x': 2}]) and py_N.model_fields['x'].annotation is int and py_n.model_dump() == {'x': 1, 'sub': [{'x': 2, 'sub': []}]}\ntry: py_N(x=0)\nexcept pydantic.ValidationError: pass\nelse: raise AssertionError('nothing is checked')\nassert py_f.__annotations__['b'] is py_N and py_v(1, {'x': 1}) == 1",
    ),
    Probe(
        "single_dispatch",
        "import functools\nclass sd_A: pass\n@functools.singledispatch\ndef sd_f(x): return 'any'\n@sd_f.register\ndef _(x: sd_A): return 'A'\nclass sd_C:\n    @functools.singledispatchmethod\n    def m(self, x): return 'any'\n    @m.register\n    def _(self, x: int): return 'int'",
        "assert sd_f(sd_A()) == 'A' and sd_f(1) == 'any' and sd_C().m(1) == 'int' and sd_C().m('') == 'any'",
    ),
    Probe(
        "of_variables",
        "ov_x: int = 1\nov_y: ov_Later = [2]\nif ov_x:\n    ov_z: str\n----\nov_w: int = 2",
        "assert (ov_x, ov_y, ov_w) == (1, [2], 2)",
    ),
    Probe(
        "held_apart",
        "class ha_C:\n    T = int\n    x: T\n    def m(self, a: T): ...\nha_a, ha_m = ha_C.__annotate__, ha_C.m.__annotate__",
        "assert ha_a(1) == {'x': int} and ha_m(1) == {'a': int}\nha_C.T = str; assert ha_a(1) == {'x': str} and ha_m(1) == {'a': str}",
    ),
    Probe(
        "code_run_elsewhere",
        "import types\nel_mod = types.ModuleType('el_mod')\nexec('class C:\\n    x: T\\n    def m(self, a: T): ...\\ndef f(a: T): ...\\n', el_mod.__dict__)\nel_ns = {'__name__': 'elsewhere'}\nexec('class C:\\n    x: T\\ndef f(a: T): ...\\n', el_ns)",
        "el_mod.T = el_ns['T'] = int\nassert el_mod.f.__annotations__ == el_ns['f'].__annotations__ == {'a': int}\nassert el_mod.C.__annotations__ == {'x': int} and el_mod.C.m.__annotations__ == {'a': int}\nassert el_ns['C'].__annotations__ == {'x': int}",
    ),
]

VALUES = [
    Probe(
        "templates",
        "from string.templatelib import Template, Interpolation, convert\ntm_rows = [1]\ntm_t = t'a {tm_rows!r:>5} b {tm_rows[0]}'\ntm_u = t'{tm_t} and {tm_rows}' t'!'\ntm_i = tm_t.interpolations[0]\nclass tm_C:\n    def __init__(self, t): self.t = t\ntm_c = tm_C(tm_t)\n----\ntm_rows.append(2)",
        "assert type(tm_t) is Template and tm_t.strings == ('a ', ' b ', '') and tm_t.values == ([1, 2], 1) and tm_t.values[0] is tm_rows\nassert tm_i is tm_t.interpolations[0] and (tm_i.value is tm_rows, tm_i.expression, tm_i.conversion, tm_i.format_spec) == (True, 'tm_rows', 'r', '>5')\nassert tm_u.interpolations[0].value is tm_t and tm_u.interpolations[1].value is tm_rows and tm_u.strings[-1] == '!' and tm_c.t is tm_t",
    ),
    Probe(
        "templates_of_what_is_not_kept",
        "import socket\ntn_s = socket.socket(); tn_rows = [1]\ntn_t = t'{tn_s} {tn_rows}'\ntn_s.close()",
        "assert tn_t.interpolations[1].value is tn_rows",
        "socket.socket) w",
    ),
    Probe(
        "unions",
        "import typing, types\nclass un_C: pass\nun_u = int | un_C; un_o = typing.Optional[un_C]; un_l = list[un_C] | None",
        "assert un_u == int | un_C == typing.Union[int, un_C] and isinstance(un_C(), un_u) and un_o.__args__ == (un_C, type(None)) and un_l == list[un_C] | None\nassert type(un_u) is typing.Union",
    ),
    Probe(
        "forward_refs",
        "import annotationlib\ndef fr_f(a: fr_Later, b: list[fr_Later]): ...\nfr_d = annotationlib.get_annotations(fr_f, format=annotationlib.Format.FORWARDREF)\nfr_r = fr_d['a']; fr_m = annotationlib.ForwardRef('x.y', module='os')\nfr_e = annotationlib.Format.STRING",
        "assert fr_r is fr_d['a'] and fr_r.__forward_arg__ == 'fr_Later' and fr_m.__forward_module__ == 'os' and fr_e is annotationlib.Format.STRING\nfr_Later = int; assert fr_r.evaluate() is int and fr_d['b'].__args__[0].evaluate() is int",
    ),
    Probe(
        "placeholders_of_partials",
        "import functools\npp_rows = [5]\npp_p = functools.partial(pow, functools.Placeholder, 2); pp_q = functools.partial(isinstance, functools.Placeholder, list)\npp_h = functools.Placeholder\nclass pp_C:\n    m = functools.partialmethod(lambda self, a, b: (a, b), functools.Placeholder, 2)",
        "assert pp_p(3) == 9 and pp_q(pp_rows) and pp_h is functools.Placeholder and pp_C().m(1) == (1, 2)",
    ),
    Probe(
        "compression",
        "from compression import zstd\nzs_d = zstd.compress(b'abc' * 100)\nzs_level, zs_p = zstd.Strategy.btopt, zstd.CompressionParameter.checksum_flag\nzs_o = {zs_p: 1}",
        "assert zstd.decompress(zs_d) == b'abc' * 100 and zs_level is zstd.Strategy.btopt and zs_p is zstd.CompressionParameter.checksum_flag and zs_o == {zs_p: 1}",
    ),
    Probe(
        "frames_of_compressed_data",
        "from compression import zstd\nfi_i = zstd.get_frame_info(zstd.compress(b'abc'))",
        "",
        "fi_i (compression.zstd.FrameInfo) was not kept",
    ),
    Probe(
        "compressors",
        "from compression import zstd\nzc_c = zstd.ZstdCompressor(); zc_x = zc_c.compress(b'abc')",
        "",
        "zc_c (compression.zstd.ZstdCompressor) was not kept",
    ),
    Probe(
        "decompressors",
        "from compression import zstd\nzx_c = zstd.ZstdDecompressor()",
        "",
        "zx_c (compression.zstd.ZstdDecompressor) was not kept",
    ),
    Probe(
        "compressed_files",
        "from compression import zstd\nimport tempfile; zf_n = tempfile.mktemp(); zf_f = zstd.open(zf_n, 'wb'); zf_f.write(b'abc')\n----\nzf_f.close(); zf_g = zstd.open(zf_n, 'rb'); zf_b = zf_g.read(1)",
        "",
        "zf_f (compression.zstd._zstdfile.ZstdFile) was not kept",
    ),
    Probe(
        "identifiers",
        "import uuid\nid_7, id_6, id_8 = uuid.uuid7(), uuid.uuid6(), uuid.uuid8(1, 2, 3)\nid_l = [id_7, id_7]; id_s = str(id_7)",
        "assert id_7.version == 7 and id_6.version == 6 and id_8.version == 8 and str(id_7) == id_s and id_l[0] is id_l[1] == id_7 and id_7.time",
    ),
    Probe(
        "paths",
        "import pathlib\npa_p = pathlib.Path('.').resolve(); pa_i = pa_p.info; pa_e = pa_i.exists(); pa_q = pathlib.Path('no such'); pa_d = {pa_p: pa_q}\nclass pa_C(pathlib.PurePosixPath):\n    note = None\npa_c = pa_C('a/b'); pa_c.note = [1]",
        "assert pa_p.info.is_dir() and pa_d[pa_p] == pa_q and not pa_q.exists() and pa_i.exists() and type(pa_c) is pa_C and pa_c.name == 'b' and pa_c.note == [1]",
    ),
    Probe(
        "strict_iterators",
        "si_m = map(lambda a, b: a + b, [1, 2, 3], [4, 5], strict=True); next(si_m)\nsi_z = zip([1, 2], [3], strict=True); next(si_z)",
        "assert next(si_m) == 7\nfor si_i in (si_m, si_z):\n    try: next(si_i)\n    except ValueError: pass\n    else: raise AssertionError('it is not strict any more')",
    ),
    Probe(
        "generic_builtins",
        "import array\ngb_m = memoryview[int]; gb_a = array.array('w', 'añ😀'); gb_c = [1.5, complex(1, -0.0)]\nimport struct; gb_s = struct.Struct('<D'); gb_b = gb_s.pack(1+2j)",
        "assert gb_m == memoryview[int] and gb_a.tounicode() == 'añ😀' and gb_a.typecode == 'w' and str(gb_c[1]) == '(1-0j)' and gb_s.unpack(gb_b) == (1+2j,)",
    ),
    Probe(
        "tokens_of_context",
        "import contextvars\ncv_v = contextvars.ContextVar('cv_v', default=0)\nwith cv_v.set(1): cv_in = cv_v.get()\ncv_v.set([5])",
        "assert cv_in == 1 and cv_v.get() == [5]\nwith cv_v.set(2): assert cv_v.get() == 2\nassert cv_v.get() == [5]",
    ),
    Probe(
        "interpreters",
        "from concurrent import interpreters\nin_i = interpreters.create()",
        "",
        "in_i (concurrent.interpreters.Interpreter) was not kept: it is an interpreter",
    ),
    Probe(
        "queues_of_interpreters",
        "from concurrent import interpreters\nqi_q = interpreters.create_queue(); qi_q.put([1])",
        "",
        "qi_q (concurrent.interpreters._queues.Queue) was not kept",
    ),
    Probe(
        "pools_of_interpreters",
        "from concurrent.futures import InterpreterPoolExecutor\npi_p = InterpreterPoolExecutor(1); pi_r = pi_p.submit(pow, 2, 3).result()",
        "assert pi_r == 8",
        "InterpreterPoolExecutor) was not kept",
    ),
    Probe(
        "pools_of_processes",
        "from concurrent.futures import ProcessPoolExecutor\nimport multiprocessing as pr_mp\npr_p = ProcessPoolExecutor(1)\npr_c, pr_f = pr_mp.get_context('fork'), pr_mp.get_context()",
        "assert list(pr_p.map(abs, [-1])) == [1]; pr_p.shutdown()\nassert pr_c.get_start_method() == 'fork' and pr_f.get_start_method() == 'forkserver'",
    ),
    Probe(
        "iterators_of_async",
        "async def ia_g():\n    yield 1\nia_a = ia_g()\nia_rows = [1]",
        "assert ia_rows == [1]",
        "ia_a (builtins.async_generator) was not kept",
    ),
    Probe(
        "reader_protocols",
        "import io, heapq\nrp_b = io.BytesIO(b'abc'); rp_b.read(1); rp_ok = isinstance(rp_b, io.Reader)\nrp_h = [3, 1, 2]; heapq.heapify_max(rp_h)",
        "assert rp_ok and rp_b.read() == b'bc' and heapq.heappop_max(rp_h) == 3",
    ),
    Probe(
        "decimals_dates_fractions",
        "import decimal, datetime, fractions\ndd_n = decimal.Decimal.from_number(1.5); dd_d = datetime.date.strptime('2025-10-07', '%Y-%m-%d'); dd_t = datetime.time.strptime('10:11', '%H:%M'); dd_f = fractions.Fraction.from_number(0.5)\ndd_c = decimal.IEEEContext(64)",
        "assert dd_n == decimal.Decimal('1.5') and dd_d == datetime.date(2025, 10, 7) and dd_t == datetime.time(10, 11) and dd_f == fractions.Fraction(1, 2) and dd_c.prec == 16",
    ),
    Probe(
        "syntax",
        "def sy_f(x):\n    try: return 1 / x\n    except ZeroDivisionError, TypeError: return 'no'\nimport ast; sy_tree = ast.parse('t\"{a}\"')\nsy_code = compile('1 + 1', 'c', 'eval')",
        "assert sy_f(0) == sy_f('') == 'no' and ast.unparse(sy_tree) == \"t'{a}'\" and eval(sy_code) == 2",
    ),
    Probe(
        "exceptions_of_now",
        "try:\n    {}['a']\nexcept KeyError as ex_caught: ex_e = ex_caught; ex_e.add_note('n')\nex_g = BaseExceptionGroup('g', [ValueError(1), KeyboardInterrupt()])\nimport concurrent.futures; ex_b = concurrent.futures.BrokenExecutor('b')",
        "assert ex_e.__notes__ == ['n'] and ex_e.args == ('a',) and type(ex_g.exceptions[1]) is KeyboardInterrupt and ex_b.args == ('b',)",
    ),
    Probe(
        "named_tuples_and_replacing",
        "import copy, collections\nnr_P = collections.namedtuple('nr_P', 'x y')\nnr_p = copy.replace(nr_P(1, 2), y=3)\nclass nr_C:\n    def __init__(self, x): self.x = x\n    def __replace__(self, /, **new): return nr_C(**{**vars(self), **new})\nnr_c = copy.replace(nr_C(1), x=2)\nimport types; nr_n = copy.replace(types.SimpleNamespace(a=1), a=2); nr_s = copy.replace(nr_C.__init__.__code__, co_name='other')",
        "assert nr_p == (1, 3) and copy.replace(nr_p, x=5) == (5, 3) and copy.replace(nr_c, x=7).x == 7 and nr_n.a == 2 and nr_s.co_name == 'other'",
    ),
    Probe(
        "warnings_in_contexts",
        "import warnings\nwarnings.filterwarnings('error', message='wc_only')",
        "try: warnings.warn('wc_only')\nexcept UserWarning: pass\nelse: raise AssertionError('it is not raised any more')",
    ),
    Probe(
        "tasks_and_locks",
        "import asyncio\nal_l, al_e, al_q, al_s = asyncio.Lock(), asyncio.Event(), asyncio.Queue(), asyncio.Semaphore(2)\nal_e.set(); al_q.put_nowait([1])",
        "assert not al_l.locked() and al_e.is_set() and al_q.get_nowait() == [1] and not al_s.locked()",
    ),
]
