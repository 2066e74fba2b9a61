"""Containers that subclass, hash, nest deeply or refer to themselves in a roundabout way."""

from tests.probes import KEEPS_ANY_DEPTH, Probe

_DEPTH = """
depth = 0
while too_deep:
    too_deep, depth = too_deep[0], depth + 1
assert depth == 300_000
"""

PROBES = [
    Probe(
        "deep",
        """
        deep = []
        for _ in range(20_000):
            deep = [deep]
        """,
        """
        deep_n, deep_at = 0, deep
        while deep_at:
            deep_at, deep_n = deep_at[0], deep_n + 1
        assert deep_n == 20_000, deep_n
        """,
    ),
    Probe(
        "linked",
        """
        class linked_Node:
            def __init__(self, after): self.after = after
        linked = None
        for _ in range(5_000):
            linked = linked_Node(linked)
        """,
        """
        linked_n, linked_at = 0, linked
        while linked_at is not None:
            assert type(linked_at) is linked_Node
            linked_at, linked_n = linked_at.after, linked_n + 1
        assert linked_n == 5_000, linked_n
        """,
    ),
    Probe(
        "too_deep",
        """
        too_deep = []
        for _ in range(300_000):
            too_deep = [too_deep]
        """,
        check=_DEPTH if KEEPS_ANY_DEPTH else "",
        refuses="" if KEEPS_ANY_DEPTH else "nest too deeply",
    ),
    Probe(
        "tuple_circle",
        "tuple_circle_l = []\ntuple_circle = (tuple_circle_l, 1)\ntuple_circle_l.append(tuple_circle)",
        "assert tuple_circle[0][0] is tuple_circle and tuple_circle[0] is tuple_circle_l",
    ),
    Probe(
        "keys_by_value",
        """
        class keys_by_value_K:
            def __init__(self, x): self.x = x
            def __hash__(self): return hash(self.x)
            def __eq__(self, other): return self.x == other.x
        keys_by_value_k = keys_by_value_K('a')
        keys_by_value = {keys_by_value_k: 1}
        keys_by_value_s = {keys_by_value_k, keys_by_value_K('b')}
        """,
        """
        assert keys_by_value[keys_by_value_K('a')] == 1
        assert next(iter(keys_by_value)) is keys_by_value_k
        assert keys_by_value_K('b') in keys_by_value_s and len(keys_by_value_s) == 2
        """,
    ),
    Probe(
        "keys_by_identity",
        """
        class keys_by_identity_K: pass
        keys_by_identity_k = keys_by_identity_K()
        keys_by_identity = {keys_by_identity_k: 'found'}
        """,
        """
        assert keys_by_identity[keys_by_identity_k] == 'found'
        assert keys_by_identity_K() not in keys_by_identity
        """,
    ),
    Probe(
        "key_holds_dict",
        """
        class key_holds_dict_K:
            def __hash__(self): return 5
        key_holds_dict_k = key_holds_dict_K()
        key_holds_dict_k.home = {key_holds_dict_k: 1}
        """,
        "assert key_holds_dict_k.home[key_holds_dict_k] == 1",
    ),
    Probe(
        "subclasses",
        """
        class subclasses_L(list):
            def __init__(self, name): super().__init__(); self.name = name
        class subclasses_D(dict):
            def __missing__(self, key): return key * 2
        class subclasses_S(str): pass
        subclasses_l = subclasses_L('rows'); subclasses_l.append(1)
        subclasses_d = subclasses_D(a=1); subclasses_d.note = subclasses_l
        subclasses_s = subclasses_S('x'); subclasses_s.unit = 'm'
        """,
        """
        assert subclasses_l == [1] and subclasses_l.name == 'rows' and type(subclasses_l) is subclasses_L
        assert subclasses_d['b'] == 'bb' and subclasses_d.note is subclasses_l
        assert subclasses_s == 'x' and subclasses_s.unit == 'm' and type(subclasses_s) is subclasses_S
        """,
    ),
    Probe(
        "refuses_access",
        """
        class refuses_access_P:
            def __init__(self): self.inner = {'a': 1}
            def __getattr__(self, name): return self.inner[name]
        refuses_access = refuses_access_P()
        """,
        """
        assert refuses_access.a == 1
        try: refuses_access.b
        except KeyError: pass
        else: raise AssertionError('it found what is not there')
        """,
    ),
    Probe(
        "own_reduce",
        """
        class own_reduce_C:
            def __init__(self, x): self.x = x
            def __reduce__(self): return own_reduce_make, (self.x,)
        def own_reduce_make(x): return own_reduce_C(x + [0])
        own_reduce = own_reduce_C([1])
        """,
        "assert own_reduce.x == [1, 0] and type(own_reduce) is own_reduce_C",
    ),
    Probe(
        "own_state",
        """
        class own_state_C:
            def __init__(self): self.rows = [1]; self.handle = (i for i in [1])
            def __getstate__(self): return {'rows': self.rows}
            def __setstate__(self, state): self.rows = state['rows']; self.handle = 'reopened'
        own_state = own_state_C(); own_state_rows = own_state.rows
        """,
        "assert own_state.handle == 'reopened' and own_state.rows is own_state_rows",
    ),
    Probe(
        "no_equality",
        """
        class no_equality_C:
            def __eq__(self, other): raise TypeError('not comparable')
            def __bool__(self): raise TypeError('neither true nor false')
            __hash__ = None
        no_equality = no_equality_C(); no_equality_l = [no_equality]
        """,
        "assert no_equality_l[0] is no_equality and type(no_equality) is no_equality_C",
    ),
    Probe(
        "exception_chain",
        """
        try:
            try: 1 / 0
            except ZeroDivisionError as e: raise ValueError('outer') from e
        except ValueError as e: exception_chain = e
        exception_chain.add_note('a note')
        exception_chain_g = ExceptionGroup('g', [exception_chain, KeyError('k')])
        """,
        """
        assert isinstance(exception_chain.__cause__, ZeroDivisionError), exception_chain.__cause__
        assert exception_chain.__notes__ == ['a note']
        assert exception_chain_g.exceptions[0] is exception_chain and len(exception_chain_g.exceptions) == 2
        """,
    ),
    Probe(
        "proxies",
        "import types\nproxies_d = {'a': 1}\nproxies = types.MappingProxyType(proxies_d)",
        "proxies_d['b'] = 2; assert proxies['b'] == 2 and type(proxies) is types.MappingProxyType",
    ),
    Probe(
        "shared_iterator",
        "shared_iterator = iter([1, 2, 3, 4])\nshared_iterator_pairs = zip(shared_iterator, shared_iterator)",
        "assert next(shared_iterator_pairs) == (1, 2) and next(shared_iterator) == 3",
    ),
    Probe(
        "swapped",
        "swapped_a, swapped_b = [1], [2]\n----\nswapped_a, swapped_b = swapped_b, swapped_a",
        "assert (swapped_a, swapped_b) == ([2], [1]) and swapped_a is not swapped_b",
    ),
    Probe(
        "parted",
        "parted_a = [1]; parted_b = parted_a\n----\nparted_b = list(parted_a); parted_b.append(2)",
        "assert (parted_a, parted_b) == ([1], [1, 2])",
    ),
    Probe(
        "joined",
        "joined_a, joined_b = {'x': [1]}, {'y': [1]}\n----\njoined_b['y'] = joined_a['x']",
        "joined_a['x'].append(5); assert joined_b == {'y': [1, 5]}",
    ),
    Probe(
        "slices_of_one",
        "slices_of_one = bytearray(b'abcdef')\n----\nslices_of_one[2:4] = b'--'",
        "assert slices_of_one == bytearray(b'ab--ef')",
    ),
]
