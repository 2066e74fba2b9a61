"""The inbox as pages of a Jupyter server, for people without a notebook: behind its login, without scripts."""

from __future__ import annotations

from typing import Any


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": "evercell.server"}]


def _load_jupyter_server_extension(server: Any) -> None:
    from evercell.server.api import api_routes
    from evercell.server.handlers import routes

    base_url = server.web_app.settings["base_url"]
    server.web_app.add_handlers(".*$", [*routes(base_url), *api_routes(base_url)])
    server.log.info("evercell: the inbox is at %severcell", server.web_app.settings["base_url"])
