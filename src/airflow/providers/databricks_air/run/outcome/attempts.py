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
"""How often a run may be attempted when Airflow and the platform both try again."""

from __future__ import annotations

__all__ = ["MANY_ATTEMPTS", "attempts_warning"]

#: More attempts than this are more likely an oversight than a wish: each one costs accelerators.
MANY_ATTEMPTS = 6


def attempts_warning(airflow_retries: int, max_retries: int) -> str | None:
    """Return what to tell an author whose two layers of retries multiply, or None.

    :param airflow_retries: ``retries`` of the Airflow task.
    :param max_retries: ``max_retries`` of the run configuration.
    """
    attempts = (airflow_retries + 1) * (max_retries + 1)
    if not airflow_retries or not max_retries or attempts <= MANY_ATTEMPTS:
        return None
    return (
        f"up to {attempts} attempts: Airflow starts the task up to {airflow_retries + 1} times (retries="
        f"{airflow_retries}), and the platform attempts each run up to {max_retries + 1} times (max_retries="
        f"{max_retries}). Set one of them to 0"
    )
