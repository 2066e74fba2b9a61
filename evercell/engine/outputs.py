"""What a cell showed, as bytes and back. Outputs are chunks like everything else that a step leaves."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any

from evercell.core.chunks import Blob, ChunkReader, Supply
from evercell.core.errors import Tampered
from evercell.core.records import Output
from evercell.state import join, split

SHOWN_CHARACTERS = 1_000_000
"""A stream longer than this is replayed with its middle left out."""

_SHOWN_END = 50_000


def encode_outputs(outputs: Sequence[Output]) -> tuple[Blob, Supply]:
    """The outputs as one blob and its chunks."""
    if not outputs:
        return Blob(0), Supply()
    text = json.dumps([[o.kind, o.content] for o in outputs], separators=(",", ":"), default=str)
    return split(text.encode())


def decode_outputs(blob: Blob, reader: ChunkReader) -> list[Output]:
    """The outputs of a blob, whole. Raises `Tampered` where it holds something else."""
    if not blob.size:
        return []
    try:
        return [_output(kind, content) for kind, content in json.loads(bytes(join(blob, reader)))]
    except (ValueError, TypeError, RecursionError) as error:
        raise Tampered(
            f"What a step showed cannot be read: {error}.",
            hint="Its state may be whole all the same (%checkout RUN@STEP); `evercell verify` says what is damaged. "
            "To show it anew: %%step STEP --rerun.",
        ) from error


def _output(kind: str, content: Mapping[str, Any]) -> Output:
    if not isinstance(kind, str) or not isinstance(content, dict):
        raise TypeError("it is no list of outputs")
    return Output(kind, content)


def merge_streams(outputs: Iterable[Output]) -> list[Output]:
    """Neighbouring messages of one stream joined, as a notebook file keeps them."""
    merged: list[Output] = []
    for key, group in groupby(outputs, lambda o: o.content["name"] if o.kind == "stream" else None):
        if key is None:
            merged += group
        else:
            merged.append(Output("stream", {"name": key, "text": "".join(o.content["text"] for o in group)}))
    return merged


def with_updates(outputs: Sequence[Output]) -> list[Output]:
    """What is on the page in the end: a display that was updated shows what it was updated to."""
    shown: list[Output] = []
    places: dict[str, int] = {}
    for output in outputs:
        display_id = display_id_of(output)
        if output.kind == "update_display_data" and display_id in places:
            former = shown[places[display_id]]
            shown[places[display_id]] = Output(former.kind, output.content)
            continue
        if display_id is not None:
            places[display_id] = len(shown)
        shown.append(output)
    return shown


def display_id_of(output: Output) -> str | None:
    """By which a display is updated later, None where it is not."""
    found: str | None = (output.content.get("transient") or {}).get("display_id")
    return found


def shorten(output: Output, *, how_to_see: str) -> list[Output]:
    """The output itself, or the first and last part of a stream too long to show again."""
    text = output.content.get("text", "") if output.kind == "stream" else ""
    if len(text) <= SHOWN_CHARACTERS:
        return [output]
    left_out = len(text) - 2 * _SHOWN_END
    note = f"\n… evercell left out {left_out:,} characters here; {how_to_see} shows all …\n"
    return [Output("stream", {**output.content, "text": text[:_SHOWN_END] + note + text[-_SHOWN_END:]})]
