"""Policies, and what they say of calls, as tables."""

from __future__ import annotations

from collections.abc import Sequence

from evercell.core.clock import local_text
from evercell.core.policy import FrozenPolicy, Policy
from evercell.core.text import one_line
from evercell.engine.policy.checking import Checked
from evercell.views.table import Table

NO_POLICY = "No policy counts here: every call and step is allowed."


def checked_view(rows: Sequence[Checked], *, all_of_them: bool) -> Table:
    """What would be asked or denied; with ``all_of_them`` what is allowed, too."""
    shown = [row for row in rows if all_of_them or not row.is_allowed]
    allowed = sum(row.is_allowed for row in rows)
    footer = (
        f"{allowed} of {len(rows)} steps and calls are allowed." if rows else "There is nothing to decide on."
    )
    rules = [f"{row.rule}: {one_line(row.why)}" if row.why else row.rule for row in shown]
    body = [(row.effect, row.step, row.call, rule, row.then) for row, rule in zip(shown, rules, strict=True)]
    return Table("", ("", "step", "call", "rule", "then"), body, footer)


def policies_view(policies: Sequence[Policy], frozen: Sequence[FrozenPolicy]) -> Table:
    """Each rule of each policy that counts, the strictest first, with the place where it is written."""
    since = {one.digest: one for one in frozen if one.released_at is None}
    body = []
    for policy in policies:
        name, place = policy.digest.hex()[:16], policy.origin
        if policy.digest in since:
            place = f"{place}, frozen {local_text(since[policy.digest].frozen_at)}"
        lists = (("deny", policy.deny), ("ask", policy.ask), ("allow", policy.allow), ("hook", policy.hooks))
        rules = [(effect, text) for effect, texts in lists for text in texts]
        rules += [("default", str(policy.default)), ("steps", str(policy.steps))]
        body += [(effect, text, name, place) for effect, text in rules]
    if not body:
        return Table(NO_POLICY, (), ())
    return Table("", ("", "rule", "policy", "written in"), body, "The strictest of all decides.")
