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
"""Ends a run: a cancel is a promise, so it outlives the process that gave it."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from airflow.providers.databricks_air.api.http.calls import cancel_run
from airflow.providers.databricks_air.api.http.errors import ApiError
from airflow.providers.databricks_air.api.sign_in.credentials import SdkCredentials
from airflow.providers.databricks_air.api.watch.look import Patience, patiently

if TYPE_CHECKING:
    from airflow.providers.databricks_air.api.http.client import AsyncClient, SyncClient
    from airflow.providers.databricks_air.api.http.credentials import Credentials

__all__ = ["PROMISE_SECONDS", "ask_for_end", "cancel_for_good", "go_on_alone"]

log = logging.getLogger(__name__)

PROMISE_SECONDS = 900.0
"""How long a cancel that was promised is tried by whoever is still there."""
LONGEST_PAUSE = 15.0


def ask_for_end(
    client: SyncClient,
    run_id: int,
    seconds: float,
    patience: Patience | None = None,
    renew: Callable[[], None] = lambda: None,
) -> None:
    """Ask for the end of a run, again and again for some time if need be.

    :param client: of the workspace.
    :param run_id: id of the run.
    :param seconds: how long to ask while there is no answer.
    :param patience: how long a refusal must last; None to believe the first.
    :param renew: reads the credentials anew, after they were refused.
    :raises ApiError: when the workspace does not take the request.
    """
    call = cancel_run(run_id).within(seconds)
    patiently(lambda: client.perform(call), patience or Patience(0.0, 0.0), renew=renew)


async def cancel_for_good(client: AsyncClient, run_id: int, logger: Any) -> bool:
    """Ask for the end of a run for a quarter of an hour, whatever the answer; say whether it was taken.

    :param client: of the workspace.
    :param run_id: id of the run.
    :param logger: told when it fails.
    """
    import asyncio

    end, pause = time.monotonic() + PROMISE_SECONDS, 1.0
    while True:
        try:
            await client.perform(cancel_run(run_id).within(60.0))
        except ApiError as error:
            if time.monotonic() + pause >= end:
                logger.error("Run %s could not be cancelled: %s", run_id, error)
                return False
            logger.warning("Run %s could not be cancelled yet: %s", run_id, error)
            await asyncio.sleep(pause)
            pause = min(LONGEST_PAUSE, 2 * pause)
        else:
            return True


# A kill leaves about five seconds for everything; the token that is in use needs none of them.
TOKEN_SECONDS = 1.0


def _proof(credentials: Credentials) -> dict[str, Any]:
    """Return what proves who asks: headers, or where no token can be had now, all that it takes to get one later."""
    try:
        return {"host": credentials.host, "headers": dict(credentials.headers_soon(TOKEN_SECONDS))}
    except ApiError:
        if not isinstance(credentials, SdkCredentials):
            raise
        return {"fields": dict(credentials.fields), "workspace_id": credentials.workspace_id}


def go_on_alone(
    credentials: Credentials,
    *,
    run_id: int | None,
    body: Mapping[str, Any] | None = None,
    question: Mapping[str, Any] | None = None,
    channel: int | None = None,
) -> None:
    """Let a process of its own go on asking for the end of a run: Airflow ends this one in a moment.

    It has a session of its own, so that no signal to this one's group reaches it, reads the credentials from a
    pipe, so that nobody sees them, and ends after the cancel, or after a quarter of an hour.

    :param credentials: the workspace and who asks.
    :param run_id: id of the run; None while its submission has no answer.
    :param body: the submission without an answer; sent again, its token gives the id of the run that it has made.
    :param question: of which task instance Airflow must be asked first whether a person has ended it; None when
        that is known.
    :param channel: a file descriptor of the channel to Airflow, for the question.
    """
    name = run_id or "whose submission has no answer yet"
    order = {
        "proof": _proof(credentials),
        "run_id": run_id,
        "body": body,
        "question": question,
        "channel": channel,
        "parent": os.getpid(),
        "seconds": PROMISE_SECONDS,
    }
    program = "airflow.providers.databricks_air.lifecycle.end.last_cancel"
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", program],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            pass_fds=() if channel is None else (channel,),
            # Airflow 3 forbids its tasks the database, and would fail in a fresh process that sets it up.
            env={**os.environ, "_AIRFLOW__AS_LIBRARY": "1"},
        )
        if process.stdin is not None:
            process.stdin.write(json.dumps(order).encode())
            process.stdin.close()
    except OSError as error:
        log.error("Run %s: no process could be started that goes on asking for its end: %s", name, error)
    else:
        what = "who ended its task" if question else "for its end"
        log.warning("Run %s: process %s goes on asking %s", name, process.pid, what)
    finally:
        if channel is not None:
            os.close(channel)
