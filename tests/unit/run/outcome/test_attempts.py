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
"""The two layers of retries."""

from __future__ import annotations

import pytest

from airflow.providers.databricks_air.run.outcome.attempts import attempts_warning


@pytest.mark.parametrize(("retries", "max_retries"), [(0, 3), (0, 99), (9, 0), (1, 2), (2, 1)])
def test_few_attempts_are_not_mentioned(retries: int, max_retries: int) -> None:
    """Up to six attempts, or retries in one layer alone, give no warning."""
    assert attempts_warning(retries, max_retries) is None


@pytest.mark.parametrize(("retries", "max_retries", "attempts"), [(1, 3, 8), (2, 2, 9), (6, 1, 14)])
def test_many_attempts_name_both_numbers(retries: int, max_retries: int, attempts: int) -> None:
    """More than six attempts give a warning that names both numbers and the product."""
    warning = attempts_warning(retries, max_retries)
    assert warning is not None
    assert f"up to {attempts} attempts" in warning
    assert f"retries={retries}" in warning
    assert f"max_retries={max_retries}" in warning
