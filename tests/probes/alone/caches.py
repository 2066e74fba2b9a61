"""What ``functools`` remembers."""

from tests.probes import Probe

PROBES = [
    Probe(
        "cache_fn",
        "import functools\ncalls=[]\n@functools.cache\ndef paid(x, k=0): calls.append(x); return {'r': x}\npaid(1); paid(2, k=3)\nr = paid(1)",
        "assert paid(1) == {'r':1} and paid(2,k=3) and calls == [1,2], calls\nassert paid(1) is r\nassert paid.cache_info().currsize==2",
    ),
    Probe(
        "cache_lru",
        "import functools\nlc=[]\n@functools.lru_cache(maxsize=3, typed=True)\ndef lf(*a, **k): lc.append((a,k)); return len(lc)\nlf(1); lf(1.0); lf('a'); lf(1, z=2); lf(1.0)",
        "n=len(lc)\nassert lf(1.0)==2 and lf(1,z=2)==4 and lf('a')==3 and len(lc)==n\nassert lf(1) == 5",
    ),
    Probe(
        "cache_method",
        "import functools\nmc=[]\nclass M:\n    @functools.lru_cache(None)\n    def f(self, x): mc.append(x); return [x]\nm = M(); m.f(1); m.f(2); res = m.f(1)",
        "assert m.f(1) is res and m.f(2)==[2] and mc==[1,2], mc",
    ),
    Probe(
        "cache_static",
        "import functools\nsc=[]\nclass S:\n    @staticmethod\n    @functools.cache\n    def f(x): sc.append(x); return x\n    @classmethod\n    @functools.cache\n    def g(cls, x): sc.append(x); return x\nS.f(1); S.g(2)",
        "S.f(1); S.g(2); assert sc==[1,2], sc",
    ),
    Probe(
        "cache_after",
        "import functools\nca=[]\n@functools.cache\ndef af(x): ca.append(x); return x\n----\nz = af(5)\n----\ny = af(6)",
        "af(5); af(6); assert ca==[5,6], ca",
    ),
    Probe(
        "cache_attrs",
        "import functools\n@functools.cache\ndef g(x): return x\ng.note='hi'",
        "assert g.note=='hi' and g.__name__=='g'",
    ),
    Probe(
        "cache_bound",
        "import functools\nclass D:\n    def __init__(self): self.n=0; self.get = functools.cache(self._get)\n    def _get(self, x): self.n+=1; return x\nd=D(); d.get(1)",
        "d.get(1); assert d.n==1\nd.get(2); assert d.n==2",
    ),
    Probe(
        "cache_imported",
        "import functools, math\nc2 = functools.lru_cache(maxsize=5)(math.sqrt); c2(4.0)",
        "assert c2(4.0)==2 and c2.cache_info().hits==1",
    ),
    Probe(
        "cache_client",
        "import functools, socket\nmade=[]\n@functools.cache\ndef client(): made.append(1); return socket.socket()\n@functools.cache\ndef conf(k): made.append(k); return {'s': client(), 'k': k}\n@functools.cache\ndef data(k): made.append(k); return {'k': k}\nclient(); conf(1); data(2)",
        "data(2); assert made==[1,1,2]\nclient(); assert made==[1,1,2,1]",
    ),
    Probe(
        "cache_info",
        "import functools\n@functools.lru_cache(2)\ndef f(x): return x\nf(1); f(2); f(1); f(3); f(3)",
        "assert f.cache_info()==(2,3,2,2), f.cache_info()\nf(1); assert f.cache_info().hits==3\nf(4); f(1); assert f.cache_info().hits==4",
    ),
    Probe(
        "cache_share",
        "import functools\n@functools.cache\ndef f(x): return [x]\nr=f(1); box={'r': r}\n----\nr.append(2)\n----\nf(1).append(3)",
        "assert f(1) is r is box['r'] and r==[1,2,3]",
    ),
    Probe(
        "cache_shared_later",
        "import functools\nclass Doc: pass\n@functools.lru_cache\ndef load(k): d=Doc(); d.k=k; return d\n----\na=load('x')\n----\na.note=[1]",
        "assert load('x') is a and a.note==[1]",
    ),
    Probe(
        "cache_typed",
        "import functools\nn=[]\n@functools.lru_cache(typed=True)\ndef f(*a,**k): n.append(1); return (a,k)\nf(1); f(1.0); f(x=1); f(x=1.0); f(1,2,y=3,z='q'); f(); f((1,2)); f(None)",
        "k=len(n)\nassert f(1)==((1,),{}) and type(f(1.0)[0][0]) is float and type(f(x=1.0)[1]['x']) is float and f(1,2,y=3,z='q')==((1,2),{'y':3,'z':'q'}) and f()==((),{}) and f((1,2)) and f(None)\nassert len(n)==k",
    ),
    Probe(
        "cache_async",
        "import functools\nn=[]\n@functools.cache\ndef f(*x): n.append(x); return None\nf(1); f('s'); f(b'b'); f(2.5); f((1,)); f(frozenset([1])); f(1, 2)",
        "f(1); f('s'); f(b'b'); f(2.5); f((1,)); f(frozenset([1])); f(1,2); assert len(n)==7",
    ),
    Probe(
        "cache_clear",
        "import functools\n@functools.cache\ndef f(x): return [x]\nf(1)\n----\nf.cache_clear()",
        "assert f.cache_info().currsize==0; a=f(1); assert f(1) is a and f.__wrapped__(3)==[3] and f.cache_parameters()=={'maxsize':None,'typed':False}",
    ),
    Probe(
        "cache_err",
        "import functools\n@functools.lru_cache(2)\ndef f(x): return 1/x",
        "import traceback\ntry: f(0)\nexcept ZeroDivisionError as e: t=traceback.extract_tb(e.__traceback__)\nassert not any('evercell' in x.filename for x in t) and len(t)==2",
    ),
    Probe(
        "cache_recursive",
        "import functools\nn=[0]\n@functools.cache\ndef fib(k): n[0]+=1; return k if k<2 else fib(k-1)+fib(k-2)\nfib(30)",
        "m=n[0]; assert fib(30)==832040 and n[0]==m",
    ),
    Probe(
        "cached_prop",
        "import functools\nclass A:\n    @functools.cached_property\n    def p(self): self.n=getattr(self,'n',0)+1; return [1]\na=A(); a.p",
        "a.p; assert a.n==1",
    ),
    Probe(
        "cache_2nd",
        "import functools\ncalls=[]\n@functools.lru_cache\ndef f(x): calls.append(x); return x\nf(1)\n----\nf(2)\n----\nf(3)",
        "f(1);f(2);f(3); assert calls==[1,2,3]",
    ),
    Probe(
        "cache_redefined",
        "import functools\ncalls=[]\n@functools.cache\ndef f(x): calls.append(x); return x\nf(1); old=f\n----\n@functools.cache\ndef f(x): calls.append(-x); return -x\nf(1)",
        "assert old(1)==1 and f(1)==-1 and calls==[1,-1]",
    ),
]
