"""`evercell verify`: is everything that was committed still as it was?

Verified are the journal's chain and the rows that it speaks of, manifests and their signatures, every chunk that is
named by a checkpoint, an attempt, a call, a thread or a value that was returned, the signatures of calls, signals,
threads and returned values, the digests of approvals, and that what a run with a policy called was decided on.
"""

from __future__ import annotations

from evercell.core.chunks import Blob
from evercell.core.errors import Damaged, EvercellError, KeyUnusable, RowDamaged, StoreError
from evercell.core.records import Call, Returned
from evercell.engine.calls.log import ruling_of, verify_call
from evercell.engine.calls.signals import verify_signal
from evercell.engine.children.returning import verify_returned
from evercell.engine.facts import is_tomb
from evercell.engine.verification.content import ContentChecker
from evercell.engine.verification.missions import check_mission
from evercell.engine.verification.report import Problem, RunReport, StoreReport
from evercell.engine.verification.rows import check_policies, check_rows, governed_steps
from evercell.engine.verification.scores import check_scores
from evercell.engine.verification.state import Progress, StateChecker
from evercell.engine.verification.threads import check_threads
from evercell.engine.workspace import Workspace
from evercell.state import Signer, find_key, join
from evercell.store.audit import RunSnapshot

__all__ = ["Problem", "RunReport", "StoreReport", "verify_store"]

_BACKUP = "Put the store back from a backup."
_OTHERS = "What is not named here."


def _silent(text: str) -> None:
    pass


def verify_store(
    workspace: Workspace, run_ref: str | None = None, *, progress: Progress = _silent
) -> StoreReport:
    """Verify a run, or (None) all runs of the store; nothing is changed, and nothing is unpickled.

    What is wrong is in the report. Raises `RunNotFound`, and `StoreError` where the store cannot be read at all.
    ``progress`` is called with what is being looked at.
    """
    signer, why_not = _signer(workspace)
    report = StoreReport(workspace.store.url, why_not)
    content = ContentChecker(workspace.store.chunks)
    checker = _RunChecker(workspace, StateChecker(workspace.store, signer, content), progress)
    names = workspace.store.audit.run_names()
    if run_ref is not None:
        run = workspace.store.runs.find(run_ref)
        names = {run.id: run.name}
    else:
        progress("database")
        for what in workspace.store.audit.damage():
            report.problems.append(Problem("database", what, _OTHERS, _BACKUP))
        checked, problems = check_threads(workspace.store, None, signer, content)
        report.problems += problems
        report.threads = checked.threads
    for run_id, name in names.items():
        report.runs.append(checker.check(run_id, name))
    return report


def _signer(workspace: Workspace) -> tuple[Signer | None, str | None]:
    """The signing key, or why signatures cannot be checked. No key is made for it."""
    try:
        key = find_key(workspace.settings.key_path)
    except KeyUnusable as error:
        return None, f"{error.what} {error.hint}"
    if key is None:
        return None, f"There is no key at {workspace.settings.key_path}, and EVERCELL_KEY is not set."
    return Signer(key), None


class _RunChecker:
    """Verifies one run after the other."""

    def __init__(self, workspace: Workspace, state: StateChecker, progress: Progress) -> None:
        self._store = workspace.store
        self._state = state
        self._progress = progress
        self._governed: set[str] = set()
        """Steps of the run whose calls were all decided on."""

    def check(self, run_id: str, name: str) -> RunReport:
        """The report on a run. Whatever cannot be read is a problem of it, and the rest is looked at."""
        report = RunReport(run_id, name)
        self._governed = set()
        checks = (
            self._check_snapshot, self._check_calls, self._check_signals, self._check_results, self._check_threads,
        )  # fmt: skip
        for check in checks:
            try:
                check(report)
            except StoreError as error:
                report.problems.append(Problem(f"run {name}", error.what, _OTHERS, error.hint))
        return report

    def _check_snapshot(self, report: RunReport) -> None:
        self._progress(f"run {report.name}")
        found = self._store.audit.snapshot(report.id)
        self._check_journal(found, report)
        gone = {tomb.checkpoint_id for tomb in found.collected}
        there = [checkpoint for checkpoint in found.checkpoints if checkpoint.id not in gone]
        self._state.check(found.run, there, report, self._progress, is_deleted=found.deleted_at is not None)
        self._check_tombs(found, report)
        for attempt in found.attempts:
            if wrong := self._state.content.check([attempt.outputs], report.checked):
                where = f"attempt {attempt.number} of step {attempt.step}"
                report.problems.append(
                    Problem(where, f"what it showed: {wrong}", "All else of the step.", _BACKUP)
                )

    def _check_tombs(self, found: RunSnapshot, report: RunReport) -> None:
        signer = self._state.signer
        for tomb in found.collected:
            if signer is not None and not is_tomb(tomb, signer):
                report.problems.append(
                    Problem(
                        f"removed checkpoint {tomb.checkpoint_id} of step {tomb.step}",
                        "that it was removed by evercell gc is not signed with your key, or was changed since",
                        _OTHERS,
                        _BACKUP,
                    )
                )

    def _check_journal(self, found: RunSnapshot, report: RunReport) -> None:
        report.checked.entries = len(found.events)
        report.checked.approvals = len(found.approvals)
        report.problems += [
            Problem(f"run {found.run.name}", error.what, _OTHERS, _BACKUP) for error in found.damaged
        ]
        broken = found.journal_error
        if broken is None:
            report.problems += check_rows(found)
            report.problems += check_policies(found, self._state.signer)
            report.problems += check_mission(found, self._state.signer)
            report.problems += check_scores(found, self._state.signer)
            self._governed = governed_steps(found)
        else:
            works = "State and outputs: they are not read from the journal."
            report.problems.append(Problem("journal", broken.what, works, broken.hint))
            report.unchecked.append("whether the run's rows are those that its journal speaks of")

    def _check_calls(self, report: RunReport) -> None:
        self._progress(f"run {report.name}: calls")
        for call in self._store.audit.calls(report.id):
            report.checked.calls += 1
            if isinstance(call, RowDamaged):
                report.problems.append(Problem("calls", call.what, _OTHERS, _BACKUP))
            elif wrong := self._wrong_call(call, report):
                where = f"call {call.key} of step {call.step}"
                works = "Completed steps, and calls that are not named here."
                advice = f"Do not trust it. Execute the step anew: %%step {call.step} --rerun"
                report.problems.append(Problem(where, wrong, works, advice))

    def _wrong_call(self, call: Call, report: RunReport) -> str | None:
        if isinstance(call.value, Blob):
            wrong = self._state.content.check([call.value], report.checked)
            if wrong:
                return f"its result: {wrong}"
        if call.name not in call.key:
            return "its name was changed"
        if call.step in self._governed and ruling_of(call) is None:
            return "no decision of the run's policy is recorded with it"
        if self._state.signer is None:
            return None
        try:
            value = call.value
            content = bytes(join(value, self._store.chunks)) if isinstance(value, Blob) else value
            verify_call(call, content, self._state.signer)
        except EvercellError as error:
            return error.what
        return None

    def _check_signals(self, report: RunReport) -> None:
        for signal in self._store.audit.signals(report.id):
            report.checked.signals += 1
            try:
                if isinstance(signal, Damaged):
                    raise signal
                if self._state.signer is not None:
                    verify_signal(signal, self._state.signer)
            except Damaged as error:
                report.problems.append(Problem("signals", error.what, "Other signals.", error.hint))

    def _check_threads(self, report: RunReport) -> None:
        self._progress(f"run {report.name}: threads")
        _, problems = check_threads(
            self._store, report.id, self._state.signer, self._state.content, report.checked
        )
        report.problems += problems

    def _check_results(self, report: RunReport) -> None:
        for returned in self._store.audit.results(report.id):
            report.checked.results += 1
            if isinstance(returned, Damaged):
                report.problems.append(Problem("returned values", returned.what, _OTHERS, _BACKUP))
            elif wrong := self._wrong_result(returned, report):
                where, works = f"returned value {returned.name!r}", "What else the run returned."
                advice = "Do not trust it. Execute the step that returned it anew: %%step STEP --rerun"
                report.problems.append(Problem(where, wrong, works, advice))

    def _wrong_result(self, returned: Returned, report: RunReport) -> str | None:
        if isinstance(returned.value, Blob):
            wrong = self._state.content.check([returned.value], report.checked)
            if wrong:
                return wrong
        if self._state.signer is None:
            return None
        try:
            value = returned.value
            content = bytes(join(value, self._store.chunks)) if isinstance(value, Blob) else value
            verify_returned(returned, content, self._state.signer)
        except EvercellError as error:
            return error.what
        return None
