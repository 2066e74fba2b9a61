"""Code that ran in other namespaces than the notebook's."""

from tests.probes import Probe

PROBES = [
    Probe(
        "namespace_in_a_value",
        "rows=[1]; box={'g': globals()}\nclass C: pass\nc=C(); c.g=globals(); f=lambda: 1; t=(f.__globals__, rows)",
        "assert box['g'] is c.g is t[0] is globals() and t[1] is rows is c.g['rows']",
    ),
    Probe(
        "other_globals",
        "ns = {'n': 0}\nexec('def inc():\\n    global n\\n    n += 1\\ndef get(): return n', ns)\ninc, get = ns['inc'], ns['get']\ninc()",
        "inc(); assert get()==2 and ns['n']==2 and inc.__globals__ is ns and get.__globals__ is ns",
    ),
    Probe(
        "other_globals_nons",
        "def mk():\n    g = {'n': 0}\n    exec('def inc():\\n    global n\\n    n += 1\\ndef get(): return n', g)\n    return g['inc'], g['get']\ninc, get = mk()\ninc()\n----\ninc()",
        "inc(); assert get()==3 and inc.__globals__ is get.__globals__, get()",
    ),
    Probe(
        "other_globals_class",
        "g = {'__name__': 'gen'}\nexec('K=[1]\\nclass C:\\n    def f(self): K.append(2); return K', g)\nC=g['C']; c=C(); c.f()",
        "assert c.f()==[1,2,2] and type(c) is C and g['K'] is c.f()",
    ),
    Probe(
        "runpy",
        "import runpy, tempfile, os\nf=tempfile.mktemp('.py'); open(f,'w').write('count=0\\ndef bump():\\n    global count\\n    count+=1\\n    return count\\ndef read(): return count\\n')\nns=runpy.run_path(f); bump=ns['bump']; read=ns['read']\nbump()",
        "r = read(); b = bump()\nassert read()==b, (r,b)",
    ),
    Probe(
        "newmodule",
        "import types\nm = types.ModuleType('dyn'); exec('x=[1]\\ndef f(): return x', m.__dict__)\nf=m.f; f().append(2)",
        "assert m.x==[1,2] and f() is m.x",
    ),
    Probe(
        "functype",
        "import types\ndef f(): return v\ng={'v':[1]}\nh=types.FunctionType(f.__code__, g)",
        "g['v'].append(5); assert h()==[1,5]",
    ),
    Probe(
        "module_value",
        "import math, types, json\nmods={'m':math}; dyn=types.ModuleType('dyn'); dyn.x=[1]\n----\ndyn.x.append(2); dyn.y=3",
        "assert mods['m'] is math and dyn.x==[1,2] and dyn.y==3",
    ),
    Probe(
        "module_shared",
        "import types\nrows=[1]; dyn=types.ModuleType('dyn'); dyn.rows=rows\n----\ndyn.rows.append(2)",
        "assert dyn.rows is rows and rows==[1,2]",
    ),
    Probe(
        "fg_class",
        "g={}\nexec('count=0\\nclass C:\\n    def f(self):\\n        global count\\n        count+=1\\n        return count\\ndef read(): return count', g)\nC=g['C']; c=C(); read=g['read']; c.f()\n----\nc.f()",
        "c.f(); assert read()==3 and isinstance(c,C) and C is g['C'] and g['count']==3",
    ),
    Probe(
        "fg_later",
        "g={}\nexec('n=[0]\\ndef inc(): n[0]+=1\\ndef get(): return n', g)\ninc=g['inc']; get=g['get']; del g\n----\ninc()\n----\ninc()\nn=get()",
        "inc(); assert get()==[3] and n is get()",
    ),
    Probe(
        "fg_lib",
        "import tests.probes.alone.a_library as lib\nreg=lib.decorate(len)\n",
        "reg('ab'); assert lib.CALLS[-1]==('ab',), lib.CALLS\nassert reg.__globals__ is vars(lib)",
    ),
    Probe(
        "fg_mod",
        "import types\nm=types.ModuleType('m'); exec('x=0\\ndef f():\\n    global x\\n    x+=1\\n    return x', vars(m)); f=m.f; f()\n----\nf()",
        "assert m.x==2; f(); assert m.x==3 and m.f is f",
    ),
    Probe(
        "fg_two_kernels",
        "g={'a':[1]}\nf=eval('lambda: a', g); h=eval('lambda v: a.append(v)', g)\n----\nh(2)",
        "h(3); assert f()==[1,2,3] and f() is g['a']",
    ),
    Probe(
        "builtins_tie",
        "g1={}; g2={}\nexec('x=1',g1); exec('y=2',g2)\nb=g1['__builtins__']",
        "import builtins\nassert g1['__builtins__'] is vars(builtins) and g2['y']==2",
    ),
    Probe(
        "runpy2",
        "import runpy, tempfile\nf=tempfile.mktemp('.py'); open(f,'w').write('count=0\\ndef bump():\\n    global count\\n    count+=1\\n    return count\\ndef read(): return count\\n')\nns=runpy.run_path(f, run_name='__main__'); bump=ns['bump']; read=ns['read']\nbump()\n----\nbump()",
        "assert read()==2; bump(); assert read()==3 and bump is ns['bump']",
    ),
]
