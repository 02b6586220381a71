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
"""A plain HTTP client, and a server in a process of its own: these tests know the wire and nothing else."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import time
from http.client import HTTPConnection
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode, urlsplit

from databricks_air_local.remote import AirControl

if TYPE_CHECKING:
    from collections.abc import Callable


HOME = "/Workspace/Users/you@example.com"
TERMINAL = {"TERMINATED", "INTERNAL_ERROR", "SKIPPED"}


class Answer:
    """A status, headers and a body."""

    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    @property
    def json(self) -> Any:
        """Return the body as JSON."""
        return json.loads(self.body)


class Client:
    """Speaks HTTP to a server."""

    def __init__(self, air: AirControl) -> None:
        self.air = air

    def send(self, method: str, target: str, body: Any = None, **headers: str) -> Answer:
        """Send one request; a ``dict`` becomes JSON."""
        parts = urlsplit(self.air.url)
        connection = HTTPConnection(parts.hostname or "", parts.port, timeout=30)
        try:
            payload = json.dumps(body) if isinstance(body, dict) else body
            sent = {"Authorization": f"Bearer {self.air.token}"} | {
                k.replace("_", "-"): v for k, v in headers.items()
            }
            connection.request(method, target, payload, sent)
            response = connection.getresponse()
            return Answer(response.status, dict(response.getheaders()), response.read())
        finally:
            connection.close()

    def get(self, path: str, /, **query: Any) -> Answer:
        """Send a GET."""
        return self.send("GET", f"{path}?{urlencode(query)}")

    def put_file(self, path: str, content: bytes | str, overwrite: bool = True) -> Answer:
        """Upload a workspace file and make its directory."""
        self.send("POST", "/api/2.0/workspace/mkdirs", {"path": path.rpartition("/")[0]})
        target = f"/api/2.0/workspace-files/import-file/{quote(path[1:], safe='')}"
        data = content.encode() if isinstance(content, str) else content
        return self.send("POST", f"{target}?overwrite={str(overwrite).lower()}", data)

    def submit_body(self, name: str = "demo", **changes: Any) -> dict[str, Any]:
        """Return a submit body; the command is in ``<home>/<name>/command.sh``."""
        deployment = {
            "command_path": f"{HOME}/{name}/command.sh",
            "compute": {
                "accelerator_type": changes.pop("accelerator", "GPU_1xH100"),
                "accelerator_count": changes.pop("count", 1),
            },
        }
        task = {
            "task_key": name,
            "run_if": "ALL_SUCCESS",
            "environment_key": "default",
            "max_retries": changes.pop("max_retries", 0),
            "ai_runtime_task": {"experiment": name, "deployments": [deployment], **changes.pop("air", {})},
        }
        if task["max_retries"]:
            task["retry_on_timeout"] = True
        spec = {"environment_version": "6", **changes.pop("spec", {})}
        return {
            "run_name": name,
            "environments": [{"environment_key": "default", "spec": spec}],
            "tasks": [task],
            **changes,
        }

    def submit(self, command: str = "true", name: str = "demo", **changes: Any) -> int:
        """Upload a command, submit a run of it and return the run id."""
        self.put_file(f"{HOME}/{name}/command.sh", command)
        answer = self.send("POST", "/api/2.2/jobs/runs/submit", self.submit_body(name, **changes))
        assert answer.status == 200, answer.body
        return int(answer.json["run_id"])

    def run(self, run_id: int) -> dict[str, Any]:
        """Return a run."""
        found: dict[str, Any] = self.get("/api/2.2/jobs/runs/get", run_id=run_id).json
        return found

    def wait(
        self, run_id: int, until: Callable[[dict[str, Any]], bool] | None = None, seconds: float = 120
    ) -> Any:
        """Return a run when it ended, or when a condition holds."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            run = self.run(run_id)
            if (until or (lambda run: run["state"]["life_cycle_state"] in TERMINAL))(run):
                return run
            time.sleep(0.02)
        raise AssertionError(f"run {run_id} is {run['state']} after {seconds} s")

    def logs(self, run_id: int, **query: Any) -> list[str]:
        """Return all lines of a run's node 0, or of another with ``node``."""
        query = {"filter.node_index": query.pop("node", 0), "ascending": "true", **query}
        found, token = [], ""
        while True:
            page = self.get(
                f"/api/2.0/ai-training/workflows/by-run-id/{run_id}/logs", **query, page_token=token
            )
            assert page.status == 200, page.body
            found += [record["body"] for record in page.json["log_records"]]
            token = page.json.get("next_page_token", "")
            if not token:
                return found

    def execute(self, command: str, **changes: Any) -> tuple[dict[str, Any], list[str]]:
        """Run a command to its end and return the run and its lines."""
        run_id = self.submit(command, **changes)
        run = self.wait(run_id)
        return run, self.logs(run_id)


ALONE = ("-m", "databricks_air_local")


class ServerProcess:
    """A server in a process of its own."""

    def __init__(self, directory: Path, *options: str) -> None:
        command = [sys.executable, *ALONE]
        self.process = subprocess.Popen(
            [*command, "--state-dir", str(directory), *options], stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        lines = [self.process.stdout.readline() for _ in range(3)]
        self.air = AirControl(lines[0].rpartition(" ")[2].strip(), lines[1].rpartition(" ")[2].strip())
        self.connection_line = lines[2].strip()
        self.client = Client(self.air)

    def kill(self) -> None:
        """Kill it as the kernel does when memory is short."""
        self.process.kill()
        self.process.wait()

    def interrupt(self) -> int:
        """Press Ctrl-C and return the exit status."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(15)


class KeepAlive:
    """One keep-alive connection that sends whatever it is told."""

    def __init__(self, air: AirControl) -> None:
        self._address = air.url.removeprefix("http://").split(":")
        self._token = air.token
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def send(self, method: str, target: str, body: bytes = b"") -> int:
        """Send a request and return the status of the answer; 0 when the connection was closed instead."""
        if self._streams is None:
            self._streams = await asyncio.open_connection(self._address[0], int(self._address[1]))
        reader, writer = self._streams
        head = f"{method} {target} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {self._token}\r\n"
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        try:
            writer.write(head.encode("latin-1", "replace") + body)
            return await self._answer(reader, method)
        except (ConnectionError, asyncio.IncompleteReadError):
            self.close()
            return 0

    async def _answer(self, reader: asyncio.StreamReader, method: str) -> int:
        text = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        status = int(text.split(" ", 2)[1])
        length = text.partition("content-length: ")[2].partition("\r\n")[0]
        if method != "HEAD" and length:
            await reader.readexactly(int(length))
        if "connection: close" in text:
            self.close()
        return status

    def close(self) -> None:
        """Close the connection."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


def is_alive(pid: int) -> bool:
    """Return whether a process is there and has not ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def until(condition: Callable[[], bool], seconds: float = 60) -> bool:
    """Wait for a condition and return whether it came."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return False
