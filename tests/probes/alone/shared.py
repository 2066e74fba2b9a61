"""What classes, instances and modules share in ways that their pickles do not say."""

from tests.probes import Probe

PROBES = [
    Probe(
        "a class and an instance of its subclass share a list",
        "l=[]\nclass A: z=l\nclass B(A): pass\nb=B(); b.q=l",
        "assert A.z is b.q is l and type(b) is B and B.__mro__[1] is A",
    ),
    Probe(
        "the same, made one by one",
        "l=[]\nclass A: z=l\n----\nclass B(A): pass\n----\nclass C(B): pass\n----\nc=C(); c.q=A.z\n----\nc.q.append(1)",
        "assert A.z is c.q is l and l==[1] and type(c) is C and C.__mro__[1:3]==(B,A)",
    ),
    Probe(
        "a metaclass and an object of its class share a dict",
        "class M(type): reg={}\nclass A(metaclass=M): pass\na=A(); a.r=M.reg\n----\nM.reg['k']=a",
        "assert a.r is M.reg and M.reg['k'] is a and type(A) is M and type(a) is A",
    ),
    Probe(
        "attributes that a base has, too",
        "class A: v=False; w=None; l=[]\nclass B(A): v=False; w=None; l=A.l",
        "A.v=True; A.w=1; assert B.v is False and B.w is None and 'l' in vars(B) and B.l is A.l",
    ),
    Probe(
        "slots as a base has them",
        "class A: __slots__=()\nclass B(A): __slots__=()\nb=B()",
        "assert not hasattr(b,'__dict__') and B.__slots__==()",
    ),
    Probe(
        "methods that a base has, too",
        "class A:\n    def f(self): return 1\n    g=f\nclass B(A): f=A.f",
        "A.f=lambda self: 2; assert B().f()==1 and A().f()==2 and A().g()==1",
    ),
    Probe(
        "classes of a namespace of exec",
        "ns={}\nexec('''\nclass A: __slots__=('x',)\nclass S:\n    reg=[]\n    def __init_subclass__(c): S.reg.append(c.__name__)\nclass T(S): pass\n''', ns)\n"
        "a=ns['A'](); a.x=1; t=ns['T']()",
        "assert not hasattr(a,'__dict__') and a.x==1 and ns['S'].reg==['T'] and type(t) is ns['T']",
    ),
    Probe(
        "a dict that is its own attributes",
        "class Bag(dict):\n    def __init__(self,**k): super().__init__(**k); self.__dict__=self\na=Bag(x=1); a.y=Bag(z=2)\n----\na.y.w=5",
        "a.q=7; a['y']['n']=8; assert a['q']==7 and a.y.n==8 and a['y']['w']==5 and a.__dict__ is a, a",
    ),
    Probe(
        "attributes that all objects of a class have",
        "class Borg:\n    _s={}\n    def __init__(self): self.__dict__=Borg._s\na=Borg(); a.x=[1]; b=Borg()\n----\nb.y=a.x",
        "a.z=3; assert b.z==3 and a.y is b.x and vars(a) is Borg._s",
    ),
    Probe(
        "attributes in a container",
        "class A: pass\na=A(); a.x=1; h={'d': vars(a)}; i=[a.__dict__.items()]\n----\nh['d']['y']=2",
        "a.z=3; h['d']['w']=4; assert h['d']['z']==3 and a.w==4 and a.y==2 and len(i[0])==4",
    ),
    Probe(
        "attributes in an object itself",
        "class A:\n    def __init__(self): self.view=self.__dict__\na=A()\n----\na.more=1",
        "a.view['k']=2; assert a.k==2 and a.view is vars(a) and a.more==1",
    ),
    Probe(
        "attributes beside slots",
        "class A: __slots__=('s','__dict__')\na=A(); a.s=1; a.x=2; h=[vars(a)]\n----\na.y=3",
        "h[0]['k']=4; assert a.k==4 and h[0]['y']==3 and a.s==1",
    ),
    Probe(
        "attributes of an object that puts in none itself",
        "class A:\n    def __setattr__(self,n,v): raise TypeError\n    def __getattr__(self,n): raise AttributeError(n)\na=A(); vars(a)['x']=1; h=[vars(a)]",
        "h[0]['k']=4; assert a.k==4 and a.x==1",
    ),
    Probe(
        "attributes of an object that has none yet",
        "class A: pass\na=A(); h=[vars(a)]\nclass B(list): pass\nb=B([1]); h.append(b.__dict__)",
        "h[0]['k']=4; h[1]['l']=5; assert a.k==4 and b.l==5 and b==[1]",
    ),
    Probe(
        "attributes of a list that takes no items itself",
        "class A(list):\n    def append(self,x): raise TypeError\na=A([1,2]); a.x=1; h=[vars(a)]",
        "h[0]['k']=4; assert a.k==4 and a.x==1 and list(a)==[1,2]",
    ),
    Probe(
        "attributes of a function",
        "def f(): pass\nf.a=1; h=[f.__dict__]; d=f.__dict__\n----\nf.b=2",
        "h[0]['c']=3; assert f.c==3 and d['b']==2 and h[0] is d is f.__dict__",
    ),
    Probe(
        "the context of decimal arithmetic",
        "import decimal\nc=decimal.getcontext(); o=decimal.Context(prec=3)\n----\nc.prec=7; decimal.Decimal(1)/3",
        "assert c is decimal.getcontext() and c.prec==7 and o.prec==3 and c.flags[decimal.Inexact]\n"
        "c.prec=5; assert str(decimal.Decimal(1)/3)=='0.33333'",
    ),
    Probe(
        "memory of multiprocessing",
        "from multiprocessing import shared_memory\nm=shared_memory.SharedMemory(create=True,size=8); m.unlink()",
        refuses="memory that goes away with its kernel",
    ),
]  # fmt: skip
