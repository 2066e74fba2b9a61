"""What a hook of the entry-point group ``evercell.policies`` is given, and what it may say.

    def decide(request: CallRequest) -> Allow | Ask | Deny | None:
        if request.name == "transfer" and request.arguments is None:
            return Deny("its arguments cannot be read")

A hook may only be stricter than the rules: where they deny, its `Allow` changes nothing.
"""

from __future__ import annotations

from evercell.core.policy import Allow, Ask, CallRequest, Deny

__all__ = ["Allow", "Ask", "CallRequest", "Deny"]
