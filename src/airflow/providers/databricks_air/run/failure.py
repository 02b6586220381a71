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
"""What to say of a run that ended without success, the reason first."""

from __future__ import annotations

from airflow.providers.databricks_air.run.states import Run

__all__ = ["failure_message"]


def failure_message(run: Run, url: str) -> str:
    """Return the message of the error that ends the task.

    :param run: the finished run.
    :param url: its page.
    """
    attempts = f"attempt {run.latest.number + 1}" if run.latest else "before the first attempt"
    if run.latest and run.max_retries >= 0:
        attempts += f" of {run.max_retries + 1}"
    code = f", code {run.code}" if run.code else ""
    ended = f"AI Runtime run {run.run_id} ended as {run.state.word} ({attempts}{code})"
    return f"{run.failure_reason}\n{ended}\nRun page: {url}"
