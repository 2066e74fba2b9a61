"""Classes and instances that are made in ways of their own."""

from importlib.util import find_spec

from tests.probes import Probe

PROBES = [
    Probe(
        "meta_reg",
        "class Meta(type):\n    registry=[]\n    def __new__(m,n,b,d):\n        c=super().__new__(m,n,b,d); Meta.registry.append(c); return c\nclass A(metaclass=Meta): pass\nclass B(A): pass",
        "assert Meta.registry==[A,B], Meta.registry",
    ),
    Probe(
        "meta_init",
        "reg={}\nclass Meta(type):\n    def __init__(c,n,b,d,**k):\n        super().__init__(n,b,d); reg[n]=reg.get(n,0)+1; c.tag=k.get('tag','none')\nclass A(metaclass=Meta): pass\nclass B(A, metaclass=Meta): x=1",
        "assert reg=={'A':1,'B':1} and A.tag=='none', reg",
    ),
    Probe(
        "meta_kw",
        "reg=[]\nclass Meta(type):\n    def __new__(m,n,b,d,tag): c=super().__new__(m,n,b,d); c.tag=tag; return c\n    def __init__(c,n,b,d,tag): super().__init__(n,b,d); reg.append(n)\nclass A(metaclass=Meta, tag='t'): pass\na=A()",
        "assert A.tag=='t' and reg==['A'] and type(a) is A, reg",
    ),
    Probe(
        "meta_prepare",
        "class Meta(type):\n    @classmethod\n    def __prepare__(m,n,b): return {'injected': 1}\nclass A(metaclass=Meta): y=2",
        "assert A.injected==1 and A.y==2",
    ),
    Probe(
        "meta_call",
        "class Single(type):\n    inst={}\n    def __call__(c,*a):\n        if c not in c.inst: c.inst[c]=super().__call__(*a)\n        return c.inst[c]\nclass S(metaclass=Single):\n    def __init__(self): self.n=1\ns=S(); s.n=5",
        "assert S() is s and s.n==5",
    ),
    Probe(
        "init_sub",
        "class Base:\n    subs=[]\n    def __init_subclass__(cls, key=None, **k): super().__init_subclass__(**k); Base.subs.append((key, cls)); cls.key=key\nclass A(Base, key='a'): pass\nclass B(Base, key='b'): pass",
        "assert Base.subs==[('a',A),('b',B)] and A.key=='a'\nclass C(Base, key='c'): pass\nassert len(Base.subs)==3",
    ),
    Probe(
        "init_sub_print",
        "out=[]\nclass Base:\n    def __init_subclass__(cls): out.append(cls.__name__)\nclass A(Base): pass",
        "assert out==['A'], out",
    ),
    Probe(
        "set_name",
        "log=[]\nclass Desc:\n    def __set_name__(self, o, n): log.append(n); self.n=n\nclass A:\n    x=Desc(); y=Desc()",
        "assert log==['x','y'] and A.__dict__['x'].n=='x', log",
    ),
    Probe(
        "class_deco",
        "handlers={}\ndef reg(c): handlers[c.__name__]=c; c.extra=[1]; return c\n@reg\nclass A: pass",
        "assert handlers=={'A':A} and A.extra==[1]",
    ),
    Probe(
        "abc_register",
        "import abc\nclass B(abc.ABC): pass\nclass X: pass\nB.register(X); B.register(int)\nx=X()",
        "assert isinstance(x,B) and isinstance(5,B) and not isinstance('s', B)",
    ),
    Probe(
        "subclasses_list",
        "class P: pass\nclass Q(P): pass\nclass R(P): pass\nr=R()",
        "assert P.__subclasses__()==[Q,R], P.__subclasses__()",
    ),
    Probe(
        "enum_attr",
        "import enum\nclass E(enum.Enum):\n    A=1\n    B=2\nE.A.note=[1]; E.B.label='b'\ne=E.A",
        "assert E.A.note==[1] and E.B.label=='b' and e is E.A",
    ),
    Probe(
        "enum_init",
        "import enum\nlog=[]\nclass P(enum.Enum):\n    M=(1,2)\n    E=(3,4)\n    def __init__(self,a,b): self.a=a; self.b=b; log.append(a)\np=P.M",
        "assert p.a==1 and P.E.b==4 and p is P.M and log==[1,3], log",
    ),
    Probe(
        "enum_later",
        "import enum\nclass E(enum.Enum):\n    A=1\ne=E.A\n----\ne.seen=5\nE.extra=[7]",
        "assert E.A.seen==5 and E.extra==[7] and e is E.A",
    ),
    Probe(
        "func_attrs",
        "def f(x, *, k=[1]): return k\nf.calls=[1]; f.__name__='renamed'; f.__doc__='d'\n----\nf.__defaults__=(5,); f.calls.append(2)\nf.__kwdefaults__['k'].append(2)",
        "assert f()==[1,2] and f.calls==[1,2] and f.__name__=='renamed' and f.__doc__=='d'",
    ),
    Probe(
        "class_attrs",
        "class C: n=0\nc=C()\n----\nC.n=5; C.rows=[1]; C.meth=lambda self: self\ndel_=1",
        "assert C.n==5 and C.rows==[1] and c.meth() is c",
    ),
    Probe(
        "sub_dict_init",
        "class D(dict):\n    def __init__(self, name): super().__init__(); self.name=name; self.log=[]\n    def __setitem__(self,k,v): self.log.append(k); super().__setitem__(k,v*2)\nd=D('n'); d['a']=1",
        "assert dict(d)=={'a':2} and d.log==['a'] and d.name=='n' and type(d) is D, (dict(d), d.__dict__)",
    ),
    Probe(
        "sub_dd",
        "import collections\nclass DD(collections.defaultdict):\n    def __init__(self, tag): super().__init__(list); self.tag=tag\ndd=DD('t'); dd['x'].append(1)",
        "assert dd=={'x':[1]} and dd.tag=='t' and type(dd) is DD and dd['new']==[]",
    ),
    Probe(
        "sub_dd2",
        "import collections\nclass DD(collections.defaultdict):\n    __slots__=('tag',)\n    def __init__(self): super().__init__(int); self.tag='t'\n    def __setitem__(self,k,v): super().__setitem__(k, v+1)\ndd=DD(); dd['x']=1",
        "assert dict(dd)=={'x':2} and dd.tag=='t', dict(dd)",
    ),
    Probe(
        "sub_counter",
        "import collections\nclass C(collections.Counter):\n    def __init__(self, name): super().__init__(); self.name=name\n    def __setitem__(self,k,v): super().__setitem__(k, v+10)\nc=C('n'); c['a']=1",
        "assert dict(c)=={'a':11} and c.name=='n' and type(c) is C",
    ),
    Probe(
        "counter_attr",
        "import collections\nc=collections.Counter('aab')\nclass C2(collections.Counter): pass\nc2=C2('ab'); c2.note=[1]",
        "assert c2.note==[1] and c2['a']==1",
    ),
    Probe(
        "sub_od",
        "import collections\nclass O(collections.OrderedDict):\n    def __init__(self, name): super().__init__(); self.name=name\n    def __setitem__(self,k,v,*a): super().__setitem__(k, v*3)\no=O('x'); o['a']=1",
        "assert dict(o)=={'a':3} and o.name=='x', dict(o)",
    ),
    Probe(
        "sub_set",
        "class S(set):\n    def __init__(self, name): super().__init__(); self.name=name; self.log=[]\n    def add(self,x): self.log.append(x); super().add(x)\n    def update(self,*a): raise RuntimeError\ns=S('n'); s.add(1)",
        "assert set(s)=={1} and s.name=='n' and s.log==[1]",
    ),
    Probe(
        "sub_frozenset",
        "class S(frozenset):\n    def __new__(cls, a, b): self=super().__new__(cls,(a,b)); self.a=a; return self\ns=S(1,2)",
        "assert set(s)=={1,2} and s.a==1 and type(s) is S",
    ),
    Probe(
        "sub_list",
        "class L(list):\n    def __init__(self, n): super().__init__([n]); self.n=n; self.log=[]\n    def append(self,x): self.log.append(x); super().append(x*2)\n    def extend(self,x): raise RuntimeError\nl=L(3); l.append(4)",
        "assert list(l)==[3,8] and l.log==[4] and l.n==3, (list(l), l.__dict__)",
    ),
    Probe(
        "sub_list_new",
        "class L(list):\n    def __new__(cls, a, b): return super().__new__(cls)\n    def __init__(self,a,b): super().__init__([a,b])\nl=L(1,2)",
        "assert list(l)==[1,2] and type(l) is L",
    ),
    Probe(
        "sub_dict_new",
        "class L(dict):\n    def __new__(cls, a, b): return super().__new__(cls)\n    def __init__(self,a,b): super().__init__({a:b})\nl=L(1,2)",
        "assert l=={1:2} and type(l) is L",
    ),
    Probe(
        "sub_set_new",
        "class L(set):\n    def __new__(cls, a, b): return super().__new__(cls)\n    def __init__(self,a,b): super().__init__({a,b})\nl=L(1,2)",
        "assert l=={1,2} and type(l) is L",
    ),
    Probe(
        "sub_deque",
        "import collections\nclass Q(collections.deque):\n    def __init__(self, name): super().__init__(maxlen=3); self.name=name\n    def append(self,x): super().append(x+1)\nq=Q('n'); q.append(1)",
        "assert list(q)==[2] and q.maxlen==3 and q.name=='n'",
    ),
    Probe(
        "sub_deque2",
        "import collections\nclass Q(collections.deque):\n    def __init__(self): super().__init__([1,2],5); self.log=[]\n    def append(self,x): self.log.append(x); super().append(x*2)\n    def extend(self, xs): raise RuntimeError\nq=Q(); q.append(4)",
        "assert list(q)==[1,2,8] and q.maxlen==5 and q.log==[4], list(q)",
    ),
    Probe(
        "sub_tuple",
        "class T(tuple):\n    def __new__(cls, a, b): self=super().__new__(cls,(a,b)); self.sum=a+b; return self\nt=T(1,2); df=[1,2]; job={'t':t,'d':df}",
        "assert tuple(t)==(1,2) and t.sum==3 and type(t) is T and job['t'] is t and job['d'] is df",
    ),
    Probe(
        "sub_str",
        "class T(str):\n    def __new__(cls, a, unit): self=super().__new__(cls,a); self.unit=unit; return self\nt=T('x','m')\nclass I(int):\n    def __new__(cls, a, unit): self=super().__new__(cls,a); self.unit=unit; return self\ni=I(5,'kg')\nclass F(float):\n    def __new__(cls, a, unit): self=super().__new__(cls,a); self.unit=unit; return self\nf=F(2.5,'s')\nclass B(bytes):\n    def __new__(cls, a, unit): self=super().__new__(cls,a); self.unit=unit; return self\nb=B(b'z','s')",
        "assert t=='x' and t.unit=='m' and i==5 and i.unit=='kg' and f==2.5 and f.unit=='s' and b==b'z' and b.unit=='s' and type(b) is B",
    ),
    Probe(
        "sub_slots_tuple",
        "class T(tuple):\n    __slots__=()\n    def __new__(cls,a,b): return super().__new__(cls,(a,b))\nt=T(1,2)\nimport fractions, decimal, datetime, pathlib\nclass Dec(decimal.Decimal):\n    def __new__(cls, v, cur): s=super().__new__(cls,v); s.cur=cur; return s\nm=Dec('1.5','EUR')\nclass Day(datetime.date):\n    def __new__(cls, y, note): s=super().__new__(cls,y,1,1); s.note=note; return s\nd=Day(2020,'n')\nclass Fr(fractions.Fraction):\n    def __new__(cls, v): s=super().__new__(cls,v,3); return s\nfr=Fr(1)",
        "assert t==(1,2) and m==decimal.Decimal('1.5') and m.cur=='EUR' and d.note=='n' and d.year==2020 and fr==fractions.Fraction(1,3)",
    ),
    Probe(
        "sub_bytearray",
        "class B(bytearray):\n    def __init__(self, n): super().__init__(n); self.n=n\nb=B(4); b[0]=7",
        "assert bytes(b)==b'\\x07\\0\\0\\0' and b.n==4",
    ),
    Probe(
        "sub_slots",
        "class L(list):\n    __slots__=('a','__dict__')\nl=L([1]); l.a=[2]; l.b=3\nclass D(dict):\n    __slots__=('a',)\nd=D(x=1); d.a=l",
        "assert l==[1] and l.a==[2] and l.b==3 and d.a is l",
    ),
    Probe(
        "namedtuple_new",
        "import collections\nclass P(collections.namedtuple('P','a b')):\n    def __new__(cls,a): return super().__new__(cls,a,a*2)\np=P(3)",
        "assert p==(3,6) and type(p) is P",
    ),
    Probe(
        "userdict",
        "import collections\nclass U(collections.UserDict):\n    def __init__(self, n): super().__init__(); self.n=n\nu=U(3); u['a']=1\nclass UL(collections.UserList): pass\nul=UL([1])\nul2=ul.data",
        "assert u.data=={'a':1} and u.n==3 and ul.data is ul2",
    ),
    Probe(
        "setattr",
        "class A:\n    def __setattr__(self,n,v): raise TypeError('frozen')\n    def __init__(self): self.__dict__['x']=[1]\na=A()\nclass Slo:\n    __slots__=('x',)\n    def __setattr__(self,n,v): raise TypeError('frozen')\n    def __init__(self): object.__setattr__(self,'x',1)\ns=Slo()",
        "assert a.x==[1] and s.x==1",
    ),
    Probe(
        "getattribute",
        "class A:\n    def __getattribute__(self,n): return ('got',n) if not n.startswith('__') else object.__getattribute__(self,n)\na=A(); a.x=5",
        "assert a.x==('got','x') and a.__dict__=={'x':5}",
    ),
    Probe(
        "getstate_leaves",
        "class A:\n    def __init__(self): self.rows=[]; self.cache={}\n    def __getstate__(self): s=dict(self.__dict__); del s['cache']; return s\n    def __setstate__(self,s): self.__dict__.update(s); self.cache={}\na=A(); a.cache['x']=1; mycache=a.cache",
        "",
        "leaves it out",
    ),
    Probe(
        "getstate_leaves_plain",
        "class A:\n    def __init__(self): self.rows=[1]; self.secret=[2]\n    def __getstate__(self): s=dict(self.__dict__); del s['secret']; return s\na=A()",
        "",
        "leaves it out",
    ),
    Probe(
        "singleton",
        "class S:\n    _i=None\n    def __new__(cls):\n        if cls._i is None: cls._i=super().__new__(cls); cls._i.n=0\n        return cls._i\ns=S(); s.n=5",
        "assert S() is s and s.n==5",
    ),
    Probe(
        "new_args",
        "class A:\n    def __new__(cls, x): s=super().__new__(cls); s.x=x; return s\na=A(1); l=[a]",
        "assert a.x==1 and l[0] is a",
    ),
    Probe(
        "multi",
        "import collections\nclass Mix:\n    def __init__(self,*a): raise RuntimeError\nclass L(Mix, list):\n    def __init__(self): list.__init__(self,[1]); self.t=2\nl=L()\nclass DD(collections.defaultdict):\n    def __init__(self,*a,**k): super().__init__(*a,**k)\n    def __missing__(self,k): self[k]=k; return k\nd=DD(None); d['a']",
        "assert l==[1] and l.t==2 and d=={'a':'a'} and d['b']=='b'",
    ),
    Probe(
        "cyc",
        "class L(list):\n    def __init__(self, p): super().__init__(); self.p=p\n    def append(self,x): raise RuntimeError\nroot=L(None); kid=L(root); list.append(root,kid)",
        "assert kid.p is root and root[0] is kid and type(kid) is L",
    ),
    Probe(
        "cyc_tuple",
        "class T(tuple):\n    def __new__(cls,l): return super().__new__(cls,(l,))\nl=[]; t=T(l); l.append(t)",
        "assert t[0] is l and l[0] is t",
    ),
    Probe(
        "frozen_dc",
        "import dataclasses\n@dataclasses.dataclass(frozen=True, slots=True)\nclass P:\n    x: int\n    y: list\np=P(1,[2]); q={p.x: p}",
        "assert p.x==1 and q[1] is p",
    ),
    Probe(
        "key_custom",
        "class K(str):\n    def __new__(cls, a, b): s=super().__new__(cls, a+b); s.b=b; return s\nk=K('a','b'); d={k:1}",
        "assert d['ab']==1 and next(iter(d)) is k and k.b=='b'",
    ),
    Probe(
        "gen_alias",
        "class L(list):\n    def __init__(self, name): super().__init__(); self.name=name\na=L('x'); b={'a':a}\n----\na.append(5)\n----\na.append(6)",
        "assert b['a'] is a and a==[5,6]",
    ),
    Probe(
        "getstate",
        "class A:\n    def __init__(self): self.rows=[1]; self.secret=[2]\n    def __getstate__(self): s=dict(self.__dict__); del s['secret']; return s\na=A()",
        "",
        "leaves it out",
    ),
    Probe(
        "fill_hash",
        "class K:\n    def __init__(s,x): s.x=x\n    def __hash__(s): return hash(s.x)\n    def __eq__(s,o): return s.x==o.x\nclass S(set):\n    def __init__(self, it, name): super().__init__(it); self.name=name\ns=S([K(1)],'n')",
        "assert K(1) in s and s.name=='n'",
    ),
    Probe(
        "enum_alias",
        "import enum\nclass E(enum.Enum):\n    A=1\n    B=1\n    C=2\nclass I(enum.IntEnum):\n    X=5\nclass F(enum.Flag):\n    R=1\n    W=2\n    RW=3\nclass S(enum.StrEnum):\n    P='p'\ne=E.B; i=I.X; f=F.RW; s=S.P",
        "assert E.B is E.A is e and i is I.X and i==5 and f is F.RW and F.RW==F.R|F.W and s is S.P and s=='p' and E['B'] is E.A",
    ),
    Probe(
        "enum_new",
        "import enum\nclass P(enum.Enum):\n    def __new__(cls, v, d): o=object.__new__(cls); o._value_=v; o.d=d; return o\n    M=(1,'a')\n    E=(2,'b')\n    @property\n    def up(self): return self.d.upper()\np=P.M",
        "assert P(1) is p is P.M and p.d=='a' and p.up=='A' and [m.name for m in P]==['M','E']",
    ),
    Probe(
        "enum_auto",
        "import enum\nclass E(str, enum.Enum):\n    def _generate_next_value_(n,s,c,l): return n.lower()\n    A=enum.auto()\ne=E.A",
        "assert e=='a' and E('a') is e",
    ),
    Probe(
        "enum_unhash",
        "import enum\nclass E(enum.Enum):\n    A=[1]\n    B={}\ne=E.A\n----\ne.value.append(2)",
        "assert E.A.value==[1,2] and e is E.A",
    ),
]

if find_spec("msgspec") is not None:  # with it (it is in the extra `test`), so are its classes
    PROBES.append(
        Probe(
            "structs",
            """
import msgspec
class Base(msgspec.Struct, frozen=True, order=True):
    key: tuple
    n: int = 3
class Sub(Base, rename='upper'):
    more_: str = 'e'
class Job(msgspec.Struct, tag='job', kw_only=True, dict=True):
    a: int
    rows: list = msgspec.field(default_factory=list)
    def total(self): return self.a + len(self.rows)
job = Job(a=1); job.note = rows = job.rows; sub = Sub((1,)); base = Base((0,))
----
rows.append(1)
""",
            """
rows.append(2); assert job.rows == [1, 2] and job.note is rows and job.total() == 3 and type(job) is Job and base < Base((1,)) and isinstance(sub, Base)
assert msgspec.json.encode(sub) == b'{"key":[1],"n":3,"MORE_":"e"}' and msgspec.json.decode(b'{"type":"job","a":4}', type=Job).rows == []
try: base.n = 5
except AttributeError: pass
else: assert False
""",
        )
    )
