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
"""Run the example Dag on the local AI Runtime and tell what happens: ``make demo``.

Everything happens in a temporary directory: the local AI Runtime's state, AIRFLOW_HOME and its database.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

EXAMPLES = Path(__file__).resolve().parent.parent / "src/airflow_provider_databricks_air/example_dags"
DAG_ID = "example_air_run"
CONNECTION = "AIRFLOW_CONN_DATABRICKS_AIR_DEFAULT"
GRACE = 5.0  # seconds that a process gets to end by itself, for each signal

BOLD, DIM, RED, PLAIN = ("\033[1m", "\033[2m", "\033[31m", "\033[0m") if sys.stdout.isatty() else ("",) * 4

NEXT = f"""
{BOLD}The same against a real workspace{PLAIN}
  1. pip install airflow-provider-databricks-air
  2. export {CONNECTION}='{{"conn_type": "databricks_air",
       "host": "https://<workspace>.cloud.databricks.com", "password": "<personal access token>"}}'
  3. cp -r {os.path.relpath(EXAMPLES)}/. "$AIRFLOW_HOME/dags/" && airflow dags test {DAG_ID}

{BOLD}Your own YAML on this machine{PLAIN}
  {os.path.relpath(sys.executable)} -m databricks_air_local
"""


class DemoError(Exception):
    """The demo cannot go on; the message says why."""


def say(text: str = "", style: str = "") -> None:
    """Print a line at once, so that the story is told while it happens.

    :param text: the line, or several.
    :param style: a terminal style for all of it.
    """
    print(f"{style}{text}{PLAIN}" if style else text, flush=True)


def end(process: subprocess.Popen[str]) -> None:
    """End a process that leads a group, and with it the group.

    :param process: started with ``start_new_session=True``.
    """
    # A second Ctrl-C must not leave half of it running.
    handlers = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.wait(GRACE)
        except ProcessLookupError:
            break
        except subprocess.TimeoutExpired:
            continue
    process.wait()
    for number, handler in handlers.items():
        signal.signal(number, handler)


@contextmanager
def started(*arguments: str | Path, env: Mapping[str, str]) -> Iterator[subprocess.Popen[str]]:
    """Run ``python …`` in a process group of its own that does not outlive the block.

    Ctrl-C reaches this program alone; it then ends the others in the right order.

    :param arguments: what follows ``python``.
    :param env: the environment.
    """
    process = subprocess.Popen(
        [sys.executable, *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=dict(env),
        start_new_session=True,
    )
    try:
        yield process
    finally:
        end(process)


def environment(home: Path) -> dict[str, str]:
    """Return this process's environment with an Airflow that is new and reads nothing of the user's.

    :param home: AIRFLOW_HOME.
    """
    env = {
        name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW_", "DATABRICKS_"))
    }
    return env | {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(EXAMPLES),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__LOGGING__JSON_LOGS": "True",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        "PYTHONUNBUFFERED": "1",
        "NO_PROXY": "127.0.0.1,localhost",
        "no_proxy": "127.0.0.1,localhost",
    }


def migrate(env: Mapping[str, str]) -> None:
    """Make Airflow's database.

    :param env: from :func:`environment`.
    :raises DemoError: when Airflow cannot.
    """
    with started("-m", "airflow", "db", "migrate", env=env) as migration:
        output, _ = migration.communicate()
    if migration.returncode:
        raise DemoError(f"airflow db migrate failed:\n{output}")


def connection_of(local: subprocess.Popen[str]) -> str:
    """Wait until the local AI Runtime answers, show what it says, and return its connection.

    :param local: the process.
    :raises DemoError: when it ends instead.
    """
    assert local.stdout is not None
    for line in local.stdout:
        name, _, value = line.rstrip("\n").partition("=")
        if name == f"export {CONNECTION}":
            return value
        if line.strip():
            say(f"  {line.rstrip()}")
    raise DemoError(f"the local AI Runtime ended with code {local.wait()}")


def keep(process: subprocess.Popen[str], log: Path) -> None:
    """Write what a process still says into a file, until it ends.

    :param process: its output is a pipe.
    :param log: the file.
    """
    assert process.stdout is not None
    with log.open("w", encoding="utf-8") as file:
        for line in process.stdout:
            file.write(line)
            file.flush()


def failure_lines(record: Mapping[str, Any]) -> Iterator[str]:
    """Yield the exceptions of a JSON record as Python shows them, the cause first.

    :param record: a line of Airflow's log.
    """
    for error in reversed(record.get("exception") or []):
        # What this package raises on purpose says what to do; where it was raised does not help.
        for frame in [] if error["exc_type"].startswith("Air") else error["frames"]:
            yield f'File "{frame["filename"]}", line {frame["lineno"]}, in {frame["name"]}'
        yield f"{error['exc_type']}: {error['exc_value']}"


class Story:
    """Tells the log of ``airflow dags test`` as a newcomer wants to read it."""

    OURS = re.compile(r"(airflow\.task\.operators\.)?airflow\.providers\.databricks_air\b|task\.stdout$")
    # What Airflow says, as an error, when a task asks whether an earlier try has left something behind.
    NOTHING_KEPT = "XCom not found"
    TASK = re.compile(r"\[DAG TEST\] (starting|end) task(?: task)?_id=(\S+)")

    def __init__(self) -> None:
        self.in_task = False

    def tell(self, line: str) -> None:
        """Show a line if it is part of the story.

        :param line: a JSON record, or what a task prints.
        """
        try:
            record: dict[str, Any] = json.loads(line)
        except ValueError:
            if self.in_task:
                say(f"  {line.rstrip()}")
            return
        event, logger, level = (str(record.get(key, "")) for key in ("event", "logger", "level"))
        if task := self.TASK.match(event):
            self.in_task = task[1] == "starting"
            if self.in_task:
                say(f"\n{BOLD}Task {task[2]}{PLAIN}")
        elif level in {"error", "critical"} and event != self.NOTHING_KEPT:
            say("\n".join(f"  {part}" for part in [*event.splitlines(), *failure_lines(record)]), RED)
        elif self.OURS.match(logger):
            say("\n".join(f"  {part}" for part in event.splitlines()), DIM if level == "debug" else "")


def run_dag(env: Mapping[str, str], log: Path) -> int:
    """Run the example with ``airflow dags test`` and return its exit code.

    :param env: from :func:`environment`, with the connection.
    :param log: a file for all that Airflow says.
    """
    story = Story()
    with (
        log.open("w", encoding="utf-8") as file,
        started("-m", "airflow", "dags", "test", DAG_ID, env=env) as airflow,
    ):
        assert airflow.stdout is not None
        for line in airflow.stdout:
            file.write(line)
            story.tell(line)
        return airflow.wait()


def demo(folder: Path) -> int:
    """Tell the whole story and return the exit code.

    :param folder: a temporary directory.
    """
    begin = time.monotonic()
    env = environment(folder / "airflow")
    say("Run configuration", BOLD)
    say(f"  {os.path.relpath(EXAMPLES / 'train.yaml')}")
    text = (EXAMPLES / "train.yaml").read_text(encoding="utf-8")
    say(
        "".join(
            f"    {line}\n" for line in text.splitlines() if line.strip() and not line.startswith("#")
        ).rstrip()
    )
    say("\nLocal AI Runtime", BOLD)
    with started("-m", "databricks_air_local", "--state-dir", folder / "local", env=env) as server:
        env[CONNECTION] = connection_of(server)
        threading.Thread(target=keep, args=(server, folder / "local.log"), daemon=True).start()
        say(f"\n{BOLD}airflow dags test {DAG_ID}{PLAIN}  (Airflow needs some seconds to start)")
        migrate(env)
        log = folder / "airflow.log"
        code = run_dag(env, log)
    if code:
        kept = Path(f"{folder}.log")
        kept.write_bytes(log.read_bytes() + (folder / "local.log").read_bytes())
        say(f"\nThe Dag failed, see above; all that Airflow and the local AI Runtime said is in {kept}", RED)
        return code
    say(f"\nDone in {time.monotonic() - begin:.0f} s; everything is stopped.", BOLD)
    say(NEXT.rstrip())
    return 0


def terminated(*_: object) -> NoReturn:
    """Take SIGTERM for Ctrl-C: unwind and leave nothing behind."""
    raise KeyboardInterrupt


def main() -> int:
    """Run the demo in a temporary directory."""
    signal.signal(signal.SIGTERM, terminated)
    folder = Path(tempfile.mkdtemp(prefix="air-demo-"))
    try:
        return demo(folder)
    except DemoError as error:
        say(f"error: {error}", RED)
        return 1
    except KeyboardInterrupt:
        say("\nInterrupted; everything is stopped.")
        return 130
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
