"""One text for one value."""

from __future__ import annotations

import json
from typing import Any

_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def canonical_json(value: Any) -> str:
    """JSON, compact and with sorted keys: what was hashed can be hashed again."""
    return _ENCODER.encode(value)
