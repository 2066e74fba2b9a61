"""No connection to anywhere from this process, by whatever library of Python: what reaches out does so for real."""

from __future__ import annotations

import sys

_EVENTS = ("socket.connect", "socket.sendto", "socket.sendmsg")


class NotConnected(ConnectionError):
    """Nothing is connected to while a notebook is checked."""


def refuse_connections() -> None:
    """From now on, and for good, connections over the network raise `NotConnected`."""
    sys.addaudithook(_refuse)


def _refuse(event: str, arguments: tuple[object, ...]) -> None:
    if event in _EVENTS and isinstance(address := arguments[-1], tuple):
        raise NotConnected(
            f"Nothing is connected to while a notebook is checked ({address[0]}). Make it a durable call, or allow it: "
            "evercell check --network"
        )
