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
"""The program that keeps the promise of a cancel after the task's process: reads an order from its standard input."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import SimpleNamespace
from typing import Any

from airflow.providers.databricks_air.api.http.calls import cancel_run, submit_run
from airflow.providers.databricks_air.api.http.client import SyncClient
from airflow.providers.databricks_air.api.http.errors import ApiError, NotFoundError
from airflow.providers.databricks_air.api.sign_in.credentials import SdkCredentials

__all__ = ["main"]

PAUSE = 2.0
# A supervisor that waits for Airflow itself kills the task's process late.
PARENT_SECONDS = 120
# After that it waits for this one, for a minute at most.
ANSWER_SECONDS = 55


@dataclass(frozen=True)
class _Given:
    """Credentials that somebody else has worked out."""

    host: str
    given: Mapping[str, str] = field(repr=False)
    home: str = ""
    origin: str = ""
    agent: str = ""

    async def headers(self, limit: float = 0.0) -> Mapping[str, str]:
        """Return the headers of the next request."""
        return self.given

    def headers_soon(self, limit: float) -> Mapping[str, str]:
        """Return the same."""
        return self.given

    def forget(self, refused: Mapping[str, str]) -> bool:
        """Return False: there are no others."""
        return False


def _is_cancelled_by_a_person(order: Mapping[str, Any]) -> bool:
    """Ask Airflow, when the task's process has ended and nobody else uses its channel any more."""
    from airflow.providers.databricks_air.lifecycle.end.channel import take_channel
    from airflow.providers.databricks_air.lifecycle.end.verdict import ask_for_task, judge_worker

    question = dict(order["question"])
    began, on_clear = question.pop("began"), question.pop("on_clear")
    take_channel(order["channel"])
    # Whatever hangs ends here, and the run is left to the next try.
    signal.alarm(PARENT_SECONDS)
    while os.getppid() == order["parent"]:
        time.sleep(0.1)
    signal.alarm(ANSWER_SECONDS)
    ti = SimpleNamespace(**question)
    seen = ask_for_task(ti, began and datetime.fromisoformat(began), on_clear)
    signal.alarm(0)
    os.close(order["channel"])
    verdict = judge_worker(
        seen, try_number=ti.try_number, is_adoptable=True, timed_out=False, on_clear=on_clear
    )
    return bool(verdict.cancel)


def main() -> int:
    """Ask for the end of the run in the order until the workspace takes it; 1 when it never does."""
    order = json.loads(sys.stdin.read())
    if order["question"] and not _is_cancelled_by_a_person(order):
        return 0
    proof = order["proof"]
    given = _Given(proof["host"], proof["headers"]) if "headers" in proof else SdkCredentials(**proof)
    client = SyncClient(given)
    run_id: int | None = order["run_id"]
    end = time.monotonic() + order["seconds"]
    while time.monotonic() < end:
        try:
            if run_id is None:
                run_id = client.perform(submit_run(order["body"]).once()).run_id
            client.perform(cancel_run(run_id).once(timeout=20.0))
        except NotFoundError:
            return 0
        except ApiError:
            time.sleep(PAUSE)
        else:
            return 0
    return 1


if __name__ == "__main__":
    sys.exit(main())
