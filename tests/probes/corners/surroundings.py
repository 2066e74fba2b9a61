"""What runs beside the cells, and what a cell leaves in the process without a variable."""

from tests.probes import Probe

PROBES = [
    Probe(
        "task_beside",
        """
        import asyncio
        tk_go, tk_rows = [], []
        async def tk_work():
            while not tk_go: await asyncio.sleep(0.01)
            tk_rows.append('late')
        tk_task = asyncio.ensure_future(tk_work())
        tk_bell = (tk_go, tk_task)
----
        tk_bell[0].append(1); await asyncio.wait_for(asyncio.shield(tk_bell[1]), 30)
        """,
        "assert tk_rows == ['late'], tk_rows",
    ),
    Probe(
        "environ_deleted",
        "import os\nos.environ['PROBE_GONE'] = 'a'\n----\ndel os.environ['PROBE_GONE']",
        "import os\nassert 'PROBE_GONE' not in os.environ",
    ),
    Probe(
        "module_alias",
        "import settings_of_probe as module_alias\nmodule_alias.OTHERS['c'] = 3\nmodule_alias_s = module_alias.OTHERS",
        "import sys\nassert module_alias is sys.modules['settings_of_probe']\nassert module_alias.OTHERS is module_alias_s and module_alias_s == {'c': 3}",
    ),
    Probe(
        "context_variable",
        "import contextvars\ncv_d = contextvars.ContextVar('cv', default=[1]); cv_n = contextvars.ContextVar('cvn')\nclass cv_Agent:\n    def __init__(self): self.var = contextvars.ContextVar('cva', default=None)\ncv_a = cv_Agent()",
        "assert cv_d.get() == [1] and cv_d.name == 'cv' and cv_a.var.get() is None and cv_n.get('none') == 'none'\ncv_t = cv_a.var.set(5); assert cv_a.var.get() == 5; cv_a.var.reset(cv_t)",
    ),
    Probe(
        "context_variable_of_library",
        "import anyio.from_thread, decimal, pydantic_core, anyio._core._eventloop as cvl_m\ncvl = [v for v in vars(cvl_m).values() if type(v).__name__ == 'ContextVar']",
        "import anyio._core._eventloop as m\nassert cvl == [v for v in vars(m).values() if type(v).__name__ == 'ContextVar']",
    ),
    Probe(
        "thread_local",
        "import threading\ntl = threading.local(); tl.x = [1]\nclass tl_Own(threading.local): n = 0\ntl_o = tl_Own(); tl_o.n += 5; tl_x = tl.x",
        "import threading\nassert tl.x is tl_x and tl_o.n == 5 and type(tl_o) is tl_Own\ntl_s = []; tl_w = threading.Thread(target=lambda: tl_s.append(hasattr(tl, 'x'))); tl_w.start(); tl_w.join(); assert tl_s == [False]; del tl_w",
    ),
    Probe(
        "thread_local_arguments",
        "import threading\nclass tla_Own(threading.local):\n    def __init__(self, n): self.n = n\nthread_local_arguments = tla_Own(5)",
        "import threading\ntla_seen = []; tla_thread = threading.Thread(target=lambda: tla_seen.append(thread_local_arguments.n)); tla_thread.start(); tla_thread.join(); del tla_thread; assert tla_seen == [5] and thread_local_arguments.n == 5",
    ),
    Probe(
        "settings_of_libraries",
        "import numpy as np, pandas as pd\nnp.set_printoptions(precision=2); pd.set_option('display.max_rows', 7); np.seterr(divide='ignore')",
        "import numpy as np, pandas as pd\nassert np.get_printoptions()['precision'] == 2 and pd.get_option('display.max_rows') == 7 and np.geterr()['divide'] == 'ignore'",
    ),
    Probe(
        "settings_of_figures",
        "import matplotlib.pyplot as plt\nplt.rcParams['figure.dpi'] = 77",
        "import matplotlib\nassert matplotlib.rcParams['figure.dpi'] == 77",
    ),
    Probe(
        "settings_of_logging",
        "import logging\nlogging.basicConfig(level=logging.INFO, format='>%(message)s', force=True)\nlogging.getLogger('sol.deep').setLevel('ERROR'); logging.getLogger('sol').addHandler(logging.FileHandler('sol.log'))\nlogging.getLogger('sol').warning('one')",
        "import logging\nassert logging.getLogger().level == logging.INFO and logging.getLogger().handlers[-1].formatter._fmt == '>%(message)s'\nlogging.getLogger('sol').warning('two'); assert open('sol.log').read().split() == ['one', 'two'] and logging.getLogger('sol.deep').level == 40",
    ),
    Probe(
        "settings_of_python",
        "import warnings, decimal, sys, socket\nwarnings.filterwarnings('ignore', message='sop'); decimal.getcontext().prec = 33; socket.setdefaulttimeout(11)\ndef sop_helper():\n    sys.setrecursionlimit(4321)\n----\nsop_helper()",
        "import warnings, decimal, sys, socket\nassert any(f[1] and f[1].pattern == 'sop' for f in warnings.filters) and decimal.getcontext().prec == 33\nassert sys.getrecursionlimit() == 4321 and socket.getdefaulttimeout() == 11",
    ),
    Probe(
        "standard_streams",
        "import sys\nclass sts_Log: pass\nsts = sts_Log(); sts.out = sys.stdout",
        "import sys\nassert sts.out is sys.stdout",
    ),
    Probe(
        "module_contents",
        "import mimetypes, encodings.aliases, string\nmimetypes.knownfiles.append('/of/mc'); encodings.aliases.aliases['mc_codec'] = 'utf_8'; string.Template.mc = {}; string.mc_rows = []\ndef mc_add(row): string.mc_rows.append(row)\nmc_add(1)\n----\nmc_add(2); string.Template.mc['a'] = mc_add; mimetypes.knownfiles.insert(0, '/first/of/mc')\n----\ndel encodings.aliases.aliases['u8']",
        "import mimetypes, encodings, encodings.aliases, string\nassert mimetypes.knownfiles[0] == '/first/of/mc' and mimetypes.knownfiles[-1] == '/of/mc' and mimetypes.knownfiles.count('/of/mc') == 1\nassert 'x'.encode('mc_codec') == b'x' and encodings.aliases.aliases is encodings._aliases and 'u8' not in encodings._aliases\nassert string.mc_rows == [1, 2] and string.Template.mc == {'a': mc_add}",
    ),
    Probe(
        "module_by_hand",
        """
        import sys, types
        module_by_hand = types.ModuleType('mbh_config'); sys.modules['mbh_config'] = module_by_hand
        exec('x = [1]\\ndef f(): x.append(len(x)); return x\\nclass K:\\n    def g(self): return x', vars(module_by_hand))
        module_by_hand.limit = [5]
        import mbh_config
        mbh_k = mbh_config.K(); mbh_f = mbh_config.f; sys.modules['mbh_json'] = sys.modules['json']
----
        mbh_f()
        """,
        """
        import mbh_config as mbh_again, mbh_json, json
        assert mbh_again is module_by_hand is mbh_config and mbh_json is json and mbh_config.limit == [5]
        assert mbh_f() is mbh_config.x is mbh_k.g() and mbh_config.x == [1, 1, 2] and type(mbh_k) is mbh_config.K
        """,
    ),
]
