"""Writing into the user's own database exactly once: the call is recorded there too, in the same transaction.

A room of one file: beside `rebuilders`, the only place outside of `store` that knows SQLAlchemy.
"""

from __future__ import annotations

import functools
import hmac
from collections.abc import Callable
from typing import Any, TypeVar
from weakref import WeakSet

import sqlalchemy as sa

from evercell.core.errors import Tampered
from evercell.core.faults import reach
from evercell.engine.calls.calling import call_sync
from evercell.engine.calls.heartbeat import idempotency_key
from evercell.engine.calls.ownership import current_scope, note_late_call
from evercell.engine.calls.policy import CallPolicy, Errors
from evercell.engine.calls.scope import CallScope
from evercell.engine.calls.tracebacks import passes_on
from evercell.persisted import DECORATED

F = TypeVar("F", bound=Callable[..., Any])

_metadata = sa.MetaData()

MARKS = sa.Table(
    "evercell_calls",
    _metadata,
    sa.Column("key", sa.String(32), primary_key=True),
    sa.Column("value", sa.LargeBinary, nullable=False),
    sa.Column("mac", sa.LargeBinary, nullable=False),
    sa.Column("at", sa.DateTime, server_default=sa.func.current_timestamp()),
)
"""In the user's database: one row for each call that committed."""

_ready: WeakSet[sa.Engine] = WeakSet()


def transaction(
    engine: sa.Engine, *, name: str | None = None, key: Callable[..., str] | None = None,
    retries: int = 0, backoff: float = 1.0, longest_backoff: float = 60.0, jitter: float = 0.1,
    timeout: float | None = None, total_timeout: float | None = None, heartbeat_timeout: float | None = None,
    retry_on: Errors | Callable[[BaseException], bool] = Exception, give_up_on: Errors = (),
    limit: str | None = None,
) -> Callable[[F], F]:  # fmt: skip
    """Make a function's calls durable transactions on ``engine``; its first argument is the connection.

    What it writes and the fact that it did commit together, in the table ``evercell_calls`` of that
    database, so that a kill on either side of the commit never writes twice. The function must not commit
    itself. Outside of a step it is one plain transaction. Options are those of ``@evercell.step``.

        @evercell.transaction(engine)
        def save(connection, order):
            connection.execute(orders.insert().values(order))
    """
    policy = CallPolicy(
        retries,
        backoff,
        longest_backoff,
        jitter,
        timeout,
        total_timeout,
        heartbeat_timeout,
        retry_on,
        give_up_on,
        limit,
    )

    def decorate(function: F) -> F:
        called = name or function.__name__

        @passes_on
        @functools.wraps(function)
        def durable(*args: Any, **kwargs: Any) -> Any:
            scope = current_scope()
            if scope is None:
                note_late_call(called)
                with engine.begin() as connection:
                    return function(connection, *args, **kwargs)

            def body(*args: Any, **kwargs: Any) -> Any:
                return commit_once(engine, scope, function, args, kwargs)

            own_key = key(*args, **kwargs) if key is not None else None
            return call_sync(function, args, kwargs, name=called, key=own_key, policy=policy, body=body)

        options = {"engine": engine, "name": name, "key": key, **policy.options()}
        vars(durable)[DECORATED] = ("transaction", function, options)
        return durable  # type: ignore[return-value]

    return decorate


@passes_on
def commit_once(
    engine: sa.Engine, scope: CallScope, function: Callable[..., Any], args: Any, kwargs: Any
) -> Any:
    _require_marks(engine)
    key = idempotency_key()
    with engine.begin() as connection:
        found = connection.execute(sa.select(MARKS).where(MARKS.c.key == key)).first()
        if found is not None:
            return _recorded(scope, key, bytes(found.value), bytes(found.mac))
        value = function(connection, *args, **kwargs)
        content = scope.step.values.dumps(value, name=f"The result of {function.__name__}()")
        connection.execute(sa.insert(MARKS).values(key=key, value=content, mac=_mac(scope, key, content)))
        reach("before_user_commit")
    reach("after_user_commit")
    return value


def _require_marks(engine: sa.Engine) -> None:
    """Have the table there. Of several kernels that begin at the same instant one makes it."""
    if engine in _ready:
        return
    try:
        _metadata.create_all(engine)
    except sa.exc.DBAPIError:
        if not sa.inspect(engine).has_table(MARKS.name):
            raise
    _ready.add(engine)


def _recorded(scope: CallScope, key: str, content: bytes, mac: bytes) -> Any:
    if not hmac.compare_digest(_mac(scope, key, content), mac):
        raise Tampered(
            f"The row {key} of evercell_calls in your database was not signed with your key.",
            hint="Do not trust it: look at what wrote there.",
        )
    return scope.step.values.loads(content)


def _mac(scope: CallScope, key: str, content: bytes) -> bytes:
    return scope.step.workspace.signer.sign(b"transaction\0" + key.encode() + content)
