"""Makes the golden stores: what kernels of an old version left, for later versions to open.

    PYTHONPATH=<a checkout of that version> python tests/golden/make.py format2

Run it with the code of the version whose store is to be kept, in a checkout of that commit, and never with
today's code to replace an old store: that a store was written by old code is all its worth. The stores here were
made by 7cb45aa (format2: manifest format 2, schema 0004) and ba306c3 (format1: manifest format 1, schema 0001).

State refers to files below HOME: copy ``<format>/files`` there before a resume. Beside each store stands what is
expected of it: ``expected.json`` was seen in a new kernel of the same code, on a copy of the store; ``names.json``
are the globals of evercell's that the store's pickles name.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import pickletools
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from parts import HOME, Ends, Notebook, Send

import evercell
from tests.kernels import Kernel, KernelGone

KEY = "golden stores are signed with this key"
HERE = Path(__file__).resolve().parent
LEFT_OPEN = "Leave this open?"


def isolate(folder: Path) -> None:
    """Jupyter's and IPython's folders, and the settings of evercell, for kernels and for this process."""
    for name in ("JUPYTER_DATA_DIR", "JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR"):
        os.environ[name] = str(folder / name[8:].lower())
    for name in [n for n in os.environ if n.startswith("EVERCELL_")]:
        del os.environ[name]
    os.environ |= {"EVERCELL_KEY": KEY, "EVERCELL_USER": "golden", "PYTHONHASHSEED": "0"}


def use_store(path: Path) -> None:
    os.environ["EVERCELL_STORE"] = f"sqlite:///{path}"


@contextlib.contextmanager
def kernel_of(notebook: Notebook) -> Iterator[Kernel]:
    """A kernel with the extension, in the notebook's folder."""
    folder = HOME / notebook.name
    folder.mkdir(parents=True, exist_ok=True)
    kernel = Kernel(cwd=folder, environ={"EVERCELL_NOTEBOOK": notebook.path, **notebook.environ})
    try:
        shown = kernel.run("%load_ext evercell")
        assert shown.status == "ok", shown.error
        yield kernel
    finally:
        kernel.shut_down()


# -- making --------------------------------------------------------------------------------------


def make(notebook: Notebook, keep_files: Callable[[], object]) -> list[str]:
    """Run the cells, keep the files that they left, and tell the values of the expressions."""
    with kernel_of(notebook) as kernel:
        kernel.run("__import__('random').seed(1), __import__('numpy').random.seed(1)")  # stored once for all
        for cell in notebook.cells:
            if isinstance(cell, Send):
                send(notebook.first_run, cell)
                continue
            source = cell.source if isinstance(cell, Ends) else cell
            expected = cell.error if isinstance(cell, Ends) else ""
            try:
                shown = kernel.run(source, on_message=answering(kernel, notebook.first_run))
            except KernelGone:
                assert expected == "KernelGone", source
                keep_files()
                return []
            print(f"{notebook.name}: {source.splitlines()[0]}\n{shown.text}{shown.error[-500:]}")
            assert (shown.status == "error") == bool(expected) and expected in shown.error, shown.error
        keep_files()
        return [value(kernel, expression) for expression in notebook.expressions]


def value(kernel: Kernel, expression: str) -> str:
    """``repr`` of an expression in the kernel."""
    shown = kernel.run(f"print('VALUE', repr(({expression})))")
    assert shown.status == "ok", f"{expression}\n{shown.error}"
    return shown.text.partition("VALUE ")[2].rstrip("\n")


def send(run: str, signal: Send) -> None:
    from evercell.engine.calls.waiting import send_signal

    with workspace() as opened:
        send_signal(opened, run, signal.name, signal.payload)


def workspace() -> Any:
    from evercell.engine.settings import resolve_settings
    from evercell.engine.workspace import open_workspace

    return open_workspace(resolve_settings())


def answering(kernel: Kernel, run: str, *, leave_open: bool = True) -> Callable[[str, dict[str, Any]], None]:
    """Decides, from this process, what the kernel asks; kills it under the question that is to stay open."""

    def on_message(kind: str, content: dict[str, Any]) -> None:
        if (
            kind not in ("comm_open", "display_data")
            or importlib.util.find_spec("evercell.store.approvals") is None
        ):
            return
        from evercell.engine.approvals.deciding import answer, waiting_for

        with workspace() as opened:
            for asked in waiting_for(opened, run_id=opened.store.run(run).id):
                form = asked.question.form
                if asked.title == LEFT_OPEN and leave_open:
                    os.kill(kernel.pid, 9)
                elif asked.title != "Nobody answers":
                    choice = asked.question.choices[1 if asked.title.startswith("Reject") else 0]
                    values = {"copies": 3} if form else None
                    answer(
                        opened, asked.id, choice, by="ann", via="command line", comment="fine", values=values
                    )

    return on_message


# -- looking at what was made ----------------------------------------------------------------------


def resumed(notebook: Notebook, ref: str, seen: dict[str, str]) -> dict[str, Any]:
    """What a new kernel finds after ``%resume REF``; raises where it differs from what was ``seen``."""
    expressions = notebook.also.get(ref, notebook.expressions)
    with kernel_of(notebook) as kernel:
        shown = kernel.run(f"%resume {ref}")
        assert shown.status == "ok", shown.error
        print(shown.text)
        found = [[expression, value(kernel, expression)] for expression in expressions]
        differ = [(e, seen[e], v) for e, v in found if ref == notebook.last_run and seen.get(e, v) != v]
        assert not differ, differ
        told: dict[str, Any] = {"resume": ref, "notebook": notebook.path, "folder": str(HOME / notebook.name)}
        told["expressions"] = found
        if ref == notebook.last_run:
            told["not_kept"] = [[e, value(kernel, e)] for e in notebook.not_kept]
            for expression in notebook.not_kept:
                assert "NotKept" in kernel.run(f"({expression}).anything").error, expression
            if (left := notebook.unfinished) is not None:
                for source in left.plain:
                    assert kernel.run(source).status == "ok"
                shown = kernel.run(
                    left.step, on_message=answering(kernel, notebook.first_run, leave_open=False)
                )
                assert left.error in shown.error and bool(left.error) == (shown.status == "error"), (
                    shown.error
                )
                after = [[expression, value(kernel, expression)] for expression in left.expressions]
                told["unfinished"] = {
                    "plain": left.plain, "step": left.step, "error": left.error, "expressions": after
                }  # fmt: skip
        return told


def shown_steps(run: str) -> dict[str, Any]:
    """What ``evercell show`` tells of a run: its steps, and the text of each version of each."""

    def show(*words: str) -> str:
        command = [sys.executable, "-c", "from evercell.cli import main; main()", "show", *words]
        return subprocess.run(command, cwd=HOME, capture_output=True, text=True, check=True).stdout

    steps = json.loads(show(run, "--json"))["steps"]
    refs = [f"{step['name']}@{number + 1}" for step in steps for number in range(step["versions"])]
    told = [[step["name"], step["status"], step["versions"]] for step in steps]
    return {"run": run, "steps": told, "shown": [[ref, show(f"{run}@{ref}")] for ref in refs]}


def names() -> list[list[str]]:
    """Globals of evercell's that the pickles of the store name, as module and qualified name."""
    return sorted(map(list, {name for stream in streams() for name in globals_of(stream)}))


def streams() -> Iterator[bytes]:
    """Every pickle of the store: groups of manifests, results and undos of calls, signals."""
    from evercell.state.fetching import join
    from evercell.state.manifest import verify

    with workspace() as opened:
        store, database = opened.store, sqlite3.connect(opened.settings.store_url.removeprefix("sqlite:///"))

        def payload_of(checkpoint: str) -> tuple[bytes, bytes]:
            found = store.checkpoint(checkpoint)
            return found.manifest, found.mac

        for (checkpoint,) in database.execute("SELECT id FROM checkpoints").fetchall():
            manifest = verify(checkpoint, payload_of, signer=opened.signer, store_id=store.store_id)
            yield from (bytes(join(group.stream, store)) for group in manifest.groups.values())
        for place in database.execute("SELECT DISTINCT run_id, step, step_key FROM calls").fetchall():
            for call in store.calls(*place):
                yield call.value if isinstance(call.value, bytes) else bytes(join(call.value, store))
                if call.undo is not None:
                    yield call.undo
        yield from (value for (value,) in database.execute("SELECT value FROM signals").fetchall())
        database.close()


def globals_of(stream: bytes) -> Iterator[tuple[str, str]]:
    """Module and name of evercell's that a pickle looks up."""
    memo: list[Any] = []
    pushed: list[Any] = [None, None]
    for opcode, argument, _ in pickletools.genops(stream):
        if opcode.name == "MEMOIZE":
            memo.append(pushed[-1])
        elif opcode.name == "STACK_GLOBAL":
            if str(pushed[-2]).split(".")[0] == "evercell":
                yield pushed[-2], pushed[-1]
            pushed.append(None)
        elif opcode.name in ("BINGET", "LONG_BINGET"):
            pushed.append(memo[argument])
        else:
            assert opcode.name not in ("GLOBAL", "BINPUT", "LONG_BINPUT"), "no opcodes of protocol 5"
            pushed.append(argument if isinstance(argument, str) else None)


# -- all of it -----------------------------------------------------------------------------------


def main(kind: str, only: list[str]) -> None:
    """Make the store of a format, look at a copy of it, and write both beside each other."""
    cells = importlib.import_module(f"{kind}_cells")
    target = HERE / kind
    if only:
        cells.NOTEBOOKS = [n for n in cells.NOTEBOOKS if n.name in only]
    for folder in (HOME, target):
        shutil.rmtree(folder, ignore_errors=True)
    target.mkdir(parents=True)
    for name, text in cells.FILES.items():
        (HOME / name).parent.mkdir(parents=True, exist_ok=True)
        (HOME / name).write_text(text)
    with tempfile.TemporaryDirectory(prefix="golden-") as temporary:
        folder = Path(temporary)
        isolate(folder)
        use_store(folder / "store.db")
        seen: dict[str, dict[str, str]] = {}
        for notebook in cells.NOTEBOOKS:
            files = target / "files" / notebook.name

            def keep_files(notebook: Notebook = notebook, files: Path = files) -> None:
                shutil.copytree(HOME / notebook.name, files, ignore=shutil.ignore_patterns("__pycache__"))

            seen[notebook.name] = dict(zip(notebook.expressions, make(notebook, keep_files), strict=False))
        database = sqlite3.connect(folder / "store.db")
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        database.close()
        copy_store(folder, target)
        # what is expected is seen in a copy, with the files as they were when the cells had run
        shutil.rmtree(HOME)
        shutil.copytree(target / "files", HOME)
        (folder / "copy").mkdir()
        copy_store(target, folder / "copy")
        use_store(folder / "copy" / "store.db")
        told: list[Any] = []
        if cells.FORMAT == 1:
            told = [shown_steps(run) for n in cells.NOTEBOOKS for run in (n.first_run, n.last_run)]
        else:
            write(target / "names.json", names())
        refs = [(n, ref) for n in cells.NOTEBOOKS for ref in [*n.also, n.last_run]]
        told += [resumed(notebook, ref, seen[notebook.name]) for notebook, ref in refs]
        write(target / "expected.json", told)
    shutil.rmtree(HOME)


def copy_store(source: Path, target: Path) -> None:
    """The database and the folder of its packs."""
    for path in source.glob("store.db*"):
        (shutil.copytree if path.is_dir() else shutil.copy)(path, target / path.name)


def write(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    print(evercell.__file__)
    main(sys.argv[1], sys.argv[2:])
