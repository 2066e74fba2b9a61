"""More of what belongs to the process. What is not rebuilt must be named."""

from tests.probes import Probe

PROBES = [
    Probe(
        "file_shared",
        "open('fsh.txt', 'w').write('one\\ntwo\\nthree\\n')\nfsh = open('fsh.txt'); fsh_d = {'f': fsh}; fsh.readline()",
        "assert fsh_d['f'] is fsh and fsh_d['f'].readline() == 'two\\n' and fsh.readline() == 'three\\n'; fsh.close()",
    ),
    Probe(
        "file_encoding",
        "open('fe.txt', 'w', encoding='latin-1').write('ä\\nö')\nfe = open('fe.txt', encoding='latin-1', errors='replace')",
        "assert (fe.encoding, fe.errors) == ('latin-1', 'replace') and fe.read() == 'ä\\nö'; fe.close()",
    ),
    Probe(
        "file_in_object",
        """
        class fio_Log:
            def __init__(self, path): self.file = open(path, 'a'); self.n = 0
            def add(self, word): self.n += 1; self.file.write(word + ' '); self.file.flush()
        fio = fio_Log('fio.txt'); fio.add('one')
        """,
        "fio.add('two'); assert fio.n == 2 and open('fio.txt').read() == 'one two '; fio.file.close()",
    ),
    Probe(
        "file_gone", "import os\nfile_gone = open('fg.txt', 'w+'); os.remove('fg.txt')", refuses="file_gone"
    ),
    Probe(
        "temporary_file",
        "import tempfile\ntemporary_file = tempfile.NamedTemporaryFile()",
        refuses="an open file",
    ),
    Probe(
        "temporary_folder",
        "import tempfile\ntemporary_folder = tempfile.TemporaryDirectory()",
        refuses="a folder that goes away with its kernel",
    ),
    Probe(
        "csv_writer",
        "import csv\ncsvw_f = open('csvw.csv', 'w', newline=''); csv_writer = csv.writer(csvw_f); csv_writer.writerow([1])",
        refuses="csv_writer",
    ),
    Probe(
        "cursor",
        "import sqlite3\ncursor = sqlite3.connect(':memory:').execute('select 1 union select 2'); cursor.fetchone()",
        refuses="in the middle of its rows",
    ),
    Probe(
        "cursor_idle",
        "import sqlite3\ncui_c = sqlite3.connect(':memory:'); cui = cui_c.cursor(); cui.execute('create temp table t(x)'); cui.execute('insert into t values (3)'); cui_c.commit()",
        "assert cui.connection is cui_c and cui.execute('select x from t').fetchone() == (3,); cui_c.close()",
    ),
    Probe(
        "file_in_iteration",
        "open('fii.txt', 'w').writelines(f'line {i}\\n' for i in range(9000))\nfii = open('fii.txt')\nfor fii_l in fii:\n    if fii_l == 'line 4000\\n': break",
        "assert next(fii) == 'line 4001\\n' and sum(1 for _ in fii) == 4998; fii.close()",
    ),
    Probe(
        "process_pool",
        "from concurrent.futures import ProcessPoolExecutor\nimport multiprocessing as mp\npop = ProcessPoolExecutor(2, mp_context=mp.get_context('spawn'), max_tasks_per_child=3)",
        "assert pop._mp_context.get_start_method() == 'spawn' and pop._max_tasks_per_child == 3; pop.shutdown()",
    ),
    Probe(
        "sqlite_settings",
        "import sqlite3\nsqs = sqlite3.connect('sqs.db', isolation_level=None)\nsqs.execute('create table t(x)')\nsqs.execute('pragma foreign_keys=on')",
        "assert sqs.isolation_level is None\nsqs.execute('insert into t values (1)'); assert not sqs.in_transaction; sqs.close()",
    ),
    Probe(
        "httpx_async",
        "import httpx\nhxa = httpx.AsyncClient(base_url='http://localhost:1', headers={'X-A': 'b'}, auth=('u', 'p'))",
        "assert hxa.headers['x-a'] == 'b' and str(hxa.base_url) == 'http://localhost:1' and not hxa.is_closed\nawait hxa.aclose()",
    ),
    Probe(
        "session_adapters",
        """
        import requests
        from requests.adapters import HTTPAdapter
        rsa = requests.Session(); rsa.mount('http://slow', HTTPAdapter(max_retries=4)); rsa.verify = False; rsa.params = {'k': 1}
        """,
        "assert rsa.get_adapter('http://slow/x').max_retries.total == 4 and rsa.verify is False and rsa.params == {'k': 1}",
    ),
    Probe(
        "held_rlock", "import threading\nheld_rlock = threading.RLock(); held_rlock.acquire()", refuses="held"
    ),
    Probe(
        "lock_in_object",
        """
        import threading
        class lio_Counter:
            def __init__(self): self.lock = threading.Lock(); self.n = 0
            def add(self):
                with self.lock: self.n += 1
        lio = lio_Counter(); lio.add(); lio_lock = lio.lock
        """,
        "lio.add(); assert lio.n == 2 and lio.lock is lio_lock and not lio_lock.locked()",
    ),
    Probe(
        "queue_holds_shared",
        "import queue\nqhs_row = [1]; qhs = queue.Queue(); qhs.put(qhs_row)\nqhs_l = queue.LifoQueue(); qhs_l.put(1); qhs_l.put(2)",
        "assert qhs.get_nowait() is qhs_row and qhs_l.get_nowait() == 2",
    ),
    Probe(
        "simple_queue",
        "import queue\nsimple_queue = queue.SimpleQueue(); simple_queue.put(5)",
        refuses="use a queue.Queue",
    ),
    Probe("future", "from concurrent.futures import Future\nfuture = Future()", refuses="future"),
    Probe(
        "loop_parts",
        "import asyncio\nloop_parts = asyncio.ensure_future(asyncio.sleep(0))",
        refuses="a part of a running event loop",
    ),
    Probe(
        "loop_idle",
        "import asyncio\nli_q, li_e, li_l = asyncio.Queue(3), asyncio.Event(), asyncio.Lock(); li_q.put_nowait([1]); li_e.set(); li_same = li_q\nli_s = asyncio.BoundedSemaphore(2); await li_s.acquire(); li_c = asyncio.Condition(li_l)\nasync with li_l: pass",
        "assert li_same is li_q and li_q.maxsize == 3 and await li_q.get() == [1] and li_e.is_set() and await li_e.wait()\nasync with li_c: assert li_l.locked()\nassert li_s._value == 1; li_s.release(); li_s.release() if li_s._value < 2 else None",
    ),
    Probe(
        "loop_waiting",
        "import asyncio\nloop_waiting = asyncio.Queue(); lw_t = asyncio.ensure_future(loop_waiting.get()); await asyncio.sleep(0)",
        refuses="something that tasks wait for",
    ),
    Probe(
        "loop_future",
        "import asyncio\nlf = asyncio.get_running_loop().create_future(); lf.set_result([1]); lf_loop = asyncio.get_running_loop()",
        "import asyncio\nassert lf.done() and await lf == [1] and lf_loop is asyncio.get_running_loop()",
    ),
    Probe(
        "anyio_idle",
        "import anyio\nai_s, ai_l, ai_e = anyio.Semaphore(2), anyio.CapacityLimiter(3), anyio.Event()\nai_tx, ai_rx = anyio.create_memory_object_stream(2); ai_tx.send_nowait(5)",
        "assert ai_s.value == 2 and ai_l.total_tokens == 3 and not ai_e.is_set() and ai_rx.receive_nowait() == 5\nasync with ai_s, ai_l: pass",
    ),
    Probe(
        "resource_shared",
        """
        import evercell, threading
        rss = evercell.resource(lambda: {'n': 0})
        class rss_User:
            def __init__(self, r): self.r = r
        rss_u = rss_User(rss); rss['n'] = 5
        """,
        "assert rss['n'] == 0, 'it was saved by value'\nrss['n'] = 3; assert rss_u.r['n'] == 3 and rss_u.r is rss",
    ),
    Probe(
        "logger_children",
        "import logging\nlgc = logging.getLogger('probe.lgc.child'); lgc.setLevel(5); lgc.propagate = False\nlgc_a = logging.LoggerAdapter(lgc, {'run': 1})",
        "assert logging.getLogger('probe.lgc') is lgc.parent and not lgc.propagate\nassert lgc.level == 5 and lgc_a.logger is lgc and lgc_a.extra == {'run': 1}",
    ),
    Probe("memory_map", "import mmap\nmemory_map = mmap.mmap(-1, 10)", refuses="an open file"),
    Probe(
        "archive",
        "import zipfile\nzipfile.ZipFile('ar.zip', 'w').close()\narchive = zipfile.ZipFile('ar.zip')",
        refuses="an open file",
    ),
    Probe(
        "weak_values",
        "import weakref\nclass weak_values_C: pass\nwv_c = weak_values_C()\nweak_values = weakref.WeakValueDictionary(a=wv_c)",
        "assert weak_values['a'] is wv_c and len(weak_values) == 1",
    ),
    Probe(
        "trace_back",
        "try: 1 / 0\nexcept ZeroDivisionError as e: trace_back = e.__traceback__",
        refuses="suspended code",
    ),
]
