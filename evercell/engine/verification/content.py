"""Chunks: there, whole, and with the content that their digest says. Each is read once for all that need it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from evercell.core.chunks import Blob, ChunkReader
from evercell.core.errors import EvercellError
from evercell.engine.verification.report import Checked
from evercell.state import index_digests, read_content

_BATCH = 256


class ContentChecker:
    """Checks blobs, remembering the chunks that it has seen."""

    def __init__(self, reader: ChunkReader) -> None:
        self._reader = reader
        self._sizes: dict[bytes, int] = {}
        """Of the chunks that are as they should be."""
        self._bad: dict[bytes, str] = {}

    def check(self, blobs: Iterable[Blob], checked: Checked) -> str | None:
        """What is wrong with the content of blobs, in one sentence; None if all is well."""
        bad: dict[bytes, str] = {}
        wrong: list[str] = []
        count = 0
        for blob in blobs:
            digests, missing = self._content(blob, checked)
            count += len(digests)
            bad |= missing
            size = sum(self._sizes.get(digest, 0) for digest in digests)
            is_known = blob.size or not digests  # (of a part of a thread's list it is not)
            if not missing and is_known and size != blob.size:
                wrong.append(f"it has {size:,} bytes instead of {blob.size:,}")
        if bad:
            return f"{len(bad)} of its {max(count, len(bad)):,} chunks cannot be used; {next(iter(bad.values()))}"
        return wrong[0] if wrong else None

    def _content(self, blob: Blob, checked: Checked) -> tuple[Sequence[bytes], dict[bytes, str]]:
        """The chunks of the content itself, and what is wrong with them or with those of the index."""
        digests: Sequence[bytes] = blob.digests
        for _ in range(blob.levels):
            if missing := self._check_all(digests, checked):
                return digests, missing
            try:
                digests = index_digests(digests, self._reader)
            except EvercellError as error:
                return digests, {digests[0]: error.what}
        return digests, self._check_all(digests, checked)

    def _check_all(self, digests: Sequence[bytes], checked: Checked) -> dict[bytes, str]:
        new = [d for d in dict.fromkeys(digests) if d not in self._sizes and d not in self._bad]
        for batch in _batches(new):
            self._check_batch(batch, checked)
        return {digest: self._bad[digest] for digest in digests if digest in self._bad}

    def _check_batch(self, batch: Sequence[bytes], checked: Checked) -> None:
        try:
            found = self._reader.find(batch)
        except EvercellError as error:
            if len(batch) == 1:
                self._bad[batch[0]] = error.what
                return
            for digest in batch:  # one of them is not there: which, is found out one by one
                self._check_batch([digest], checked)
            return
        for digest, chunk in found.items():
            try:
                content = read_content(chunk)
            except (EvercellError, OSError) as error:
                self._bad[digest] = str(getattr(error, "what", error))
            else:
                self._sizes[digest] = len(content)
                checked.chunks += 1
                checked.size += len(content)


def _batches(digests: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    for start in range(0, len(digests), _BATCH):
        yield digests[start : start + _BATCH]
