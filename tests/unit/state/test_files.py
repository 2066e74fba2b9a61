"""P3: an open text file goes on where it stood, wherever a loop over its lines was left."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evercell.state.typerules.rebuilding import rebuilder_of
from tests.conftest import open_files
from tests.unit.state.memory import Cells, resumed

LINES = st.one_of(
    st.lists(st.sampled_from(["", "a", "b", "ab"]), max_size=60),
    st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), max_size=40), max_size=60),
    st.builds(lambda line, n: [line] * n, st.text("xyäö€", max_size=9), st.integers(0, 4000)),
    st.lists(st.integers(0, 20_000).map(lambda n: "x" * n), max_size=8),
)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("files") / "lines.txt"


@given(
    LINES, st.sampled_from(["\n", "\r\n"]), st.booleans(), st.floats(0, 1), st.sampled_from([None, "", "\n"])
)
def test_a_loop_over_lines_goes_on(
    path: Path, lines: list[str], newline: str, ends: bool, part: float, opened: str | None
) -> None:
    path.write_bytes((newline.join(lines) + (newline if ends else "")).encode())
    taken = int(part * len(lines))
    with (
        path.open(encoding="utf-8", newline=opened) as file,
        path.open(encoding="utf-8", newline=opened) as plain,
    ):
        for _ in range(taken):
            assert next(file, "") == plain.readline()
        rebuild = rebuilder_of(type(file))
        assert rebuild is not None
        make, arguments = rebuild(file)
        rest = plain.read()
        assert file.read() == rest
    with make(*arguments) as again:
        assert again.read() == (rest if opened is None else rest.replace("\r\n", "\n"))


@pytest.mark.parametrize("options", [{}, {"encoding": "latin-1", "errors": "replace"}, {"buffering": 0}])
@pytest.mark.parametrize("mode", ["r", "w", "a", "x", "r+", "rb", "wb", "ab", "xb", "w+b"])
def test_a_closed_file_is_what_it_was(tmp_path: Path, mode: str, options: dict[str, Any]) -> None:
    """``with open(...) as f`` leaves one behind: its name, its mode and its type are there in a new kernel."""
    if ("b" in mode) == ("encoding" in options) or ("b" not in mode and "buffering" in options):
        options = {}
    path = tmp_path / "rows"
    if "x" not in mode:
        path.write_bytes(b"rows")
    cells = Cells()
    cells.variables["path"], cells.variables["mode"], cells.variables["options"] = str(path), mode, options
    cells.step("wrote", "with open(path, mode, **options) as f: pass")
    path.unlink()
    again = resumed(cells)["f"]
    assert (type(again), repr(again), again.closed) == (type(cells["f"]), repr(cells["f"]), True)
    assert (again.name, again.mode) == (cells["f"].name, cells["f"].mode)
    assert not path.exists()


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="what is open is told by /proc alone")
def test_one_whose_place_is_gone_is_not_left_open(tmp_path: Path) -> None:
    path = tmp_path / "lines.txt"
    path.write_text("日本語テキスト\n" * 9, encoding="utf-7")
    with path.open(encoding="utf-7") as file:
        file.read(5)
        rebuild = rebuilder_of(type(file))
        assert rebuild is not None
        make, arguments = rebuild(file)
    path.write_text("", encoding="utf-7")
    with pytest.raises(OSError, match="logical file position") as raised:
        make(*arguments)
    assert raised.value.__traceback__ is not None, "which has what was opened until then"
    assert open_files(path) == []
