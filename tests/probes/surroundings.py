"""What is not in a variable: random state, folder, path, environment, modules, threads."""

from tests.probes import Probe

PROBES = [  # one line a cell, however long: that is how they read best
    Probe(
        "random_state",
        "import random, numpy as np\nrandom.seed(5); np.random.seed(6)\nrandom.random(); np.random.rand()",
        "",
    ),
    Probe(
        "environ",
        "import os\nos.environ['PROBE_A'] = 'yes'\nos.environ['HIDDEN_B'] = 'secret'\nos.environ['MODE_OF_PROBE'] = 'fast'\nenv_done = True",
        "import os\nassert os.environ['PROBE_A'] == 'yes' and os.environ['HIDDEN_B'] == 'secret' and os.environ['MODE_OF_PROBE'] == 'fast'",
    ),
    Probe(
        "sys_path",
        "import sys\nsys.path.insert(0, '/probe/front'); sys.path.append('/probe/back')",
        "import sys\nassert sys.path[0] == '/probe/front' and sys.path[-1] == '/probe/back'",
    ),
    Probe(
        "module_held",
        "from settings_of_probe import SETTINGS as mh_s, client as mh_c\nmh_s['b'] = 2; mh_c.calls = 5",
        "import settings_of_probe as m\nassert m.SETTINGS is mh_s and mh_s == {'a': 1, 'b': 2} and m.read() == 2\nassert m.client is mh_c and mh_c.calls == 5",
    ),
    Probe(
        "thread_beside",
        "import threading\ntb_go, tb_done, tb_rows = threading.Event(), threading.Event(), []\ndef tb_work():\n    tb_go.wait(30)\n    tb_rows.append('late')\n    tb_done.set()\ntb_thread = threading.Thread(target=tb_work); tb_thread.start()\ntb_alarm = (tb_go, tb_done)\n----\ntb_alarm[0].set(); x_other = tb_alarm[1].wait(30)\n----\ntb_y = 1",
        "assert tb_rows == ['late']",
    ),
    Probe(
        "folder",
        "import os\nos.mkdir('probe_folder'); os.chdir('probe_folder')",
        "import os\nassert os.path.basename(os.getcwd()) == 'probe_folder'",
    ),
]
