"""What all our pages share: behind the server's login, nothing inline on them that could run, everything escaped."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

from jinja2 import Environment, FileSystemLoader, select_autoescape
from jupyter_server.base.handlers import JupyterHandler
from jupyter_server.utils import url_escape, url_path_join
from markupsafe import Markup

from evercell.core.clock import local_text
from evercell.core.errors import EvercellError
from evercell.core.records import Run
from evercell.core.text import printable
from evercell.engine.holder import this_user
from evercell.engine.settings import resolve_settings
from evercell.engine.workspace import Workspace, open_workspace
from evercell.server.fields import PREFIX
from evercell.views.approval_card import outcome_text, terms_text
from evercell.views.palette import look_of
from evercell.views.quantities import ago_text, duration_text

T = TypeVar("T")

STATIC = Path(__file__).parent / "static"
FILES = {"evercell.css": "text/css; charset=utf-8", "evercell.js": "text/javascript; charset=utf-8"}

_WORKSPACE = "evercell_workspace"
_TYPED_AS_IT_IS = re.compile(r"[\w.-]+")
_ANONYMOUS = re.compile(r"[0-9a-f]{32}")
_POLICY = (
    "default-src 'none'; style-src 'self' 'unsafe-inline'; script-src 'self'; connect-src 'self'; img-src data:; "
    "form-action 'self'; base-uri 'none'; frame-src 'self'; frame-ancestors 'self'"
)
"""The only script is our own file: none that stands in a page runs, whoever wrote it."""


def _shown(value: Any) -> Any:
    """Every value that a page shows goes through here; what is HTML already was made by us."""
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _time(moment: datetime) -> Markup:
    """A moment, which the page shows by the clock of whoever looks at it."""
    return Markup('<time datetime="{}" title="{}">{}</time>').format(
        moment.isoformat(timespec="seconds"), local_text(moment), ago_text(moment)
    )


def _sign(state: str, word: str = "") -> Markup:
    look = look_of(state)
    return Markup('<span class="state {}"><span class="sign" aria-hidden="true">{}</span> {}</span>').format(
        look.word, look.sign, printable(word or look.word)
    )


def place_as_typed(run: Run, step: str = "") -> str:
    """``RUN@STEP`` as a magic takes it; a name that would need quotation marks is replaced by the id."""
    name = run.name if _TYPED_AS_IT_IS.fullmatch(run.name) else run.id
    return f"{name}@{step}" if step else name


_pages = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=select_autoescape(default=True),
    finalize=_shown,
    trim_blocks=True,
    lstrip_blocks=True,
)
_pages.globals.update(
    ago=ago_text, outcome=outcome_text, terms=terms_text, prefix=PREFIX, time=_time, sign=_sign, took=duration_text,
    part=url_escape, typed=place_as_typed,
    version=sha256(b"".join((STATIC / name).read_bytes() for name in FILES)).hexdigest()[:12],
)  # fmt: skip


class Page(JupyterHandler):
    """A page of ours: for those that the server knows."""

    auth_resource = "evercell"

    @property
    def content_security_policy(self) -> str:
        return _POLICY

    @property
    def workspace(self) -> Workspace:
        """The server's own store, opened at the first page."""
        if _WORKSPACE not in self.settings:
            self.settings[_WORKSPACE] = open_workspace(resolve_settings())
        opened: Workspace = self.settings[_WORKSPACE]
        return opened

    @property
    def person(self) -> str:
        """Who looks on. A server of one person, entered with its token, belongs to whoever started it."""
        name = str(self.current_user.username)
        return this_user() if _ANONYMOUS.fullmatch(name) else name

    @property
    def home(self) -> str:
        return str(url_path_join(self.base_url, "evercell"))

    async def work(self, function: Callable[[], T]) -> T:
        """Look into the store without holding up the server's other pages."""
        return await asyncio.to_thread(function)

    def show(self, template: str, *, status: int = 200, **values: Any) -> None:
        """Send a page."""
        self.set_status(status)
        self.set_header("Content-Type", "text/html; charset=utf-8")
        self.set_header("Cache-Control", "no-store")
        page = _pages.get_template(template)
        self.finish(page.render(home=self.home, person=self.person, **values))

    def show_error(self, error: EvercellError) -> None:
        """Send what happened and what to do."""
        self.show("error.html", status=404 if isinstance(error, LookupError) else 500, error=error)

    def is_known(self, *version: object) -> bool:
        """Whether who asks has this version of the page already: then that is all that is sent."""
        tag = f'"{sha256(repr(version).encode()).hexdigest()[:24]}"'
        self.set_header("Etag", tag)
        if self.request.headers.get("If-None-Match") != tag:
            return False
        self.set_status(304)
        self.finish()
        return True

    def compute_etag(self) -> str | None:
        """Pages that follow what happens say themselves what version they are."""
        return None
