"""What notebooks do with all of it: agents, observers, records, parsers."""

from tests.probes import ITERTOOLS_KNOW, Probe

PROBES = [
    Probe(
        "agent_gen",
        "history=[]\nclass Agent:\n    def __init__(self): self.mem={'n':0}\n    def run(self):\n        while True:\n            self.mem['n']+=1; history.append(self.mem['n']); yield self.mem\nag=Agent(); it=ag.run(); next(it)\n----\nnext(it)\n----\nfor _ in range(2): next(it)",
        "assert ag.mem=={'n':4} and history==[1,2,3,4], (ag.mem, history)",
        "suspended code",
    ),
    Probe(
        "agent_gen_in_obj",
        "class S: pass\ns=S(); s.rows=[]\ndef g(r):\n    while True: r.append(1); yield\ns.it=g(s.rows); alias=s.rows\n----\nnext(s.it)\n----\nnext(s.it)",
        "assert s.rows is alias and alias==[1,1]",
        "suspended code",
    ),
    Probe(
        "gen_expr",
        "src=[1,2,3]; ge=(src.append(x) or x for x in [9,8,7]); next(ge)\n----\nnext(ge)",
        "assert src==[1,2,3,9,8], src",
        "suspended code",
    ),
    Probe(
        "gen_closure",
        "def mk():\n    st={'n':0}\n    def g():\n        while True: st['n']+=1; yield st\n    return g(), st\ng,st=mk(); next(g)\n----\nnext(g)",
        "assert st['n']==2",
        "suspended code",
    ),
    Probe(
        "gen_nested",
        "def inner(r):\n    while True: r.append('i'); yield\ndef outer(r): yield from inner(r)\nrows=[]; g=outer(rows); next(g)\n----\nnext(g)",
        "assert rows==['i','i']",
        "suspended code",
    ),
    Probe(
        "map_filter",
        "rows=[]\nm=map(rows.append,[1,2,3]); next(m)\n----\nnext(m)\n----\nz=zip(m,[1])",
        "assert rows==[1,2]",
    ),
    Probe(
        "itertools_shared",
        "import itertools\nrows=[1,2]; c=itertools.chain(rows,[5]); cyc=itertools.cycle(rows); acc=itertools.accumulate(rows); next(c)\n----\nrows.append(3)",
        "assert list(c)==[2,3,5] and next(cyc)==1" if ITERTOOLS_KNOW else "assert rows == [1, 2, 3]",
        "" if ITERTOOLS_KNOW else "itertools.chain) was not kept",
    ),
    Probe(
        "closure_cb",
        "cbs=[]\ndef on(f): cbs.append(f); return f\nseen=[]\n@on\ndef h(x): seen.append(x)\n----\nfor f in cbs: f(1)",
        "assert seen==[1] and cbs[0] is h",
    ),
    Probe(
        "contextlib",
        "import contextlib\nst=contextlib.ExitStack(); log=[]; st.callback(log.append,1)",
        "st.close(); assert log==[1]",
    ),
    Probe(
        "descr_weakkey",
        "import weakref\nclass D:\n    def __init__(self): self.data=weakref.WeakKeyDictionary()\n    def __get__(self,o,t=None): return self if o is None else self.data.get(o)\n    def __set__(self,o,v): self.data[o]=v\nclass A: x=D()\na=A(); a.x=[5]\n----\na.x.append(6)",
        "assert a.x==[5,6]",
    ),
    Probe(
        "weak_class",
        "import weakref\nclass A: pass\nr=weakref.ref(A); s=weakref.WeakSet([A]); v=weakref.WeakValueDictionary(A=A)",
        "assert r() is A and A in s and v['A'] is A",
    ),
    Probe(
        "weak_self",
        "import weakref\nclass N:\n    def __init__(self): self.me=weakref.ref(self); self.kids=weakref.WeakSet()\nn=N(); k=N(); n.kids.add(k)\n----\nk.v=1",
        "assert n.me() is n and k in n.kids and list(n.kids)[0].v==1",
    ),
    Probe(
        "observer",
        "import weakref\nclass Subj:\n    def __init__(self): self.obs=[]\n    def attach(self,m): self.obs.append(weakref.WeakMethod(m))\n    def fire(self,x):\n        for o in self.obs: o()(x)\nclass Obs:\n    def __init__(self): self.got=[]\n    def on(self,x): self.got.append(x)\ns=Subj(); o=Obs(); s.attach(o.on); s.fire(1)\n----\ns.fire(2)",
        "s.fire(3); assert o.got==[1,2,3]",
    ),
    Probe(
        "partial_obj",
        "import functools\nclass A: n=0\na=A(); p=functools.partial(setattr,a,'n')\n----\np(5)",
        "p(6); assert a.n==6",
    ),
    Probe(
        "setattr_bound",
        "class A: pass\na=A(); s=a.__setattr__; d=a.__dict__; u=d.update\n----\nu(x=1); s('y',2)",
        "u(z=3); assert a.x==1 and a.y==2 and a.z==3",
    ),
    Probe(
        "dict_of_obj",
        "class A: pass\na=A(); a.w=0; d=vars(a)\n----\nd['x']=1",
        "d['y']=2; assert a.x==1 and a.y==2",
    ),
    Probe(
        "mappingproxy_cls",
        "class A: x=[1]\nm=A.__dict__; p=vars(A)['x']",
        "assert m['x'] is A.x is p",
    ),
    Probe(
        "prop_set",
        "class T:\n    def __init__(self): self._v=[]\n    @property\n    def v(self): return self._v\nt=T(); fget=T.v.fget; get=t.__class__.v.__get__\n----\nget(t).append(1)",
        "assert t.v==[1] and fget(t) is t.v",
    ),
    Probe(
        "staticm",
        "class T:\n    log=[]\n    @staticmethod\n    def s(x): T.log.append(x)\n    @classmethod\n    def c(cls,x): cls.log.append(x)\nf=T.s; g=T.c\n----\nf(1); g(2)",
        "f(3); g(4); assert T.log==[1,2,3,4] and f is T.s",
    ),
    Probe(
        "method_of_sub",
        "class B(list):\n    def push(self,x): self.append(x)\nb=B(); p=b.push; q=super(B,b).append\n----\np(1); q(2)",
        "p(3); q(4); assert b==[1,2,3,4]",
    ),
    Probe(
        "coll_abc",
        "import collections\ncm=collections.ChainMap({}, {'a':1}); first=cm.maps[0]; ud=collections.UserDict(x=1); data=ud.data\n----\ncm['b']=2; ud['y']=3",
        "assert first=={'b':2} and data=={'x':1,'y':3}; first['c']=1; assert cm['c']==1",
    ),
    Probe(
        "deque_rot",
        "import collections\nd=collections.deque([1,2,3],maxlen=3); a=d.append; r=d.rotate; it=iter(d)\n----\na(4); r(1)",
        "assert list(d)==[4,2,3]; a(5); assert list(d)==[2,3,5]",
    ),
    Probe(
        "heap",
        "import heapq, bisect\nh=[3,1]; heapq.heapify(h); push=heapq.heappush\n----\npush(h,0)",
        "assert h[0]==0",
    ),
    Probe(
        "bytesio_alias",
        "import io\nb=io.BytesIO(); w=b.write\n----\nw(b'abc')",
        "w(b'd'); assert b.getvalue()==b'abcd'",
    ),
    Probe(
        "stringio",
        "import io, sys\ns=io.StringIO(); pr=s.write\n----\nprint('hi',file=s); pr('x')",
        "assert s.getvalue()=='hi\\nx'; pr('y'); assert s.getvalue().endswith('xy')",
    ),
    Probe(
        "logging_h",
        "import logging\nrecs=[]\nclass H(logging.Handler):\n    def emit(self,r): recs.append(r.getMessage())\nh=H(); lg=logging.Logger('x'); lg.addHandler(h); lg.warning('a')\n----\nlg.warning('b')",
        "assert recs==['a','b']",
    ),
    Probe(
        "np_iter_rows",
        "import numpy as np\nm=np.zeros((2,2)); rows=list(m); r0,r1=m\n----\nr0[0]=1; rows[1][1]=2",
        "assert m[0,0]==1 and m[1,1]==2; r1[0]=9; assert rows[1][0]==9",
    ),
    Probe(
        "np_struct_sub",
        "import numpy as np\na=np.zeros(2,[('pos','f8',(2,)),('id','i4')]); p=a['pos']; r=a[0]; q=r['pos']\n----\np[0,1]=3; q[0]=4",
        "q[1]=5; assert a[0]['pos'][0]==4 and a[0]['pos'][1]==5 and p[0,1]==5",
    ),
    Probe(
        "np_ma_rec",
        "import numpy as np\nm=np.ma.array([1,2,3],mask=[1,0,0]); m2=m.view(); h=m.harden_mask(); f=m.filled\n----\nm2[1]=20",
        "assert m[1]==20; m.data[2]=9; assert m2[2]==9",
    ),
    Probe(
        "np_ma_fill",
        "import numpy as np\nm=np.ma.array([1.,2.],mask=[0,1],fill_value=-9); k=np.ma.masked; s=m[1]",
        "assert m.fill_value==-9 and s is np.ma.masked and k is s and list(m.filled())==[1,-9]",
    ),
    Probe(
        "np_char",
        "import numpy as np\na=np.array(['ab','cd']); v=a.view('U1'); c=np.char.array(['x','y'])\n----\nv[0]='z'",
        "v[1]='q'; assert a[0]=='zq' and c[0]=='x'",
    ),
    Probe(
        "np_memmap",
        "import numpy as np\nimport tempfile\nfn=tempfile.mktemp(); mm=np.memmap(fn,'f8','w+',shape=(4,)); v=mm[1:]\n----\nmm[0]=1; v[0]=2; mm.flush()",
        "assert mm[0]==1 and v[0]==2; v[1]=5; assert mm[2]==5",
    ),
    Probe(
        "np_subclass_view",
        "import numpy as np\nclass U(np.ndarray):\n    def __array_finalize__(self,o): self.unit=getattr(o,'unit',None)\nu=np.arange(4.).view(U); u.unit='m'; w=u[1:]; base=u.base\n----\nw[0]=9",
        "assert u[1]==9 and base[1]==9 and w.unit=='m' and type(w) is U; base[2]=7; assert w[1]==7",
    ),
    Probe(
        "np_bool_mask",
        "import numpy as np\nm=np.ma.masked_invalid(np.array([1.,np.nan])); msk=np.ma.getmask(m)\n----\nmsk[0]=True",
        "assert m.mask[0]",
    ),
    Probe(
        "pd_obj",
        "import numpy as np\nimport pandas as pd\nr=[1]; df=pd.DataFrame({'o':[r,None]}); s=df['o']\n----\ndf['o'][0].append(2)",
        "assert df['o'][0] is r and r==[1,2] and s[0] is r",
    ),
    Probe(
        "pd_attrs",
        "import pandas as pd\ndf=pd.DataFrame({'x':[1]}); meta={'src':'a'}; df.attrs=meta; df.attrs['k']=[1]",
        "assert df.attrs['k']==[1] and df.attrs['src']=='a'",
    ),
    Probe(
        "pd_acc",
        "import numpy as np\nimport pandas as pd\nc=pd.Categorical(['a','b']); codes=c.codes; s=pd.Series(c); r=pd.Series(pd.array([1,None],dtype='Int64')); d=r.array\n----\nd[0]=9",
        "assert r[0]==9",
    ),
    Probe(
        "sp_lil",
        "import numpy as np\nimport scipy.sparse as sp\nm=sp.lil_matrix((2,2)); rows=m.rows; d=sp.dok_matrix((2,2)); c=sp.coo_matrix(np.eye(2)); t=c.data\n----\nt[0]=5",
        "t[1]=6; assert c.toarray()[0,0]==5 and c.toarray()[1,1]==6",
    ),
    Probe(
        "nx",
        "import networkx as nx\ng=nx.path_graph(3); adj=g.adj; nodes=g.nodes; e=g[0]; sub=g.subgraph([0,1])\n----\ng.add_edge(0,2); nodes[0]['k']=[1]",
        "assert 2 in adj[0] and g.nodes[0]['k']==[1] and 2 in e and sub.nodes[0]['k']==[1]\ng.nodes[1]['z']=1; assert nodes[1]['z']==1 and sub.nodes[1]['z']==1",
    ),
    Probe(
        "sympy",
        "import sympy\nx=sympy.Symbol('x'); y=x**2; d=sympy.Dummy('q'); e=d+1; M=sympy.Matrix([[x]]); f=sympy.Function('f')\n----\nM[0,0]=5",
        "assert y.subs(x,2)==4 and M[0,0]==5 and d in e.free_symbols and x is sympy.Symbol('x')",
    ),
    Probe(
        "pydantic",
        "import pydantic\nclass M(pydantic.BaseModel):\n    rows: list[int]=[]\n    _p: dict=pydantic.PrivateAttr(default_factory=dict)\nm=M(rows=[1]); m._p['k']=[2]; r=m.rows; p=m._p\n----\nr.append(2); p['z']=1",
        "assert m.rows is r and r==[1,2] and m._p is p and p=={'k':[2],'z':1} and isinstance(m,M) and M.model_fields['rows']",
    ),
    Probe(
        "attrs_slots",
        "import attrs\n@attrs.define\nclass A:\n    x: list = attrs.field(factory=list)\n    y: 'A|None' = None\na=A(); b=A(y=a); r=a.x\n----\nr.append(1)",
        "assert b.y is a and a.x is r==[1] or r==[1]; assert A()==A()",
    ),
    Probe(
        "dc_cls",
        "import dataclasses\n@dataclasses.dataclass(eq=False, slots=True, weakref_slot=True)\nclass A:\n    x: int=0\n    kids: list=dataclasses.field(default_factory=list)\nimport weakref\na=A(); r=weakref.ref(a); s={a:1}",
        "assert r() is a and s[a]==1 and dataclasses.fields(A)[0].default==0 and dataclasses.fields(A)[1].default is dataclasses.MISSING",
    ),
    Probe(
        "td_field_missing",
        "import dataclasses\n@dataclasses.dataclass\nclass A:\n    x: int\n    y: list = dataclasses.field(default_factory=list)\nf=dataclasses.fields(A)",
        "assert f[0].default is dataclasses.MISSING and f[1].default_factory is list\n@dataclasses.dataclass\nclass B(A):\n    z: int = 3\nassert B(1).y==[] and dataclasses.replace(B(1),x=2).x==2",
    ),
    Probe(
        "inspect_sig",
        "import inspect\ndef f(a,b=1): pass\ns=inspect.signature(f); p=s.parameters['a']",
        "assert p.default is inspect.Parameter.empty and s.bind(1).arguments=={'a':1} and str(s)=='(a, b=1)'",
    ),
    Probe(
        "mock",
        "from unittest import mock\nm=mock.Mock(return_value=3); m(1); c=m.mock_calls; m.a.b.return_value=[1]; d=mock.DEFAULT; x=[mock.sentinel.foo, mock.ANY]",
        "assert m(2)==3 and m.a.b()==[1] and x[0] is mock.sentinel.foo and d is mock.DEFAULT",
    ),
    Probe(
        "ast",
        "import ast, types\nt=ast.parse('x=1'); b=t.body; code=compile('y=2','f','exec')\n----\nb[0].targets[0].id='z'",
        "assert t.body[0].targets[0].id=='z'; exec(code, g:={}); assert g['y']==2",
    ),
    Probe(
        "etree_idx",
        "import xml.etree.ElementTree as ET\nroot=ET.fromstring('<a><b x=\"1\"/></a>'); b=root.find('b'); at=b.attrib; tree=ET.ElementTree(root)\n----\nat['y']='2'",
        "assert root[0].get('y')=='2' and tree.getroot() is root",
    ),
    Probe(
        "email",
        "import email.message\nm=email.message.EmailMessage(); m['Subject']='x'; m.set_content('hi')\n----\nm['To']='a@b'",
        "assert m['Subject']=='x' and m['To']=='a@b' and 'hi' in m.get_content()",
    ),
    Probe(
        "configp",
        "import configparser\nc=configparser.ConfigParser(); c['a']={'x':'1'}; s=c['a']\n----\ns['y']='2'",
        "assert c['a']['y']=='2' and c.get('a','x')=='1'; s['z']='3'; assert c['a']['z']=='3'",
    ),
    Probe(
        "graphlib",
        "import graphlib, fractions, decimal, statistics\nt=graphlib.TopologicalSorter({'a':['b']}); ctx=decimal.getcontext().copy(); ctx.prec=5; nd=statistics.NormalDist(1,2)",
        "assert list(t.static_order())==['b','a'] and ctx.prec==5 and nd.mean==1",
    ),
    Probe(
        "sched",
        "import sched, time\nlog=[]\ns=sched.scheduler(time.time,time.sleep); s.enter(0,1,log.append,(1,))",
        "s.run(); assert log==[1]",
    ),
    Probe(
        "typevar",
        "import typing\nT=typing.TypeVar('T')\nclass G(typing.Generic[T]): pass\nG2=G[T]; ann=typing.Annotated[int,'x']; L=typing.Literal['a']",
        "assert G2.__args__[0] is T and G.__parameters__==(T,)",
    ),
    Probe(
        "newtype",
        "import typing\nU=typing.NewType('U',int); class_d={'k':U}",
        "assert class_d['k'] is U and U(3)==3",
    ),
    Probe(
        "class_closure",
        "def mk():\n    reg=[]\n    class C:\n        def __init__(self): reg.append(self)\n    return C, reg\nC,reg=mk(); c=C()\n----\nd=C()",
        "assert reg==[c,d] and reg[0] is c; C(); assert len(reg)==3",
    ),
    Probe(
        "nested_class",
        "class O:\n    class I:\n        n=0\n    def mk(self): return self.I()\no=O(); i=o.mk()\n----\nO.I.n=5",
        "assert type(i) is O.I and i.n==5 and type(o.mk()) is type(i)",
    ),
    Probe(
        "class_getattr",
        "class M(type):\n    def __getattr__(c,n): return n\nclass A(metaclass=M): pass\nclass C:\n    def __class_getitem__(c,k): return (c,k)\nx=C[1]",
        "assert A.foo=='foo' and x[0] is C",
    ),
    Probe(
        "mro_entries",
        "class P:\n    def __mro_entries__(self,b): return (dict,)\np=P()\nclass A(p): pass\na=A(x=1)",
        "assert a=={'x':1} and isinstance(a,dict) and A.__orig_bases__==(p,)",
    ),
    Probe(
        "class_cell",
        "class A:\n    def f(self): return __class__\nclass B(A):\n    def f(self): return super().f(), __class__\nb=B()",
        "assert b.f()==(A,B)",
    ),
    Probe(
        "meta_slots",
        "class Meta(type):\n    def __setattr__(c,n,v): Meta.log.append(n); super().__setattr__(n,v)\n    log=[]\nclass A(metaclass=Meta):\n    __slots__=('x',)\n    y=5\na=A(); a.x=1\nA.y=6",
        "assert Meta.log==['y'] and a.x==1 and A.y==6 and not hasattr(a,'__dict__'), Meta.log",
    ),
    Probe(
        "meta_abc",
        "import abc\nclass Meta(abc.ABCMeta):\n    made=[]\n    def __new__(m,n,b,d,**k): c=super().__new__(m,n,b,d); m.made.append(n); return c\nclass A(metaclass=Meta):\n    @abc.abstractmethod\n    def f(self): ...\nclass B(A):\n    def f(self): return 1\nb=B(); A.register(int)",
        "assert Meta.made==['A','B'] and isinstance(b,A) and isinstance(3,A)\ntry: A(); raise SystemExit\nexcept TypeError: pass",
    ),
    Probe(
        "meta_lib",
        "import string\nclass T(string.Template):\n    delimiter='%'\nt=T('%a'); import enum\nclass M(enum.EnumMeta): pass\nclass E(enum.Enum, metaclass=M):\n    A=1\ne=E.A",
        "assert t.substitute(a=1)=='1' and e is E.A and type(E) is M",
    ),
    Probe(
        "final_names",
        "import weakref, gc\nclass R:\n    def __del__(self): dead.append(1)\ndead=[]\nr=R(); keep=[r]",
        "assert dead==[] and keep[0] is r",
    ),
    Probe(
        "poly1",
        "import numpy as np\np=np.poly1d([1,2]); c=p.coeffs\n----\nc[0]=5",
        "assert p.coeffs is c; assert p(1)==7",
    ),
    Probe(
        "tmpl",
        "import string\nclass T(string.Template):\n    delimiter='%'\nt=T('%a')",
        "assert t.substitute(a=1)=='1'",
    ),
    Probe(
        "enum_meta",
        "import enum\nclass M(enum.EnumMeta):\n    def __call__(c,*a,**k): return super().__call__(*a,**k)\n    def extra(c): return len(c)\nclass E(enum.Enum, metaclass=M):\n    A=1\n    B=1\ne=E.A",
        "assert e is E.A and type(E) is M and E.extra()==1 and E.B is e",
    ),
    Probe(
        "nan_partial",
        "import functools\na=float('nan'); c=[a]; p=functools.partial(max, a); t=(a,); d={'k':a}; s={a}; o=type('X',(),{})\n",
        "assert c[0] is a and p.args[0] is a and t[0] is a and d['k'] is a and a in s",
    ),
    Probe(
        "log_reads",
        "recs=[]\nimport logging\nclass H(logging.Handler):\n    def emit(self,r): recs.append(r.getMessage())\nlg=logging.getLogger('probe.x'); lg.addHandler(H()); lg.warning('a')\n----\nlg.warning('b')",
        "assert recs==['a','b']",
    ),
    Probe(
        "meta_slots2",
        "class Meta(type):\n    def __setattr__(c,n,v): Meta.log.append(n); super().__setattr__(n,v)\n    log=[]\nclass A(metaclass=Meta):\n    __slots__=('x','__p')\n    y=5\na=A(); a.x=1; a._A__p=3\n----\nA.y=6\n----\nb=A()",
        "assert Meta.log==['y'] and a.x==1 and a._A__p==3 and A.y==6, Meta.log",
    ),
    Probe(
        "plotly_tr",
        "import plotly.graph_objects as go\nfig=go.Figure(go.Scatter(y=[1,2])); tr=fig.data[0]; lay=fig.layout\n----\ntr.name='x'; lay.title.text='T'",
        "assert fig.data[0].name=='x' and fig.layout.title.text=='T'\ntr.name='z'; assert fig.data[0].name=='z', fig.data[0].name",
    ),
    Probe(
        "plotly_tr2",
        "import plotly.graph_objects as go\nfig=go.Figure(go.Scatter(y=[1,2])); tr=fig.data[0]\n----\ntr.y=[5,6]",
        "assert fig.data[0].y==(5,6), fig.data[0].y",
    ),
    Probe(
        "mpl_art",
        "import matplotlib; matplotlib.use('agg')\nimport matplotlib.pyplot as plt\nfig,ax=plt.subplots(); (line,)=ax.plot([1,2,3]); xs=line.get_ydata()\n----\nline.set_label('x')",
        "assert ax.lines[0] is line and line.get_label()=='x' and line.figure is fig",
    ),
    Probe(
        "traitlets",
        "import traitlets\nlog=[]\nclass T(traitlets.HasTraits):\n    x=traitlets.Int(0)\nt=T(); t.observe(lambda ch: log.append(ch['new']),'x'); t.x=1\n----\nt.x=2",
        "assert log==[1,2] and t.x==2, log; t.x=3; assert log==[1,2,3], log",
    ),
    Probe(
        "sk_pipe",
        "from sklearn.linear_model import LinearRegression\nm=LinearRegression().fit([[1],[2]],[1,2]); c=m.coef_\n----\nc[0]=5",
        "assert m.coef_[0]==5 and m.coef_ is c",
    ),
    Probe(
        "xr",
        "import xarray as xr, numpy as np\na=np.arange(3.); d=xr.DataArray(a,dims='x'); v=d.values\n----\na[0]=5",
        "assert float(d[0])==5; v[1]=6; assert a[1]==6",
    ),
    Probe(
        "thread_target",
        "import threading\nrows=[]\nt=threading.Thread(target=rows.append,args=(1,))\n----\nt.start(); t.join()",
        "assert rows==[1]",
        "a running thread",
    ),
    Probe(
        "future",
        "import concurrent.futures as cf\nrows=[]\nf=cf.Future(); f.add_done_callback(lambda f: rows.append(1))\n----\nf.set_result(2)",
        "assert rows==[1]",
        "a future that is not done",
    ),
    Probe(
        "local_t",
        "import threading\nclass L(threading.local):\n    def __init__(self): self.rows=[]\nl=L(); r=l.rows\n----\nl.rows.append(1)",
        "assert r==[1]",
    ),
    Probe(
        "ctx_run",
        "import contextvars\nrows=[]\nv=contextvars.ContextVar('v'); v.set(rows); ctx=contextvars.copy_context()\n----\nctx.run(lambda: v.get().append(1))",
        "assert rows==[1]",
        "cannot be serialised",
    ),
    Probe(
        "async_q",
        "import asyncio\nq=asyncio.Queue(); rows=[]; q.put_nowait(rows)\n----\nq.get_nowait().append(5)",
        "assert rows==[5]",
    ),
    Probe(
        "atexit_",
        "import atexit\nrows=[]; f=atexit.register(rows.append,1)",
        "assert f.__self__ is rows",
        "atexit.register(append)",
    ),
    Probe(
        "csv_reader",
        "import csv\nsrc=['a,b','c,d']; r=csv.reader(src); next(r)\n----\nnext(r)",
        "assert src==['a,b','c,d']",
        "cannot be serialised",
    ),
    Probe("zipimp", "import zlib\nc=zlib.compressobj(); d=c.copy()", "", "cannot be serialised"),
    Probe(
        "dictview",
        "d={'a':1}; it=d.items(); k=d.keys(); v=d.values(); rev=reversed(d)\n----\nd['b']=2",
        "assert ('b',2) in it and 'b' in k and 2 in v",
        "dictionary changed size",
    ),
    Probe(
        "np_memory_pd",
        "import numpy as np\nimport pandas as pd\na=np.arange(6.).reshape(3,2); df=pd.DataFrame(a,copy=False); s=df[0]; m=np.ma.masked_array(a)\n----\na[0,0]=9",
        "assert df.iloc[0,0]==9 and m[0,0]==9; a[1,0]=7; assert m[1,0]==7 and df.iloc[1,0]==7",
    ),
    Probe(
        "np_random",
        "import numpy as np\ng=np.random.default_rng(3); s=g.spawn(1)[0]; rs=np.random.RandomState(2); f=rs.rand\n----\nf()",
        "r=np.random.RandomState(2); r.rand(); assert rs.rand()==r.rand(); assert f()==r.rand()",
    ),
    Probe(
        "np_ufunc_at",
        "import numpy as np\na=np.zeros(3); at=np.add.at; put=a.put; fill=a.fill; it=np.nditer(a,op_flags=['readwrite'])\n----\nput([0],5)",
        "fill(3); assert a[0]==3",
        "cannot be serialised",
    ),
]
