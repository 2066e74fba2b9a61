"""``evercell doctor``: what keeps runs from going on, and what to do about it."""

from __future__ import annotations

import sys

import click

from evercell.cli.common import json_option
from evercell.cli.terminal import print_json, say
from evercell.engine.diagnosis import Finding, Level, diagnose
from evercell.engine.settings import resolve_settings


@click.command()
@json_option
@click.pass_context
def doctor(context: click.Context, as_json: bool) -> None:
    """Look at the store, the key, kernels, sessions, servers, schedules and the queue. Exit code 1: something fails."""
    from evercell.headless.kernel_check import check_kernels

    findings = []
    for finding in (*diagnose(resolve_settings(context.obj)), *check_kernels()):
        findings.append(finding)
        if not as_json:
            _say(finding)
    is_healthy = all(finding.level is not Level.FAIL for finding in findings)
    if as_json:
        print_json({"healthy": is_healthy, "checks": [finding.as_json() for finding in findings]})
    if not is_healthy:
        sys.exit(1)


def _say(finding: Finding) -> None:
    say(f"{finding.level:<4}  {finding.check:<9}  {finding.what}")
    if finding.advice:
        say(f"      {'':<9}  → {finding.advice}")
