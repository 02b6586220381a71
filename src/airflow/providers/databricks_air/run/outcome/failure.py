# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#   http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing,
# software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY
# KIND, either express or implied.  See the License for the
# specific language governing permissions and limitations
# under the License.
"""What to say of a run that ended without success, the reason first."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from airflow.providers.databricks_air.run.logs.lines import LogLine
from airflow.providers.databricks_air.run.outcome.diagnosis import Diagnosis, diagnose
from airflow.providers.databricks_air.run.outcome.states import Run

__all__ = ["NOTHING_FOUND", "SHOWN_LINES", "Findings", "failure_message", "findings_of"]

SHOWN_LINES = 20
# What the service says when the command failed, whatever the command said.
_SAYS_NOTHING = re.compile(r"(?i)workload failed|see run output|the service gave no reason")


@dataclass(frozen=True)
class Findings:
    """What the log of a failed run says about its end.

    :param node: rank of the node that failed first; None when that cannot be told.
    :param shown_node: rank of the node that ``lines`` are from.
    :param lines: its last lines.
    :param diagnosis: the recognised cause; None when there is none.
    :param mlflow_url: page of the MLflow run; empty when unknown.
    """

    node: int | None = None
    shown_node: int = 0
    lines: tuple[str, ...] = ()
    diagnosis: Diagnosis | None = None
    mlflow_url: str = ""


NOTHING_FOUND = Findings()


def findings_of(tails: Mapping[int, Sequence[LogLine]]) -> Findings:
    """Return what the last lines of the nodes say.

    :param tails: by rank, oldest first.
    """
    causes = {node: diagnose(line.text for line in tail) for node, tail in tails.items()}
    fatal = {node: _time_of(tails[node], cause) for node, cause in causes.items() if cause is not None}
    node = _first(fatal) if len(tails) > 1 else None
    # Without a culprit, the coordinating node has the most to say.
    shown = node if node is not None else min(fatal or tails, default=0)
    lines = tuple(line.text for line in tails.get(shown, ())[-SHOWN_LINES:])
    return Findings(node, shown, lines, causes.get(shown))


def failure_message(run: Run, url: str, findings: Findings = NOTHING_FOUND) -> str:
    """Return the message of the error that ends the task.

    :param run: the finished run.
    :param url: its page.
    :param findings: what its log says.
    """
    diagnosis = findings.diagnosis
    attempts = f"attempt {run.latest.number + 1}" if run.latest else "before the first attempt"
    if run.latest and run.max_retries >= 0:
        attempts += f" of {run.max_retries + 1}"
    code = f", code {run.code}" if run.code else ""
    first = f"; node {findings.node} failed first" if findings.node is not None else ""
    message = [
        _reason(run, diagnosis),
        f"AI Runtime run {run.run_id} ended as {run.state.word} ({attempts}{code}){first}",
    ]
    if findings.lines:
        message.append(f"Last lines of node {findings.shown_node}:")
        message += [f"    {line}" for line in findings.lines]
    if diagnosis:
        message.append(f"Likely cause: {diagnosis.cause}. What helps: {diagnosis.hint}")
    message.append(f"Run page: {url}")
    if findings.mlflow_url:
        message.append(f"MLflow run: {findings.mlflow_url}")
    return "\n".join(message)


def _reason(run: Run, diagnosis: Diagnosis | None) -> str:
    """Return the service's reason, with the cause where the service only says that something failed."""
    reason = run.failure_reason.splitlines()[0]
    if diagnosis and _SAYS_NOTHING.search(reason):
        return f"{diagnosis.cause[0].upper()}{diagnosis.cause[1:]} ({reason.rstrip('.')})"
    return run.failure_reason


def _time_of(tail: Sequence[LogLine], cause: Diagnosis) -> int:
    return next(line.time_ns for line in tail if line.text == cause.line)


def _first(fatal: Mapping[int, int]) -> int | None:
    """Return the node whose fatal line is the earliest; None when two are, or when there are no times."""
    if len(fatal) == 1:
        return next(iter(fatal))
    ordered = sorted(fatal, key=lambda node: fatal[node])
    if len(ordered) < 2 or not fatal[ordered[0]] or fatal[ordered[0]] == fatal[ordered[1]]:
        return None
    return ordered[0]
