"""P3, P4: clients of models and of the web, asked over TLS in one kernel, are asked again in the next."""

from __future__ import annotations

import sqlite3
import ssl
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme

from evercell.state import read_content
from evercell.store import open_store
from tests.conftest import isolated_home
from tests.kernels import Kernel, Shown
from tests.model_server import ModelServer, model_server
from tests.redis_server import redis_server

NewKernel = Callable[..., Kernel]

FROM_ENVIRONMENT = "sk-of-the-environment-0123456789"
TYPED_IN = "sk-typed-into-a-cell-0123456789"

CHAT = "{0}.chat.completions.create(model='m', messages=[dict(role='user', content='abc')]).choices[0].message.content"
MESSAGE = "{0}.messages.create(model='m', max_tokens=9, messages=[dict(role='user', content='abc')]).content[0].text"


@dataclass(frozen=True)
class Client:
    """How one is made (``{0}`` its name, ``URL`` where the model is), and an expression that is 'cba' again."""

    name: str
    make: str
    ask: str
    needs: str = ""


CLIENTS = [
    Client("openai", "from openai import OpenAI\n{0} = OpenAI(base_url=URL)", CHAT),
    Client(
        "openai_recorded",
        "import evercell\nfrom openai import OpenAI\n{0} = evercell.record(OpenAI(base_url=URL))",
        CHAT + " if 'recorded' in repr({0}._client._transport) else 0",
    ),
    Client(
        "openai_async", "from openai import AsyncOpenAI\n{0} = AsyncOpenAI(base_url=URL)",
        "(await " + CHAT.replace(").choices", ")).choices"),
    ),
    Client(
        "openai_own_key",
        f"from openai import OpenAI\n{{0}} = OpenAI(base_url=URL, api_key={TYPED_IN!r}, max_retries=7, timeout=4,"
        " default_headers={{'X-Team': 'blue'}})",
        CHAT + " if ({0}.max_retries, {0}.timeout) == (7, 4) and {0}.default_headers['X-Team'] == 'blue' else 0",
    ),
    Client("openai_options", "from openai import OpenAI\n{0} = OpenAI(base_url=URL).with_options(max_retries=1)", CHAT),
    Client(
        "openai_part", "from openai import OpenAI\n{0} = [OpenAI(base_url=URL).chat.completions]",
        CHAT.replace("{0}.chat.completions", "{0}[0]"),
    ),
    Client(
        "openai_http_client",
        "import httpx2\nfrom openai import OpenAI\n"
        "class {0}_Http(httpx2.Client):\n"
        "    asked = 0\n"
        "    def send(self, *a, **k):\n        self.asked += 1\n        return super().send(*a, **k)\n"
        "{0} = OpenAI(base_url=URL, http_client={0}_Http(verify=OWN_TLS))",
        "[" + CHAT + ", type({0}._client) is {0}_Http and {0}._client.asked or 1 / 0][0]",
        needs="httpx2",
    ),
    Client("anthropic", "from anthropic import Anthropic\n{0} = Anthropic(base_url=URL[:-3])", MESSAGE, "anthropic"),
    Client(
        "anthropic_async", "from anthropic import AsyncAnthropic\n{0} = AsyncAnthropic(base_url=URL[:-3])",
        "(await " + MESSAGE.replace(").content", ")).content"), "anthropic",
    ),
    Client(
        "agent",
        "from openai import OpenAI\n"
        "class {0}_Agent:\n"
        "    def __init__(self):\n"
        "        self.client, self.memory = OpenAI(base_url=URL), []\n"
        "    def ask(self):\n"
        "        said = " + CHAT.format("self.client") + "\n"
        "        self.memory.append(said)\n        return said\n"
        "{0} = {0}_Agent()",
        "{0}.ask()",
    ),
    Client(
        "langchain", "from langchain_openai import ChatOpenAI\n{0} = ChatOpenAI(model='m', base_url=URL)",
        "{0}.invoke('abc').content", "langchain_openai",
    ),
    Client(
        "pydantic_ai",
        "from pydantic_ai import Agent\nfrom pydantic_ai.models.openai import OpenAIChatModel\n"
        "from pydantic_ai.providers.openai import OpenAIProvider\n"
        "{0} = Agent(OpenAIChatModel('m', provider=OpenAIProvider(base_url=URL)))",
        "(await {0}.run('abc')).output", "pydantic_ai",
    ),
    Client(
        "httpx",
        "import httpx\n{0} = httpx.Client(base_url=URL, headers={{'X-A': 'b'}}, timeout=3, follow_redirects=True,"
        " cookies={{'c': 'd'}}, event_hooks={{'response': [lambda r: r.headers.update(dict(seen='1'))]}})",
        "(lambda r: 'cba' if r.headers['seen'] == '1' and r.json()['headers']['x-a'] == 'b'"
        " and r.json()['headers']['cookie'] == 'c=d' and {0}.timeout.read == 3 else r.json())({0}.get('/x'))",
    ),
    Client(
        "httpx_transport",
        "import httpx\n{0} = httpx.Client(transport=httpx.HTTPTransport(retries=3, verify=OWN_TLS,"
        " limits=httpx.Limits(max_connections=5)), mounts={{'all://other.example': None}})",
        "'cba' if {0}.get(URL + '/x').status_code == 200 and {0}._transport._pool._retries == 3"
        " and {0}._transport._pool._max_connections == 5 and len({0}._mounts) == 1 else 0",
    ),
    Client("httpx_async", "import httpx\n{0} = httpx.AsyncClient(base_url=URL)",
           "'cba' if (await {0}.get('/x')).json()['path'] == '/v1/x' else 0"),
    Client("httpx2", "import httpx2\n{0} = httpx2.Client(base_url=URL)",
           "'cba' if {0}.get('/x').json()['path'] == '/v1/x' else 0", "httpx2"),
    Client(
        "requests",
        "import functools, requests\nfrom requests.adapters import HTTPAdapter\n"
        "class {0}_Tls(HTTPAdapter):\n"
        "    def __init__(self, note): self.note = note; super().__init__(max_retries=4, pool_maxsize=3)\n"
        "    def init_poolmanager(self, *a, **k): super().init_poolmanager(*a, ssl_context=OWN_TLS, **k)\n"
        "{0} = requests.Session(); {0}.mount('https://127.0.0.1', {0}_Tls('mine')); {0}.base = URL\n"
        "{0}.headers['Authorization'] = 'Bearer ' + key(); {0}.verify = CA",
        "(lambda r: 'cba' if r.json()['headers']['authorization'].endswith(key())"
        " and {0}.get_adapter(URL).note == 'mine' and {0}.get_adapter(URL).max_retries.total == 4 else 0)"
        "({0}.get({0}.base + '/x'))",
    ),
    Client(
        "urllib3", "import urllib3\n{0} = urllib3.PoolManager(4, ca_certs=CA, headers={{'X-A': 'b'}}, retries=2)",
        "'cba' if {0}.request('GET', URL + '/x').json()['headers']['x-a'] == 'b' else 0",
    ),
    Client(
        "http_client", "import http.client, urllib.parse\n"
        "{0} = http.client.HTTPSConnection(urllib.parse.urlsplit(URL).netloc, context=OWN_TLS, timeout=9)",
        "[{0}.request('GET', '/v1/x'), {0}.getresponse().read()] and 'cba'",
    ),
    Client(
        "opener", "import urllib.request\n"
        "{0} = urllib.request.build_opener(urllib.request.HTTPSHandler(context=OWN_TLS))\n"
        "{0}.addheaders = [('X-A', 'b')]",
        "'cba' if b'x-a' in {0}.open(URL + '/x').read() else 0",
    ),
    Client(
        "aiohttp",
        "import aiohttp\n{0} = aiohttp.ClientSession(headers={{'X-A': 'b', 'Authorization': 'Bearer ' + key()}},"
        " connector=aiohttp.TCPConnector(limit=7, ssl=OWN_TLS))",
        "'cba' if (await (await {0}.get(URL + '/x')).json())['headers']['x-a'] == 'b' and"
        " {0}.connector.limit == 7 else 0", "aiohttp",
    ),
    Client(
        "aiohttp_traced",
        "import aiohttp\n{0}_seen = []; {0}_told = aiohttp.TraceConfig()\n"
        "async def {0}_note(session, context, told): {0}_seen.append(told.url.path)\n"
        "{0}_told.on_request_start.append({0}_note)\n"
        "{0} = aiohttp.ClientSession(trace_configs=[{0}_told], connector=aiohttp.TCPConnector(ssl=OWN_TLS))",
        "'cba' if (await {0}.get(URL + '/x')).status == 200 and set({0}_seen) == {{'/v1/x'}}"
        " and {0}.trace_configs[0] is {0}_told else 0", "aiohttp",
    ),
    Client(
        "redis",
        "import os, redis\n{0}_pool = redis.ConnectionPool(connection_class=redis.SSLConnection, host='127.0.0.1',"
        " port=int(os.environ['TEST_REDIS']), ssl_ca_certs=CA, decode_responses=True)\n"
        "{0} = redis.Redis(connection_pool={0}_pool); {0}_get = {0}.get",
        "{0}_get('k') if {0}.connection_pool is {0}_pool and {0}_get.__self__ is {0} else 0", "redis",
    ),
    Client(
        "redis_async",
        "import os, redis.asyncio\n{0} = redis.asyncio.Redis(host='127.0.0.1', port=int(os.environ['TEST_REDIS']),"
        " ssl=True, ssl_ca_certs=CA, decode_responses=True)",
        "await {0}.get('k')", "redis",
    ),
]  # fmt: skip

BEGIN = """\
import os, ssl
from pathlib import Path
URL, CA = os.environ["TEST_URL"], str(Path("ca.pem").absolute())
OWN_TLS = ssl.create_default_context(cafile="ca.pem")
def key(): return Path("key.txt").read_text()
"""


@dataclass
class Asked:
    """Clients asked in one kernel, and what each answered in the next."""

    first: dict[str, Shown]
    second: dict[str, Shown]
    store: bytes


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def tls(authority: trustme.CA) -> ssl.SSLContext:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    return tls


@pytest.fixture(scope="module")
def server(tls: ssl.SSLContext) -> Iterator[ModelServer]:
    with model_server(tls) as running:
        yield running


@pytest.fixture(scope="module")
def redis_port(tls: ssl.SSLContext) -> Iterator[int]:
    with redis_server(tls) as port:
        yield port


def _installed(client: Client) -> bool:
    from importlib.util import find_spec

    return not client.needs or find_spec(client.needs) is not None


HERE = [client for client in CLIENTS if _installed(client)]


@pytest.fixture(scope="module")
def asked(
    server: ModelServer, redis_port: int, authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Asked]:
    folder = tmp_path_factory.mktemp("clients")
    authority.cert_pem.write_to_path(folder / "ca.pem")
    (folder / "key.txt").write_text(TYPED_IN)
    environ = {**environment(folder, server), "TEST_REDIS": str(redis_port)}
    kernels = [Kernel(cwd=folder, environ=environ)]
    try:
        kernels[0].run("%load_ext evercell")
        assert kernels[0].run(BEGIN).status == "ok"
        for client in HERE:
            made = kernels[0].run(client.make.format(f"c_{client.name}"))
            assert made.status == "ok", made.error
        first = {c.name: kernels[0].run(f"%%step ask_{c.name}\n{_question(c)}") for c in HERE}
        kernels[0].kill()
        store = everything_in(folder / "store.db")
        kernels.append(Kernel(cwd=folder, environ=environ))
        kernels[1].run("%load_ext evercell")
        resumed = kernels[1].run("%resume")
        assert "resumed" in resumed.text and "not kept" not in resumed.text, resumed.text + resumed.error
        yield Asked(first, {c.name: kernels[1].run(_question(c)) for c in HERE}, store)
    finally:
        for kernel in kernels:
            kernel.shut_down()


def _question(client: Client) -> str:
    return f"said = {client.ask.format(f'c_{client.name}')}\nprint(said)"


def everything_in(database: Path) -> bytes:
    """The files of a store, and its chunks as they were before they were compressed."""
    files = [path for path in database.parent.glob(f"{database.name}*") for path in (path, *path.rglob("*"))]
    with closing(sqlite3.connect(database)) as connection:
        digests = [row[0] for row in connection.execute("select digest from chunks")]
    store = open_store(f"sqlite:///{database}")
    try:
        chunks = [bytes(read_content(chunk)) for chunk in store.chunks.find(digests).values()]
    finally:
        store.close()
    return b"".join([*(path.read_bytes() for path in files if path.is_file()), *chunks])


def environment(folder: Path, server: ModelServer) -> dict[str, str]:
    ca = str(folder / "ca.pem")
    return {
        **isolated_home(folder / "home"),
        "EVERCELL_STORE": f"sqlite:///{folder / 'store.db'}",
        "EVERCELL_NOTEBOOK": str(folder / "nb.ipynb"),
        "TEST_URL": server.url,
        "SSL_CERT_FILE": ca,
        "OPENAI_API_KEY": FROM_ENVIRONMENT,
        "ANTHROPIC_API_KEY": FROM_ENVIRONMENT,
    }


@pytest.mark.parametrize("client", HERE, ids=lambda client: client.name)
def test_a_client_asked_before_the_kill_is_asked_after_it(asked: Asked, client: Client) -> None:
    first, second = asked.first[client.name], asked.second[client.name]
    assert first.status == "ok" and first.notes == "" and first.text.startswith("cba"), (
        first.text + first.error
    )
    assert second.status == "ok" and second.text.startswith("cba"), second.text + second.error


def test_no_key_is_in_the_store(asked: Asked) -> None:
    assert b"X-Team" in asked.store
    assert FROM_ENVIRONMENT.encode() not in asked.store
    assert TYPED_IN.encode() not in asked.store.replace(_source_of("openai_own_key"), b"")


def _source_of(name: str) -> bytes:
    """What the user typed is kept as it was typed."""
    (client,) = (client for client in CLIENTS if client.name == name)
    return client.make.format(f"c_{name}").encode()
