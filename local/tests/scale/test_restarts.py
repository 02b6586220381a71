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
"""The server killed a hundred times in the middle of uploads, holds and retries."""

from __future__ import annotations

import os
import random
import threading
import time
from http.client import HTTPException
from pathlib import Path

import pytest

from databricks_air_local.remote import AirControl
from wire import HOME, Client, ServerProcess

pytestmark = [pytest.mark.long, pytest.mark.timeout(3600)]

ROUNDS = int(os.environ.get("AIR_RESTARTS", "100"))
FILES = "/api/2.0/fs/files/Volumes/main/default/data"
SUBMIT = "/api/2.2/jobs/runs/submit"


class Writer(threading.Thread):
    """Uploads and submits until the server is gone; remembers what it was told is done.

    :param number: of the round: names are never used twice.
    :param kept: contents by path, which the server said it has.
    :param runs: run ids by token, which the server said it has.
    """

    def __init__(self, air: AirControl, number: int, kept: dict[str, bytes], runs: dict[str, int]) -> None:
        super().__init__()
        self._client = Client(air)
        self._number = number
        self._kept = kept
        self._runs = runs

    def run(self) -> None:
        """Go on until nobody answers."""
        for turn in range(10_000):
            try:
                self._turn(f"{self._number}-{turn}")
            except (OSError, HTTPException, ValueError):
                return

    def _turn(self, name: str) -> None:
        client, content = self._client, os.urandom(random.randrange(1, 200_000))
        if client.put_file(f"{HOME}/files/{name}", content).status == 200:
            self._kept[f"{HOME}/files/{name}"] = content
        if client.send("PUT", f"{FILES}/{name}", content).status == 204:
            self._kept[f"/Volumes/main/default/data/{name}"] = content
        self._in_parts(f"{name}-parts", content)
        for kind in ("retried", "held"):
            token = f"{kind}-{name}"
            answer = client.send(
                "POST", SUBMIT, client.submit_body(kind, max_retries=2, idempotency_token=token)
            )
            if answer.status == 200:
                self._runs[token] = answer.json["run_id"]

    def _in_parts(self, name: str, content: bytes) -> None:
        client, half = self._client, len(content) // 2
        begun = client.send("POST", f"{FILES}/{name}?action=initiate-upload", {})
        token = begun.json["multipart_upload"]["session_token"]
        wanted = {"path": f"/Volumes/main/default/data/{name}", "session_token": token, "count": 2}
        urls = client.send("POST", "/api/2.0/fs/create-upload-part-urls", wanted).json["upload_part_urls"]
        parts = []
        for place, piece in zip(urls, (content[:half], content[half:]), strict=True):
            target = place["url"].removeprefix(client.air.url)
            tag = client.send("PUT", target, piece, Authorization="").headers["ETag"]
            parts.append({"part_number": place["part_number"], "etag": tag})
        end = f"{FILES}/{name}?action=complete-upload&upload_type=multipart&session_token={token}"
        if client.send("POST", end, {"parts": parts}).status == 200:
            self._kept[wanted["path"]] = content


def _content(client: Client, path: str) -> bytes:
    if path.startswith("/Volumes"):
        return client.send("GET", f"/api/2.0/fs/files{path}").body
    return client.get("/api/2.0/workspace/export", path=path, direct_download="true").body


def test_a_hundred_deaths(
    tmp_path: Path, servers: list[ServerProcess], capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever the server said it has is there after each death: files whole, runs by their tokens, holds held."""
    chance = random.Random(1)
    kept: dict[str, bytes] = {}
    runs: dict[str, int] = {}
    options = ["--volume", "main.default.data", "--retry-wait", "0.2"]
    for number in range(ROUNDS):
        server = ServerProcess(tmp_path, *options)
        servers[:] = [server]
        for kind in ("retried", "held"):
            server.client.put_file(f"{HOME}/{kind}/command.sh", "true")
        server.air.on("retried").fails().waits(0.3).fails(after=0.1).succeeds()
        server.air.on("held").waits().succeeds()
        writer = Writer(server.air, number, kept, runs)
        writer.start()
        for path in chance.sample(sorted(kept), min(20, len(kept))):
            assert _content(server.client, path) == kept[path], path
        time.sleep(chance.uniform(0.05, 0.6))  # the moment of the death is chance
        server.kill()
        writer.join()

    server = ServerProcess(tmp_path, *options)
    servers[:] = [server]
    client = server.client
    assert {path for path in kept if _content(client, path) != kept[path]} == set()
    assert len(set(runs.values())) == len(runs)
    known = {run["token"]: run for run in server.air.runs()}
    assert {token: known[token]["run_id"] for token in runs} == runs
    for token, run_id in runs.items():
        if token.startswith("held"):
            assert client.run(run_id)["state"]["life_cycle_state"] == "PENDING", token
            server.air.release(run_id)
        else:
            assert len(client.wait(run_id)["tasks"]) <= 3
    ended = [client.wait(run_id) for run_id in runs.values()]
    results = [run["state"]["result_state"] for run in ended]
    attempts = sum(len(run["tasks"]) for run in ended)
    with capsys.disabled():
        print(  # noqa: T201 - what this test is for
            f"\n{ROUNDS} deaths: {len(kept)} files and {len(runs)} runs ({attempts} attempts, "
            f"{results.count('SUCCESS')} succeeded) were acknowledged; all are there"
        )
    assert server.interrupt() == 0
