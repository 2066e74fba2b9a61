"""Functions and classes in forms beyond the ordinary."""

from tests.probes import Probe

PROBES = [
    Probe(
        "nested",
        """
        class nested_O:
            class Inner:
                def __init__(self, x): self.x = x
        nested = nested_O.Inner([1])
        """,
        "assert type(nested) is nested_O.Inner and nested.x == [1]",
    ),
    Probe(
        "local_class",
        """
        def local_class_make(word):
            class Local:
                def say(self): return word
            return Local
        local_class_a, local_class_b = local_class_make('a'), local_class_make('b')
        local_class_o = local_class_a()
        """,
        """
        assert (local_class_a().say(), local_class_b().say()) == ('a', 'b')
        assert type(local_class_o) is local_class_a and local_class_a is not local_class_b
        """,
    ),
    Probe(
        "registry",
        """
        class registry_B:
            known = {}
            def __init_subclass__(cls, **kw):
                super().__init_subclass__(**kw); registry_B.known[cls.__name__] = cls
        class registry_C(registry_B): pass
        """,
        """
        assert registry_B.known == {'registry_C': registry_C} and registry_B.__subclasses__() == [registry_C]
        class registry_D(registry_B): pass
        assert registry_B.known['registry_D'] is registry_D
        """,
    ),
    Probe(
        "patched_class",
        """
        class patched_C:
            def hello(self): return 'old'
        patched_c = patched_C()
----
        patched_C.hello = lambda self: 'patched'
        patched_C.extra = [1]
        """,
        "assert patched_c.hello() == 'patched' and patched_C().extra is patched_C.extra == [1]",
    ),
    Probe(
        "slots_inherited",
        """
        class slots_A: __slots__ = ('a',)
        class slots_B(slots_A): __slots__ = ('b',)
        class slots_C(slots_A): pass
        slots_b, slots_c = slots_B(), slots_C()
        slots_b.a = slots_b.b = slots_c.a = slots_c.z = [1]
        """,
        """
        assert slots_b.a is slots_b.b is slots_c.a is slots_c.z and not hasattr(slots_b, '__dict__')
        try: slots_b.other = 1
        except AttributeError: pass
        else: raise AssertionError('its slots are gone')
        """,
    ),
    Probe(
        "own_descriptor",
        """
        class own_descriptor_D:
            def __set_name__(self, owner, name): self.name = '_' + name
            def __get__(self, o, kind): return self if o is None else getattr(o, self.name)
            def __set__(self, o, v): setattr(o, self.name, v * 2)
        class own_descriptor_C: x = own_descriptor_D()
        own_descriptor = own_descriptor_C(); own_descriptor.x = 2
        """,
        """
        assert own_descriptor.x == 4 and own_descriptor_C.x.name == '_x'
        own_descriptor.x = 5; assert own_descriptor.x == 10
        """,
    ),
    Probe(
        "more_enums",
        """
        import enum
        class more_enums_I(enum.IntEnum):
            LOW = 1
            SMALL = 1
            HIGH = enum.auto()
        class more_enums_S(enum.StrEnum):
            RED = enum.auto()
            def loud(self): return self.value.upper()
        more_enums = {more_enums_I.HIGH: more_enums_S.RED}
        """,
        """
        assert more_enums_I.SMALL is more_enums_I.LOW and more_enums_I.HIGH == 2
        assert more_enums[more_enums_I.HIGH] is more_enums_S.RED and more_enums_S('red').loud() == 'RED'
        """,
    ),
    Probe(
        "dataclass_forms",
        """
        import dataclasses
        @dataclasses.dataclass(kw_only=True, order=True, unsafe_hash=True)
        class dcf_A:
            x: int
            twice: dataclasses.InitVar[int] = 0
            def __post_init__(self, twice): self.x += twice
        @dataclasses.dataclass
        class dcf_B(dcf_A):
            y: 'dcf_B | None' = None
        dcf_a = dcf_A(x=1, twice=2); dcf_b = dcf_B(x=1); dcf_b.y = dcf_b
        """,
        """
        import typing
        assert dcf_a.x == 3 and dcf_A(x=1) < dcf_a and hash(dcf_A(x=3)) == hash(dcf_a)
        assert dcf_b.y is dcf_b and [f.name for f in dataclasses.fields(dcf_B)] == ['x', 'y']
        assert typing.get_type_hints(dcf_B)['y'] == dcf_B | None
        """,
    ),
    Probe(
        "typing_forms",
        """
        import typing
        tf_P = typing.ParamSpec('tf_P'); tf_R = typing.TypeVar('tf_R', bound='tf_Base')
        tf_Id = typing.NewType('tf_Id', int)
        class tf_Base: pass
        tf_alias = dict[tf_Id, tf_Base] | None
        tf_call: typing.Callable[tf_P, tf_R] = lambda: tf_Base()
        """,
        """
        assert tf_alias == dict[tf_Id, tf_Base] | None and tf_Id(5) == 5
        assert tf_R.__bound__.__forward_arg__ == 'tf_Base' and type(tf_call()) is tf_Base
        """,
    ),
    Probe(
        "cache_of_method",
        """
        import functools
        class cm_C:
            calls = 0
            @functools.cache
            def slow(self, x): cm_C.calls += 1; return x + 1
        cm_c = cm_C(); cm_c.slow(1)
        """,
        "assert cm_c.slow(1) == 2 and cm_C.slow.cache_parameters()['maxsize'] is None\nassert cm_C.calls in (1, 2)",
    ),
    Probe(
        "dispatch_by_class",
        """
        import functools
        class dbc_A: pass
        class dbc_V:
            @functools.singledispatchmethod
            def see(self, x): return 'any'
            @see.register
            def _(self, x: dbc_A): return 'A'
        dbc_v = dbc_V()
        """,
        "assert dbc_v.see(dbc_A()) == 'A' and dbc_v.see(1) == 'any'",
    ),
    Probe(
        "decorator_class",
        """
        import functools
        class decorator_class_D:
            def __init__(self, f): functools.update_wrapper(self, f); self.f = f; self.n = 0
            def __call__(self, *a): self.n += 1; return self.f(*a)
        @decorator_class_D
        def decorator_class(x): return x * decorator_class.n
        decorator_class(1)
        """,
        "assert decorator_class(5) == 10 and decorator_class.n == 2 and decorator_class.__name__ == 'decorator_class'",
    ),
    Probe(
        "default_is_shared",
        """
        default_is_shared_rows = []
        def default_is_shared(x, rows=default_is_shared_rows): rows.append(x); return rows
        default_is_shared(1)
        """,
        "assert default_is_shared(2) is default_is_shared_rows and default_is_shared_rows == [1, 2]",
    ),
    Probe(
        "empty_cell",
        """
        def empty_cell_make():
            def get(): return later
            if False: later = 1
            return get
        empty_cell = empty_cell_make()
        """,
        """
        try: empty_cell()
        except NameError as e: assert 'later' in str(e)
        else: raise AssertionError('a value came from nowhere')
        """,
    ),
    Probe(
        "deleted_helper",
        "def deleted_helper_h(): return 1\ndef deleted_helper_f(): return deleted_helper_h()\n----\ndel deleted_helper_h",
        """
        try: deleted_helper_f()
        except NameError: pass
        else: raise AssertionError('the helper is back')
        deleted_helper_h = lambda: 5
        assert deleted_helper_f() == 5
        """,
    ),
    Probe(
        "shadowed_builtin",
        "def sum_shadow(xs): return 'mine'\nshadowed_old = sum\nsum = sum_shadow\nshadowed_f = lambda: sum([1])",
        "assert shadowed_f() == 'mine' and shadowed_old([1, 2]) == 3\ndel sum; assert shadowed_f() == 1",
    ),
    Probe(
        "async_forms",
        """
        import contextlib
        async def af_gen():
            yield 1
            yield 2
        @contextlib.asynccontextmanager
        async def af_cm(): yield 3
        """,
        """
        assert [x async for x in af_gen()] == [1, 2]
        async with af_cm() as af_v: assert af_v == 3
        """,
    ),
    Probe(
        "from_exec",
        "from_exec_f = {}\nexec('def f(x): return x + k\\nk = 3', from_exec_f)\nfrom_exec_f = from_exec_f['f']",
        "assert from_exec_f(1) == 4",
    ),
    Probe(
        "made_by_type",
        "made_by_type = type('MadeC', (), {'x': [1], 'get': lambda self: self.x})\nmade_by_type_o = made_by_type()",
        "assert type(made_by_type_o) is made_by_type and made_by_type_o.get() is made_by_type.x == [1]",
    ),
]
