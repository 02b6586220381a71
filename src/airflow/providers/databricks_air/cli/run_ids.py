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
"""Run ids as people type them."""

from __future__ import annotations

from airflow.providers.databricks_air.cli.envelope import CommandError

__all__ = ["run_id"]


def run_id(text: str) -> int:
    """Return the run id that *text* is.

    :raises CommandError: when it is not a positive whole number.
    """
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 2**63):
        raise CommandError(
            f"JOB_RUN_ID: {text!r} is not a positive whole number, such as 388840544681214", exit_code=2
        )
    return int(text)
