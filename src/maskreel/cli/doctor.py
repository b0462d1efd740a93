"""`maskreel doctor`: what is wrong with this machine, and what to do about it."""

from collections.abc import Sequence
from dataclasses import asdict

from maskreel.cli.options import outputs_for, report_json
from maskreel.cli.records.doctor import Doctor
from maskreel.doctor import codecs, machine, packages
from maskreel.doctor.finding import Finding
from maskreel.errors import DataError


def run(args: Doctor) -> None:
    """Examine and report; DataError when a part of Maskreel does not work here."""
    outputs = outputs_for(args)
    findings = [*packages.examine(), *machine.examine(), *codecs.examine()]
    if report_json(args.json, [asdict(finding) for finding in findings], outputs):
        _print(findings)
    problems = [finding.subject for finding in findings if finding.state == "problem"]
    if problems:
        raise DataError(f"a part of Maskreel does not work on this machine: {', '.join(problems)}")


def _print(findings: Sequence[Finding]) -> None:
    for finding in findings:
        print(f"{finding.state:<7}  {finding.subject}: {finding.found}")
        if finding.advice:
            print(f"         what to do: {finding.advice}")
