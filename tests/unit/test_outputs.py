"""What a cell showed, between the kernel's messages and what is read later."""

from __future__ import annotations

from evercell.core.records import Output
from evercell.engine.outputs import merge_streams, with_updates


def stream(text: str, name: str = "stdout") -> Output:
    return Output("stream", {"name": name, "text": text})


def display(text: str, display_id: str | None = None, *, kind: str = "display_data") -> Output:
    content = {"data": {"text/plain": text}, "metadata": {}}
    return Output(kind, content | ({"transient": {"display_id": display_id}} if display_id else {}))


def update(text: str, display_id: str) -> Output:
    return display(text, display_id, kind="update_display_data")


def test_neighbouring_messages_of_one_stream_are_one() -> None:
    shown = [
        stream("a"),
        stream("b"),
        stream("c", "stderr"),
        display("d"),
        display("e"),
        stream("f"),
        stream("g"),
    ]
    assert merge_streams(shown) == [
        stream("ab"), stream("c", "stderr"), display("d"), display("e"), stream("fg"),
    ]  # fmt: skip
    assert merge_streams([]) == []


def test_an_updated_display_shows_what_it_was_updated_to_where_it_was() -> None:
    shown = [display("pending", "a"), stream("x"), display("same"), update("half", "a"), update("done", "a")]
    assert with_updates(shown) == [display("done", "a"), stream("x"), display("same")]


def test_an_update_of_another_cells_display_is_shown_once_as_it_is_in_the_end() -> None:
    shown = [update("10 %", "elsewhere"), stream("x"), update("100 %", "elsewhere")]
    assert with_updates(shown) == [update("100 %", "elsewhere"), stream("x")]
