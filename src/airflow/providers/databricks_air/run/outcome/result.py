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
"""What a finished run hands on to downstream tasks."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

from airflow.providers.databricks_air.run.outcome.states import Run

__all__ = ["experiment_url", "mlflow_url", "page_url", "run_result"]


def page_url(host: str, run: Run) -> str:
    """Return the page of a run for people.

    :param host: the workspace URL.
    :param run: the run; its own word on the matter comes first.
    """
    return run.page_url or f"{host}/jobs/runs/{run.run_id}"


def mlflow_url(host: str, experiment_id: str, mlflow_run_id: str) -> str | None:
    """Return the page of an MLflow run for people; None when an id is missing.

    :param host: the workspace URL.
    :param experiment_id: id of the MLflow experiment.
    :param mlflow_run_id: id of the MLflow run.
    """
    if not experiment_id or not mlflow_run_id:
        return None
    return f"{host}/ml/experiments/{experiment_id}/runs/{mlflow_run_id}"


def experiment_url(host: str, experiment_id: str) -> str | None:
    """Return the page of an MLflow experiment for people; None without an id.

    :param host: the workspace URL.
    :param experiment_id: id of the MLflow experiment.
    """
    return f"{host}/ml/experiments/{experiment_id}" if experiment_id else None


def run_result(
    host: str,
    run: Run,
    mlflow_experiment_id: str = "",
    mlflow_run_id: str = "",
    note: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the result as plain JSON values.

    :param host: the workspace URL.
    :param run: as it was seen last.
    :param mlflow_experiment_id: empty when unknown.
    :param mlflow_run_id: of the latest attempt; empty when unknown.
    :param note: what the launch left beside the run; None where it cannot be read.
    """
    note = note or {}
    ran = round(run.ran_seconds(), 3) if run.is_terminal else None
    hours = None if ran is None or not run.num_accelerators else round(run.num_accelerators * ran / 3600, 4)
    return {
        "run_id": run.run_id,
        "state": run.state.word,
        "experiment_name": run.name,
        "attempts": len(run.attempts),
        "run_page_url": page_url(host, run),
        "mlflow_experiment_id": mlflow_experiment_id or None,
        "mlflow_run_id": mlflow_run_id or None,
        "mlflow_url": mlflow_url(host, mlflow_experiment_id, mlflow_run_id),
        **_times(run, ran),
        "accelerator_type": run.accelerator_type or None,
        "num_accelerators": run.num_accelerators or None,
        "accelerator_hours": hours,
        "code_key": _code_key(run.code_path),
        "code_commit": note.get("code_commit") or note.get("bundle_version") or None,
    }


def _times(run: Run, ran: float | None) -> dict[str, Any]:
    latest = run.latest
    started = (latest.start_time if latest else 0) or run.start_time
    ended = (latest.end_time if latest else 0) or run.end_time
    run_end = run.end_time or ended
    whole = _seconds(run.start_time, run_end)
    return {
        "start": _iso(run.start_time),
        "end": _iso(run_end),
        "duration_seconds": _seconds(started, ended),
        "queue_seconds": None if whole is None or ran is None else round(max(0.0, whole - ran), 3),
        "run_seconds": ran,
    }


def _code_key(path: str) -> str | None:
    """Return the key in the name of an archive, such as ``training_0123456789abcdef.tar.gz``."""
    key = path.removesuffix(".tar.gz").rpartition("_")[2]
    return key if path.endswith(".tar.gz") and key else None


def _seconds(start: int, end: int) -> float | None:
    return round((end - start) / 1000, 3) if start and end >= start else None


def _iso(milliseconds: int) -> str | None:
    if milliseconds <= 0:
        return None
    return datetime.fromtimestamp(milliseconds / 1000, timezone.utc).isoformat(timespec="milliseconds")
