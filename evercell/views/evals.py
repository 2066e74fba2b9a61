"""What evaluators said of runs: a table, and JUnit's XML for what shows test results."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from xml.etree import ElementTree

from evercell.core.text import one_line
from evercell.engine.scores import FAIL, Judgement
from evercell.views.comparison import number_text
from evercell.views.table import Table

Said = Mapping[str, Sequence[Judgement]]
"""By the name of a run."""

_NO_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def evals_view(said: Said, against: tuple[str, Sequence[Judgement]] | None = None) -> Table:
    """A row for each score of each run; beside it that of the run that did well."""
    golden = {one.name: one for one in against[1]} if against is not None else {}
    rows = []
    for run, judgements in said.items():
        for number, one in enumerate(judgements):
            there = golden.get(one.name)
            beside = () if against is None else (score_words(there) if there is not None else "",)
            why = one_line(one.error or one.reason)
            rows.append((run if number == 0 else "", one.name, score_words(one), *beside, why))
    headings = ("run", "score", "", *((against[0],) if against is not None else ()), "why")
    return Table("", headings, rows, "" if rows else "Nothing was said.")


def score_words(one: Judgement) -> str:
    """``0.93``, ``pass``, or that it could not be told."""
    if one.error:
        return "error"
    if one.label is not None or one.value is None:
        return one_line(one.label or "")
    return number_text(one.value)


def junit_page(said: Said) -> str:
    """Each score a test: an assertion that does not hold has failed, an evaluator that raised is in error."""
    root = ElementTree.Element("testsuites", {"name": "evercell eval"})
    for run, judgements in said.items():
        suite = ElementTree.SubElement(root, "testsuite", _counted(run, judgements))
        for one in judgements:
            case = ElementTree.SubElement(
                suite, "testcase", {"classname": _text(run), "name": _text(one.name)}
            )
            if one.error:
                ElementTree.SubElement(case, "error", {"message": _text(one.error)})
            elif one.passes is False:
                ElementTree.SubElement(case, "failure", {"message": _text(one.reason or FAIL)})
            ElementTree.SubElement(case, "system-out").text = _text(
                f"{score_words(one)} {one.reason}".strip()
            )
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _counted(run: str, judgements: Iterable[Judgement]) -> dict[str, str]:
    found = list(judgements)
    failed, errors = (
        sum(one.passes is False and not one.error for one in found),
        sum(bool(one.error) for one in found),
    )
    return {"name": _text(run), "tests": str(len(found)), "failures": str(failed), "errors": str(errors)}


def _text(text: str) -> str:
    """What XML can have."""
    return _NO_XML.sub("\ufffd", text)
