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
"""The environment in which the components of each Airflow run."""

from __future__ import annotations

import os
import shutil
import socket
from dataclasses import dataclass, field
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from cryptography.fernet import Fernet

AIRFLOW_VERSION = version("apache-airflow")
AIRFLOW_3 = int(AIRFLOW_VERSION.split(".", 1)[0]) >= 3

# Airflow gives a silent task up after this many seconds (300 by default).
HEARTBEAT_TIMEOUT = 40


def free_ports(count: int) -> list[int]:
    """Return *count* different TCP ports that nothing listens on."""
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [int(one.getsockname()[1]) for one in sockets]
    for one in sockets:
        one.close()
    return ports


@dataclass(frozen=True)
class Ports:
    """The TCP ports of a cluster."""

    api: int
    task_logs: int
    trigger_logs: tuple[int, ...]
    redis: int

    @classmethod
    def free(cls, triggerers: int) -> Ports:
        """Choose ports that are free now."""
        api, task_logs, redis, *trigger_logs = free_ports(3 + triggerers)
        return cls(api, task_logs, tuple(trigger_logs), redis)


@dataclass(frozen=True)
class Settings:
    """What a cluster is started with.

    :param home: becomes ``AIRFLOW_HOME``.
    :param parallelism: tasks that may run at once.
    :param triggerers: triggerers that may run at once.
    :param schedulers: schedulers that run at once.
    :param executor: ``CeleryExecutor`` needs ``redis-server`` and the Celery provider, see ``missing_for_celery``.
    :param package: a directory with the sources of this package, instead of those that are installed.
    :param env: more environment variables, such as connections; they win.
    """

    home: Path
    parallelism: int = 8
    triggerers: int = 2
    schedulers: int = 1
    executor: str = "LocalExecutor"
    package: Path | None = None
    env: dict[str, str] = field(default_factory=dict)


def environment(settings: Settings, ports: Ports, database_url: str) -> dict[str, str]:
    """Return the environment of every component; only the port of a triggerer's log server differs."""
    home = settings.home
    unwanted = ("AIRFLOW_", "_AIRFLOW_", "PYTHONDONTWRITEBYTECODE")
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(unwanted)}
    common = {
        "AIRFLOW_HOME": str(home),
        "SPT_NOENV": "1",  # keeps /proc/PID/environ readable, see reaper.py
        "PYTHONUNBUFFERED": "1",
        "AIRFLOW__CORE__DAGS_FOLDER": str(home / "dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        "AIRFLOW__CORE__EXECUTOR": settings.executor,
        "AIRFLOW__CORE__PARALLELISM": str(settings.parallelism),
        "AIRFLOW__CORE__MAX_ACTIVE_TASKS_PER_DAG": str(settings.parallelism),
        "AIRFLOW__CORE__MAX_ACTIVE_RUNS_PER_DAG": "64",
        "AIRFLOW__CORE__FERNET_KEY": Fernet.generate_key().decode(),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database_url,
        "AIRFLOW__DATABASE__SQL_ALCHEMY_POOL_SIZE": "5",
        "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.5",
        "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "2",
        "AIRFLOW__SCHEDULER__TRIGGER_TIMEOUT_CHECK_INTERVAL": "5",
        "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(ports.task_logs),
        "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(ports.trigger_logs[0]),
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        "NO_PROXY": "127.0.0.1,localhost",
        "no_proxy": "127.0.0.1,localhost",
    }
    own = _airflow_3(home, ports) if AIRFLOW_3 else _airflow_2(ports)
    if settings.executor == "CeleryExecutor":
        own.update(_celery(settings, ports, database_url))
    if settings.package is not None:
        own["PYTHONPATH"] = str(settings.package)
    return {**inherited, **common, **own, **settings.env}


def missing_for_celery() -> str:
    """Return what CeleryExecutor needs and this machine does not have; empty if it has everything."""
    missing = [] if shutil.which("redis-server") else ["redis-server (Debian's package of that name)"]
    found = find_spec("airflow.providers.celery") if find_spec("celery") else None
    missing += [] if found else ["apache-airflow-providers-celery (the environment .venv/celery)"]
    return " and ".join(missing)


def _celery(settings: Settings, ports: Ports, database_url: str) -> dict[str, str]:
    return {
        "AIRFLOW__CELERY__BROKER_URL": f"redis://127.0.0.1:{ports.redis}/0",
        "AIRFLOW__CELERY__RESULT_BACKEND": f"db+{database_url}",
        "AIRFLOW__CELERY__WORKER_CONCURRENCY": str(settings.parallelism),
        # A message that is not acknowledged in this time is delivered again; the default is a day.
        "AIRFLOW__CELERY_BROKER_TRANSPORT_OPTIONS__VISIBILITY_TIMEOUT": "60",
    }


def _airflow_3(home: Path, ports: Ports) -> dict[str, str]:
    base = f"http://127.0.0.1:{ports.api}"
    return {
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": str(ports.api),
        "AIRFLOW__API__BASE_URL": base,
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__API__SECRET_KEY": "a-key-for-tests-that-is-long-enough",
        "AIRFLOW__API_AUTH__JWT_SECRET": "a-secret-for-tests-" * 4,
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{base}/execution/",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": "admin:admin",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(home / "passwords.json"),
        "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "5",
        "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "3600",
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": str(HEARTBEAT_TIMEOUT),
    }


def _airflow_2(ports: Ports) -> dict[str, str]:
    return {
        # Not basic_auth: it hashes the password at every request, which takes most of a second.
        "AIRFLOW__API__AUTH_BACKENDS": "airflow.api.auth.backend.session",
        "AIRFLOW__WEBSERVER__WORKERS": "1",
        "AIRFLOW__WEBSERVER__WEB_SERVER_MASTER_TIMEOUT": "900",
        "AIRFLOW__WEBSERVER__WEB_SERVER_HOST": "127.0.0.1",
        "AIRFLOW__WEBSERVER__WEB_SERVER_PORT": str(ports.api),
        "AIRFLOW__WEBSERVER__BASE_URL": f"http://127.0.0.1:{ports.api}",
        "AIRFLOW__WEBSERVER__SECRET_KEY": "a-key-for-tests-that-is-long-enough",
        "AIRFLOW__SCHEDULER__DAG_DIR_LIST_INTERVAL": "5",
        "AIRFLOW__SCHEDULER__MIN_FILE_PROCESS_INTERVAL": "3600",
        "AIRFLOW__SCHEDULER__SCHEDULER_ZOMBIE_TASK_THRESHOLD": str(HEARTBEAT_TIMEOUT),
    }
