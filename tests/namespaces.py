"""Hosts of our own on one machine: each has its own network, processes and name, and a cable that can be pulled out."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True)
class Network:
    """A bridge with an address of this machine's on it, and hosts behind it."""

    tag: str
    prefix: str
    hosts: tuple[str, ...]

    @property
    def address(self) -> str:
        """This machine's, as the hosts see it."""
        return f"{self.prefix}.1"

    def address_of(self, host: str) -> str:
        return f"{self.prefix}.{self.hosts.index(host) + 2}"

    def command_on(self, host: str, words: Sequence[str]) -> list[str]:
        """The command with which a program runs on a host; all that it starts there ends with it.

        (Files are this machine's: a file system that all share.)
        """
        named = 'echo "$0" > /proc/sys/kernel/hostname && exec "$@"'
        alone = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "--uts"]
        return ["ip", "netns", "exec", self._space(host), *alone, "sh", "-c", named, host, *words]

    def cut(self, host: str) -> None:
        """What either side sends is lost, and neither is told."""
        _ip("link", "set", self._cable(host), "down")

    def mend(self, host: str) -> None:
        _ip("link", "set", self._cable(host), "up")

    def lay(self) -> None:
        """Make it all."""
        bridge = self.tag
        _ip("link", "add", bridge, "type", "bridge")
        _ip("addr", "add", f"{self.address}/24", "dev", bridge)
        _ip("link", "set", bridge, "up")
        for host in self.hosts:
            space, cable = self._space(host), self._cable(host)
            _ip("netns", "add", space)
            _ip("link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", space)
            _ip("link", "set", cable, "master", bridge)
            _ip("link", "set", cable, "up")
            _ip("-n", space, "addr", "add", f"{self.address_of(host)}/24", "dev", "eth0")
            for device in ("lo", "eth0"):
                _ip("-n", space, "link", "set", device, "up")

    def remove(self) -> None:
        """All of it, as far as it was made."""
        for host in self.hosts:
            _ip("link", "del", self._cable(host), check=False)
            _ip("netns", "del", self._space(host), check=False)
        _ip("link", "del", self.tag, check=False)

    def _space(self, host: str) -> str:
        return f"{self.tag}-{host}"

    def _cable(self, host: str) -> str:
        return f"{self.tag}v{self.hosts.index(host)}"


@contextmanager
def network(hosts: Sequence[str]) -> Iterator[Network]:
    """A network with these hosts, for as long as it is needed."""
    made = Network(
        f"ec{secrets.token_hex(3)}",
        f"10.{secrets.randbelow(200) + 50}.{secrets.randbelow(250)}",
        tuple(hosts),
    )
    try:
        made.lay()
        yield made
    finally:
        made.remove()


def why_no_networks() -> str | None:
    """Why this user cannot have networks of their own; None where they can."""
    for program in ("ip", "unshare"):
        if shutil.which(program) is None:
            return f"there is no program {program} (Debian: iproute2, util-linux)"
    if os.geteuid() != 0:
        return "network namespaces are made by root"
    try:
        with network(["probe"]) as made:
            subprocess.run(made.command_on("probe", ["true"]), check=True, capture_output=True)
    except subprocess.CalledProcessError as error:
        return f"network namespaces cannot be made here: {error.stderr.decode(errors='replace').strip()}"
    return None


def _ip(*words: str, check: bool = True) -> None:
    subprocess.run(["ip", *words], check=check, capture_output=True)
