"""What is reached through an object that hides it."""

from tests.probes import ITERTOOLS_KNOW, Probe

PROBES = [
    Probe(
        "bound_builtin",
        "rows=[1]; add=rows.append; d={}; put=d.__setitem__; get=d.get; s=set(); sadd=s.add; import collections; dq=collections.deque(); dadd=dq.append",
        "add(2); put('a',1); sadd(5); dadd(1); assert rows==[1,2] and d=={'a':1} and get('a')==1 and s=={5} and list(dq)==[1]",
    ),
    Probe(
        "bound_builtin_later",
        "rows=[1]; add=rows.append\n----\nadd(2)\n----\nadd(3)",
        "add(4); assert rows==[1,2,3,4], rows",
    ),
    Probe(
        "bound_alone",
        "add=[].append\nadd(1)\n----\nadd(2)",
        "assert add.__self__==[1,2]; add(3); assert add.__self__==[1,2,3]",
    ),
    Probe(
        "bound_str",
        "up='abc'.upper; cnt='aab'.count; jn=', '.join; fmt='{}'.format",
        "assert up()=='ABC' and cnt('a')==2 and jn(['a','b'])=='a, b' and fmt(3)=='3'",
    ),
    Probe(
        "bound_slot",
        "rows=[1,2]; g=rows.__getitem__; ln=rows.__len__; it=rows.__iter__",
        "rows.append(3); assert ln()==3 and g(2)==3",
    ),
    Probe(
        "gen_reaches",
        "rows=[]\ndef gen():\n    while True:\n        rows.append(len(rows)); yield rows\ng=gen(); next(g)",
        "assert rows==[0]",
        "suspended code",
    ),
    Probe(
        "gen_reaches2",
        "def gen(rows):\n    while True:\n        rows.append(len(rows)); yield rows\nrows=[]\ng=gen(rows); next(g)\n----\nnext(g)\n----\nnext(g)",
        "assert rows==[0,1,2], rows",
        "suspended code",
    ),
    Probe(
        "gen_state_only",
        "def agent():\n    memory=[]\n    while True:\n        x = yield memory\n        memory.append(x)\na=agent(); mem=next(a); a.send(1)\n----\na.send(2)",
        "assert mem==[1,2], mem",
        "suspended code",
    ),
    Probe(
        "coro_reaches",
        "rows=[]\nasync def f(r): r.append(1)\nc=f(rows)\n----\ntry: c.send(None)\nexcept StopIteration: pass",
        "assert rows==[1], rows",
        "suspended code",
    ),
    Probe(
        "wref",
        "import weakref\nclass N: pass\nn=N(); r=weakref.ref(n); p=weakref.proxy(n); n.x=1",
        "assert r() is n and p.x==1",
    ),
    Probe(
        "wref_dead",
        "import weakref\nclass N: pass\nr=weakref.ref(N())",
        "assert r() is None",
    ),
    Probe(
        "wref_other",
        "import weakref\nclass N: pass\nn=N()\n----\nr=weakref.ref(n); d={'r': r}\n----\nn.x=2",
        "assert r() is n and n.x==2 and d['r'] is r",
    ),
    Probe(
        "wref_container",
        "import weakref\nclass N: pass\nkeep=[N()]; r=weakref.ref(keep[0])\n----\nkeep[0].x=2",
        "assert r() is keep[0] and r().x==2",
    ),
    Probe(
        "wref_later_gone",
        "import weakref\nclass N: pass\nn=N(); r=weakref.ref(n)\n----\ndel n",
        "import gc; gc.collect(); assert r() is None, r",
    ),
    Probe(
        "wvd",
        "import weakref\nclass N: pass\nn=N(); w=weakref.WeakValueDictionary(a=n); k=weakref.WeakKeyDictionary({n:[1]}); s=weakref.WeakSet([n])",
        "assert w['a'] is n and k[n]==[1] and n in s",
    ),
    Probe(
        "wvd_gone",
        "import weakref\nclass N: pass\nn=N(); m=N(); w=weakref.WeakValueDictionary(a=n,b=m)\n----\ndel m",
        "assert w['a'] is n and 'b' not in w",
    ),
    Probe(
        "wmethod",
        "import weakref\nclass N:\n    def f(self): return 5\nn=N(); m=weakref.WeakMethod(n.f)",
        "assert m()()==5 and m().__self__ is n",
    ),
    Probe(
        "parent_weak",
        "import weakref\nclass Node:\n    def __init__(self,parent=None): self._p=weakref.ref(parent) if parent else None; self.kids=[]\nroot=Node(); kid=Node(root); root.kids.append(kid)\n----\nroot.name='r'",
        "assert kid._p() is root and root.kids[0] is kid and root.name=='r'",
    ),
    Probe(
        "parent_weak_only_kid",
        "import weakref\nclass Node:\n    def __init__(self,parent=None): self._p=weakref.ref(parent) if parent else None; self.kids=[]\nroot=Node(); kid=Node(root)\n----\nkid._p().name='r'",
        "assert kid._p() is root and root.name=='r'",
    ),
    Probe(
        "finalize",
        "import weakref\nlog=[]\nclass N: pass\nn=N(); f=weakref.finalize(n, log.append, 'done')",
        "",
        "a function to be called",
    ),
    Probe(
        "finalize_held_by_nobody",
        "import weakref\ngone=[]\nclass N: pass\njob={'node': N(), 'n': 1}; weakref.finalize(job['node'], gone.append, 'done') and None",
        "assert job['n'] == 1 and type(job['node']) is N and gone == []",
        "job['node'] (weakref.finalize) was not kept: it is a function to be called",
    ),
    Probe(
        "finalize_over",
        "import weakref\ngone=[]\nclass N: pass\nn=N(); f=weakref.finalize(n, print); f.detach(); del f",
        "assert type(n) is N",
    ),
    Probe(
        "ctxvar",
        "import contextvars\nv=contextvars.ContextVar('v', default=[1])\nv.set({'a':1})\nw=contextvars.ContextVar('w')",
        "assert v.get()=={'a':1} and v.name=='v' and w.name=='w'\ntry: w.get()\nexcept LookupError: pass",
    ),
    Probe(
        "ctxvar_shared",
        "import contextvars\nst={'a':1}\nv=contextvars.ContextVar('v'); v.set(st)\n----\nv.get()['b']=2",
        "assert v.get() is st and st=={'a':1,'b':2}",
    ),
    Probe(
        "ctx",
        "import contextvars\nv=contextvars.ContextVar('v'); c=contextvars.copy_context(); c.run(v.set, 5)",
        "",
        "cannot be serialised",
    ),
    Probe(
        "opgetter",
        "import operator, functools\nclass C:\n    def __init__(self): self.rows=[]\n    def f(self,x): self.rows.append(x)\nc=C(); g=operator.attrgetter('rows'); m=operator.methodcaller('f',5); p=functools.partial(c.f, 3)\n----\np(); m(c)",
        "p(); assert c.rows==[3,5,3] and g(c) is c.rows",
    ),
    Probe(
        "methcaller_shared",
        "import operator\narg=[1]; m=operator.methodcaller('append', arg); tgt=[]\n----\narg.append(2)",
        "m(tgt); assert tgt[0] is arg and arg==[1,2]",
    ),
    Probe(
        "partialmethod",
        "import functools\nrows=[]\np=functools.partial(rows.append)\nq=functools.partial(p, 1)\nq.note=[3]",
        "q(); assert rows==[1] and q.note==[3]",
    ),
    Probe(
        "iter_shared",
        "rows=[1,2,3]; it=iter(rows); next(it)\n----\nrows.append(4)",
        "assert list(it)==[2,3,4]",
    ),
    Probe(
        "iters",
        "rows=[1,2,3]; d={'a':1,'b':2}; e=enumerate(rows); next(e); z=zip(rows,rows); next(z); m=map(str,rows); next(m); di=iter(d); next(di); r=reversed(rows); next(r); f=filter(None,rows); next(f)\nimport itertools; n=itertools.count(5); next(n); n2=itertools.count(2**70, 3); next(n2); n3=itertools.count(1.5, -0.5); next(n3)",
        "assert next(e)==(1,2) and next(z)==(2,2) and next(m)=='2' and next(di)=='b' and next(r)==2 and next(f)==2 and next(n)==6 and next(n2)==2**70+3 and next(n3)==1.0 and next(n3)==0.5",
    ),
    Probe(
        "iters_of_itertools",
        "import itertools; rows=[1,2,3]; c=itertools.chain(rows,[9]); next(c); cy=itertools.cycle(rows); next(cy); t1,t2=itertools.tee(rows); next(t1)",
        "assert next(c)==2 and next(cy)==2 and next(t1)==2 and next(t2)==1" if ITERTOOLS_KNOW else "",
        "" if ITERTOOLS_KNOW else "itertools.cycle) was not kept",
    ),
    Probe(
        "local",
        "import threading\nt=threading.local(); t.x=[1]",
        "assert t.x == [1]",
    ),
    Probe(
        "etree",
        "import xml.etree.ElementTree as ET\nroot=ET.Element('a'); kid=ET.SubElement(root,'b'); kid.text='t'\n----\nkid.set('k','v')",
        "assert root[0] is kid and root[0].get('k')=='v'",
    ),
    Probe(
        "minidom",
        "import xml.dom.minidom as M\ndoc=M.parseString('<a><b/></a>'); b=doc.documentElement.firstChild\n----\nb.setAttribute('k','v')",
        "assert b.parentNode is doc.documentElement and doc.documentElement.firstChild is b",
    ),
    Probe(
        "simplequeue",
        "import queue\nq=queue.Queue(); q.put([1]); item=[5]; q.put(item)\n----\nitem.append(6)",
        "q.get(); assert q.get() is item and item==[5,6]",
    ),
    Probe(
        "singledispatch",
        "import functools\nlog=[]\n@functools.singledispatch\ndef f(x): return 'any'\n@f.register(int)\ndef fi(x): log.append(x); return 'int'\nf(3)",
        "assert f(1)=='int' and f('')=='any' and log==[3,1]",
    ),
    Probe(
        "property_obj",
        "class A:\n    @property\n    def x(self): return 1\np=A.x; f=A.__dict__['x'].fget",
        "assert A.x is p and A().x==1",
    ),
    Probe(
        "super_obj",
        "class A:\n    def f(self): return 'A'\nclass B(A):\n    def f(self): return 'B'\nb=B(); s=super(B,b); c=super(B,B)",
        "assert s.f()=='A' and s.__self__ is b and s.__thisclass__ is B and c.f(b)=='A'",
    ),
    Probe(
        "cell",
        "def mk():\n    n=[0]\n    def inc(): n[0]+=1; return n\n    return inc\nf=mk(); n=f()\ncell=f.__closure__[0]",
        "assert f() is n and cell.cell_contents is n",
    ),
    Probe(
        "method_desc",
        "m=list.append; s=str.upper; w=dict.__getitem__; g=type.__dict__['__mro__']; st=staticmethod(len); cl=dict.fromkeys",
        "r=[]; m(r,1); assert r==[1] and s('a')=='A' and w({'a':1},'a')==1 and cl([1])=={1:None}",
    ),
    Probe(
        "random_obj",
        "import random\nr=random.Random(5); r.random(); f=r.random\n----\nx=f()",
        "import random; t=random.Random(5); t.random(); t.random(); assert r.random()==t.random()\nassert f()==t.random()",
    ),
    Probe(
        "re_match",
        "import re\nm=re.match('(a)(b)','ab')",
        "assert m[1]=='a'",
    ),
    Probe(
        "hashobj",
        "import hashlib\nh=hashlib.sha256(b'a')",
        "",
        "cannot be serialised",
    ),
    Probe(
        "csvw",
        "import csv, io\nf=io.StringIO(); w=csv.writer(f); w.writerow([1])",
        "",
        "cannot be serialised",
    ),
    Probe(
        "struct",
        "import struct\ns=struct.Struct('>I')",
        "assert s.pack(1)==b'\\0\\0\\0\\x01'",
    ),
    Probe(
        "types_misc",
        "import types\nns=types.SimpleNamespace(a=[1]); mp=types.MappingProxyType({'a':1}); ga=list[int]; u=int|None; el=...; ni=NotImplemented; r=range(3)\nd={'x':1}; mp2=types.MappingProxyType(d)\n----\nd['y']=2",
        "assert mp2['y']==2 and ns.a==[1]",
    ),
    Probe(
        "tempname",
        "import string, textwrap, pprint\nt=string.Template('$a'); f=string.Formatter(); w=textwrap.TextWrapper(width=9)",
        "assert t.substitute(a=1)=='1' and w.width==9",
    ),
    Probe(
        "deep_lists",
        "nested = []\nfor _ in range(20_000): nested = [nested]",
        "n, at = 0, nested\nwhile at: at, n = at[0], n + 1\nassert n == 20_000",
    ),
    Probe(
        "deep_chain",
        "class Node:\n    def __init__(self, value, after): self.value, self.after = value, after\nfirst = None\nfor number in range(5_000): first = Node([number], first)\nmiddle = first.after.after.value",
        "n, at = 0, first\nwhile at is not None: assert type(at) is Node; at, n = at.after, n + 1\nassert n == 5_000 and first.after.after.value is middle",
    ),
    Probe(
        "made_with_a_path",
        "import os, tempfile, tests.probes.alone.a_library as lib\npath = os.path.join(tempfile.mkdtemp(), 'w.txt'); w = lib.Writer(path); w.stream.write('a'); w.stream.flush(); same = [w]",
        "import tests.probes.alone.a_library as lib\nassert same[0] is w and type(w) is lib.Writer and path not in lib.CALLS; w.stream.write('b'); w.stream.close(); assert open(path).read() == 'ab'",
    ),
]
