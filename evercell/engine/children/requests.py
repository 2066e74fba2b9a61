"""What is asked of a child: a notebook that is there, parameters that are JSON. Said before anything is started."""

from __future__ import annotations

import json
import keyword
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from evercell.core.errors import NotANotebook, NotebookNotFound, NotebookUnreadable, UsageError
from evercell.engine.missions.launching import defined_in
from evercell.store.descendants import ON_CLOSE

if TYPE_CHECKING:
    from evercell.core.missions import MissionDefinition

OnClose = Literal["cancel", "keep", "wait"]
"""What becomes of a child when its parent ends."""

_NEAR = 8
"""So many notebooks beside a missing one are named."""


@dataclass(frozen=True, slots=True)
class ChildRequest:
    """A notebook to be executed as a run of its own."""

    notebook: Path
    params: Mapping[str, Any]
    on_close: OnClose = "cancel"
    retries: int = 0
    mission: MissionDefinition | None = None
    """As which it is launched, if as any."""


def request_of(
    path: object,
    params: Mapping[str, Any] | None,
    *,
    on_close: str,
    retries: int,
    folder: Path | None,
    mission: str | Path | None = None,
) -> ChildRequest:
    """The request that arguments make; raises `UsageError`, `NotebookNotFound`, `NotANotebook`, `NotebookUnreadable`.

    Paths are relative to ``folder``, that of the notebook which asks, and otherwise to the working directory.
    """
    if on_close not in ON_CLOSE:
        raise UsageError(f"on_close is {on_close!r}.", hint=f"Choose one of: {', '.join(ON_CLOSE)}.")
    if not isinstance(retries, int) or retries < 0:
        raise UsageError(f"retries is {retries!r}.", hint="Use 0 or more.")
    found, given = _notebook(path, folder), _parameters(params)
    return ChildRequest(found, given, on_close, retries, _mission(mission, folder))  # type: ignore[arg-type]


# -- the notebook --------------------------------------------------------------------------------


def _notebook(path: object, folder: Path | None) -> Path:
    if not isinstance(path, str | Path) or not str(path):
        raise UsageError(
            f"{path!r} is no path of a notebook.", hint='evercell.run_notebook("clean.ipynb", {"day": day})'
        )
    found = _placed(path, folder)
    _require_notebook(found)
    return found


def _placed(path: str | Path, folder: Path | None) -> Path:
    given = Path(path).expanduser()
    places = [place.absolute() for place in ([folder / given, given] if folder else [given])]
    return next((place for place in places if place.exists()), places[0])


def _mission(file: object, folder: Path | None) -> MissionDefinition | None:
    if file is None:
        return None
    if not isinstance(file, str | Path) or not str(file):
        raise UsageError(
            f"{file!r} is no path of a mission.",
            hint='evercell.run_notebook("pay.ipynb", mission="mission.toml")',
        )
    return defined_in(_placed(file, folder))


def _require_notebook(path: Path) -> None:
    try:
        if not path.is_file():
            raise NotebookNotFound(f"There is no notebook at {path}.", hint=_what_is_near(path))
        content = path.read_bytes()
    except NotebookNotFound:
        raise
    except OSError as error:
        raise NotebookUnreadable(
            f"{path} cannot be read: {error.strerror}.",
            hint="Give yourself the right to read it, or check the path.",
        ) from error
    try:
        notebook = json.loads(content.decode("utf-8-sig"))
        is_one = isinstance(notebook["nbformat"], int) and ("cells" in notebook or "worksheets" in notebook)
    except (ValueError, TypeError, LookupError, RecursionError):
        is_one = False
    if not is_one:
        raise NotANotebook(
            f"{path} is not a notebook that can be read.",
            hint="Open it in JupyterLab; if it opens there, save it again.",
        )


def _what_is_near(path: Path) -> str:
    if path.is_dir():
        return "That is a folder: name a notebook in it."
    try:
        near = sorted(p.name for p in path.parent.glob("*.ipynb"))
    except OSError:
        near = []
    return f"In {path.parent} there is: {', '.join(near[:_NEAR])}." if near else "Check the path."


# -- the parameters ------------------------------------------------------------------------------


def _parameters(params: Mapping[str, Any] | None) -> dict[str, Any]:
    if params is None:
        return {}
    if not isinstance(params, Mapping):
        raise UsageError(
            f"The parameters are of type {type(params).__name__}.", hint='Give them as a dict: {"day": day}'
        )
    for name in params:
        if not isinstance(name, str) or not name.isidentifier() or keyword.iskeyword(name):
            raise UsageError(
                f"A parameter is named {name!r}, and becomes a variable of the notebook.",
                hint="Use a name that a variable may have.",
            )
    return {name: _plain(value, f"params[{name!r}]", 0) for name, value in params.items()}


_DEEPEST = 100


def _plain(value: Any, where: str, depth: int) -> Any:
    """The value as JSON has it; a tuple is a list there. Raises `UsageError`, which says what is none and where."""
    kind = type(value)
    if value is None or kind in (bool, int, str):
        return value
    if kind is float and value == value and abs(value) != float("inf"):
        return value
    if depth < _DEEPEST and kind in (list, tuple):
        return [_plain(item, f"{where}[{n}]", depth + 1) for n, item in enumerate(value)]
    if depth < _DEEPEST and kind is dict:
        for key in value:
            if type(key) is not str:
                raise _no_json(f"{where} has the key {key!r}, which")
        return {key: _plain(item, f"{where}[{key!r}]", depth + 1) for key, item in value.items()}
    raise _no_json(
        f"{where} is of type {kind.__name__} ({value!r:.60}), which"
        if kind is float
        else f"{where} is of type {kind.__name__}, which"
    )


def _no_json(what: str) -> UsageError:
    return UsageError(
        f"{what} is not JSON.",
        hint="Parameters are text, numbers, true, false, None, lists and dicts with text for keys. Anything else: save "
        "it to a file, and give its path.",
    )
