"""P3: what a step's state shares with what ``%%setup`` cells make in each kernel."""

from __future__ import annotations

from pathlib import Path

from tests.conftest import isolated_home
from tests.kernels import Kernel

SETUP = """%%setup
import socket
settings = {"model": "small", "tools": ["a"]}
class Tool:
    def __init__(self): self.calls = 0
def helper(): return settings
line = socket.socket()
"""

STEP = """%%step make
agent = {"settings": settings, "tools": settings["tools"], "tool": Tool(), "helper": helper, "line": line}
class Sub(Tool): pass
sub = Sub()
"""

ASK = """(
    agent["settings"] is settings, agent["tools"] is settings["tools"], agent["line"] is line,
    isinstance(agent["tool"], Tool), isinstance(sub, Tool), agent["helper"] is helper, agent["tool"].calls,
)"""


def test_what_setup_cells_made_is_theirs_in_a_new_kernel_too(tmp_path: Path) -> None:
    environ = {
        **isolated_home(tmp_path / "home"),
        "EVERCELL_STORE": f"sqlite:///{tmp_path / 'store.db'}",
        "EVERCELL_NOTEBOOK": str(tmp_path / "nb.ipynb"),
    }
    first = Kernel(cwd=tmp_path, environ=environ)
    try:
        first.run("%load_ext evercell")
        first.run(SETUP)
        made = first.run(STEP)
        assert made.status == "ok", made.error
        assert "not kept" not in made.notes
        assert first.run("%%step call\nagent['tool'].calls += 1").status == "ok"
    finally:
        first.kill()
    second = Kernel(cwd=tmp_path, environ=environ)
    try:
        second.run("%load_ext evercell")
        assert "resumed" in second.run("%resume").text
        assert second.value(ASK) == (True, True, True, True, True, True, 1)
    finally:
        second.shut_down()


MAPPED = """%%setup
from sqlalchemy import create_engine, select, ForeignKey
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship
class Base(DeclarativeBase): pass
class Team(Base):
    __tablename__ = "team"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    people: Mapped[list["Person"]] = relationship(back_populates="team")
class Person(Base):
    __tablename__ = "person"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    team_id: Mapped[int | None] = mapped_column(ForeignKey("team.id"))
    team: Mapped[Team | None] = relationship(back_populates="people")
"""

ROWS = """%%step rows
engine = create_engine("sqlite:///people.db")
Base.metadata.create_all(engine)
with Session(engine, expire_on_commit=False) as s:
    team = Team(name="a"); ann = Person(name="Ann", team=team); s.add_all([team, ann]); s.commit()
    found = s.scalars(select(Person)).all()
by_name = {person.name: person for person in found}
question = select(Person).where(Person.name == "Ann")
free = Person(name="Ben")
"""

AND_THEN = """%%step then
free.team = team
with Session(engine) as s:
    s.add(free); s.merge(ann); s.commit()
    names = sorted(s.scalars(select(Person.name).join(Team)).all())
    same = s.scalars(question).one().name
"""


def test_objects_of_classes_that_a_setup_cell_maps_are_kept(tmp_path: Path) -> None:
    environ = {
        **isolated_home(tmp_path / "home"),
        "EVERCELL_STORE": f"sqlite:///{tmp_path / 'store.db'}",
        "EVERCELL_NOTEBOOK": str(tmp_path / "nb.ipynb"),
    }
    first = Kernel(cwd=tmp_path, environ=environ)
    try:
        first.run("%load_ext evercell")
        assert first.run(MAPPED).status == "ok"
        made = first.run(ROWS)
        assert made.status == "ok" and "not kept" not in made.notes, made.error + made.notes
    finally:
        first.kill()
    second = Kernel(cwd=tmp_path, environ=environ)
    try:
        second.run("%load_ext evercell")
        resumed = second.run("%resume").text
        assert second.value(
            "isinstance(ann, Person), ann.name, ann.team is team, team.people == [ann], by_name['Ann'] is ann, free.name"
        ) == (True, "Ann", True, True, True, "Ben"), resumed
        then = second.run(AND_THEN)
        assert then.status == "ok", then.error
        assert second.value("names, same") == (["Ann", "Ben"], "Ann")
    finally:
        second.shut_down()
