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
"""What a user does in Airflow's UI, through its REST API: one vocabulary over ``/api/v1`` and ``/api/v2``."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import requests

from tests.story.airflow_cluster.settings import AIRFLOW_3
from tests.story.airflow_cluster.waiting import wait_for

FINISHED = frozenset({"success", "failed", "skipped", "upstream_failed", "removed"})


@dataclass(frozen=True)
class TaskView:
    """A task instance as the API shows it.

    ``pid`` is that of the process that runs the task; None while there is none. ``started`` and ``ended`` are
    those of its newest try in seconds since the epoch, by the clock of the worker; None before.
    """

    state: str | None
    try_number: int
    max_tries: int
    pid: int | None
    started: float | None = None
    ended: float | None = None


def _seconds(date: str | None) -> float | None:
    return datetime.fromisoformat(date.replace("Z", "+00:00")).timestamp() if date else None


@dataclass(frozen=True)
class TaskKey:
    """Names one task instance."""

    dag_id: str
    run_id: str
    task_id: str
    map_index: int = -1

    @property
    def path(self) -> str:
        """Its address below the API's root."""
        suffix = f"/{self.map_index}" if self.map_index >= 0 else ""
        return f"/dags/{self.dag_id}/dagRuns/{self.run_id}/taskInstances/{self.task_id}{suffix}"


class ApiRefusedError(Exception):
    """Airflow answered a request with an error; ``status`` is the HTTP status."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class AirflowClient:
    """Asks a running Airflow.

    :param url: root of the API server or webserver.
    :param credentials: user and password.
    """

    def __init__(self, url: str, credentials: tuple[str, str]) -> None:
        self._url = url
        self._credentials = credentials
        self._identity: tuple[dict[str, str], dict[str, str]] | None = None

    def wait_dag(self, dag_id: str, timeout: float = 180.0) -> None:
        """Wait until the Dag is known; it is not paused.

        :raises ImportError: when a Dag file cannot be imported.
        """

        def ask() -> bool:
            broken = self._call("GET", "/importErrors")["import_errors"]
            if broken:
                raise ImportError("\n".join(one["stack_trace"] for one in broken))
            return self._exists(f"/dags/{dag_id}")

        wait_for(ask, f"Dag {dag_id} to be parsed", timeout, every=1.0)

    def trigger(self, dag_id: str, run_id: str, conf: dict[str, Any] | None = None) -> None:
        """Create a Dag run."""
        body: dict[str, Any] = {"dag_run_id": run_id, "conf": conf or {}}
        if AIRFLOW_3:
            body["logical_date"] = None
        self._call("POST", f"/dags/{dag_id}/dagRuns", body)

    def delete_run(self, dag_id: str, run_id: str) -> None:
        """Delete a Dag run with all that Airflow knows of it."""
        self._call("DELETE", f"/dags/{dag_id}/dagRuns/{run_id}")

    def run_state(self, dag_id: str, run_id: str) -> str:
        """Return the state of a Dag run."""
        return str(self._call("GET", f"/dags/{dag_id}/dagRuns/{run_id}")["state"])

    def runs(self, dag_id: str) -> list[str]:
        """Return the ids of the runs of a Dag."""
        found = self._call("GET", f"/dags/{dag_id}/dagRuns")["dag_runs"]
        return [str(run["dag_run_id"]) for run in found]

    def pause(self, dag_id: str, is_paused: bool = True) -> None:
        """Pause a Dag, or let it go on."""
        self._call("PATCH", f"/dags/{dag_id}", {"is_paused": is_paused})

    def mark_run(self, dag_id: str, run_id: str, state: str) -> None:
        """Mark a whole Dag run ``success`` or ``failed``."""
        self._call("PATCH", f"/dags/{dag_id}/dagRuns/{run_id}", {"state": state})

    def task(self, key: TaskKey) -> TaskView:
        """Return one task instance."""
        found = self._call("GET", key.path)
        return TaskView(
            found["state"],
            found["try_number"],
            found["max_tries"],
            found.get("pid"),
            _seconds(found.get("start_date")),
            _seconds(found.get("end_date")),
        )

    def wait_task(self, key: TaskKey, states: Collection[str], timeout: float = 180.0) -> TaskView:
        """Wait until the task instance is in one of *states*."""

        def ask() -> TaskView | None:
            view = self.task(key)
            return view if view.state in states else None

        return wait_for(ask, f"{key} to be {' or '.join(sorted(states))}", timeout)

    def wait_pid(self, key: TaskKey, timeout: float = 180.0) -> int:
        """Wait until the task runs in a process, and return its pid."""

        def ask() -> int | None:
            view = self.task(key)
            return view.pid if view.state == "running" else None

        return wait_for(ask, f"the process of {key}", timeout)

    def mark(self, key: TaskKey, state: str) -> None:
        """Mark a task instance ``success`` or ``failed``."""
        body: dict[str, Any] = {"new_state": state}
        if not AIRFLOW_3:
            body["dry_run"] = False
        self._call("PATCH", key.path, body)

    def clear(self, key: TaskKey, is_latest: bool = False) -> None:
        """Clear a task, all of its map indices included; on Airflow 3 for its own version of the Dag, or the latest."""
        if not AIRFLOW_3:
            self._clear_as_page(key)
            return
        body = {
            "dry_run": False,
            "dag_run_id": key.run_id,
            "task_ids": [key.task_id],
            "only_failed": False,
            "reset_dag_runs": True,
            "run_on_latest_version": is_latest,
        }
        self._call("POST", f"/dags/{key.dag_id}/clearTaskInstances", body)

    def _clear_as_page(self, key: TaskKey) -> None:
        """Press the button of Airflow 2's page: its REST API answers 200 and leaves a running task as it is."""
        form = {
            "dag_id": key.dag_id,
            "task_id": key.task_id,
            "execution_date": self.logical_date(key.dag_id, key.run_id),
            "confirmed": "true",
        }
        headers, cookies = self._log_in()
        answer = requests.post(
            f"{self._url}/clear",
            data=form,
            headers={"Accept": "application/json", **headers},
            cookies=cookies,
            timeout=60,
        )
        answer.raise_for_status()

    def log(self, key: TaskKey, try_number: int) -> str:
        """Return the log of one try, without Airflow's own decoration."""
        suffix = f"&map_index={key.map_index}" if key.map_index >= 0 else ""
        base = TaskKey(key.dag_id, key.run_id, key.task_id).path
        path = f"{base}/logs/{try_number}?full_content=true{suffix}"
        content = self._call("GET", path)["content"]
        if isinstance(content, str):
            return content
        return "\n".join(str(one.get("event", one)) if isinstance(one, dict) else str(one) for one in content)

    def xcom(self, key: TaskKey, name: str = "return_value") -> Any:
        """Return what the task pushed under *name*, or None if there is nothing."""
        suffix = f"&map_index={key.map_index}" if key.map_index >= 0 else ""
        base = TaskKey(key.dag_id, key.run_id, key.task_id).path
        path = f"{base}/xcomEntries/{name}?stringify=false{suffix}"
        return self._call("GET", path)["value"] if self._exists(path) else None

    def add_connection(self, conn_id: str, fields: Mapping[str, Any]) -> None:
        """Store a connection in Airflow's database.

        :param fields: as Airflow's API names them.
        """
        self._call("POST", "/connections", {"connection_id": conn_id, **fields})

    def read(self, path: str) -> str:
        """Return a page, or an answer of the API, as text.

        :param path: below the address of the server.
        """
        headers, cookies = self._log_in()
        answer = requests.get(self._url + path, headers=headers, cookies=cookies, timeout=60)
        answer.raise_for_status()
        return answer.text

    def logical_date(self, dag_id: str, run_id: str) -> str:
        """Return what Airflow 2's pages call a Dag run by."""
        return str(self._call("GET", f"/dags/{dag_id}/dagRuns/{run_id}")["logical_date"])

    def _exists(self, path: str) -> bool:
        try:
            self._call("GET", path)
        except ApiRefusedError as error:
            if error.status == 404:
                return False
            raise
        return True

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """Send a request; one that only reads is repeated while nobody answers."""
        end = time.monotonic() + (180 if method == "GET" else 0)
        while True:
            try:
                answer = self._send(method, path, body)
                break
            except (requests.ConnectionError, requests.Timeout):
                if time.monotonic() > end:
                    raise
                time.sleep(1)
        if not answer.ok:
            raise ApiRefusedError(
                f"{method} {path}: {answer.status_code} {answer.text[:1000]}", answer.status_code
            )
        return answer.json() if answer.content else None

    def _send(self, method: str, path: str, body: dict[str, Any] | None) -> requests.Response:
        headers, cookies = self._log_in()
        root = "/api/v2" if AIRFLOW_3 else "/api/v1"
        return requests.request(
            method,
            self._url + root + path,
            json=body,
            # Airflow 2 sends a log as plain text to who does not ask for JSON.
            headers={"Accept": "application/json", **headers},
            cookies=cookies,
            timeout=60,
        )

    def _log_in(self) -> tuple[dict[str, str], dict[str, str]]:
        """Return the headers and cookies that say who asks; asked for once."""
        if self._identity is None:
            user, password = self._credentials
            form = {"username": user, "password": password}
            if AIRFLOW_3:
                answer = requests.post(f"{self._url}/auth/token", json=form, timeout=60)
                answer.raise_for_status()
                self._identity = ({"Authorization": f"Bearer {answer.json()['access_token']}"}, {})
            else:
                session = requests.Session()
                session.post(f"{self._url}/login/", data=form, timeout=60).raise_for_status()
                self._identity = ({}, dict(session.cookies))
        return self._identity
