"""P3: clients of the web come back with every setting, down to the last attribute of what they are made of."""

from __future__ import annotations

import re
import ssl
from collections.abc import Mapping
from typing import Any

import pytest

from tests.unit.state.memory import Cells, resumed

CLIENTS = {
    "httpx": (
        "import httpx\ndef hook(r): pass\n"
        "c = httpx.Client(base_url='http://a/b', headers={'x': 'y'}, cookies={'c': 'd'}, params={'p': 'q'}, timeout=3,"
        " auth=('u', 'p'), follow_redirects=True, max_redirects=2, trust_env=False, event_hooks={'request': [hook]},"
        " limits=httpx.Limits(max_connections=5, keepalive_expiry=2), http2=False, default_encoding='latin-1')"
    ),
    "httpx with proxies and mounts": (
        "import httpx\nc = httpx.Client(proxy='http://user:pass@localhost:9', mounts={'all://no.proxy': None,"
        " 'https://b': httpx.HTTPTransport(retries=3, local_address='127.0.0.1', uds='/x')})"
    ),
    "httpx that is closed": "import httpx\nc = httpx.Client()\nc.close()",
    "httpx, asynchronous": (
        "import httpx\nc = httpx.AsyncClient(proxy='socks5://u:p@localhost:9' if 0 else None, timeout=None,"
        " limits=httpx.Limits(max_keepalive_connections=1))"
    ),
    "httpx with a digest": "import httpx\nc = httpx.Client(auth=httpx.DigestAuth('u', 'p'))",
    "httpx with a transport of the notebook": (
        "import httpx\nclass Mine(httpx.BaseTransport):\n"
        "    def __init__(self): self.inner = httpx.HTTPTransport(retries=2); self.seen = [1]\n"
        "c = httpx.Client(transport=Mine())"
    ),
    "httpx with a mock": "import httpx\nc = httpx.Client(transport=httpx.MockTransport(lambda r: httpx.Response(204)))",
    "httpx2": "import httpx2\nc = httpx2.Client(base_url='http://a', proxy='http://u:p@localhost:9', timeout=2)",
    "requests": (
        "import requests\nfrom requests.adapters import HTTPAdapter\nfrom urllib3.util import Retry\n"
        "c = requests.Session()\nc.mount('http://slow', HTTPAdapter(max_retries=Retry(4, backoff_factor=.1)))\n"
        "c.proxies = {'https': 'http://u:p@localhost:9'}\nc.verify = False\nc.cert = ('a.pem', 'b.pem')\n"
        "c.params = {'k': 1}\n"
        "c.auth = requests.auth.HTTPDigestAuth('u', 'p')\nc.hooks['response'].append(print)\nc.stream = True\n"
        "c.max_redirects = 3\nc.trust_env = False\nc.cookies.set('a', 'b')\nc.mine = [1]"
    ),
    "requests, a class of the notebook": (
        "import requests\nclass Api(requests.Session):\n"
        "    def __init__(self, base): super().__init__(); self.base = base\nc = Api('http://a')"
    ),
    "urllib3": (
        "import urllib3\nc = urllib3.PoolManager(3, headers={'a': 'b'}, retries=urllib3.Retry(2), timeout=4, maxsize=5,"
        " block=True, cert_reqs='CERT_NONE')"
    ),
    "urllib3 behind a proxy": (
        "import urllib3\nc = urllib3.ProxyManager('http://u:p@localhost:9',"
        " proxy_headers=urllib3.make_headers(proxy_basic_auth='u:p'))"
    ),
    "a pool of urllib3": "import urllib3\nc = urllib3.HTTPSConnectionPool('a', maxsize=3, block=True, timeout=2)",
    "http.client": "import http.client\nc = http.client.HTTPConnection('a', 81, timeout=3)\nc.set_tunnel('b')",
    "OpenAI": (
        "from openai import OpenAI\nc = OpenAI(api_key='typed', base_url='http://a', timeout=3, max_retries=5,"
        " project='p', default_headers={'x-token': 'y'}, default_query={'q': '1'})\nc.chat.completions"
    ),
}

PROCESS = """
    _connections _requests _optional_thread_lock lock _lock pool pools _thread_local _cookies_lock _local sock
    _container _state_lock
""".split()  # noqa: SIM905
"""Attributes that belong to the process."""


def described(value: Any, seen: tuple[int, ...] = ()) -> Any:
    """A value as plain data: classes by name, objects by their attributes."""
    if id(value) in seen:
        return "…"
    seen = (*seen, id(value))
    if isinstance(value, str | bytes | int | float | None):
        return value
    if isinstance(value, ssl.SSLContext):
        return ("TLS", value.verify_mode, value.check_hostname, value.cert_store_stats())
    if isinstance(value, Mapping) and type(value).__module__ in ("builtins", "collections"):
        return {str(described(k, seen)): described(v, seen) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [described(item, seen) for item in value]
    if isinstance(value, set | frozenset):
        return sorted(str(described(item, seen)) for item in value)
    attributes = {k: v for k, v in getattr(value, "__dict__", {}).items() if k not in PROCESS}
    if callable(value) and hasattr(value, "__qualname__"):
        return f"{value.__module__}.{value.__qualname__}"
    slots = [n for b in type(value).__mro__ for n in vars(b).get("__slots__", ()) if hasattr(value, n)]
    attributes |= {n: getattr(value, n) for n in slots if n not in PROCESS and n != "__weakref__"}
    plain = {} if attributes else re.sub(" at 0x[0-9a-f]+", "", repr(value))
    return (type(value).__qualname__, plain, {n: described(v, seen) for n, v in attributes.items()})


@pytest.mark.parametrize("source", CLIENTS.values(), ids=CLIENTS)
def test_a_client_comes_back_with_every_setting(source: str) -> None:
    cells = Cells()
    cells.step("s", source)
    assert cells.missing == []
    cells.step("look", "n = c is None")
    assert "c" not in cells.memory.verified("look").wrote
    was, now = cells["c"], resumed(cells)["c"]
    assert now is not was and described(now) == described(was)
