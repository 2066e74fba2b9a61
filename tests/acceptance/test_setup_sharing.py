"""P3: what a step's state shares with what ``%%setup`` cells make in each kernel."""

from __future__ import annotations

from pathlib import Path

from tests.conftest import isolated_home
from tests.kernels import Kernel

SETUP = """%%setup
import socket
settings = {"model": "small", "tools": ["a"]}
class Tool:
    seen = []
    def __init__(self): self.calls = 0
    @staticmethod
    def plain(): return 1
    class Part: pass
def helper(): return settings
def make(): return lambda: settings
made = make()
line = socket.socket()
"""

STEP = """%%step make
agent = {"settings": settings, "tools": settings["tools"], "tool": Tool(), "helper": helper, "line": line}
agent["seen"] = Tool.seen
code = [Tool.plain, Tool.Part, made, Tool.__init__]
part = Tool.Part()
class Sub(Tool): pass
sub = Sub()
"""

ASK = """(
    agent["settings"] is settings, agent["tools"] is settings["tools"], agent["line"] is line,
    isinstance(agent["tool"], Tool), isinstance(sub, Tool), agent["helper"] is helper, agent["seen"] is Tool.seen,
    code[0] is Tool.plain, code[1] is Tool.Part, code[2] is made, code[3] is Tool.__init__, type(part) is Tool.Part,
    agent["tool"].calls,
)"""


def environment(folder: Path) -> dict[str, str]:
    return {
        **isolated_home(folder / "home"),
        "EVERCELL_STORE": f"sqlite:///{folder / 'store.db'}",
        "EVERCELL_NOTEBOOK": str(folder / "nb.ipynb"),
    }


def test_what_setup_cells_made_is_theirs_in_a_new_kernel_too(tmp_path: Path) -> None:
    environ = environment(tmp_path)
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
        assert second.value(ASK) == (*[True] * 12, 1)
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
with Session(engine, expire_on_commit=False) as session:
    team = Team(name="a"); ann = Person(name="Ann", team=team); session.add_all([team, ann]); session.commit()
    found = session.scalars(select(Person)).all()
by_name = {person.name: person for person in found}
question = select(Person).where(Person.name == "Ann")
with_teams = select(Person.name, Team.name).join(Person.team)
parts = [Person.name, Person.team, Person.__table__, Person.__table__.c.name, Base.metadata]
free = Person(name="Ben")
"""

ASK_ROWS = """(
    isinstance(ann, Person), ann.name, ann.team is team, team.people == [ann], by_name["Ann"] is ann, free.name,
    [type(one).__name__ for one in (engine, session)], session.bind is engine,
    [parts[0] is Person.name, parts[1] is Person.team, parts[2] is Person.__table__, parts[4] is Base.metadata],
    parts[3] is Person.__table__.c.name,
)"""

AND_THEN = """%%step then
free.team = team
with session:
    session.add(free); session.merge(ann); session.commit()
    names = [tuple(row) for row in session.execute(with_teams.order_by(Person.name))]
    same = session.scalars(question).one().name
"""


def test_objects_and_statements_of_classes_that_a_setup_cell_maps_are_kept(tmp_path: Path) -> None:
    environ = environment(tmp_path)
    first = Kernel(cwd=tmp_path, environ=environ)
    try:
        first.run("%load_ext evercell")
        assert first.run(MAPPED).status == "ok"
        made = first.run(ROWS)
        assert made.status == "ok" and not made.notes, made.error + made.notes
    finally:
        first.kill()
    second = Kernel(cwd=tmp_path, environ=environ)
    try:
        second.run("%load_ext evercell")
        assert "not kept" not in second.run("%resume").text
        kept = (True, "Ann", True, True, True, "Ben", ["Engine", "Session"], True, [True] * 4, True)
        assert second.value(ASK_ROWS) == kept
        then = second.run(AND_THEN)
        assert then.status == "ok", then.error
        assert second.value("(names, same)") == ([("Ann", "a"), ("Ben", "a")], "Ann")
    finally:
        second.shut_down()
