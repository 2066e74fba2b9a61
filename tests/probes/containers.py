"""Built-in types, aliasing, recursion."""

from tests.probes import Probe

PROBES = [  # one line a cell, however long: that is how they read best
    Probe(
        "alias",
        "alias_a = [1]\nalias_b = {'a': alias_a}\nalias_c = (alias_a, alias_a)",
        "assert alias_b['a'] is alias_a and alias_c[0] is alias_c[1] is alias_a\nalias_a.append(2); assert alias_b == {'a': [1, 2]}",
    ),
    Probe("inside", "inside = [[], None]; inside[1] = inside[0]", "assert inside[0] is inside[1]"),
    Probe(
        "attribute",
        "class attribute_C: pass\nattribute_a = attribute_C(); attribute_a.rows = []\nattribute_b = attribute_a.rows",
        "assert attribute_b is attribute_a.rows and type(attribute_a) is attribute_C",
    ),
    Probe(
        "itself",
        "itself = []; itself.append(itself)\nitself_d = {}; itself_d['d'] = itself_d",
        "assert itself[0] is itself and itself_d['d'] is itself_d",
    ),
    Probe(
        "circle",
        "class circle_N: pass\ncircle_a, circle_b = circle_N(), circle_N()\ncircle_a.other, circle_b.other = circle_b, circle_a",
        "assert circle_a.other is circle_b and circle_b.other is circle_a",
    ),
    Probe(
        "deleted",
        "deleted = 1\nkept_beside = 2\n----\ndel deleted",
        "assert 'deleted' not in globals() and kept_beside == 2",
    ),
    Probe(
        "underscore",
        "_underscore = [1]\n__underscore = [2]",
        "assert _underscore == [1] and __underscore == [2]",
    ),
    Probe(
        "scalars",
        "scalars = (1, -2**80, 1.5, float('nan'), 2j, True, None, ..., NotImplemented, 'ä', b'x', range(3), slice(1, 2))",
        "assert scalars[:3] == (1, -2**80, 1.5) and scalars[3] != scalars[3] and scalars[7] is ... and scalars[12] == slice(1, 2) and scalars[11] == range(3)",
    ),
    Probe(
        "collections",
        """
        import collections
        coll_d = collections.deque([1, 2], maxlen=2)
        coll_dd = collections.defaultdict(lambda: [7]); coll_dd['a']
        coll_od = collections.OrderedDict(b=1, a=2)
        coll_c = collections.Counter('aab')
        coll_m = collections.ChainMap({'a': 1}, coll_od)
        """,
        """
        coll_d.append(3)
        assert list(coll_d) == [2, 3] and coll_dd['new'] == [7] and list(coll_od) == ['b', 'a']
        assert coll_c.most_common(1) == [('a', 2)] and coll_m.maps[1] is coll_od
        """,
    ),
    Probe(
        "buffers",
        "import array\nbuffers = [bytearray(b'ab'), array.array('d', [1.5])]\nbuffers_b = buffers[0]",
        "assert buffers == [bytearray(b'ab'), array.array('d', [1.5])] and buffers_b is buffers[0]",
    ),
    Probe(
        "streams",
        "import io\nstreams = [io.StringIO('hello'), io.BytesIO(b'hello')]\n[s.read(2) for s in streams]",
        "assert [s.read() for s in streams] == ['llo', b'llo']",
    ),
    Probe(
        "times",
        """
        import datetime, zoneinfo
        times = datetime.datetime(2024, 7, 1, 12, tzinfo=zoneinfo.ZoneInfo('Europe/Oslo'))
        times_delta = datetime.timedelta(days=1)
        """,
        "assert times.utcoffset() == datetime.timedelta(hours=2) and (times + times_delta).day == 2",
    ),
    Probe(
        "numbers",
        "import decimal, fractions\nnumbers = (decimal.Decimal('1.10'), fractions.Fraction(1, 3), decimal.Context(prec=3))",
        "assert str(numbers[0]) == '1.10' and numbers[1] * 3 == 1 and str(numbers[2].divide(decimal.Decimal(1), 3)) == '0.333'",
    ),
    Probe(
        "identifiers",
        "import uuid, pathlib, re, types\nidentifiers = (uuid.UUID(int=5), pathlib.Path('a/b'), re.compile('a(b)'), types.SimpleNamespace(x=[1]))",
        "assert identifiers[0].int == 5 and identifiers[1].name == 'b' and identifiers[2].match('ab')[1] == 'b' and identifiers[3].x == [1]",
    ),
    Probe(
        "iterators",
        "import itertools\niterators_count = itertools.count(5); next(iterators_count)\niterators_list = iter([1, 2, 3]); next(iterators_list)",
        "assert next(iterators_count) == 6 and next(iterators_list) == 2",
    ),
    Probe(
        "exceptions",
        """
        class exceptions_E(ValueError):
            def __init__(self, code, *, detail): super().__init__(f'{code}: {detail}'); self.code = code
        try: raise exceptions_E(5, detail='x')
        except ValueError as e: exceptions_e = e
        """,
        "assert exceptions_e.code == 5 and str(exceptions_e) == '5: x' and type(exceptions_e) is exceptions_E",
    ),
    Probe(
        "mapping_views",
        "mv_d = {'a': 1}\nmv_k = mv_d.keys()",
        "mv_d['b'] = 2; assert list(mv_k) == ['a', 'b']",
        "",
    ),
    Probe(
        "one_bad",
        "one_bad = {'rows': [1, 2], 'gen': (i for i in [1])}\none_bad_rows = one_bad['rows']",
        "assert one_bad['rows'] is one_bad_rows and one_bad_rows == [1, 2]\nfrom evercell.core.errors import NotKept\ntry: next(one_bad['gen'])\nexcept NotKept as e: assert 'suspended code' in str(e)\nelse: raise AssertionError('it was kept')",
    ),
    Probe("generator", "generator = (i for i in [1])", refuses="suspended code"),
    Probe("coroutine", "async def coroutine_f(): pass\ncoroutine = coroutine_f()", refuses="suspended code"),
    Probe(
        "weak",
        "import weakref\nclass weak_C: pass\nweak_c = weak_C()\nweak = weakref.ref(weak_c, print)",
        refuses="a function to be called when an object goes",
    ),
]
