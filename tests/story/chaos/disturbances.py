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
"""What hurts the whole Airflow: a function for each cause, called while all its trials wait."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable

from tests.story.airflow_cluster import AirflowCluster

__all__ = ["DISTURBANCES", "TWO_TRIGGERERS"]

OUTAGE = 60.0
PAUSE = 42.0  # more than the 30 s after which a triggerer counts as dead


def api_outage(airflow: AirflowCluster) -> None:
    """Stop the API server for a minute."""
    airflow.api.stop()
    time.sleep(OUTAGE)
    airflow.start_api()


def kill(airflow: AirflowCluster) -> None:
    """SIGKILL the first triggerer and start it again."""
    airflow.triggerers[0].kill()
    airflow.triggerers[0].start()


def term(airflow: AirflowCluster) -> None:
    """SIGTERM the first triggerer and start it again."""
    airflow.triggerers[0].stop()
    airflow.triggerers[0].start()


def pause(airflow: AirflowCluster) -> None:
    """SIGSTOP the first triggerer, and SIGCONT it later."""
    airflow.triggerers[0].signal_all(signal.SIGSTOP)
    time.sleep(PAUSE)
    airflow.triggerers[0].signal_all(signal.SIGCONT)


TWO_TRIGGERERS = frozenset({"triggerers-kill", "triggerers-term", "triggerers-pause"})

DISTURBANCES: dict[str, Callable[[AirflowCluster], None]] = {
    "api-outage": api_outage,
    "triggerer-kill": kill,
    "triggerer-term": term,
    "triggerer-pause": pause,
    "triggerers-kill": kill,
    "triggerers-term": term,
    "triggerers-pause": pause,
}
