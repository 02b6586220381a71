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
"""One patient look at a run: what a refusal has to last before it is believed."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from airflow.providers.databricks_air.api.http.calls import get_run
from airflow.providers.databricks_air.api.http.client import SyncClient
from airflow.providers.databricks_air.api.http.credentials import Credentials
from airflow.providers.databricks_air.api.http.errors import ApiError, AuthError, NotFoundError
from airflow.providers.databricks_air.api.watch.limits import PATIENCE_DENIED, PATIENCE_MISSING
from airflow.providers.databricks_air.run.outcome.states import Run

__all__ = ["Patience", "look", "patiently"]

T = TypeVar("T")
log = logging.getLogger(__name__)

LONGEST_PAUSE = 10.0


@dataclass(frozen=True)
class Patience:
    """How long a refusal must be all that is heard before it is believed.

    :param denied: seconds for 401 and 403.
    :param missing: seconds for 'does not exist'.
    :param first_pause: seconds before asking again, doubled each time.
    """

    denied: float = PATIENCE_DENIED
    missing: float = PATIENCE_MISSING
    first_pause: float = 1.0

    def of(self, error: ApiError) -> float:
        """Return the seconds that an answer must last; 0 for one that is believed at once."""
        if isinstance(error, AuthError):
            return self.denied
        return self.missing if isinstance(error, NotFoundError) else 0.0


def patiently(
    ask: Callable[[], T],
    patience: Patience,
    *,
    renew: Callable[[], None] = lambda: None,
    sleep: Callable[[float], None] = time.sleep,
) -> T:
    """Ask again while the answer is a refusal that may pass.

    :param ask: asks once; what it raises besides refusals is raised here.
    :param patience: how long each refusal must last.
    :param renew: reads the credentials anew, after they were refused.
    :param sleep: waits that many seconds.
    :raises ApiError: the refusal, once it was all that was heard for long enough.
    """
    pause, heard, since = patience.first_pause, ApiError, 0.0
    while True:
        try:
            return ask()
        except (AuthError, NotFoundError) as error:
            kind = AuthError if isinstance(error, AuthError) else NotFoundError
            if kind is not heard:
                heard, since = kind, time.monotonic()
            left = patience.of(error) - (time.monotonic() - since)
            if left <= 0:
                raise
            log.warning("%s; asking again for up to %.0f s, for it may pass", error, left)
            sleep(min(pause, LONGEST_PAUSE, left))
            pause *= 2
            if kind is AuthError:
                renew()


def look(
    client: SyncClient,
    run_id: int,
    patience: Patience,
    *,
    renew: Callable[[], Credentials] | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> Run:
    """Return the state of a run that the service has told us of.

    :param client: of the workspace.
    :param run_id: id of the run.
    :param patience: how long a refusal must last.
    :param renew: returns fresh credentials after they were refused.
    :param sleep: waits that many seconds.
    :raises ApiError: when the workspace does not tell for long enough.
    """

    def take_new() -> None:
        if renew is not None:
            client.credentials = renew()

    return patiently(lambda: client.perform(get_run(run_id)), patience, renew=take_new, sleep=sleep)
