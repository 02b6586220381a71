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
"""Requests that nobody should send."""

from __future__ import annotations

import asyncio
import copy
import json
import logging
import random
from pathlib import Path
from typing import Any

import pytest

from databricks_air_local import LocalAirRuntime
from wire import HOME, Client, KeepAlive

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]

NASTY: list[Any] = [
    *(
        None,
        True,
        -1,
        0,
        2**63,
        -(2**70),
        1e308,
        "",
        " ",
        "x" * 300,
        "\x00",
        "\ud800",
        "..",
        "../..",
        "/",
        "//",
    ),
    *("/Workspace/../../etc/passwd", "/Volumes/a/b/c/../../../../escaped", [], [[]], [None], {}, {"a": {}}),
    *(
        "9" * 5000,
        "²",
        "1_0",
        "NaN",
        "true",
        "p99999999999999999",
        "r-1",
        "%2e%2e",
        "é/☃",
        "'; DROP TABLE runs;--",
    ),
]
PATHS = [
    *(
        "..",
        "../escaped",
        "..%2F..%2Fescaped",
        "%2e%2e%2fescaped",
        "%2Fetc%2Fpasswd",
        "%00",
        "%ff",
        "%",
        "%zz",
        "",
    ),
    *(
        "a" * 3000,
        "%F0%9F%92%A9",
        "Volumes/a/b/c/..%2F..%2F..%2F..%2Fescaped",
        "Users/./x",
        "1",
        "-1",
        "9" * 400,
    ),
]


EVERYTHING: dict[str, Any] = {
    **Client.submit_body(None),  # type: ignore[arg-type]
    "path": "/Users/x",
    "run_id": 5,
    "key": "loss",
    "value": 1,
    "session_token": "x",
    "parts": [{}],
    "experiment_ids": ["1"],
    "filter": "metrics.a > 1 AND run_name LIKE 'a%'",
    "order_by": ["metrics.a DESC"],
    "max_results": 5,
    "metrics": [{"key": "a", "value": 1}],
    "access_control_list": [{}],
    "content": "eA==",
    "format": "AUTO",
    "name": "n",
    "docker_image_url": "a/b:c",
    "task": {},
    "faults": [],
    "attempts": [{"hold": [{}]}],
    "advance": 1,
    "lines": ["x"],
    "issue": 1,
}


class Fuzzer:
    """Makes requests that are almost right, or not at all."""

    def __init__(self, seed: int, body: dict[str, Any], routes: list[Any]) -> None:
        self._random = random.Random(seed)
        self._routes = routes
        self._body = body

    def request(self) -> tuple[str, str, bytes]:
        """Return a method, a target and a body."""
        route = self._random.choice(self._routes)
        path = route.path
        while "{" in path:
            head, _, rest = path.partition("{")
            path = head + self._random.choice(PATHS) + rest.partition("}")[2]
        if self._random.random() < 0.1:
            path += self._random.choice(PATHS)
        method = (
            route.method
            if self._random.random() < 0.95
            else self._random.choice(["GET", "POST", "PUT", "BREW"])
        )
        return method, (path or "/") + self._query(), self._payload()

    def _query(self) -> str:
        names = ["run_id", "path", "page_token", "limit", "overwrite", "filter.node_index", "from", "action"]
        names += [
            "session_token",
            "direct_download",
            "page_size",
            "experiment_id",
            "docker_image_url",
            "expire_time",
            "filter",
            "order_by",
            "max_results",
        ]
        pairs = [f"{self._random.choice(names)}={self._text()}" for _ in range(self._random.randrange(4))]
        return f"?{'&'.join(pairs)}" if pairs else ""

    def _text(self) -> str:
        text = str(self._random.choice(NASTY)).encode("utf-8", "replace")
        return "".join(f"%{byte:02x}" for byte in text[:200]) if self._random.random() < 0.7 else "1"

    def _payload(self) -> bytes:
        kind = self._random.random()
        if kind < 0.2:
            return self._random.randbytes(self._random.randrange(200))
        if kind < 0.3:
            return b"[" * self._random.choice([1, 10, 100_000])
        document = json.loads(json.dumps(self._body))
        for _ in range(self._random.randrange(1, 4)):
            self._damage(document)
        return json.dumps(document).encode()

    def _damage(self, document: Any) -> None:
        place = document
        while True:
            keys = list(place) if isinstance(place, dict) else list(range(len(place)))
            if not keys:
                return
            key = self._random.choice(keys)
            if isinstance(place[key], (dict, list)) and place[key] and self._random.random() < 0.8:
                place = place[key]
                continue
            place[key] = copy.deepcopy(self._random.choice(NASTY))
            return


@pytest.mark.parametrize("seed", range(4))
def test_malformed_requests(tmp_path: Path, seed: int, caplog: pytest.LogCaptureFixture) -> None:
    """25,000 malformed requests per seed: no answer is a 500, no file appears outside of the directory."""
    caplog.set_level(logging.CRITICAL)
    statuses: dict[int, int] = {}

    async def work(air: LocalAirRuntime, number: int) -> None:
        routes = air.workspace.routes()
        wire, fuzzer = KeepAlive(air), Fuzzer(seed * 100 + number, EVERYTHING, routes)
        for _ in range(25_000 // 5):
            request = fuzzer.request()
            status = await wire.send(*request)
            assert status < 500, request
            statuses[status] = statuses.get(status, 0) + 1
        wire.close()

    async def fuzz(air: LocalAirRuntime) -> None:
        await asyncio.gather(*(work(air, number) for number in range(5)))

    state = tmp_path / "state"
    with LocalAirRuntime(state, upload_limit=100_000) as air:
        asyncio.run(fuzz(air))
        assert Client(air).get("/api/2.0/preview/scim/v2/Me").status in {200, 401}
        assert not list(state.rglob("*escaped*"))
    assert [path.name for path in tmp_path.iterdir()] == ["state"]
    assert sum(count for status, count in statuses.items() if status >= 400) > 15_000
    assert statuses.get(0, 0) < 25_000 * 0.2


def test_bodies_above_the_limit(tmp_path: Path) -> None:
    """A body that is too large is refused while it comes, in memory and as a file."""
    with LocalAirRuntime(tmp_path, upload_limit=1_000_000) as air:
        client = Client(air)
        blobs = len(list((tmp_path / "blobs").iterdir()))

        large = client.put_file(f"{HOME}/large", b"x" * 1_000_001)
        huge = client.send("POST", "/api/2.0/workspace/mkdirs", b"x" * (16 * 1024**2 + 1))

        assert (large.status, huge.status) == (413, 413)
        assert len(list((tmp_path / "blobs").iterdir())) == blobs
