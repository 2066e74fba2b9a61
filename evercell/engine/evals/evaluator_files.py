"""Files of evaluators: functions of a trajectory, and evaluators of pydantic-evals, by their names."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import suppress
from importlib.util import module_from_spec, spec_from_file_location
from inspect import isclass, isfunction
from pathlib import Path
from types import ModuleType
from typing import Any

from evercell.core.errors import UsageError
from evercell.engine.evals.evaluating import Evaluator, is_metric, is_of_trajectory, of_function
from evercell.engine.evals.scoring import MadeMetric


def read_evaluators(path: Path) -> list[Evaluator]:
    """What a file has at its top: functions whose only argument that has to be given is a trajectory (a second one,
    ``against``, is that of the run that did well), evaluators of pydantic-evals or classes of such that need nothing to
    be made, and lists of these. A name with an underscore is its own. Raises `UsageError`.
    """
    module = _imported(path)
    found: dict[int, Evaluator] = {}
    values = [value for name, value in vars(module).items() if not name.startswith("_")]
    given = [one for value in values for one in (value if isinstance(value, list | tuple) else (value,))]
    for one in [*given, *_made(given, module)]:
        found |= {id(one): evaluator for evaluator in _evaluators(one, module)}
    if not found:
        raise UsageError(
            f"{path} has nothing that judges.",
            hint="Write `def score(trajectory): return 1.0` in it, or `CHECK = ToolCorrectness(...)`.",
        )
    return list(found.values())


def _evaluators(value: Any, module: ModuleType) -> Iterator[Evaluator]:
    if _is_of_pydantic(value):
        from evercell.engine.evals.pydantic_evaluators import of_pydantic

        yield of_pydantic(value)
        return
    is_told = isinstance(value, MadeMetric) and not value.waits  # what waits asks a model
    is_ours = isfunction(value) and (value.__module__ == module.__name__ or is_metric(value))
    if (is_told or is_ours) and is_of_trajectory(value):
        yield of_function(value)


def _made(given: list[Any], module: ModuleType) -> list[Any]:
    """An evaluator of each class of the file that needs nothing to be made, where the file makes none itself."""
    made = []
    for kind in given:
        if not isclass(kind) or kind.__module__ != module.__name__ or any(type(one) is kind for one in given):
            continue
        if issubclass(kind, _evaluators_of_pydantic()):
            with suppress(TypeError):
                made.append(kind())
    return made


def _evaluators_of_pydantic() -> tuple[type, ...]:
    """(Where nobody imported them, there are none.)"""
    evaluators = sys.modules.get("pydantic_evals.evaluators")
    return (evaluators.Evaluator,) if evaluators is not None else ()


def _is_of_pydantic(value: Any) -> bool:
    return not isclass(value) and isinstance(value, _evaluators_of_pydantic())


def _imported(path: Path) -> ModuleType:
    """What the file makes when it runs; modules beside it are found."""
    if not path.is_file():
        raise UsageError(
            f"There is no file {path}.", hint="--with FILE is Python code with evaluators in it."
        )
    spec = spec_from_file_location(f"evercell_evaluators_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise UsageError(f"{path} is no Python file.", hint="--with evals.py")
    module = module_from_spec(spec)
    folder = str(path.resolve().parent)
    sys.path.insert(0, folder)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except ImportError as error:
        hint = (
            'pip install "evercell[evals]"'
            if "pydantic_evals" in str(error)
            else "Install it, or mend the file."
        )
        raise UsageError(f"{path} cannot be imported: {error}.", hint=hint) from error
    except Exception as error:
        where = _line_of(error, path)
        raise UsageError(
            f"{path}{where} raised {type(error).__name__}: {error}.", hint="Mend it, or name another file."
        ) from error
    finally:
        sys.path.remove(folder)
    return module


def _line_of(error: BaseException, path: Path) -> str:
    """Where in the file it was raised."""
    if isinstance(error, SyntaxError):
        return f", line {error.lineno}"
    found, trace = "", error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == str(path):
            found = f", line {trace.tb_lineno}"
        trace = trace.tb_next
    return found
