"""What was filled into the fields of an approval's page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from evercell.core.approvals import Approval
from evercell.views.form_fields import FieldKind, fields_of

PREFIX = "field."
"""Before a field's name among those of the page's own form."""


def values_in(approval: Approval, arguments: Mapping[str, str]) -> dict[str, Any] | None:
    """The values of the approval's form, None where it has none. A checkbox that is not sent was left empty."""
    values: dict[str, Any] = {}
    for field in fields_of(approval):
        sent = arguments.get(PREFIX + field.name)
        if sent is not None:
            values[field.name] = sent.replace("\r\n", "\n")
        elif field.kind is FieldKind.YES_NO:
            values[field.name] = False
    return values or None
