"""Functions of the shell and the kernel with ours around them, until we go."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, MutableMapping
from contextlib import suppress
from typing import Any


class Wrapper:
    """A function that others call by its name, with ours in its place.

    Others may wrap the same function before us and after us, and go before us and after us: nobody's wrapper is lost.
    """

    def __init__(
        self,
        place: MutableMapping[str, Any],
        name: str,
        *,
        original: Callable[..., Any],
        ours: Callable[..., Any],
    ) -> None:
        """``place[name]`` is what is called: a table of handlers, or an object's ``vars()``."""
        self._place = place
        self._name = name
        self._had_own = name in place
        self._original = original
        self._ours: Callable[..., Any] | None = ours
        place[name] = self._installed = self._passing_on()

    def remove(self) -> None:
        """Put back what was there before us. If somebody wrapped us since, ours stays and passes everything on."""
        self._ours = None
        if self._place.get(self._name) is not self._installed:
            return
        if self._had_own:
            self._place[self._name] = self._original
        else:
            del self._place[self._name]  # the class's own is found again

    def _passing_on(self) -> Callable[..., Any]:
        if inspect.iscoroutinefunction(self._original):

            @functools.wraps(self._original)
            async def call_async(*args: Any, **kwargs: Any) -> Any:
                return await (self._ours or self._original)(*args, **kwargs)

            return _with_signature(call_async, self._original)

        @functools.wraps(self._original)
        def call(*args: Any, **kwargs: Any) -> Any:
            return (self._ours or self._original)(*args, **kwargs)

        return _with_signature(call, self._original)


def _with_signature(wrapper: Callable[..., Any], original: Callable[..., Any]) -> Callable[..., Any]:
    """Tell the signature at once: ipykernel asks for that of ``run_cell_async`` at every cell."""
    with suppress(ValueError, TypeError):
        wrapper.__signature__ = inspect.signature(original)  # type: ignore[attr-defined]
    return wrapper
