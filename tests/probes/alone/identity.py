"""Objects that are told from equal ones: sentinels of libraries, NaN."""

from tests.probes import Probe

PROBES = [
    Probe(
        "sent_dataclass",
        "import dataclasses, inspect\ns1 = dataclasses.MISSING\ns2 = {'k': inspect.Parameter.empty, 'f': dataclasses._HAS_DEFAULT_FACTORY}",
        "assert s1 is dataclasses.MISSING and s2['k'] is inspect.Parameter.empty and s2['f'] is dataclasses._HAS_DEFAULT_FACTORY",
    ),
    Probe(
        "sent_object",
        "import functools, tests.probes.alone.a_library as lib\nsm = [lib.MISSING, lib.PAIR, lib.UNSET, {'x': lib.Holder.NOT_SET}]",
        "assert sm[0] is lib.MISSING and sm[1] is lib.PAIR and sm[2] is lib.UNSET and sm[3]['x'] is lib.Holder.NOT_SET",
    ),
    Probe(
        "sent_std",
        "import functools, _functools, mailbox, collections, socket, traceback, configparser\nss=[functools._initial_missing, traceback._sentinel, configparser._UNSET, socket._GLOBAL_DEFAULT_TIMEOUT]",
        "assert ss[0] is functools._initial_missing and ss[1] is traceback._sentinel and ss[2] is configparser._UNSET and ss[3] is socket._GLOBAL_DEFAULT_TIMEOUT",
    ),
    Probe(
        "sent_np",
        "import numpy as np\nsn=[np.ma.nomask, np._NoValue, np.ma.masked]",
        "assert sn[0] is np.ma.nomask and sn[1] is np._NoValue and sn[2] is np.ma.masked",
    ),
    Probe(
        "sent_pd",
        "import pandas as pd\nfrom pandas._libs import lib\nsp=[pd.NA, pd.NaT, lib.no_default]",
        "assert sp[0] is pd.NA and sp[1] is pd.NaT and sp[2] is lib.no_default",
    ),
    Probe(
        "sent_ctx",
        "import decimal\nsc=[decimal.DefaultContext]",
        "assert sc[0] is decimal.DefaultContext",
    ),
    Probe(
        "nan_in",
        "nan=float('nan'); l=[nan]; d={nan:1}; s={nan}; t=(nan, nan)",
        "assert nan in l and nan in d and nan in s and t[0] is t[1] is nan and d[nan]==1",
    ),
    Probe(
        "nan_np",
        "import numpy as np, math\nl=[np.nan, math.nan, 1.0]; d={np.nan:'x'}",
        "assert np.nan in l and math.nan in l and d[np.nan]=='x'",
    ),
    Probe(
        "nan_var",
        "nan=float('nan'); a=[nan]; n64=__import__('numpy').float64('nan'); b=[n64]",
        "assert nan is a[0] and n64 in b and n64 is b[0]",
    ),
    Probe(
        "nan_frame",
        "import pandas as pd, numpy as np\nds=pd.Series(['a', np.nan], dtype=object)\nv=ds[1]",
        "assert ds[1] is np.nan and v is np.nan",
    ),
    Probe(
        "dec_nan",
        "import decimal\nq=decimal.Decimal('nan'); l=[q]; d={q:1}; c=complex('nan'); lc=[c]",
        "assert q in l and q in d and c in lc",
    ),
    Probe(
        "obj_plain",
        "o=object(); d={o:1}; e=[o]",
        "assert d[o]==1 and e[0] is o",
    ),
    Probe(
        "nan_many",
        "a=float('nan'); b=float('nan'); d={a:1,b:2}; l=[a,b]; t=(a,)\n----\nl.append(a)",
        "assert len(d)==2 and d[a]==1 and d[b]==2 and l[0] is l[2] is a and l[1] is b and t[0] is a and a is not b",
    ),
    Probe(
        "nan_json",
        "import json\nx=json.loads('[NaN, {\"k\": NaN}, -Infinity]'); n=x[0]",
        "assert n in x and x[1]['k'] is n and x[2]==float('-inf')",
    ),
    Probe(
        "nan_neg",
        "import math\nx=[-float('nan'), float('nan')]",
        "assert math.copysign(1,x[0])!=math.copysign(1,x[1])",
    ),
    Probe(
        "nan_obj",
        "class C: pass\nc=C(); c.v=float('nan'); w=c.v\n----\nk=[c.v]",
        "assert c.v is w is k[0]",
    ),
    Probe(
        "nan_set",
        "s={float('nan') for _ in range(3)}; one=next(iter(s))",
        "assert len(s)==3 and one in s",
    ),
    Probe(
        "nan_counter",
        "import collections, math\nc=collections.Counter([math.nan, math.nan, 1.0])",
        "assert c[math.nan]==2",
    ),
    Probe(
        "tuple_mod",
        "import tests.probes.alone.a_library as lib\nx=[lib.PAIR, (1,2)]; y={lib.PAIR[0]: lib.PAIR}\n",
        "assert x[0] is lib.PAIR and y[1] is lib.PAIR",
    ),
    Probe(
        "tuple_changed",
        "import tests.probes.alone.a_library as lib\nx=(lib.PAIR,); lib.PAIR[1].append(3)",
        "assert x[0]==(1,[2,3]), x",
    ),
    Probe(
        "np_nan_scalar",
        "import numpy as np\nm=np.float64('nan'); res=[m]; d={m:1}",
        "assert m in res and d[m]==1 and res[0] is m",
    ),
    Probe(
        "sentinel_texts",
        "import argparse, optparse\nparser = argparse.ArgumentParser()\nparser.add_argument('--depth', type=int, default=argparse.SUPPRESS)\nparser.add_argument('--secret', help=argparse.SUPPRESS)\nold = optparse.OptionParser(); old.add_option('--hidden', help=optparse.SUPPRESS_HELP)\nequal = '==SUPP' + str('RESS==')",
        "assert vars(parser.parse_args([])) == {'secret': None} and 'secret' not in parser.format_help()\nassert 'hidden' not in old.format_help() and equal == argparse.SUPPRESS and equal is not argparse.SUPPRESS",
    ),
]
