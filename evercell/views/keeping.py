"""What goes with a run that is deleted, and what was collected, in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from evercell.core.text import one_line
from evercell.engine.collecting import Collection
from evercell.engine.naming import Deletion
from evercell.views.quantities import size_text


def deletion_in_words(deletion: Deletion) -> str:
    """What is lost, and what stays."""
    steps = f"{_count(deletion.steps, 'completed step')} of its own"
    text = f"run {one_line(deletion.run.name)} ({deletion.run.id}): {steps}"
    if deletion.tags:
        text += f", tags {', '.join(map(one_line, deletion.tags))}"
    if not deletion.branches:
        return text
    return f"{text}; its branches ({_some(deletion.branches, 5)}) keep all that they see"


def collection_in_words(done: Collection) -> Iterator[str]:
    """What was, or would be, freed, and what was kept since somebody may need it."""
    swept = done.swept
    verb = "would be freed" if done.dry_run else "freed"
    if not (done.runs or done.checkpoints or swept.chunks or swept.stray_files or swept.packs):
        yield "nothing to collect: all that is stored is reached"
    else:
        yield (
            f"{size_text(done.size) or '0 B'} {verb}: {_count(done.runs, 'deleted run')}, "
            f"{_count(done.checkpoints, 'checkpoint')}, {_count(swept.chunks, 'chunk')}, {_count(swept.packs, 'pack')}"
        )
    if swept.stray_files:
        what = "that no commit names"
        yield f"  of it {_count(swept.stray_files, 'file')} {what} ({size_text(swept.stray_size) or '0 B'})"
    if done.held:
        kept = _some(done.held, 8)
        yield f"  kept with all that they see, since a kernel is on them, or may be: {kept}"


def _some(names: Sequence[str], most: int) -> str:
    return ", ".join(map(one_line, names[:most])) + (", …" if len(names) > most else "")


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}" + ("s" if number != 1 else "")
