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
"""What is kept of the trials: where and with what they were made, and one line for each."""

from __future__ import annotations

import json
import platform
import subprocess
import time
from importlib.metadata import PackageNotFoundError, version
from itertools import groupby
from pathlib import Path
from typing import Any

__all__ = ["ROOT", "Document", "cells", "describe", "unheard", "upper_bound"]

ROOT = Path(__file__).parents[3]
FAULTS = ("duplicates", "orphans", "extra_tries")


def describe(seed: int, executor: str, package: Path | None) -> dict[str, Any]:
    """Return what the trials are made with.

    :param package: sources of another checkout; None for those of this one.
    """
    root = package.parent if package else ROOT
    commit = _git(root, "rev-parse", "HEAD")
    return {
        "commit": commit,
        "is_clean": bool(commit) and not _git(root, "status", "--porcelain", "--untracked-files=no"),
        "date": time.strftime("%Y-%m-%d"),
        "seed": seed,
        "executor": executor,
        "airflow": version("apache-airflow"),
        "python": platform.python_version(),
        "celery": _version("apache-airflow-providers-celery") if executor == "CeleryExecutor" else "",
    }


def _git(root: Path, *words: str) -> str:
    done = subprocess.run(["git", "-C", str(root), *words], capture_output=True, text=True, check=False)
    return done.stdout.strip()


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def upper_bound(trials: int) -> float:
    """Return the failure rate that so many trials without a failure exclude, with 95 % confidence."""
    return 1.0 - 0.05 ** (1.0 / trials) if trials else 1.0


# What Airflow's own API says to the runner when the machine has no time for it.
UNHEARD = ("ReadTimeout", "ConnectionError", "ConnectTimeout", '"Database error"', '"Dag with dag_id: ')


def unheard(record: dict[str, Any]) -> dict[str, Any]:
    """Return a record as thrown away if Airflow's API did not answer the runner, so that nothing could be judged.

    One that shows a duplicate, or a run that is left although its task is over, counts all the same.
    """
    is_unheard = any(word in record["error"].replace("\\", "") for word in UNHEARD)
    is_left = record["orphans"] and record["task"] in {"success", "failed", "skipped"}
    if record["thrown"] or not is_unheard or record["duplicates"] or is_left:
        return record
    return {**record, "thrown": f"Airflow's API did not answer the runner: {record['error'][:80]}"}


def cells(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return one line for each cause, mode, leg and executor: its trials, and how many were not clean."""

    def order(record: dict[str, Any]) -> tuple[str, ...]:
        return tuple(str(record[name]) for name in ("stock", "cause", "mode", "leg", "executor"))

    found = []
    for _, group in groupby(sorted(records, key=order), key=order):
        mine = list(group)
        counted = [r for r in mine if not r["thrown"]]
        found.append(
            {
                **{name: mine[0][name] for name in ("stock", "cause", "mode", "leg", "executor")},
                "trials": len(counted),
                "thrown": len(mine) - len(counted),
                **{
                    name: sum(bool(r[name]) for r in counted)
                    for name in (*FAULTS, "wrong", "gap", "repeated")
                },
                "late": max((r["late"] for r in counted if r["late"] is not None), default=None),
            }
        )
    return found


class Document:
    """Records of one pass, written as they come.

    :param head: what :func:`describe` returned.
    :param path: where to; None for nowhere.
    """

    def __init__(self, head: dict[str, Any], path: Path | None) -> None:
        self.head = head
        self.path = path
        self.records: list[dict[str, Any]] = []

    def add(self, record: dict[str, Any]) -> None:
        """Keep one record."""
        self.records.append(unheard(record))
        if self.path is not None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.write_text(json.dumps({**self.head, "records": self.records}, indent=1))

    @property
    def is_broken(self) -> bool:
        """Whether any counted trial is not clean."""
        return any(any(r[name] for name in (*FAULTS, "wrong")) for r in self.records if not r["thrown"])

    def summary(self) -> str:
        """Return one line for each cell."""
        head = f"{'cause':28}{'mode':12}{'trials':>7}{'dupl':>6}{'orph':>6}{'wrong':>6}{'tries':>6}{'gap':>5}{'thrown':>7}"
        lines = [
            f"{c['cause']:28}{c['mode']:12}{c['trials']:7}{c['duplicates']:6}{c['orphans']:6}"
            f"{c['wrong']:6}{c['extra_tries']:6}{c['gap']:5}{c['thrown']:7}"
            for c in cells(self.records)
        ]
        return "\n".join([json.dumps(self.head), head, *lines])
