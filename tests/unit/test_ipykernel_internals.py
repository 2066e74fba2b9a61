"""What evercell does with an ipykernel that no longer has what it kept to itself."""

from __future__ import annotations

import io
import sys

import pytest

from evercell.kernel_ext.ipykernel_internals import (
    UnsentText,
    answer_beside_the_cell,
    deliver_widget_messages,
    shown_traceback,
    wake_loop,
)


class Bare:
    """A shell, kernel or widget without any of the names."""


def test_without_a_kept_traceback_pythons_own_is_recorded() -> None:
    try:
        raise ValueError("too warm")
    except ValueError as error:
        lines = shown_traceback(Bare(), error)
    assert "ValueError: too warm\n" in lines and len(lines) > 2


def test_a_stream_without_a_known_buffer_is_flushed_always(monkeypatch: pytest.MonkeyPatch) -> None:
    class Stream(io.StringIO):
        flushed = 0

        def flush(self) -> None:
            self.flushed += 1

    monkeypatch.setattr(sys, "stdout", out := Stream())
    monkeypatch.setattr(sys, "stderr", err := Stream())
    UnsentText().flush()
    assert (out.flushed, err.flushed) == (1, 1)


def test_without_the_private_names_widgets_and_interrupts_wait_and_nothing_raises() -> None:
    widget, kernel = Bare(), Bare()
    answer_beside_the_cell(widget)
    deliver_widget_messages(kernel, ["comm"])
    wake_loop(kernel)
    assert vars(widget) == vars(kernel) == {}
