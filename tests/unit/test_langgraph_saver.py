"""P3 and P9 for threads: what comes back is what was put, whatever was changed meanwhile, and what was signed."""

from __future__ import annotations

import json
import operator
import random
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, TypedDict

import pytest
import sqlalchemy as sa

from evercell.core.errors import Damaged, Tampered, UsageError
from evercell.state import Values
from tests.database import open_database

pytestmark = [pytest.mark.agents, pytest.mark.filterwarnings("default")]


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'store.db'}"


@pytest.fixture
def saver(url: str) -> Iterator[Any]:
    from evercell.langgraph import Saver

    with Saver(url) as made:
        yield made


def _config(thread: str = "t", ns: str = "") -> Any:
    return {"configurable": {"thread_id": thread, "checkpoint_ns": ns}}


_versions = iter(range(1, 1_000_000))


def _put(saver: Any, value: Any, config: Any) -> Any:
    """A checkpoint in which one channel has a new value."""
    from langgraph.checkpoint.base import empty_checkpoint

    version = next(_versions)
    checkpoint = {**empty_checkpoint(), "channel_values": {"ch": value}, "channel_versions": {"ch": version}}
    return saver.put(config, checkpoint, {"source": "loop", "step": version, "parents": {}}, {"ch": version})


def _read(url: str, config: Any) -> Any:
    """As another process has it."""
    from evercell.langgraph import Saver

    with Saver(url) as fresh:
        return fresh.get_tuple(config).checkpoint["channel_values"]["ch"]


def _messages(count: int) -> list[Any]:
    from langchain_core.messages import AIMessage, HumanMessage

    kinds = (HumanMessage, AIMessage)
    return [kinds[n % 2](f"message {n} " + "ä🜁x" * n, id=f"m{n}") for n in range(count)]


def _values() -> list[Any]:
    return [
        [], {}, None, "", "half \ud83d"[:4], 0, [1, 2, 3], list(range(5000)), [0.5, None, True], ["a", "b"] * 50,
        "x" * 300_000, b"\0" * 2_000_000, ["long " * 500, "x" * 2_000_000], {"a": ["b" * 600], "c": {"d": b"e" * 600}},
        {"": "empty key", "k\0": "NUL"}, {1: "a number"}, [["nested", ["b" * 700]], {"b" * 600: "b" * 600}],
        [{"x": "same" * 300, "y": "same" * 300}], ["same" * 300] * 20, {str(n): "v" * 100 for n in range(70)},
        ({"a"}, frozenset({1})), [("tuple", 1), {"set"}],
    ]  # fmt: skip


@pytest.mark.parametrize("number", range(len(_values())))
def test_any_value_comes_back_as_it_was(saver: Any, url: str, number: int) -> None:
    value = _values()[number]
    config = _put(saver, value, _config())
    saver.put_writes(config, [("ch", value), ("__error__", value)], "task", "path")
    expected = saver.serde.loads_typed(saver.serde.dumps_typed(value))  # (it makes lists of tuples)
    assert _read(url, config) == expected and type(_read(url, config)) is type(expected)
    assert [write for _, _, write in saver.get_tuple(config).pending_writes] == [expected, expected]


def test_messages_come_back_as_they_were(saver: Any, url: str) -> None:
    config = _put(saver, _messages(70), _config())
    assert _read(url, config) == _messages(70)


def _change_in_place(messages: list[Any], dice: random.Random) -> list[Any]:
    """One of the things that nodes do to a list of messages."""
    from langchain_core.messages import HumanMessage

    where = dice.randrange(len(messages))
    message = messages[where]
    kind = dice.randrange(8)
    if kind == 0:
        message.content = f"other {dice.random()}"
    elif kind == 1:
        message.additional_kwargs["seen"] = dice.random()
    elif kind == 2:
        message.response_metadata.setdefault("a", {}).setdefault("b", []).append(dice.random())
    elif kind == 3:
        return [*messages[:where], *messages[where + 1 :]] or messages
    elif kind == 4:
        return [HumanMessage("new at the beginning", id=str(dice.random())), *messages]
    elif kind == 5:
        messages[where] = messages[dice.randrange(len(messages))]
    elif kind == 6:
        message.extra_field = dice.random()
    return [*messages, HumanMessage("x" * dice.choice((1, 600)), id=str(dice.random()))]


@pytest.mark.parametrize("seed", range(4))
def test_what_is_stored_is_what_a_list_is_now_whatever_was_changed_in_it(
    saver: Any, url: str, seed: int
) -> None:
    """Elements are known again by their identity, and one that was changed under it is stored anew."""
    from evercell.langgraph import Saver

    dice, messages, config = random.Random(seed), _messages(9), _config()
    with Saver(url) as fresh:
        for number in range(40):
            messages = _change_in_place(messages, dice)
            config = _put(saver, messages, config)
            read = fresh.get_tuple(config).checkpoint["channel_values"]["ch"]
            assert [m.model_dump() for m in read] == [m.model_dump() for m in messages]
            if number % 10 == 9:  # what it loaded is changed as well
                messages = saver.get_tuple(config).checkpoint["channel_values"]["ch"]


class Tags(list[str]):
    """A list that has attributes, too."""


class Kept:
    """Has a slot beside its attributes."""

    __slots__ = ("__dict__", "text")


def _changing() -> list[tuple[Any, Callable[[Any], None]]]:
    """Elements, and how each is changed in place: nothing of that shows in the dict that it had before."""
    from pydantic import BaseModel, ConfigDict

    class Checked(BaseModel):
        model_config = ConfigDict(validate_assignment=True, extra="allow")
        text: str = "as it was"

    class Plain:
        text = "as it was"

    slotted, plain = Kept(), Plain()
    slotted.text = plain.text = "as it was"
    return [
        (Checked(), lambda element: setattr(element, "text", "changed")),
        (Checked(), lambda element: setattr(element, "other", "changed")),
        (Tags(["as it was"]), lambda element: element.append("changed")),
        (slotted, lambda element: setattr(element, "text", "changed")),
        (plain, lambda element: setattr(element, "__dict__", {"text": "changed"})),
        ({"as it was": 1}, lambda element: element.update(changed=element.pop("as it was"))),
    ]


class Words:
    """A serialiser that says what elements hold, for any class."""

    def dumps_typed(self, value: Any) -> tuple[str, bytes]:
        return "json", json.dumps(value, default=self._words).encode()

    def _words(self, value: Any) -> Any:
        dumped = value.model_dump() if hasattr(value, "model_dump") else dict(vars(value))
        return {**dumped, "text": getattr(value, "text", None)}

    def loads_typed(self, data: tuple[str, bytes]) -> Any:
        return json.loads(data[1])


@pytest.mark.parametrize("number", range(6))
def test_an_element_that_holds_something_else_by_now_is_found_whatever_it_is(url: str, number: int) -> None:
    from evercell.langgraph import Saver

    element, change = _changing()[number]
    with Saver(url, serde=Words()) as saver, Saver(url, serde=Words()) as fresh:
        config = _put(saver, [element], _config())
        for more in range(3):
            config = _put(saver, [element, *({"n": n} for n in range(more + 1))], config)
        assert "changed" not in str(fresh.get_tuple(config).checkpoint["channel_values"])
        change(element)
        config = _put(saver, [element, *({"n": n} for n in range(5))], config)
        assert "changed" in str(fresh.get_tuple(config).checkpoint["channel_values"])


def test_a_graph_and_its_saver_come_back_with_a_notebooks_state(url: str) -> None:
    from evercell.langgraph import Saver, durable

    graph = appending_graph().compile(checkpointer=Saver(url))
    values = Values(globals())
    for held in (graph, durable(graph)):
        back = values.loads(values.dumps(held, name="graph"))
        with back.checkpointer:
            said = back.invoke({"log": ["one"]}, _config("talk"))["log"]
    assert said == ["one", "said", "one", "said"]


def appending_graph() -> Any:
    from langgraph.graph import START, StateGraph

    graph = StateGraph(Log)
    graph.add_node("say", say)
    graph.add_edge(START, "say")
    return graph


class Log(TypedDict):
    log: Annotated[list[str], operator.add]


def say(state: Log) -> dict[str, Any]:
    return {"log": ["said"]}


def test_a_fork_shares_its_beginning_and_nothing_after_it(saver: Any, url: str) -> None:
    messages = _messages(12)
    first = _put(saver, messages[:6], _config())
    second = _put(saver, messages[:9], first)
    fork = _put(saver, [*messages[:6], messages[11]], first)
    third = _put(saver, messages, second)
    assert _read(url, first) == messages[:6] and _read(url, second) == messages[:9]
    assert _read(url, fork) == [*messages[:6], messages[11]] and _read(url, third) == messages


def test_a_growing_list_stores_its_new_elements(saver: Any, url: str) -> None:
    config, messages = _config(), []
    for number in range(120):
        messages = [*messages, {"role": "user", "content": random.Random(number).randbytes(2000)}]
        saver.put_writes(config, [("ch", [messages[-1]])], "task", "") if number else None
        config = _put(saver, messages, config)
    with open_database(url) as connection:
        stored = connection.execute(
            sa.text("SELECT sum(length(data)) FROM packs WHERE data IS NOT NULL")
        ).scalar_one()
        rows = connection.execute(sa.text("SELECT sum(length(content)) FROM thread_checkpoints")).scalar_one()
    state = 120 * 2000
    assert stored <= 1.2 * state and rows <= 120 * 700
    assert _read(url, config) == messages


def test_a_message_that_is_given_an_id_later_is_stored_once(saver: Any, url: str) -> None:
    from langchain_core.messages import AIMessage

    config, messages = _config(), []
    for number in range(60):
        message = AIMessage(random.Random(number).randbytes(1500).hex())
        if number:
            saver.put_writes(config, [("ch", [message])], "task", "")
        message.id = str(number)
        messages = [*messages, message]
        config = _put(saver, messages, config)
    with open_database(url) as connection:
        stored = connection.execute(sa.text("SELECT sum(size) FROM chunks")).scalar_one()
    assert stored <= 60 * 3000 * 1.4
    assert _read(url, config) == messages


def test_threads_that_write_at_once_do_not_meet(saver: Any, url: str) -> None:
    errors: list[BaseException] = []

    def work(name: str) -> None:
        try:
            config = _config("t", name)
            for count in range(1, 15):
                config = _put(saver, _messages(count), config)
                saver.put_writes(config, [("ch", _messages(count)[-1:])], name)
        except BaseException as error:
            errors.append(error)

    workers = [threading.Thread(target=work, args=(f"ns:{n}",)) for n in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert errors == []
    assert all(_read(url, _config("t", f"ns:{n}")) == _messages(14) for n in range(4))


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE thread_checkpoints SET parent = 'another'",
        "UPDATE thread_checkpoints SET attempt = 'another'",
        "UPDATE thread_checkpoints SET content = CAST(substr(content, 1, length(content) - 1) AS BLOB)",
        "UPDATE thread_checkpoints SET mac = zeroblob(32)",
        "UPDATE threads SET thread_id = 't2', key = key",
        "UPDATE thread_writes SET path = 'another'",
        "UPDATE thread_writes SET content = x'00'",
    ],
)
def test_what_was_not_signed_is_not_loaded(saver: Any, url: str, change: str) -> None:
    config = _put(saver, _messages(3), _config())
    saver.put_writes(config, [("ch", "written")], "task")
    with open_database(url) as connection:
        connection.execute(sa.text(change))
    with pytest.raises((Tampered, Damaged)):
        saver.get_tuple(config)


def test_content_that_is_gone_is_named(saver: Any, url: str) -> None:
    config = _put(saver, _messages(3), _config())
    with open_database(url) as connection:
        connection.execute(sa.text("DELETE FROM chunks"))
    with pytest.raises(Damaged, match="cannot be read"):
        saver.get_tuple(config)


def test_a_checkpoint_that_relied_on_removed_content_is_written_whole(saver: Any, url: str) -> None:
    """Another process deletes what shared the content, and collects."""
    from evercell.langgraph import Saver

    messages = _messages(8)
    config = _put(saver, messages, _config())
    with Saver(url) as other:
        other.delete_thread("t")
    with open_database(url) as connection:
        connection.execute(sa.text("DELETE FROM chunks"))
    config = _put(saver, [*messages, *_messages(9)[8:]], config)
    assert _read(url, config) == _messages(9)


@pytest.mark.parametrize("thread", ["a\0b", "half \ud800", "x" * 20_000])
def test_a_thread_that_cannot_be_stored_is_refused_with_what_to_do(saver: Any, thread: str) -> None:
    with pytest.raises(UsageError, match="cannot be stored"):
        _put(saver, 1, _config(thread))


def test_a_config_without_a_thread_says_what_to_write(saver: Any) -> None:
    with pytest.raises(UsageError, match="names no thread"):
        saver.get_tuple({"configurable": {}})


def test_pruning_keeps_what_a_channel_of_changes_is_made_of(saver: Any) -> None:
    from langgraph.checkpoint.base import empty_checkpoint

    config = _config()
    for number, values in enumerate(({"d": "snapshot"}, {}, {})):
        checkpoint = {**empty_checkpoint(), "channel_values": values, "channel_versions": {"d": number}}
        metadata = {
            "source": "loop",
            "step": number,
            "parents": {},
            "counters_since_delta_snapshot": {"d": [1, 1]},
        }
        config = saver.put(config, checkpoint, metadata, {"d": number})
        saver.put_writes(config, [("d", f"change {number}")], "task")
    before = saver.get_delta_channel_history(config=config, channels=["d"])
    saver.prune(["t"])
    assert saver.get_delta_channel_history(config=config, channels=["d"]) == before


def test_a_checkpoint_that_could_not_be_written_takes_nothing_from_the_next_one(saver: Any, url: str) -> None:
    messages = _messages(8)
    config = _put(saver, messages[:3], _config())
    with pytest.raises(TypeError):
        _put(saver, [*messages[:5], threading.Lock()], config)
    _put(saver, messages, config)
    assert _read(url, _config()) == messages


def test_what_a_node_changes_while_a_checkpoint_is_written_is_in_the_next_one(saver: Any, url: str) -> None:
    from langchain_core.messages import HumanMessage

    class Changing(HumanMessage):
        def model_dump(self, **how: Any) -> dict[str, Any]:
            dumped = super().model_dump(**how)
            self.content = "changed meanwhile"
            return dumped

    first = Changing("as it began", id="m0")
    config = _put(saver, [first], _config())
    _put(saver, [first, *_messages(3)[1:]], config)
    assert "changed meanwhile" in str(_read(url, _config())[0])


def test_values_that_nodes_change_while_they_are_written_are_written(saver: Any, url: str) -> None:
    end, big = threading.Event(), {f"k{n}": [n] for n in range(300)}

    def change() -> None:
        n = 0
        while not end.is_set():
            n += 1
            big[f"n{n}"] = [n]
            big.pop(f"n{n - 200}", None)

    thread = threading.Thread(target=change)
    thread.start()
    try:
        config = _config()
        for _ in range(30):
            config = _put(saver, {"seen": big}, config)
            config = _put(saver, big, config)
    finally:
        end.set()
        thread.join()
    _put(saver, big, config)
    assert _read(url, _config()) == big
