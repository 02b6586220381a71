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
"""What to say of a run that ended without success, the fact first."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from airflow.providers.databricks_air.run.logs.lines import LogLine
from airflow.providers.databricks_air.run.outcome.causes.cause import Diagnosis, Weight
from airflow.providers.databricks_air.run.outcome.causes.diagnosis import diagnose
from airflow.providers.databricks_air.run.outcome.causes.exit_codes import exit_code
from airflow.providers.databricks_air.run.outcome.causes.service_codes import asks_the_log
from airflow.providers.databricks_air.run.outcome.causes.tracebacks import plain_lines
from airflow.providers.databricks_air.run.outcome.narration import attempt_of, duration
from airflow.providers.databricks_air.run.outcome.states import Run

__all__ = ["NOTHING_FOUND", "SHOWN_LINES", "Findings", "failure_message", "findings_of"]

SHOWN_LINES = 20
"""Lines that are shown of the node that failed first."""
OTHER_LINES = 5
"""Lines that are shown of each other node."""
OTHER_NODES = 8
"""Other nodes of which lines are shown."""

_SAYS_NOTHING = re.compile(
    r"(?:Task \S{1,200} failed with message: )?Workload failed, see run output for details\.*"
    r"|the service gave no reason"
)
_NUMBERS = re.compile(r"\d+")


@dataclass(frozen=True)
class Findings:
    """What the log of a failed run says about its end.

    :param node: rank of the node that failed first; None when that cannot be told.
    :param shown_node: rank of the node that the diagnosis is from.
    :param tails: the last lines by rank, of the nodes that differ, ``shown_node`` first.
    :param alike: how many nodes end with lines like those of another one.
    :param exit_codes: the command's exit code by rank, where it is told.
    :param diagnosis: the recognised cause; None when there is none.
    :param mlflow_url: page of the MLflow run; empty when unknown.
    """

    node: int | None = None
    shown_node: int = 0
    tails: Mapping[int, tuple[str, ...]] | None = None
    alike: int = 0
    exit_codes: Mapping[int, int] | None = None
    diagnosis: Diagnosis | None = None
    mlflow_url: str = ""

    def without(self, printed: Collection[int] | Literal["all"]) -> Findings:
        """Return the findings without the lines of nodes whose log the task has printed.

        :param printed: ranks, or ``"all"``.
        """
        left = {
            node: tail
            for node, tail in (self.tails or {}).items()
            if printed != "all" and node not in printed
        }
        return replace(self, tails=left)


NOTHING_FOUND = Findings()


def findings_of(tails: Mapping[int, Sequence[LogLine]]) -> Findings:
    """Return what the last lines of the nodes say.

    :param tails: by rank, oldest first.
    """
    texts = {node: [line.text for line in tail] for node, tail in tails.items()}
    causes = {node: cause for node, lines in texts.items() if (cause := diagnose(lines)) is not None}
    node = _first(causes, tails) if len(tails) > 1 else None
    # Without a culprit, the coordinating node has the most to say.
    shown = node if node is not None else min(_heaviest(causes) or tails, default=0)
    order = sorted(texts, key=lambda rank: (rank != shown, rank))
    different: dict[str, int] = {}
    for rank in order:
        if texts[rank]:
            different.setdefault(_NUMBERS.sub("", "\n".join(texts[rank][-OTHER_LINES:])), rank)
    shown_tails = {
        rank: tuple(texts[rank][-(SHOWN_LINES if rank == shown else OTHER_LINES) :])
        for rank in list(different.values())[: OTHER_NODES + 1]
    }
    alike = sum(1 for rank in texts if texts[rank]) - len(different)
    return Findings(node, shown, shown_tails, alike, _exit_codes(texts), causes.get(shown))


def failure_message(run: Run, url: str, findings: Findings = NOTHING_FOUND) -> str:
    """Return the message of the error that ends the task.

    The fact comes first, then what helps, then the run and its pages, then the last lines.

    :param run: the finished run.
    :param url: its page.
    :param findings: what its log says.
    """
    diagnosis = findings.diagnosis if asks_the_log(run) else None
    message = list(_reason(run, diagnosis))
    if diagnosis and diagnosis.hint:
        message.append(f"What helps: {diagnosis.hint}")
    message += [_run_line(run, findings), f"Run page: {url}"]
    if findings.mlflow_url:
        message.append(f"MLflow run: {findings.mlflow_url}")
    return "\n".join([*message, *_last_lines(findings)])


def _reason(run: Run, diagnosis: Diagnosis | None) -> Iterator[str]:
    """Yield the fact: the service's, and the log's where the service only says that something failed."""
    reason = run.failure_reason
    says_nothing = _SAYS_NOTHING.fullmatch(reason)
    if not says_nothing or diagnosis is None:
        yield reason
    if diagnosis is not None:
        yield diagnosis.fact if says_nothing else f"The log says: {diagnosis.fact}"


def _run_line(run: Run, findings: Findings) -> str:
    latest = run.latest
    attempts = attempt_of(latest.ordinal, run.max_retries) if latest else "before the first attempt"
    took = f" after {duration(latest.seconds)}" if latest and latest.seconds is not None else ""
    code = f", code {run.code}" if run.code else ""
    text = f"AI Runtime run {run.run_id} ended as {run.state.word}{took} ({attempts}{code})"
    return text + _exit_text(findings)


def _exit_text(findings: Findings) -> str:
    code = (findings.exit_codes or {}).get(findings.shown_node)
    if findings.node is not None:
        return f"; node {findings.node} failed first" + (f" with exit code {code}" if code else "")
    return f"; exit code {code}" if code else ""


def _last_lines(findings: Findings) -> Iterator[str]:
    for node, tail in (findings.tails or {}).items():
        yield f"Last lines of node {node}:"
        yield from (f"    {line}" for line in tail)
    if findings.tails and findings.alike:
        yield f"{findings.alike} more node{'s end' if findings.alike > 1 else ' ends'} alike"


def _exit_codes(texts: Mapping[int, Sequence[str]]) -> dict[int, int]:
    found: dict[int, int] = {}
    for node, lines in texts.items():
        codes = [exit_code(line) for line in plain_lines(lines[-SHOWN_LINES:])]
        if told := [code for code in codes if code is not None]:
            found[node] = told[-1]
    return found


def _heaviest(causes: Mapping[int, Diagnosis]) -> list[int]:
    """Return the nodes whose facts explain most; how a command ended may be as much as there is to say."""
    return [node for node, cause in causes.items() if _rank(cause) == min(map(_rank, causes.values()))]


def _rank(cause: Diagnosis) -> bool:
    # A node that says nothing but how it ended can still be the first; one that lost its peers is not.
    return cause.weight is Weight.CONSEQUENCE


def _first(causes: Mapping[int, Diagnosis], tails: Mapping[int, Sequence[LogLine]]) -> int | None:
    """Return the node whose fatal line is the earliest; None when two are, or when there are no times."""
    nodes = _heaviest(causes)
    if len(nodes) == 1:
        return nodes[0]
    times = {node: tails[node][causes[node].at].time_ns for node in nodes}
    ordered = sorted(nodes, key=lambda node: times[node])
    if len(ordered) < 2 or not times[ordered[0]] or times[ordered[0]] == times[ordered[1]]:
        return None
    return ordered[0]
