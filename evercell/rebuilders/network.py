"""HTTP clients: their settings, headers and cookies. Open connections are made when they are needed.

A client keeps its transport to itself; under an httpx that has no such name any more, it is named as not kept.
"""

from __future__ import annotations

from typing import Any

from evercell.state.typerules.rebuilding import CannotRebuild, rebuilds

_SETUP = "make it in a %%setup cell, which runs in every new kernel"

_SETTINGS = ("follow_redirects", "max_redirects", "trust_env")


@rebuilds("httpx.Client", "httpx.AsyncClient", "httpx._client.Client", "httpx._client.AsyncClient")
def _httpx(client: Any) -> tuple[Any, ...]:
    if client.is_closed:
        raise CannotRebuild("a closed client", _SETUP)
    if type(client._transport).__name__ not in ("HTTPTransport", "AsyncHTTPTransport"):
        raise CannotRebuild("a client with a transport of its own", _SETUP)
    settings: dict[str, Any] = {name: getattr(client, name) for name in _SETTINGS}
    settings["cookies"] = [(c.name, c.value, c.domain, c.path) for c in client.cookies.jar]
    settings |= {"headers": list(client.headers.multi_items()), "params": list(client.params.multi_items())}
    settings |= {"base_url": str(client.base_url), "timeout": client.timeout.as_dict()}
    return make_httpx, (type(client).__name__, settings, client.auth, dict(client.event_hooks))


def make_httpx(name: str, settings: dict[str, Any], auth: Any, event_hooks: dict[str, Any]) -> Any:
    """A client with these settings."""
    import httpx

    given = dict(settings)
    cookies = httpx.Cookies()
    for cookie in given.pop("cookies"):
        cookies.set(cookie[0], cookie[1], domain=cookie[2], path=cookie[3])
    timeout = httpx.Timeout(**given.pop("timeout"))
    return getattr(httpx, name)(**given, cookies=cookies, timeout=timeout, auth=auth, event_hooks=event_hooks)


@rebuilds("requests.sessions.Session")
def _requests(session: Any) -> tuple[Any, ...]:
    """It pickles well; it is listed so that ``%inspect`` says that its connections are new."""
    return make_requests_session, (), session.__getstate__()


def make_requests_session() -> Any:
    """A session that is filled with what the saved one had."""
    import requests

    return requests.Session()
