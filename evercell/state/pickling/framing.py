"""Pickle streams without their frames.

A frame announces the length of the next 64 KiB. One inserted byte moves all frames that come after it, and
with them the bytes that content-defined chunks would otherwise find again. Loading needs no frames.
"""

from __future__ import annotations

_PROTO = 2
"""Bytes of the PROTO opcode that begins a stream."""
_FRAME = 0x95
_LENGTH = 8
_LARGE = {0x42: 4, 0x58: 4, 0x8D: 8, 0x8E: 8, 0x96: 8}
"""Opcodes of bytes and text that stand outside of frames, with the size of their length."""
_COUNTED = frozenset({0x43, 0x8A, 0x8C})
"""Opcodes followed by one byte of length and so many bytes."""
_FIXED = {0x4B: 1, 0x4D: 2, 0x68: 1, 0x71: 1}
"""Opcodes with an argument that fit between two large ones, where no frame pays."""


def without_frames(stream: bytes) -> bytes:
    """The same pickle without FRAME opcodes."""
    view = memoryview(stream)
    parts = [view[:_PROTO]]
    position = _PROTO
    while position < len(stream):
        code = stream[position]
        if code == _FRAME:
            start = position + 1 + _LENGTH
            end = start + int.from_bytes(view[position + 1 : start], "little")
            parts.append(view[start:end])
        else:
            end = position + _unframed(view, position, code)
            parts.append(view[position:end])
        position = end
    return b"".join(parts)


def _unframed(view: memoryview, position: int, code: int) -> int:
    """Bytes of an opcode with its argument."""
    if code in _LARGE:
        width = _LARGE[code]
        return 1 + width + int.from_bytes(view[position + 1 : position + 1 + width], "little")
    if code in _COUNTED:
        return 2 + view[position + 1]
    return 1 + _FIXED.get(code, 0)
