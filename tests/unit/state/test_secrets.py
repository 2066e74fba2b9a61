"""P3, P4: keys and passwords come back, and none is stored as it is."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from evercell.core.errors import NotKept
from evercell.state.content.chunking import decompress
from evercell.state.content.sealing import CannotSeal, seal, seal_with, unseal
from evercell.state.content.signing import Signer
from tests.unit.state.memory import SIGNER, Cells, in_a_new_process, resumed

KEY = "sk-0123456789-of-nobody-else"


def stored(cells: Cells) -> bytes:
    """All that a store would have, decompressed."""
    chunks = (
        decompress(bytes(c.data), c.size) if c.codec else bytes(c.data) for c in cells.memory.chunks.values()
    )
    return b"".join([*chunks, *(payload for payload, _ in cells.memory.manifests.values())])


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """A key in it, and a library whose client keeps what it was given."""
    (tmp_path / "fake_client.py").write_text("class Client:\n    def __init__(self, o): self.options = o\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}")
    monkeypatch.setenv("TEST_API_KEY", KEY)
    return monkeypatch


def test_what_is_sealed_is_opened_with_the_same_key_only() -> None:
    seal_with(lambda: SIGNER)
    sealed = seal(b"a secret")
    assert sealed == seal(b"a secret") and b"secret" not in sealed and unseal(sealed) == b"a secret"
    with pytest.raises(CannotSeal):
        unseal(sealed[:-1] + b"x")
    seal_with(lambda: Signer(b"j" * 32))
    with pytest.raises(CannotSeal, match="another key"):
        unseal(sealed)


HOLDERS = {
    "an attribute": ("class C: pass\nc = C()\nc.api_key = KEY", "c.api_key"),
    "a header": ("import httpx\nc = httpx.Headers({'authorization': 'Bearer ' + KEY})", "c['Authorization'][7:]"),
    "a header of a client": (
        "import httpx\nc = httpx.Client(headers={'x-api-key': KEY})", "c.headers['x-api-key']",
    ),
    "a header of a session": (
        "import requests\nc = requests.Session(); c.headers['Authorization'] = f'Bearer {KEY}'",
        "c.headers['Authorization'][7:]",
    ),
    "a session's name and password": ("import requests\nc = requests.Session(); c.auth = ('me', KEY)", "c.auth[1]"),
    "a secret of pydantic": (
        "import pydantic\nclass M(pydantic.BaseModel):\n    s: pydantic.SecretStr\nc = M(s=KEY)",
        "c.s.get_secret_value()",
    ),
    "a plain field of pydantic": (
        "import pydantic\nclass M(pydantic.BaseModel):\n    password: str\nc = M(password=KEY)", "c.password",
    ),
    "a field of a named tuple": (
        "from typing import NamedTuple\nclass P(NamedTuple):\n    user: str\n    password: str\nc = P('me', KEY)",
        "c.password",
    ),
    "a cookie": (
        "import requests\nc = requests.Session(); c.cookies.set('session', KEY)", "c.cookies['session']",
    ),
    "an engine's address": (
        "import sqlalchemy as sa\nc = sa.create_engine(f'postgresql+psycopg://me:{KEY}@localhost/x')", "c.url.password",
    ),
    "settings of a library's client": (
        "import fake_client\nc = fake_client.Client({'password': KEY, 'rest': {'headers': {'x-key': KEY}}})",
        "c.options['password'] if c.options['rest']['headers']['x-key'] == c.options['password'] else 0",
    ),
    "headers of a class of the notebook": (
        "class C:\n    def __init__(self): self.headers = {'Authorization': 'Bearer ' + KEY}\nc = C()",
        "c.headers['Authorization'][7:]",
    ),
    "an attribute that is a slot": (
        "class C:\n    __slots__ = ('token_', 'api_key')\nc = C()\nc.api_key = KEY", "c.api_key",
    ),
    "headers that a client was given": (
        "from openai import OpenAI\nc = OpenAI(api_key=KEY, default_headers={'X-Auth': KEY})",
        "c.default_headers['X-Auth'] if c.api_key == c.default_headers['X-Auth'] else 0",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("make", "get"), HOLDERS.values(), ids=HOLDERS)
@pytest.mark.parametrize("source", ["os.environ['TEST_API_KEY']", "'-'.join(['a','secret','typed','in'])"])
def test_a_key_comes_back_and_is_not_stored(make: str, get: str, source: str) -> None:
    cells = Cells()
    cells.step(
        "s",
        f"import os\n{make.replace('KEY', '(' + source + ')') if '{' not in make else _named(make, source)}",
    )
    assert cells.missing == []
    key = KEY if "environ" in source else "a-secret-typed-in"
    assert key.encode() not in stored(cells)
    assert in_a_new_process(cells, get) == (key, [])


def _named(make: str, source: str) -> str:
    return f"KEY = {source}\n{make}\ndel KEY"


def test_a_dict_that_the_notebook_holds_elsewhere_stays_the_one_that_it_is() -> None:
    cells = Cells()
    cells.step("s", "class C: pass\nheaders = {'x-key': 'typed-in'}\nc = C()\nc.headers = headers")
    fresh = resumed(cells)
    assert fresh["c"].headers is fresh["headers"]


def test_what_came_from_the_environment_is_what_it_has_now(environment: pytest.MonkeyPatch) -> None:
    cells = Cells()
    cells.step(
        "s", "import os\nclass C: pass\nc = C()\nc.header = None\nc.api_key = os.environ['TEST_API_KEY']"
    )
    environment.setenv("TEST_API_KEY", "another-one-by-now")
    assert resumed(cells)["c"].api_key == "another-one-by-now"


def test_a_key_that_this_environment_lacks_is_named_and_the_rest_is_there(
    environment: pytest.MonkeyPatch,
) -> None:
    cells = Cells()
    cells.step(
        "s", "import os\nclass C: pass\nc = C()\nc.n = 1\nc.api_key = os.environ['TEST_API_KEY']\nd = [c]"
    )
    environment.delenv("TEST_API_KEY")
    fresh = Cells(cells.memory)
    (missing,) = fresh.restore("s").missing
    assert "c, d (str) was not kept" in missing.message and "os.environ['TEST_API_KEY']" in missing.message
    assert fresh["c"].n == 1 and fresh["d"][0] is fresh["c"]
    with pytest.raises(NotKept, match="TEST_API_KEY"):
        fresh["c"].api_key.encode()


def test_a_key_of_the_environment_is_known_whatever_holds_it() -> None:
    cells = Cells()
    cells.step("s", "import os\nclass C: pass\nc = C()\nc.x = os.environ['TEST_API_KEY']")
    assert KEY.encode() not in stored(cells) and in_a_new_process(cells, "c.x") == (KEY, [])


def test_to_look_at_a_client_changes_nothing() -> None:
    cells = Cells()
    cells.step("s", "import httpx\nc = httpx.Client(headers={'authorization': 'typed-in-by-hand'})")
    cells.step("t", "n = len(c.headers)")
    assert cells.memory.verified("t").wrote == {"n"}


@pytest.mark.usefixtures("environment")
def test_the_environment_that_a_cell_set_comes_back_sealed(environment: pytest.MonkeyPatch) -> None:
    environment.delenv("TEST_MODE", raising=False)
    environment.setenv("TEST_GONE", "1")
    cells = Cells()
    cells.step("s", "import os\nos.environ['TEST_MODE'] = 'fast-and-typed'\ndel os.environ['TEST_GONE']")
    assert cells.missing == [] and b"fast-and-typed" not in stored(cells)
    environment.delenv("TEST_MODE")
    environment.setenv("TEST_GONE", "1")
    expression = "__import__('os').environ.get('TEST_MODE'), 'TEST_GONE' in __import__('os').environ"
    assert in_a_new_process(cells, expression) == (("fast-and-typed", False), [])


def test_a_client_finds_the_key_that_a_cell_put_into_the_environment(environment: pytest.MonkeyPatch) -> None:
    environment.delenv("OTHER_API_KEY", raising=False)
    cells = Cells()
    cells.step(
        "s",
        "import os\nclass C: pass\nos.environ['OTHER_API_KEY'] = 'typed-by-a-cell'\nc = C()\n"
        "c.api_key = os.environ['OTHER_API_KEY']",
    )
    environment.delenv("OTHER_API_KEY")
    assert in_a_new_process(cells, "c.api_key") == ("typed-by-a-cell", [])


def test_another_key_names_what_it_cannot_open(environment: pytest.MonkeyPatch) -> None:
    environment.delenv("TEST_MODE", raising=False)
    cells = Cells()
    cells.step(
        "s",
        "import os\nos.environ['TEST_MODE'] = 'fast'\nclass C: pass\nc = C()\nc.password = 'typed'\nx = 1",
    )
    environment.delenv("TEST_MODE")
    fresh = Cells(cells.memory)
    seal_with(lambda: Signer(b"j" * 32))
    said = "\n".join(m.message for m in fresh.restore("s").missing)
    assert "os.environ['TEST_MODE'] (str) was not kept" in said and "EVERCELL_ENVIRON=TEST_MODE" in said
    assert "c (str) was not kept: it is a secret, and it was sealed with another key" in said
    assert fresh["x"] == 1


def test_without_the_library_secrets_are_named_and_nothing_is_stored(
    environment: pytest.MonkeyPatch,
) -> None:
    environment.delenv("TEST_MODE", raising=False)
    for name in [n for n in sys.modules if n.partition(".")[0] == "cryptography"]:
        environment.setitem(sys.modules, name, None)
    cells = Cells()
    seal_with(lambda: Signer(b"n" * 32))  # whose cipher nothing has made yet
    cells.step("s", "import os\nos.environ['TEST_MODE'] = 'fast-and-typed'\nx = 1")
    assert "os.environ['TEST_MODE'] (str) was not kept" in cells.missing[0]
    assert b"fast-and-typed" not in stored(cells)
    environment.delenv("TEST_MODE")
    fresh = resumed(cells)
    assert fresh["x"] == 1


def test_what_a_function_of_the_notebook_sets_in_the_environment_comes_back(
    environment: pytest.MonkeyPatch,
) -> None:
    environment.delenv("TEST_MODE", raising=False)
    cells = Cells()
    cells.plain("import os\ndef configure():\n    os.environ['TEST_MODE'] = 'fast'")
    cells.step("s", "configure()")
    environment.delenv("TEST_MODE")
    assert in_a_new_process(cells, "__import__('os').environ.get('TEST_MODE')") == ("fast", [])
