"""Our extension of JupyterLab and Notebook 7: where a notebook stands. Pictures go to build/screenshots."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat
import pytest

from tests.browser import FrontEnd, chromium
from tests.conftest import isolated_home
from tests.servers import LAB_EXTENSION, JupyterServer, jupyter_server

pytestmark = pytest.mark.browser

LOAD = "%load_ext evercell\nimport evercell, pathlib, time"
# cells that are at work until the test lets them go on: what is looked at happens meanwhile
WAIT = "while not pathlib.Path('{go}').exists(): time.sleep(0.05)"
ASK = (
    "@evercell.step\ndef ask(n):\n"
    "    while n == 7 and not pathlib.Path('go-7').exists(): time.sleep(0.05)\n    return n"
)
LOOP = "%%step loop\ntotal = sum(ask(n) for n in range(10))\nprint('total', total)"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as started:
        yield started


@pytest.fixture(scope="module", params=["lab", "notebook"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    folder = tmp_path_factory.mktemp(request.param)
    without_news(folder / "home")
    environ = {"EVERCELL_STORE": f"sqlite:///{folder / 'store.db'}", "EVERCELL_USER": "ann"}
    with jupyter_server(folder, app=request.param, **environ, **isolated_home(folder / "home")) as started:
        yield request.param, started


@contextmanager
def lab_in_browser(folder: Path) -> Iterator[tuple[Any, JupyterServer]]:
    """A browser, and a JupyterLab on a folder, with a store of its own, whose user is ann."""
    without_news(folder / "home")
    environ = {"EVERCELL_STORE": f"sqlite:///{folder / 'store.db'}", "EVERCELL_USER": "ann"}
    with (
        chromium() as browser,
        jupyter_server(folder, app="lab", **environ, **isolated_home(folder / "home")) as server,
    ):
        yield browser, server


def without_news(home: Path) -> None:
    """JupyterLab asks whether it may fetch news, in front of what is photographed."""
    settings = Path(
        isolated_home(home)["JUPYTER_CONFIG_DIR"], "lab/user-settings/@jupyterlab/apputils-extension"
    )
    settings.mkdir(parents=True)
    (settings / "notification.jupyterlab-settings").write_text('{"fetchNews": "false"}')


class Notebooks:
    """Opens pages on a test's notebook."""

    def __init__(self, browser: Any, app: str, server: JupyterServer, name: str) -> None:
        self._browser, self._app, self._server, self._name = browser, app, server, name
        self._mark = hashlib.sha256(name.encode()).hexdigest()[:8]
        self.folder = server.folder
        self.pages: list[FrontEnd] = []

    def write(self, *cells: str) -> FrontEnd:
        nodes = [nbformat.v4.new_code_cell(source, id=f"{self._mark}-{n}") for n, source in enumerate(cells)]
        spec = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
        nbformat.write(nbformat.v4.new_notebook(cells=nodes, metadata=spec), self.folder / self._name)
        return self.open()

    def open(self) -> FrontEnd:
        self.pages.append(FrontEnd(self._browser, self._server, self._app, self._name))
        return self.pages[-1]

    def photograph(self, front: FrontEnd, what: str) -> None:
        """Keep a picture, in JupyterLab in the light and in the dark."""
        if self._app == "notebook":
            front.photograph(f"{self._app}-{what}")
            return
        for theme in ("Dark", "Light"):
            front.choose_theme(f"JupyterLab {theme}")
            front.photograph(f"{self._app}-{what}-{theme.lower()}")


@pytest.fixture
def notebooks(browser: Any, server: tuple[str, JupyterServer], request: Any) -> Iterator[Notebooks]:
    app, started = server
    name = re.sub(r"\W+", "-", request.node.originalname).strip("-") + ".ipynb"
    for left in started.folder.glob("go*"):
        left.unlink()
    found = Notebooks(browser, app, started, name)
    yield found
    for front in found.pages:
        if not front.page.is_closed():
            front.photograph(f"{app}-{Path(name).stem}")
            front.close()


def test_each_cell_says_how_its_step_stands_while_it_runs_and_after(notebooks: Notebooks) -> None:
    front = notebooks.write(f"{LOAD}\n{ASK}", "%%step load\nrows = [1, 2]", LOOP, "%%step boom\n1/0")
    front.run_all()
    front.wait_for_mark("loop", "running · 7 calls · now ask")
    front.wait_for_status("loop running · 7 calls")
    notebooks.photograph(front, "running")
    (notebooks.folder / "go-7").touch()
    front.wait_for_mark("loop", "saved")
    front.wait_for_mark("boom", "ZeroDivisionError: division by zero")
    marks = front.marks()
    assert re.fullmatch(r"saved \d\d:\d\d.* · took .* · 10 calls", marks["loop"])
    assert re.fullmatch(r"saved \d\d:\d\d.* · took [\d.]+ m?s", marks["load"])
    front.go_to(1)
    front.page.keyboard.press("Shift+Enter")
    front.wait_for_mark("load", "replayed")
    # an edit, not run yet: the step itself and what reads of it
    front.go_to(1)
    front.page.keyboard.press("Control+End")
    front.page.keyboard.type("; n = 3")
    front.wait_for_mark("load", "stale, executes again when it is run: its own code changed")
    front.page.keyboard.press("Control+z")
    front.wait_for_mark("load", "replayed")
    side = front.side_bar()
    assert [
        row.inner_text() for row in side.locator("section", has_text="Steps").locator(".evercell-name").all()
    ] == [
        "load",
        "loop",
        "boom",
    ]
    front.choose(front.page.locator('.evercell-mark[aria-label^="step load"]'), "Inspect")
    front.panel().get_by_text("rows").first.wait_for()
    notebooks.photograph(front, "marks")


def test_outputs_of_steps_that_completed_while_no_page_was_open_are_there_when_it_is_opened(
    notebooks: Notebooks,
) -> None:
    steps = [f"%%step s{n}\n{WAIT.format(go=f'go-s{n}')}\nprint('did', {n})\n{n} * 11" for n in range(1, 6)]
    front = notebooks.write(LOAD, *steps, "print('plain', 'ran')")
    front.run_all()
    (notebooks.folder / "go-s1").touch()
    front.wait_for_text("did 1")
    front.close()  # without saving
    for n in (2, 3):
        (notebooks.folder / f"go-s{n}").touch()
    front = notebooks.open()
    for n in (1, 2, 3):
        front.wait_for_text(f"did {n}")
        front.wait_for_text(str(11 * n))
    front.wait_for_mark("s4", "running")
    notebooks.photograph(front, "opened-again")
    for n in (4, 5):  # and what completes from now on, which this page did not ask for
        (notebooks.folder / f"go-s{n}").touch()
    front.wait_for_text("did 5")
    front.wait_for_mark("s5", "saved")
    front.save()
    saved = nbformat.read(notebooks.folder / front.notebook, as_version=4)
    shown = ["".join(o.get("text", "") for o in cell.outputs) for cell in saved.cells]
    assert shown[1:6] == [f"did {n}\n" for n in range(1, 6)]
    # what was cleared and saved stays cleared
    front.menu("Edit", "Clear Outputs of All Cells")
    front.save()
    front.open()
    front.wait_for_mark("s5", "saved")
    front.go_to(5)
    front.page.keyboard.press("Control+Enter")
    front.wait_for_mark("s5", "replayed")  # the kernel told this page everything before
    shown_again = " ".join(front.page.locator(".jp-OutputArea-output").all_inner_texts())
    assert not re.search("did [1-4]", shown_again)


def test_a_question_is_live_again_below_its_cell_after_a_reload(notebooks: Notebooks) -> None:
    evil = "<img src=x onerror=\\\"document.title='run'\\\">"
    front = notebooks.write(
        LOAD,
        f'%%step ask\nd = evercell.approve("Send {evil} 3 mails?", details="three rows", '
        "form={'subject': 'Hello', 'copies': 1, 'now': True})\nprint('decided', d.choice, d.values)",
        "%%step rest\nprint('the rest', 'ran')",
    )
    front.run_all()
    front.approval()
    front.save()
    front.open()
    question = front.page.locator(".evercell-question")
    question.wait_for()
    assert not front.page.get_by_text("Loading widget").is_visible()
    front.wait_for_mark("ask", "waits for your approval: Send")
    assert front.page.title() != "run" and "<img src=x" in question.inner_text()
    notebooks.photograph(front, "question")
    question.get_by_label("copies").fill("three")
    question.get_by_role("button", name="Approve").click()
    question.get_by_text("takes a whole number").wait_for()
    question.get_by_label("copies").fill("3")
    question.get_by_label("now").uncheck()
    question.get_by_role("button", name="Approve").press("Enter")
    front.wait_for_text("decided Approve {'subject': 'Hello', 'copies': 3, 'now': False}")
    front.wait_for_text("the rest ran")
    question.wait_for(state="detached")
    assert front.page.title() != "run"


@pytest.mark.parametrize("server", ["lab"], indirect=True)
def test_commands_go_back_branch_pause_and_cancel_and_say_what_came_of_it(notebooks: Notebooks) -> None:
    front = notebooks.write(
        LOAD,
        "%%step load\nrows = [1]",
        "%%step fit\nmodel = len(rows)",
        "print('model', globals().get('model'))",
    )
    front.run_all()
    front.wait_for_text("model 1")
    front.go_to(1)
    front.command("Check Out to This Cell")
    front.what_was_said("as after step load")
    front.go_to(3)
    front.page.keyboard.press("Control+Enter")
    front.wait_for_text("model None")
    front.command("Resume the Run")
    front.what_was_said("as after step fit")
    front.go_to(1)
    front.command("Branch from This Cell…")
    front.page.locator(".jp-Dialog input").fill(f"what-if-{front.app}")
    front.page.locator(".jp-Dialog .jp-mod-accept").click()
    front.what_was_said(f"branched off: what-if-{front.app}")
    front.wait_for_mark("load", "before this branch")
    side = front.side_bar()
    here = side.locator("[data-state=here]")
    here.get_by_text(f"what-if-{front.app}").wait_for()
    notebooks.photograph(front, "branched")
    front.command("Pause the Run")
    front.what_was_said("begins no further step")
    side.get_by_text("paused").first.wait_for()
    front.command("Let the Run Go On")
    front.what_was_said("goes on")
    front.command("Cancel the Run…")
    front.page.locator(".jp-Dialog .jp-mod-warn").click()
    front.what_was_said("is cancelled")
    # the toolbar's menu, by keyboard, and a refusal
    front.go_to(3)
    front.page.keyboard.press("Escape")
    front.page.locator('[data-command="evercell:menu"]').first.click()
    front.page.locator(".lm-Menu").get_by_text("Pause the Run").click()
    front.what_was_said("there is nothing to pause")


def test_a_restarted_kernel_a_second_tab_and_a_kernel_without_evercell(notebooks: Notebooks) -> None:
    front = notebooks.write(LOAD, "%%step load\nrows = [1, 2]\nprint(len(rows), 'rows')", "print('plain')")
    front.run_all()
    front.wait_for_mark("load", "saved")
    front.restart_kernel()
    front.wait_until_idle()
    front.wait_for_mark("load", "saved")  # the server says it, for the kernel has no evercell yet
    front.command("Resume the Run")
    front.what_was_said("%load_ext evercell")
    front.run_all()
    front.wait_for_mark("load", "replayed")
    front.save()
    metadata = nbformat.read(notebooks.folder / front.notebook, as_version=4).metadata
    assert metadata["evercell"]["id"]
    second = notebooks.open()
    second.wait_for_mark("load", "replayed")
    second.go_to(1)
    second.page.keyboard.press("Control+End")
    second.page.keyboard.type("\nrows.append(3)")
    second.page.keyboard.press("Shift+Enter")
    second.wait_for_mark("load", "saved")
    front.wait_for_mark("load", "saved")
    plain = front.another(["print('no evercell', 'here')"])
    notebooks.pages.append(plain)
    plain.run_all()
    plain.wait_for_text("no evercell here")
    assert plain.page.locator(".evercell-mark").count() == 0


def test_a_page_that_lost_its_connection_catches_up(notebooks: Notebooks) -> None:
    steps = [f"%%step s{n}\n{WAIT.format(go=f'go-s{n}')}\nprint('did', {n})" for n in (1, 2)]
    front = notebooks.write(LOAD, *steps, "pathlib.Path('go-on').touch()")
    sockets: list[Any] = []
    is_cut = False

    def connect(socket: Any) -> None:
        if is_cut:
            socket.close()
        else:
            socket.connect_to_server()
            sockets.append(socket)

    front.page.route_web_socket(re.compile("/channels"), connect)
    front.open()
    front.run_all()
    front.wait_for_mark("s1", "running")
    is_cut = True
    for socket in sockets:
        socket.close()
    for n in (1, 2):
        (notebooks.folder / f"go-s{n}").touch()
    for _ in range(600):  # until the kernel is through, of which this page hears nothing
        if (notebooks.folder / "go-on").exists():
            break
        front.page.wait_for_timeout(100)
    assert front.marks()["s1"].startswith("running")
    is_cut = False
    for n in (1, 2):
        front.wait_for_mark(f"s{n}", "saved")
        front.wait_for_text(f"did {n}")


def test_the_extension_is_small_and_sets_no_html_from_data() -> None:
    files = [path for path in LAB_EXTENSION.rglob("*") if path.is_file()]
    scripts = "".join(path.read_text() for path in files if path.suffix == ".js")
    code = re.sub(r"(?m)(^|\s)//.*$", "", scripts)
    assert len(code.encode()) <= 31_000 and len(scripts.encode()) <= 34_500
    assert sum(path.stat().st_size for path in files) <= 41_000
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", scripts
    )
    assert "http://" not in re.sub(r'xmlns="[^"]*"', "", scripts) and "https://" not in scripts
