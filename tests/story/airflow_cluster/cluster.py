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
"""A whole Airflow on this machine, of the version that is installed beside the tests.

::

    with AirflowCluster(Settings(tmp_path / "airflow")) as airflow:
        airflow.add_dag("hello", source)
        airflow.client.trigger("hello", "one")
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType

import requests

from tests.story.airflow_cluster import reaper
from tests.story.airflow_cluster.client import AirflowClient
from tests.story.airflow_cluster.component import Component
from tests.story.airflow_cluster.database import Database
from tests.story.airflow_cluster.settings import AIRFLOW_3, Ports, Settings, environment
from tests.story.airflow_cluster.waiting import wait_for

ADMIN = ("admin", "admin")


class AirflowCluster:
    """Scheduler, Dag processor, API server (webserver on Airflow 2), triggerers and PostgreSQL.

    :param settings: where it lives and what it is started with.
    :param triggerers: how many triggerers to start; `second triggerers` may be started later.
    """

    def __init__(self, settings: Settings, triggerers: int = 1) -> None:
        self.settings = settings
        self.home = settings.home
        self.ports = Ports.free(settings.triggerers)
        self.url = f"http://127.0.0.1:{self.ports.api}"
        self.client = AirflowClient(self.url, ADMIN)
        self.leftovers: list[str] = []
        self._started_triggerers = triggerers
        self._database = Database(self.home.parent / f"{self.home.name}-pg")
        self._reaper: subprocess.Popen[bytes] | None = None
        self._components: dict[str, Component] = {}

    def __enter__(self) -> AirflowCluster:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def scheduler(self) -> Component:
        """The scheduler; tasks run below it."""
        return self._components["scheduler"]

    @property
    def schedulers(self) -> list[Component]:
        """All schedulers."""
        return [one for name, one in self._components.items() if name.startswith("scheduler")]

    @property
    def workers(self) -> list[Component]:
        """The Celery workers; none with LocalExecutor."""
        return [one for name, one in self._components.items() if name.startswith("worker")]

    @property
    def api(self) -> Component:
        """The API server of Airflow 3, the webserver of Airflow 2."""
        return self._components["api"]

    @property
    def triggerers(self) -> list[Component]:
        """All triggerers, running or not."""
        return [self._components[f"triggerer-{n}"] for n in range(self.settings.triggerers)]

    def start(self) -> None:
        """Start everything and return when Airflow calls itself healthy."""
        (self.home / "dags").mkdir(parents=True, exist_ok=True)
        (self.home / "passwords.json").write_text(json.dumps(dict([ADMIN])))
        (self.home / "webserver_config.py").write_text("WTF_CSRF_ENABLED = False\n")
        pid_file = str(self._database.pid_file)
        self._reaper = subprocess.Popen(
            [sys.executable, reaper.__file__, str(self.home), pid_file],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )
        env = environment(self.settings, self.ports, self._database.start())
        self._components = self._describe(env)
        self._run("migrate", ["db", "migrate"], env)
        for name in ("redis", *(one.name for one in self.workers), *(one.name for one in self.schedulers)):
            if name in self._components:
                self._components[name].start()
        for triggerer in self.triggerers[: self._started_triggerers]:
            triggerer.start()
        if AIRFLOW_3:
            self._components["dag-processor"].start()
        else:
            self._run("user", ["users", "create", *_admin_user()], env)
        self.api.start()
        self.wait_until_healthy()

    def stop(self) -> None:
        """Stop everything; processes that had to be looked for are named in :attr:`leftovers`."""
        for component in reversed(self._components.values()):
            if component.is_running:
                component.stop()
        self.leftovers = reaper.reap(str(self.home), Path("/nonexistent"))
        self._database.stop()
        if self._reaper is not None and self._reaper.stdin is not None:
            self._reaper.stdin.close()
            self._reaper.wait(30)
        shutil.rmtree(self._database.directory, ignore_errors=True)

    def wait_until_healthy(self, timeout: float = 600.0) -> None:
        """Wait for database, scheduler, Dag processor and, if one was started, triggerer."""
        wanted = {"metadatabase", "scheduler"} | ({"dag_processor"} if AIRFLOW_3 else set())
        if any(one.is_running for one in self.triggerers):
            wanted.add("triggerer")
        try:
            wait_for(lambda: self._is_healthy(wanted), f"healthy {', '.join(sorted(wanted))}", timeout)
        except TimeoutError as error:
            tails = "\n".join(f"== {c.name}\n{c.tail()}" for c in self._components.values())
            raise TimeoutError(f"{error}\n{tails}") from None

    def start_api(self) -> None:
        """Start the API server again and wait until it answers."""
        self.api.start()
        wait_for(lambda: self._is_healthy({"metadatabase"}), "the API server")

    def restart_database(self) -> None:
        """Restart PostgreSQL, and whatever of Airflow has ended by that, as its supervisor would."""
        running = [one for one in self._components.values() if one.is_running]
        self._database.restart()
        end = time.monotonic() + 20
        while time.monotonic() < end:
            for component in running:
                component.start()
            time.sleep(1)

    def execute(self, statement: str) -> int:
        """Run an SQL statement on Airflow's database and return how many rows it changed."""
        return self._database.execute(statement)

    def dump_database(self) -> dict[str, str]:
        """Return the rows of every table of Airflow's database as text, by the table's name."""
        return self._database.dump()

    def add_dag(self, name: str, source: str) -> None:
        """Write ``NAME.py`` into the Dag folder; :meth:`AirflowClient.wait_dag` waits until it is parsed."""
        target = self.home / "dags" / f"{name}.py"
        draft = target.with_suffix(".draft")
        draft.write_text(source)
        draft.rename(target)

    def _describe(self, env: dict[str, str]) -> dict[str, Component]:
        names = {"scheduler": ["scheduler"]}
        names.update({f"scheduler-{n}": ["scheduler"] for n in range(1, self.settings.schedulers)})
        if self.settings.executor == "CeleryExecutor":
            names["worker"] = ["celery", "worker", "--skip-serve-logs"]
        if AIRFLOW_3:
            names["dag-processor"] = ["dag-processor"]
            names["api"] = ["api-server"]
        else:
            names["api"] = ["webserver", "--pid", str(self.home / "webserver.pid")]
        # What is started first is stopped last.
        found = {"redis": self._redis(env)} if self.settings.executor == "CeleryExecutor" else {}
        found.update({n: Component(n, c, env, self.home / f"{n}.log") for n, c in names.items()})
        for number, port in enumerate(self.ports.trigger_logs):
            own = {**env, "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(port)}
            name = f"triggerer-{number}"
            found[name] = Component(name, ["triggerer"], own, self.home / f"{name}.log")
        return found

    def _redis(self, env: dict[str, str]) -> Component:
        command = ["redis-server", "--port", str(self.ports.redis), "--bind", "127.0.0.1", "--save", ""]
        return Component("redis", command, env, self.home / "redis.log", is_program=True)

    def _run(self, name: str, command: list[str], env: dict[str, str]) -> None:
        log = self.home / f"{name}.log"
        with log.open("ab") as output:
            done = subprocess.run(
                [sys.executable, "-m", "airflow", *command],
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                check=False,
                timeout=300,
            )
        if done.returncode:
            raise RuntimeError(f"airflow {' '.join(command)} failed:\n{log.read_text()[-4000:]}")

    def _is_healthy(self, wanted: set[str]) -> bool:
        path = "/api/v2/monitor/health" if AIRFLOW_3 else "/health"
        try:
            answer = requests.get(self.url + path, timeout=10)
            return answer.ok and all(
                answer.json().get(name, {}).get("status") == "healthy" for name in wanted
            )
        except (requests.RequestException, ValueError):
            return False


def _admin_user() -> list[str]:
    user, password = ADMIN
    return [
        *("-u", user, "-p", password, "-r", "Admin"),
        *("-f", "Ada", "-l", "Min", "-e", "admin@example.com"),
    ]
