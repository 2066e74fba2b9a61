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
        "import contextvars\ncontext_variable = contextvars.ContextVar('cv', default=1)",
        "assert context_variable.get() == 1",
    ),
    Probe(
        "thread_local",
        "import threading\nthread_local = threading.local(); thread_local.x = 1",
        refuses="thread_local",
    ),
]
