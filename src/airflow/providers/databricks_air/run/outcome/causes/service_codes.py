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
"""Who must act, as the service's own words for the end of a run tell it: result, termination code and type."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from airflow.providers.databricks_air.run.outcome.causes.cause import CauseKind

if TYPE_CHECKING:
    from airflow.providers.databricks_air.run.outcome.states import Run

__all__ = ["asks_the_log", "kind_by_service"]

_BY_CODE = {
    **dict.fromkeys(
        ("INTERNAL_ERROR", "DRIVER_ERROR", "CLUSTER_ERROR", "STORAGE_ACCESS_ERROR", "CLOUD_FAILURE"),
        CauseKind.INFRASTRUCTURE,
    ),
    **dict.fromkeys(
        (
            "WORKSPACE_RUN_LIMIT_EXCEEDED",
            "CLUSTER_REQUEST_LIMIT_EXCEEDED",
            "MAX_CONCURRENT_RUNS_EXCEEDED",
            "MAX_SPARK_CONTEXTS_EXCEEDED",
            "MAX_JOB_QUEUE_SIZE_EXCEEDED",
        ),
        CauseKind.CAPACITY,
    ),
    **dict.fromkeys(("RUN_EXECUTION_ERROR", "LIBRARY_INSTALLATION_ERROR"), CauseKind.USER_CODE),
    **dict.fromkeys(
        (
            "REPOSITORY_CHECKOUT_FAILED",
            "INVALID_CLUSTER_REQUEST",
            "FEATURE_DISABLED",
            "UNAUTHORIZED_ERROR",
            "RESOURCE_NOT_FOUND",
            "INVALID_RUN_CONFIGURATION",
            "DISABLED",
            "BREAKING_CHANGE",
            "BUDGET_POLICY_LIMIT_EXCEEDED",
        ),
        CauseKind.CONFIGURATION,
    ),
    **dict.fromkeys(("USER_CANCELED", "CANCELED"), CauseKind.CANCELLED),
}
_BY_TYPE = {
    "INTERNAL_ERROR": CauseKind.INFRASTRUCTURE,
    "CLOUD_FAILURE": CauseKind.INFRASTRUCTURE,
    "CLIENT_ERROR": CauseKind.CONFIGURATION,
}
_BY_RESULT = {
    "TIMEDOUT": CauseKind.TIMEOUT,
    "CANCELED": CauseKind.CANCELLED,
    "UPSTREAM_CANCELED": CauseKind.CANCELLED,
    "MAXIMUM_CONCURRENT_RUNS_REACHED": CauseKind.CAPACITY,
}
_SAYS_ONLY_FAILED = frozenset({"", "RUN_EXECUTION_ERROR"})
_CAPACITY = re.compile(
    r"(?i)\b(?:insufficient|not enough|no available|out of|lack of|waiting for) (?:[\w/-]{1,20} ){0,3}"
    r"(?:capacity|quota|accelerators?|gpus?)\b|\bstock-?out\b"
    r"|\b(?:capacity|quota) (?:is |was |has been |limit )?(?:exceeded|exhausted|not available|unavailable|reached)\b"
)
_LONGEST = 1000


def kind_by_service(run: Run) -> CauseKind:
    """Return who must act, as far as the service tells it; ``UNKNOWN`` where it does not.

    A code and a type that contradict each other tell nothing, except that a failure of the cloud is one.

    :param run: the run, terminal.
    """
    by_result = _BY_RESULT.get(run.state.result)
    if by_result is not None:
        return by_result
    kind = _by_code_and_type(run.code, run.code_type)
    if kind in {CauseKind.INFRASTRUCTURE, CauseKind.UNKNOWN} and _CAPACITY.search(
        run.failure_reason[:_LONGEST]
    ):
        return CauseKind.CAPACITY
    return kind


def asks_the_log(run: Run) -> bool:
    """Return whether the service says only that the run failed, so that the log may tell why.

    :param run: the run, terminal.
    """
    says_nothing = run.code in _SAYS_ONLY_FAILED or run.code not in _BY_CODE
    by_cloud = run.code_type in {"INTERNAL_ERROR", "CLOUD_FAILURE"}
    return says_nothing and not by_cloud and run.state.result not in _BY_RESULT


def _by_code_and_type(code: str, code_type: str) -> CauseKind:
    by_code, by_type = _BY_CODE.get(code), _BY_TYPE.get(code_type)
    if by_code is None or by_type is None:
        return by_code or by_type or CauseKind.UNKNOWN
    if by_type is CauseKind.INFRASTRUCTURE:
        return by_code if by_code is not CauseKind.USER_CODE else by_type
    return CauseKind.UNKNOWN if by_code is CauseKind.INFRASTRUCTURE else by_code
