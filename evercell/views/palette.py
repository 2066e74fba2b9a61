"""One look for each state of a step, a call or a run: a word, a sign, a shape and a colour, the same everywhere.

None relies on its colour. In a notebook, text has the page's own colour, and each colour of ours can be told from a
white page and from a dark one (3:1), since a saved notebook does not know on which of them it will be read.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Look:
    """How a state is shown."""

    word: str
    sign: str
    colour: str
    fill: str = "solid"
    """Of its bar: ``solid``, ``hollow`` (what was not executed), ``dashed`` (what has no end)."""

    @property
    def bar(self) -> str:
        """Its bar in text: a character for each bit of time."""
        return "█" if self.fill == "solid" and self.word in ("completed", "running") else self.sign


GREEN, BLUE, RED, AMBER, VIOLET, GREY = "#2e9e4f", "#3d83d9", "#dc4a43", "#bd7b00", "#8f6be0", "#808893"

_LOOKS = {
    "completed": Look("completed", "✓", GREEN),
    "replayed": Look("replayed", "↻", GREEN, "hollow"),
    "inherited": Look("inherited", "↳", GREY, "hollow"),
    "running": Look("running", "▸", BLUE),
    "saving": Look("saving", "▸", BLUE),
    "waiting": Look("waiting", "◷", AMBER, "dashed"),
    "paused": Look("paused", "‖", AMBER, "dashed"),
    "failed": Look("failed", "✗", RED),
    "interrupted": Look("interrupted", "⊘", VIOLET, "dashed"),
    "cancelled": Look("cancelled", "⊘", GREY, "dashed"),
    "queued": Look("queued", "○", GREY, "hollow"),
    "idle": Look("idle", "○", GREY, "hollow"),
}


def look_of(state: str) -> Look:
    """The look of a state by its word; of a state that is not known, a grey one."""
    return _LOOKS.get(state) or Look(state, "·", GREY)


def call_look(*, ok: bool) -> Look:
    """That of a durable call that ended."""
    return _LOOKS["completed" if ok else "failed"]


def bar_style(look: Look) -> str:
    """CSS of a bar, in what JupyterLab leaves of the style of a notebook that nobody trusts."""
    if look.fill == "solid":
        return f"background-color:{look.colour};border:1px solid {look.colour}"
    style = "solid" if look.fill == "hollow" else "dashed"
    return f"border:2px {style} {look.colour}"
