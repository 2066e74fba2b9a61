"""What few write and somebody does: classes without a module, members that are functions, numbers from ``id()``."""

from tests.probes import Probe

PROBES = [
    Probe(
        "class_of_no_module",
        "import sympy\nx=sympy.Symbol('x'); f=sympy.Function('f')(x); d=f.diff(x)\nclass K: pass\nK.__module__=None; k=K(); k.rows=[1]",
        "assert type(f).__module__ is None and d==f.diff(x) and f.func==sympy.Function('f') and k.rows==[1]",
    ),
    Probe(
        "what_was_there_before",
        "import math, time\nplain=time.process_time; time.process_time=lambda: -5\nroot=math.isqrt\ndef shifted(x): return root(x)+1\nmath.isqrt=shifted; held=[plain]",
        "import math, time\nassert time.process_time()==-5 and plain()>0 and held[0] is plain and math.isqrt(9)==4 and root(9)==3",
    ),
    Probe(
        "members_that_are_functions",
        "import enum\nclass Op(enum.Enum):\n    ADD=enum.member(lambda a,b: a+b)\n    SUB=enum.member(staticmethod(lambda a,b: a-b))\n    INT=enum.member(int)\n    def __call__(self,*a): return self.value(*a)\nm={Op.ADD: [1]}; op=Op.SUB",
        "assert [one.name for one in Op]==['ADD','SUB','INT'] and m[Op.ADD]==[1] and op is Op.SUB and op(3,1)==2 and Op.ADD(1,2)==3 and Op.INT('5')==5",
    ),
    Probe(
        "tuple_in_its_own_class",
        "import typing\nclass P(typing.NamedTuple):\n    x: int\n    kids: list = []\np=P(1); p.kids.append(p)",
        "assert P(2).kids is p.kids and p.kids[0] is p and type(p) is P and p.x==1",
    ),
    Probe(
        "lines_of_a_cell",
        "import linecache\nlinecache.cache['lines of a cell']=(30,None,['rows=[]\\n','rows[3]  # which is not there\\n'],'lines of a cell')\ntry: exec(compile('rows=[]\\nrows[3]','lines of a cell','exec'), {})\nexcept IndexError as e: error=e",
        "import traceback\nassert traceback.extract_tb(error.__traceback__)[-1].line=='rows[3]  # which is not there'",
    ),
    Probe(
        "ids_as_keys",
        "class N: pass\nn=N(); names={id(n): 'n'}",
        "assert list(names.values())==['n'] and type(n) is N",
        "names (int) was not kept: it has numbers from id()",
    ),
    Probe(
        "ids_in_a_class",
        "class Typed:\n    held={}\n    def __set_name__(self,o,n): self.n=n\n    def __set__(self,o,v): Typed.held[id(o),self.n]=v\nclass C: x=Typed()\nc=C(); c.x=5",
        "",
        "Typed (int) was not kept: it has numbers from id()",
    ),
    Probe(
        "large_round_numbers",
        "big=[1<<46, (1<<46)+16, 1<<60, 1_700_000_000_000_000]; by={1<<46: 'x'}",
        "assert by[1<<46]=='x' and big[0]==1<<46",
    ),
    Probe(
        "modes_of_files",
        "import pathlib, tempfile\nfolder=pathlib.Path(tempfile.mkdtemp()); w=open(folder/'w','w'); w.write('one ')\nx=open(folder/'x','xb'); x.write(b'one ')\np=open(folder/'p','w+'); p.write('abc'); p.seek(1)",
        "assert (w.mode,x.mode,p.mode)==('w','xb','w+') and not w.readable() and p.read()=='bc'\nw.write('two'); w.close(); x.write(b'two'); x.close(); p.close(); assert (folder/'w').read_text()==(folder/'x').read_text()=='one two'",
    ),
    Probe(
        "own_namespace",
        "here=globals(); n=1",
        "assert n==1",
        "here (builtins.dict) was not kept: it is the notebook's own namespace. To have it after a restart, get it where it is used: globals().",
    ),
    Probe(
        "mapped_classes",
        "import sqlalchemy.orm as orm, sqlalchemy as sa\nclass Base(orm.DeclarativeBase): pass\nclass User(Base):\n    __tablename__='users'\n    id: orm.Mapped[int]=orm.mapped_column(primary_key=True)\nuser=User(id=1); rows=[1]",
        "assert rows==[1]",
        "define mapped classes, and statements about them, in a %%setup cell",
    ),
    Probe(
        "core_tables",
        "import sqlalchemy as sa\nmeta=sa.MetaData(); t=sa.Table('t',meta,sa.Column('x',sa.Integer,primary_key=True)); q=sa.select(t.c.x)",
        "import sqlalchemy as sa\nassert str(q)==str(sa.select(t.c.x)) and meta.tables['t'] is t",
    ),
    Probe(
        "called_at_the_end",
        "import atexit\nrows=[]\n@atexit.register\ndef bye(): rows.append(1)",
        "assert rows==[]",
        "atexit.register(bye) (a call) was not kept: it is what this kernel calls when it ends",
    ),
    Probe(
        "runs_beside",
        "import threading\nstop=threading.Event()\nt=threading.Timer(600, stop.set); t.daemon=True; t.start(); del t",
        "assert not stop.is_set()",
        "(threading.Timer) was not kept: it is running beside the cells, and ends with this kernel",
    ),
]
