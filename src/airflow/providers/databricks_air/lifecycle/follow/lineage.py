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
"""What OpenLineage is told of a run; imported where its provider is installed and nowhere else."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow.providers.databricks_air.run.config.run_config import RunConfig

__all__ = ["PARENT_VARIABLE", "lineage_of", "with_parent"]

PARENT_VARIABLE = "OPENLINEAGE_PARENT_ID"
"""The environment variable in which OpenLineage's integrations look for who has started them."""
log = logging.getLogger(__name__)

_PRODUCER = "https://pypi.org/project/airflow-provider-databricks-air"
_JOB_KEYS = ("experiment_name", "accelerator_type", "num_accelerators", "code_key", "code_commit")
_RUN_KEYS = (
    *("run_id", "state", "run_page_url", "attempts", "queue_seconds", "run_seconds", "accelerator_hours"),
    *("mlflow_experiment_id", "mlflow_run_id", "mlflow_url"),
)


def with_parent(config: RunConfig, ti: Any) -> RunConfig:
    """Return a configuration whose command is told which task instance has started it, where OpenLineage listens.

    The identity of the run does not change with it: the idempotency token is made from the task instance.

    :param config: the checked run configuration; a value that the author has set stays.
    :param ti: the running task instance.
    """
    if find_spec("airflow.providers.openlineage") is None or not (parent := _parent_id(ti)):
        return config
    return config.model_copy(update={"env_variables": {PARENT_VARIABLE: parent, **config.env_variables}})


def _parent_id(ti: Any) -> str:
    """Return the task instance as OpenLineage names it: namespace, job and run; empty where it is switched off."""
    try:
        from airflow.providers.openlineage import conf
        from airflow.providers.openlineage.plugins.macros import lineage_parent_id

        return "" if conf.is_disabled() else str(lineage_parent_id(ti))
    except Exception as error:  # noqa: BLE001 - lineage is an addition to a run
        log.warning("OpenLineage does not say who starts the run: %s", error)
        return ""


def lineage_of(result: Mapping[str, Any]) -> Any:
    """Return the facets of a task: what it has asked for, and which run it has followed.

    :param result: what the task returns, or what is known of its run without one.
    """
    from airflow.providers.openlineage.extractors import OperatorLineage
    from openlineage.client.facet_v2 import JobFacet, RunFacet, external_query_run

    run_facets = {"databricks_air": _facet(RunFacet, _RUN_KEYS, result)}
    if run_id := result.get("run_id"):
        run_facets["externalQuery"] = external_query_run.ExternalQueryRunFacet(
            externalQueryId=str(run_id), source="databricks", producer=_PRODUCER
        )
    job_facets = {"databricks_air": _facet(JobFacet, _JOB_KEYS, result)}
    return OperatorLineage(run_facets=run_facets, job_facets=job_facets)


def _facet(base: type, keys: tuple[str, ...], result: Mapping[str, Any]) -> Any:
    """Return a facet of our own with what is known; OpenLineage writes the fields of such a class as they are."""
    import attr

    known = {key: result[key] for key in keys if result.get(key) is not None}
    made: Any = attr.make_class(f"Air{base.__name__}", list(known), bases=(base,), slots=False)
    return made(**known, producer=_PRODUCER)
