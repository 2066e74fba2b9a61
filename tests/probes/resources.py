"""What belongs to the process: rebuilt where it can be, refused by name where it cannot."""

from tests.probes import Probe

PROBES = [  # one line a cell, however long: that is how they read best
    Probe(
        "file_reading",
        "open('fr.txt', 'w').write('one\\ntwo\\n')\nfr = open('fr.txt'); fr.readline()",
        "assert fr.readline() == 'two\\n' and fr.mode == 'r'; fr.close()",
    ),
    Probe(
        "file_writing",
        "fw = open('fw.txt', 'w'); fw.write('one ')\nfa = open('fa.txt', 'a'); fa.write('one ')",
        "fw.write('two'); fa.write('two'); fw.close(); fa.close()\nassert open('fw.txt').read() == open('fa.txt').read() == 'one two'",
    ),
    Probe(
        "file_binary",
        "open('fb.bin', 'wb').write(bytes(10))\nfb = open('fb.bin', 'rb+'); fb.seek(4)\nfc = open('fb.bin'); fc.close()",
        "assert fb.tell() == 4 and fc.closed\nfb.write(b'x'); fb.seek(4); assert fb.read(1) == b'x'; fb.close()",
    ),
    Probe(
        "sqlite_file",
        "import sqlite3\nsf = sqlite3.connect('sf.db'); sf.execute('create table t(x)'); sf.execute('insert into t values (5)'); sf.commit()\nsf.row_factory = sqlite3.Row",
        "assert sf.execute('select x from t').fetchone()['x'] == 5; sf.close()",
    ),
    Probe(
        "sqlite_memory",
        "import sqlite3\nsm = sqlite3.connect(':memory:'); sm.execute('create table t(x)'); sm.execute('insert into t values (7)'); sm.commit()",
        "assert sm.execute('select x from t').fetchone() == (7,); sm.close()",
    ),
    Probe(
        "sqlite_busy",
        "import sqlite3\nsqlite_busy = sqlite3.connect('sb.db'); sqlite_busy.execute('create table t(x)'); sqlite_busy.execute('insert into t values (1)')",
        refuses="in the middle of a transaction",
    ),
    Probe(
        "sa_engine",
        "import sqlalchemy as sa\nse = sa.create_engine('sqlite:///se.db')\nwith se.begin() as se_c: se_c.execute(sa.text('create table t as select 3 as x'))\ndel se_c\nse.dispose()",
        "with se.connect() as c: assert c.execute(sa.text('select x from t')).scalar() == 3\nassert se.dialect.name == 'sqlite'; se.dispose()",
    ),
    Probe(
        "requests_session",
        "import requests\nrs = requests.Session(); rs.headers['X-A'] = 'b'; rs.cookies.set('c', 'd'); rs.auth = ('u', 'p')",
        "assert rs.headers['X-A'] == 'b' and rs.cookies['c'] == 'd' and rs.auth == ('u', 'p')\nassert rs.prepare_request(requests.Request('GET', 'http://localhost/')).headers['X-A'] == 'b'",
    ),
    Probe(
        "httpx_client",
        "import httpx\nhx = httpx.Client(base_url='http://localhost:1/v1', headers={'X-A': 'b'}, timeout=3, follow_redirects=True)\nhx.cookies.set('c', 'd')",
        "assert str(hx.base_url) == 'http://localhost:1/v1/' and hx.headers['x-a'] == 'b' and hx.timeout.read == 3 and hx.follow_redirects and hx.cookies['c'] == 'd'\nassert str(hx.build_request('GET', '/m').url) == 'http://localhost:1/v1/m'; hx.close()",
    ),
    Probe(
        "locks",
        "import threading\nlk = threading.Lock(); lk_r = threading.RLock(); lk_e = threading.Event(); lk_e.set(); lk_s = threading.BoundedSemaphore(3); lk_s.acquire()\nlk_c = threading.Condition(lk)\nlk_same = lk",
        "assert lk_same is lk and lk.acquire(blocking=False) and lk_e.is_set() and lk_r.acquire(blocking=False)\nlk.release(); assert lk_c._lock is lk\nassert lk_s.acquire(blocking=False) and lk_s.acquire(blocking=False) and not lk_s.acquire(blocking=False)",
    ),
    Probe(
        "held_lock",
        "import threading\nheld_lock = threading.Lock(); held_lock.acquire()",
        refuses="a lock that is held",
    ),
    Probe(
        "queues",
        "import queue\nqu = queue.Queue(5); qu.put([1]); qu.put(2)\nqu_p = queue.PriorityQueue(); qu_p.put(3); qu_p.put(1)",
        "assert qu.get_nowait() == [1] and qu.qsize() == 1 and qu.maxsize == 5 and qu_p.get() == 1",
    ),
    Probe(
        "pools",
        "from concurrent.futures import ThreadPoolExecutor\npo_t = ThreadPoolExecutor(2, thread_name_prefix='mine')",
        "assert po_t.submit(lambda: 5).result(10) == 5 and po_t._max_workers == 2; po_t.shutdown()",
    ),
    Probe(
        "loggers",
        "import logging\nlg = logging.getLogger('probe.lg'); lg.setLevel(logging.WARNING)",
        "assert lg is logging.getLogger('probe.lg') and lg.level == logging.WARNING",
    ),
    Probe(
        "progress",
        "import io\nfrom tqdm import tqdm\ntq = tqdm(total=10, desc='d', file=io.StringIO()); tq.update(4)",
        "assert (tq.n, tq.total, tq.desc) == (4, 10, 'd')\ntq.update(1); assert tq.n == 5; tq.close()",
    ),
    Probe(
        "bars_of_frames",
        """
        import io, pandas as pd
        from tqdm import tqdm
        tqdm.pandas(disable=True, desc='rows'); bf_bar = tqdm(total=8, unit='B', unit_scale=True, leave=False, disable=False, postfix={'loss': 1}); bf_bar.update(3); bf_s = pd.Series([1, 2])
        """,
        "assert bf_s.progress_apply(lambda v: v + 1).tolist() == [2, 3] and (bf_bar.n, bf_bar.unit, bf_bar.unit_scale, bf_bar.leave, bf_bar.postfix) == (3, 'B', True, False, 'loss=1'); bf_bar.close()",
    ),
    Probe(
        "resource",
        "import evercell\nopen('rs.txt', 'w')\nrsc = evercell.resource(lambda: open('rs.txt', 'a').write('made ') and {'a': 1})\nassert rsc['a'] == 1",
        "assert open('rs.txt').read() == 'made '\nassert rsc['a'] == 1 and len(rsc) == 1 and isinstance(rsc, dict)\nassert open('rs.txt').read() == 'made made '",
    ),
    Probe(
        "resource_called",
        "import evercell\nrc_model = evercell.resource(lambda: lambda x, *, times=1: x * times)\nassert rc_model(3, times=2) == 6",
        "assert rc_model(4) == 4 and list(map(rc_model, [1, 2])) == [1, 2]",
    ),
    Probe("sockets", "import socket\nsockets = socket.socket()", refuses="a live connection"),
    Probe("pipe", "import os\npipe = os.fdopen(os.pipe()[1], 'w')", refuses="an open file without a path"),
    Probe(
        "thread_object",
        "import threading\nthread_object = threading.Thread(target=print)",
        refuses="a running thread",
    ),
    Probe(
        "process",
        "import subprocess\nprocess = subprocess.Popen(['true']); process.wait()",
        refuses="a process of this kernel",
    ),
    Probe(
        "done_futures",
        """
        import concurrent.futures as cf, random
        with cf.ThreadPoolExecutor(2) as df_pool: df_all = [df_pool.submit(lambda i=i: [i]) for i in range(3)]
        df_first = df_all[0].result(); df_bad = cf.Future(); df_bad.set_exception(ValueError('no')); df_off = cf.Future(); df_off.cancel(); df_random = random.SystemRandom()
        """,
        """
        import concurrent.futures as cf
        df_first.append(9); assert [f.result() for f in df_all] == [[0, 9], [1], [2]] and len(list(cf.as_completed(df_all))) == 3 and str(df_bad.exception()) == 'no' and df_off.cancelled() and df_random.random() < 1
        try: df_pool.submit(int)
        except RuntimeError as error: assert 'shutdown' in str(error)
        else: assert False
        """,
    ),
    Probe(
        "sqlite_rows",
        "import sqlite3\nsr_c = sqlite3.connect(':memory:'); sr_c.row_factory = sqlite3.Row; sr_rows = sr_c.execute('select 1 as a, 2 as \"b c\"').fetchall(); sr_first = sr_rows[0]",
        "assert sr_first['A'] == 1 and sr_first['b c'] == 2 and tuple(sr_first.keys()) == ('a', 'b c') and sr_rows[0] is sr_first and sr_first == sr_c.execute('select 1 as a, 2 as \"b c\"').fetchone()",
    ),
    Probe(
        "sqlite_rows_of_a_class",
        "import sqlite3\nclass rw_Row(sqlite3.Row):\n    @property\n    def total(self): return self[0] + self[1]\nrw_c = sqlite3.connect(':memory:'); rw_c.row_factory = rw_Row; rw_row = rw_c.execute('select 1 as a, 2 as b').fetchone()",
        "assert type(rw_row) is rw_Row and rw_row.total == 3 and rw_row['b'] == 2",
    ),
    Probe(
        "values_of_threads",
        """
        import threading
        class vt_Local(threading.local):
            made = []
            def __init__(self, shared, *, n=1): self.shared = shared; self.n = n; self.made.append(n)
        vt_l = vt_Local([1], n=5); vt_l.own = 6; del vt_l.n; vt_given = vt_l.shared
        """,
        """
        import threading
        vt_seen = []; vt_t = threading.Thread(target=lambda: vt_seen.append((vt_l.shared, vt_l.n, hasattr(vt_l, 'own')))); vt_t.start(); vt_t.join(); del vt_t
        assert vt_Local.made == [5, 5] and vt_seen == [([1], 5, False)] and vt_seen[0][0] is vt_l.shared is vt_given and vt_l.own == 6 and not hasattr(vt_l, 'n')
        """,
    ),
]
