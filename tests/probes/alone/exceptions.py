"""Exceptions, with all that they have."""

from tests.probes import Probe

PROBES = [
    Probe(
        "exc_notes",
        "try:\n    try: 1/0\n    except Exception as e: raise ValueError('x') from e\nexcept ValueError as e: e.add_note('note'); err=e; e.extra=[1]",
        "assert err.__notes__==['note'] and err.extra==[1] and isinstance(err.__cause__, ZeroDivisionError)",
    ),
    Probe(
        "exc_group",
        'g=None\ntry:\n    raise ExceptionGroup("g",[ValueError(1), ExceptionGroup("h",[KeyError("k")])])\nexcept BaseException as e: g=e\ng.note_="x"; g.add_note("n")\nclass MyG(ExceptionGroup):\n    def __new__(cls, errors, extra): s=super().__new__(cls,"my",errors); s.extra=extra; return s\n    def derive(self, ex): return MyG(ex, self.extra)\nmg=MyG([ValueError(1)], "e")',
        'assert g.note_=="x" and str(g.exceptions[0])=="1" and g.message=="g" and g.__notes__==["n"] and mg.extra=="e" and type(mg) is MyG and len(mg.exceptions)==1',
    ),
    Probe(
        "exc_attrs",
        "import json\ntry: open('/nonexistent/x')\nexcept OSError as e: oe=e\ntry: json.loads('{')\nexcept ValueError as e: je=e\ntry: {}['k']\nexcept KeyError as e: ke=e\ntry: b'\\xff'.decode()\nexcept UnicodeDecodeError as e: ue=e\ntry: import nonexistent_mod\nexcept ImportError as e: ie=e\ntry: exec('1+')\nexcept SyntaxError as e: se=e\ntry: undefined_name\nexcept NameError as e: ne=e\ntry: [].foo\nexcept AttributeError as e: ae=e\nsi=StopIteration(5); sx=SystemExit(3)\n",
        "assert oe.filename=='/nonexistent/x' and oe.errno==2 and je.pos==1 and ke.args==('k',) and ue.start==0 and ue.object==b'\\xff' and ie.name=='nonexistent_mod' and se.text.strip()=='1+' and ne.name=='undefined_name' and si.value==5 and sx.code==3\nassert ae.name=='foo' and ae.obj==[], (ae.name, ae.obj)",
    ),
    Probe(
        "exc_tb",
        "try: 1/0\nexcept Exception as e: err=e",
        "assert err.__traceback__ is not None",
    ),
    Probe(
        "exc_cls",
        "class E(Exception):\n    def __init__(self, a, *, b): self.a=a; self.b=b\nclass F(OSError):\n    def __init__(self, code): super().__init__(code,'msg'); self.code=code\ne=E(1,b=[2]); f=F(5)\nclass G(Exception):\n    __slots__=('z',)\ng=G('q'); g.z=[1]",
        "assert e.a==1 and e.b==[2] and e.args==(1,) and f.errno==5 and f.code==5 and f.strerror=='msg'\nassert g.z==[1]",
    ),
    Probe(
        "exc_import",
        "e=ImportError('m', name='n', path='p'); o=OSError(1,'s','f1',None,'f2'); n=NameError('x', name='nn'); a=AttributeError('x', name='an', obj=[3]); s=StopIteration(1,2); kb=KeyboardInterrupt('x'); b=BlockingIOError(11,'x',42)",
        "assert e.name=='n' and e.path=='p' and o.filename2=='f2' and n.name=='nn' and a.name=='an' and a.obj==[3] and s.value==1 and b.characters_written==42, (a.name,a.obj,b.characters_written)",
    ),
    Probe(
        "tb_lines",
        "def f(): 1/0\ndef g():\n    try: f()\n    except ZeroDivisionError as e: raise KeyError('k') from e\ntry: g()\nexcept KeyError as e: err=e\nimport traceback\ntext=''.join(traceback.format_tb(err.__traceback__)).count('line'); names=[x.name for x in traceback.extract_tb(err.__traceback__)]; l2=[x.lineno for x in traceback.extract_tb(err.__cause__.__traceback__)]",
        "import traceback\nassert [x.name for x in traceback.extract_tb(err.__traceback__)]==names and [x.lineno for x in traceback.extract_tb(err.__cause__.__traceback__)]==l2\nassert err.__traceback__.tb_frame.f_back is None",
    ),
    Probe(
        "exc_same",
        "errs=[]\nfor i in range(3):\n    try: [][i]\n    except IndexError as e: errs.append(e)\nlast=errs[-1]\n----\nerrs[0].extra=[1]",
        "assert last is errs[-1] and errs[0].extra==[1] and errs[0].args==('list index out of range',)",
    ),
    Probe(
        "exc_own_attr",
        "class E(Exception):\n    def __init__(self, resp): super().__init__(f'bad {resp}'); self.resp=resp\n    def __str__(self): return 'E!'+self.args[0]\n    def __setattr__(self,n,v): object.__setattr__(self,n,v)\ne=E([1])\nw=UserWarning('x'); b=BaseException(1); k=KeyboardInterrupt()",
        "assert e.resp==[1] and str(e)=='E!bad [1]' and w.args==('x',)",
    ),
    Probe(
        "own_way",
        "import json\nclass E(Exception):\n    def __init__(self, a, b): super().__init__(a); self.b = b\n    def __reduce__(self): return E, (self.args[0], self.b)\ntry: json.loads('{')\nexcept ValueError as e: je = e; je.add_note('n')\ntry: raise E(1, [2]) from je\nexcept E as e: err = e",
        "assert je.__notes__ == ['n'] and je.pos == 1 and je.__traceback__ is not None and isinstance(je.__context__, StopIteration | None)\nassert err.b == [2] and err.__cause__ is je and err.__traceback__.tb_lineno == 7",
    ),
]
