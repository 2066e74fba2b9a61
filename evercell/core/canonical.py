"""One text for one value."""

from __future__ import annotations

import json
from typing import Any


def canonical_json(value: Any) -> str:
    """JSON, compact and with sorted keys: what was hashed can be hashed again."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
