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
"""Python control of a local AI Runtime, in this process or another, over its control endpoints."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass, field
from http.client import HTTPConnection
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode, urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["AirControl", "Recorded", "RunBehaviour"]


@dataclass(frozen=True)
class Recorded:
    """One request that the server got.

    :param number: grows by one with every request.
    :param time: seconds since the epoch.
    :param status: what was answered; 0 when nothing was.
    :param connection: address of the client's end: equal for requests on one connection.
    :param fault: how it was spoiled, or empty.
    """

    number: int
    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: str
    time: float
    status: int
    connection: str
    fault: str = ""
    duration: float = 0.0

    def json(self) -> Any:
        """Return the body as JSON."""
        return json.loads(self.body)


@dataclass
class RunBehaviour:
    """What the runs of an experiment do; every verb adds to it and tells the server at once.

    ``succeeds``, ``fails``, ``times_out``, ``ends``, ``hangs`` and ``executes`` each describe one attempt, in
    order; the last one also stands for all attempts after it. ``waits`` comes before the attempt that waits.
    """

    _control: AirControl
    _plan: dict[str, Any] = field(default_factory=dict)
    _attempts: list[dict[str, Any]] = field(default_factory=list)
    _hold: list[dict[str, Any]] = field(default_factory=list)

    def waits(
        self,
        seconds: float | None = None,
        *,
        state: str = "PENDING",
        status: str = "",
        message: str = "",
        code: str = "",
    ) -> RunBehaviour:
        """Keep the next attempt waiting.

        :param seconds: how long; until ``AirControl.release`` when left out.
        :param state: ``PENDING``, ``QUEUED`` or any other life-cycle state.
        :param status: the server's ``STATUS:`` message, as get-output shows it.
        :param message: the state message.
        :param code: queue code.
        """
        step = {"state": state, "status": status, "message": message, "code": code}
        self._hold.append(step if seconds is None else {**step, "seconds": seconds})
        return self._tell()

    def succeeds(self, after: float = 0, **script: Any) -> RunBehaviour:
        """End an attempt with success.

        :param after: seconds that it runs.
        :param script: ``logs`` (lines), ``metrics`` (values or lists of values by name), ``params``,
            ``state``.
        """
        return self._attempt(outcome="SUCCESS", after=after, **script)

    def fails(
        self, after: float = 0, *, exit_code: int = 1, message: str = "", **script: Any
    ) -> RunBehaviour:
        """End an attempt with failure.

        :param message: the task's message instead of the service's generic one.
        """
        return self._attempt(outcome="FAILED", after=after, exit_code=exit_code, message=message, **script)

    def times_out(self, after: float = 0, **script: Any) -> RunBehaviour:
        """End an attempt as timed out."""
        return self._attempt(outcome="TIMEDOUT", after=after, **script)

    def ends(self, outcome: str, after: float = 0, **script: Any) -> RunBehaviour:
        """End an attempt with any result state."""
        return self._attempt(outcome=outcome, after=after, **script)

    def hangs(self, **script: Any) -> RunBehaviour:
        """Run until cancelled or timed out; ``AirControl.release`` makes it succeed."""
        return self._attempt(outcome="SUCCESS", **script)

    def executes(self) -> RunBehaviour:
        """Run the submitted command, as without any behaviour."""
        return self._attempt()

    def retries_after(self, seconds: float) -> RunBehaviour:
        """Let so many seconds pass between two attempts."""
        self._plan["retry_wait"] = seconds
        return self._tell()

    def cancels_after(self, seconds: float) -> RunBehaviour:
        """Let so many seconds pass between a cancel and its end."""
        self._plan["cancel_after"] = seconds
        return self._tell()

    def times(self, count: int) -> RunBehaviour:
        """Only for the next so many runs."""
        self._plan["times"] = count
        return self._tell()

    def _attempt(self, **script: Any) -> RunBehaviour:
        if self._hold:
            script["hold"], self._hold = self._hold, []
        self._attempts.append(script)
        return self._tell()

    def _tell(self) -> RunBehaviour:
        waiting = [{"hold": self._hold}] if self._hold else []
        self._control.call("POST", "/local/behaviours", {**self._plan, "attempts": self._attempts + waiting})
        return self


class AirControl:
    """Talks to the control endpoints of a server.

    :param url: the server's URL.
    :param token: a token of it, expired or not.
    """

    def __init__(self, url: str, token: str) -> None:
        self.url = url
        self.token = token
        #: Where it listens, when ``url`` is what others reach it by.
        self.control_url = ""

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """Send one request and return the JSON of the answer.

        :raises ValueError: with the server's message when it refuses.
        """
        parts = urlsplit(self.control_url or self.url)
        connection = HTTPConnection(parts.hostname or "", parts.port, timeout=60)
        try:
            payload = None if body is None else json.dumps(body)
            connection.request(method, path, payload, {"Authorization": f"Bearer {self.token}"})
            response = connection.getresponse()
            answer = json.loads(response.read() or b"{}")
        finally:
            connection.close()
        if response.status >= 400:
            raise ValueError(answer.get("message", f"HTTP {response.status}"))
        return answer

    def on(self, experiment: str = "*") -> RunBehaviour:
        """Say what the runs of an experiment do; a name, or a pattern with ``*``."""
        return RunBehaviour(self, {"id": uuid.uuid4().hex, "experiment": experiment})

    def forget_behaviours(self) -> None:
        """Let all runs that are submitted from now on execute their commands."""
        self.call("DELETE", "/local/behaviours")

    def declare(self, **parts: Any) -> None:
        """Say what the workspace has from now on.

        :param parts: ``volumes`` and ``images`` (lists), ``pools`` (``GPU_8xH100:16`` by id), ``policies`` (ids by
            name).
        """
        self.call("POST", "/local/inventory", parts)

    def add_fault(self, path: str, **fault: Any) -> None:
        """Spoil requests; see ``faults.Fault`` for the fields."""
        self.call("POST", "/local/faults", {"path": path, **fault})

    def lose_answer(self, path: str, *, skip: int = 0, times: int = 1) -> None:
        """Do the work, then reset the connection."""
        self.add_fault(path, then="reset", after=True, skip=skip, times=times)

    def kill_caller(self, path: str, *, skip: int = 0, times: int = 1, after: bool = True) -> None:
        """Kill the process that asks, with its work done or, without ``after``, not begun."""
        self.add_fault(path, then="kill", after=after, skip=skip, times=times)

    def read_stale(self, path: str, *, skip: int = 1, times: int = 1) -> None:
        """Let so many requests through, then answer the same ones again as they were answered before."""
        self.add_fault(path, then="stale", skip=skip, times=times)

    def faults(self) -> list[dict[str, Any]]:
        """Return the faults, with how often each was ``seen`` and ``fired``."""
        found: list[dict[str, Any]] = self.call("GET", "/local/faults")["faults"]
        return found

    def clear_faults(self) -> None:
        """Forget all faults, those of logs and of config:validate too."""
        self.call("DELETE", "/local/faults")

    def spoil_logs(self, **faults: Any) -> None:
        """Make records late, duplicate or disordered; see ``streams.LogFaults`` for the fields."""
        self.call("POST", "/local/log-faults", faults)

    def refuse_config(self, *errors: Mapping[str, str]) -> None:
        """Let config:validate answer with errors: mappings with ``path``, ``message``, ``code``."""
        self.call("POST", "/local/config-errors", {"errors": errors})

    def requests(self, method: str = "*", path: str = "*", after: int = 0) -> list[Recorded]:
        """Return the requests that the server got, oldest first.

        :param path: decoded path, or a pattern with ``*``.
        :param after: only those with a greater number.
        """
        query = urlencode({"method": method, "path": path, "after": after})
        return [Recorded(**entry) for entry in self.call("GET", f"/local/requests?{query}")["requests"]]

    def clear_requests(self) -> None:
        """Forget the requests so far."""
        self.call("DELETE", "/local/requests")

    def runs(self) -> list[dict[str, Any]]:
        """Return all runs, oldest first, as runs/get shows them, with ``body``, ``alive`` and ``token``."""
        found: list[dict[str, Any]] = self.call("GET", "/local/runs")["runs"]
        return found

    def stats(self) -> dict[str, Any]:
        """Return ``runs_created``, ``runs_alive`` (ids), ``processes``, ``threads`` and ``now``."""
        found: dict[str, Any] = self.call("GET", "/local/stats")
        return found

    @property
    def runs_created(self) -> int:
        """Return how many runs exist, ended ones too."""
        return int(self.stats()["runs_created"])

    @property
    def runs_alive(self) -> list[int]:
        """Return the ids of the runs that have not ended."""
        return list(self.stats()["runs_alive"])

    def release(self, run_id: int) -> None:
        """End what a run waits for: a hold, or a scripted attempt without an end."""
        self.call("POST", f"/local/runs/{quote(str(run_id))}/release", {})

    def log(
        self, run_id: int, *lines: str, node: int = 0, attempt: int | None = None, at: float | None = None
    ) -> None:
        """Write lines into a run's log.

        :param at: seconds since the epoch, for records that come late; now when left out.
        """
        body: dict[str, Any] = {"lines": lines, "node": node, "at": at}
        self.call(
            "POST", f"/local/runs/{run_id}/logs", body if attempt is None else {**body, "attempt": attempt}
        )

    def advance(self, seconds: float) -> None:
        """Move a virtual clock forward."""
        self.call("POST", "/local/clock", {"advance": seconds})

    def page_url(self, path: str = "/") -> str:
        """Return the URL of a page for a browser; it works once, and lets that browser in from then on.

        :param path: such as ``/jobs/runs/5``; a URL of this server is good too.
        """
        key = self.call("POST", "/local/page-keys", {})["key"]
        path = path.removeprefix(self.url)
        return f"{self.url}{path}{'&' if '?' in path else '?'}key={key}"

    def expire_tokens(self) -> None:
        """Make all tokens expire now."""
        self.call("POST", "/local/tokens", {"expire": True})

    def renew_token(self) -> None:
        """Accept the main token again."""
        self.call("POST", "/local/tokens", {"renew": True})

    def issue_token(self, seconds: float) -> str:
        """Return a new token that expires after so many seconds."""
        return str(self.call("POST", "/local/tokens", {"issue": seconds})["token"])
