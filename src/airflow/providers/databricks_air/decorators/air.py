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
"""``@task.air_run``: a Python function of a Dag runs on accelerators, and its result is the result of the task."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import DecoratedOperator, task_decorator_factory

from airflow.providers.databricks_air.decorators.function import (
    FunctionError,
    arguments_json,
    check_function,
    check_source,
    command_of,
)
from airflow.providers.databricks_air.exceptions import AirConfigError
from airflow.providers.databricks_air.operators.air import AirRunOperator
from airflow.providers.databricks_air.operators.templates import map_name

if TYPE_CHECKING:
    from airflow.providers.databricks_air.api.watch.events import Ended
    from airflow.providers.databricks_air.lifecycle.following import Following
    from airflow.providers.databricks_air.lifecycle.launch.config_source import ConfigSource

__all__ = ["AirRunDecoratedOperator", "air_run_task"]

RUN_KEY = "run"
"""The XCom with what an AirRunOperator would have returned."""


class AirRunDecoratedOperator(DecoratedOperator, AirRunOperator):
    """Runs a function once on every node of a run, and returns what it returns on the first.

    The source of the function is sent, and its arguments as JSON; paths and dataclasses arrive as such. It sees nothing
    of the Dag file: it imports what it needs, and is handed what it uses. Its result must be JSON; dataclasses, paths
    and the scalars of numpy and torch become it. All arguments of ``AirRunOperator`` hold here, too.

    :param accelerator_type: such as ``GPU_8xH100``.
    :param num_accelerators: over all nodes; those of one node when None.
    :param dependencies: packages to install before the function is called, as pip names them.
    :param launcher: what runs the function's file on each node, such as ``torchrun --nproc-per-node 8``.
    :param config: what else is to hold of the run, such as ``env_variables`` or ``code_source``. (templated)
    """

    custom_operator_name = "@task.air_run"
    template_fields: Sequence[str] = (*DecoratedOperator.template_fields, *AirRunOperator.template_fields)
    template_fields_renderers = {  # noqa: RUF012
        **DecoratedOperator.template_fields_renderers,
        **AirRunOperator.template_fields_renderers,
    }
    shallow_copy_attrs: Sequence[str] = ("python_callable",)

    def __init__(
        self,
        *,
        python_callable: Callable[..., Any],
        op_args: Collection[Any] | None = None,
        op_kwargs: Mapping[str, Any] | None = None,
        accelerator_type: str | None = None,
        num_accelerators: int | None = None,
        dependencies: Sequence[str] = (),
        launcher: str = "python3",
        config_path: str | None = None,
        config: Mapping[str, Any] | str | None = None,
        **kwargs: Any,
    ) -> None:
        if config is None and config_path is None:
            config = {}
        is_only_checked = bool(kwargs.get("_airflow_mapped_validation_only"))
        check_function(python_callable)
        super().__init__(
            python_callable=python_callable,
            op_args=op_args,
            op_kwargs=op_kwargs,
            config_path=config_path,
            config=config,
            **kwargs,
        )
        self.accelerator_type = accelerator_type
        self.num_accelerators = num_accelerators
        self.dependencies = dependencies
        self.launcher = launcher
        self._function_source = self._read_source()
        if not is_only_checked and not _has_references([*self.op_args, *self.op_kwargs.values()]):
            arguments_json(python_callable, list(self.op_args), self.op_kwargs)

    def _read_source(self) -> str:
        name = self.python_callable.__name__
        try:
            source = str(self.get_python_source())  # type: ignore[no-untyped-call]
        except OSError:
            raise FunctionError(f"{name}: its source cannot be found") from None
        check_source(name, source)
        return source

    def _source(self, dag: Any) -> ConfigSource:
        from airflow.providers.databricks_air.lifecycle.launch.config_source import ConfigSource

        name = self.python_callable.__name__
        try:
            arguments = arguments_json(self.python_callable, list(self.op_args), self.op_kwargs)
        except FunctionError as error:
            raise AirConfigError(str(error)) from None
        own: dict[str, Any] = {"command": command_of(name, self._function_source, arguments, self.launcher)}
        if self.accelerator_type is not None:
            count = re.match(r"GPU_(\d+)x", self.accelerator_type)
            own["compute.accelerator_type"] = self.accelerator_type
            own["compute.num_accelerators"] = self.num_accelerators or (int(count[1]) if count else 1)
        elif self.num_accelerators is not None:
            own["compute.num_accelerators"] = self.num_accelerators
        if self.dependencies:
            own["environment.dependencies"] = list(self.dependencies)
        config = self.config
        if isinstance(config, Mapping):
            config = {"experiment_name": name.strip("_") or "function", **config}
        return ConfigSource(self.config_path, config, _together(self.overrides, own), dag)

    def _name_of_mapped(self) -> str:
        return map_name(self.op_kwargs)

    def _result(self, follow: Following, ended: Ended, printed: Any) -> Any:
        result = super()._result(follow, ended, printed)
        follow.task.push({RUN_KEY: result})
        return follow.results.returned(ended)


def air_run_task(
    python_callable: Callable[..., Any] | None = None, multiple_outputs: bool | None = None, **kwargs: Any
) -> Any:
    """Make a task of a function that runs on AI Runtime; used as ``@task.air_run(accelerator_type=...)``.

    :param python_callable: the function.
    :param multiple_outputs: whether each value of a returned mapping is an XCom of its own, as in TaskFlow.
    :param kwargs: arguments of :class:`AirRunDecoratedOperator`.
    """
    return task_decorator_factory(
        python_callable=python_callable,
        multiple_outputs=multiple_outputs,
        decorated_operator_class=AirRunDecoratedOperator,
        **kwargs,
    )


def _together(overrides: Any, own: Mapping[str, Any]) -> Any:
    """Return the author's overrides and ours, which are no templates any more, in the author's form."""
    if not overrides:
        return own
    if isinstance(overrides, Mapping):
        return {**own, **overrides}
    import json

    return [*(f"{path}={json.dumps(value)}" for path, value in own.items()), *overrides]


def _has_references(values: Any) -> bool:
    """Whether something stands for a value that only a running task has: an XCom or a template."""
    if isinstance(values, Mapping):
        return _has_references(list(values.values()))
    if isinstance(values, list | tuple):
        return any(_has_references(value) for value in values)
    from pathlib import PurePath

    return hasattr(values, "resolve") and not isinstance(values, PurePath)
