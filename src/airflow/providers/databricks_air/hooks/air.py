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
"""The hook: from an Airflow connection to a client of the workspace."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from airflow.providers.common.compat.sdk import AirflowNotFoundException, BaseHook

from airflow.providers.databricks_air.api.http.call import Answer, Call
from airflow.providers.databricks_air.api.http.calls import cancel_run, get_run, me
from airflow.providers.databricks_air.api.http.client import AsyncClient, SyncClient
from airflow.providers.databricks_air.api.http.credentials import Credentials
from airflow.providers.databricks_air.api.http.errors import ApiError, ServiceError
from airflow.providers.databricks_air.arguments import DEFAULT_CONN_ID
from airflow.providers.databricks_air.exceptions import AirConfigError
from airflow.providers.databricks_air.hooks.form import FORM_FIELDS, HIDDEN_FIELDS, LABELS, PLACEHOLDERS
from airflow.providers.databricks_air.hooks.sign_in import credentials_from
from airflow.providers.databricks_air.version_compat import AIRFLOW_VERSION, async_connection

if TYPE_CHECKING:
    from airflow.providers.databricks_air.run.config.run_config import RunConfig
    from airflow.providers.databricks_air.run.outcome.states import Run

__all__ = ["AirRuntimeHook", "credentials_from"]

T = TypeVar("T")
ConfigInput: TypeAlias = "Path | str | Mapping[str, Any] | RunConfig"

_TEST_SECONDS = 9.0
_QUESTIONS = (
    ("AI Runtime, own runs", "/api/2.0/ai-training/workflows", "training_workflows"),
    ("GPU pools", "/api/2.0/ai-training/provisioned-capacities", "provisioned_capacities"),
    ("usage policies", "/api/2.0/serverless-policies", "policies"),
)


class AirRuntimeHook(BaseHook):
    """Talks to Databricks AI Runtime with the credentials of an Airflow connection.

    :param databricks_air_conn_id: id of a connection of the type ``databricks_air``, or of ``databricks``.
    :param caller: the class of the operator or sensor, for the User-Agent.
    """

    conn_name_attr = "databricks_air_conn_id"
    default_conn_name = DEFAULT_CONN_ID
    conn_type = "databricks_air"
    hook_name = "Databricks AI Runtime"

    def __init__(self, databricks_air_conn_id: str = default_conn_name, *, caller: str = "") -> None:
        super().__init__()
        self.databricks_air_conn_id = databricks_air_conn_id
        self._agent = f"airflow/{AIRFLOW_VERSION}" + (f" operator/{caller}" if caller else "")

    @classmethod
    def get_connection_form_widgets(cls) -> dict[str, Any]:
        """Return the fields beyond the standard ones, for Airflow up to 3.1; later versions read provider.yaml."""
        from flask_appbuilder.fieldwidgets import BS3TextFieldWidget  # type: ignore[import-not-found]
        from flask_babel import lazy_gettext  # type: ignore[import-not-found]
        from wtforms import StringField  # type: ignore[import-untyped]

        return {
            name: StringField(lazy_gettext(label), widget=BS3TextFieldWidget())
            for name, label in FORM_FIELDS.items()
        }

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """Return how Airflow up to 3.1 shows the form; later versions read provider.yaml."""
        return {
            "hidden_fields": list(HIDDEN_FIELDS),
            "relabeling": dict(LABELS),
            "placeholders": dict(PLACEHOLDERS),
        }

    @cached_property
    def client(self) -> SyncClient:
        """A client for this thread and the threads it starts."""
        return SyncClient(self.get_credentials())

    @property
    def host(self) -> str:
        """The workspace URL, without a trailing slash."""
        return self.client.credentials.host

    def get_conn(self) -> SyncClient:
        """Return the client."""
        return self.client

    def get_credentials(self) -> Credentials:
        """Read the connection anew.

        :raises AirConfigError: when the connection cannot be used.
        """
        connection = self.get_connection(self.databricks_air_conn_id)
        return credentials_from(connection, connection.extra_dejson, self._agent)

    async def aget_credentials(self) -> Credentials:
        """Read the connection anew, from an event loop.

        :raises AirConfigError: when there is no such connection, or it cannot be used.
        :raises ServiceError: when Airflow does not answer.
        """
        try:
            connection, extra = await async_connection(self.databricks_air_conn_id)
        except AirflowNotFoundException as error:
            raise AirConfigError(str(error)) from None
        except Exception as error:
            what = f"connection {self.databricks_air_conn_id!r} cannot be read at the moment ({type(error).__name__})"
            raise ServiceError(what) from error
        return credentials_from(connection, extra, self._agent)

    def submit(
        self,
        config: ConfigInput,
        *,
        overrides: Mapping[str, Any] | Sequence[str] | None = None,
        base_dir: Path | None = None,
        idempotency_token: str | None = None,
    ) -> int:
        """Check a run configuration, upload what it needs, submit it and return the run's id.

        :param config: the path of a YAML file, YAML text, a mapping or a ``RunConfig``.
        :param overrides: changes to it.
        :param base_dir: the directory that relative paths start from, where *config* is no file.
        :param idempotency_token: at most 64 characters; repeated with the same one, it is the same run. A new one
            when None and the configuration has none.
        :raises ConfigError: with every mistake at once, or when the workspace refuses the configuration.
        :raises SnapshotError: when the code cannot be packed.
        :raises ApiError: when a request fails for good.
        """
        return _launch(self.client, config, overrides, base_dir, idempotency_token)

    async def asubmit(
        self,
        config: ConfigInput,
        *,
        overrides: Mapping[str, Any] | Sequence[str] | None = None,
        base_dir: Path | None = None,
        idempotency_token: str | None = None,
    ) -> int:
        """Do what :meth:`submit` does, from an event loop."""
        client = SyncClient(await self.aget_credentials())
        try:
            return await asyncio.to_thread(_launch, client, config, overrides, base_dir, idempotency_token)
        finally:
            await asyncio.to_thread(client.close)

    def get_run(self, run_id: int) -> Run:
        """Return the state of a run and of its attempts.

        :param run_id: id of the run.
        :raises ApiError: when the workspace does not tell.
        """
        return self.client.perform(get_run(run_id))

    async def aget_run(self, run_id: int) -> Run:
        """Do what :meth:`get_run` does, from an event loop."""
        return await self._ask(lambda client: client.perform(get_run(run_id)))

    def output(self, run_id: int) -> dict[str, Any]:
        """Return what a run has come to, as plain JSON values: what ``AirRunOperator`` returns.

        :param run_id: id of the run.
        :raises ApiError: when the workspace does not tell.
        """
        return self.client.run(_output(self.client.calls, run_id))

    async def aoutput(self, run_id: int) -> dict[str, Any]:
        """Do what :meth:`output` does, from an event loop."""
        return await self._ask(lambda client: _output(client, run_id))

    def logs(self, run_id: int, *, node: int = 0, attempt: int | None = None, lines: int = 200) -> list[str]:
        """Return the last lines of a node's log, oldest first.

        :param run_id: id of the run.
        :param node: rank of the node.
        :param attempt: which attempt, counted from 1; the latest when None.
        :param lines: how many at most.
        :raises ApiError: when the workspace does not tell.
        :raises ValueError: when the run has no such attempt.
        """
        return self.client.run(_lines(self.client.calls, run_id, node, attempt, lines))

    async def alogs(
        self, run_id: int, *, node: int = 0, attempt: int | None = None, lines: int = 200
    ) -> list[str]:
        """Do what :meth:`logs` does, from an event loop."""
        return await self._ask(lambda client: _lines(client, run_id, node, attempt, lines))

    def describe(self, run_id: int) -> dict[str, Any]:
        """Return a run in full as plain JSON values: the ``data`` that the command ``get -o json`` prints.

        :param run_id: id of the run.
        :raises RunNotFoundError: when there is no such run.
        :raises ApiError: when the workspace does not tell.
        """
        return self.client.run(_describe(self.client.calls, run_id))

    async def adescribe(self, run_id: int) -> dict[str, Any]:
        """Do what :meth:`describe` does, from an event loop."""
        return await self._ask(lambda client: _describe(client, run_id))

    def cancel_run(self, run_id: int) -> None:
        """Ask for the end of a run; one that has ended already stays as it is.

        :param run_id: id of the run.
        :raises ApiError: when the workspace does not take the request.
        """
        self.client.perform(cancel_run(run_id))

    async def acancel_run(self, run_id: int) -> None:
        """Do what :meth:`cancel_run` does, from an event loop."""
        await self._ask(lambda client: client.perform(cancel_run(run_id)))

    async def _ask(self, ask: Callable[[AsyncClient], Awaitable[T]]) -> T:
        client = AsyncClient(await self.aget_credentials())
        try:
            return await ask(client)
        finally:
            await client.close()

    def test_connection(self) -> tuple[bool, str]:
        """Ask the workspace who we are and what of AI Runtime we see; the whole takes less than 10 s."""
        try:
            client = SyncClient(self.get_credentials())
        except AirConfigError as error:
            return False, str(error)
        try:
            return client.run(_examine(client.calls), limit=_TEST_SECONDS)
        except (ApiError, AirConfigError) as error:
            return False, str(error)
        except TimeoutError:
            return False, f"no answer within {_TEST_SECONDS:.0f} s"
        finally:
            client.close()


def _launch(
    client: SyncClient,
    config: ConfigInput,
    overrides: Mapping[str, Any] | Sequence[str] | None,
    base_dir: Path | None,
    token: str | None,
) -> int:
    from airflow.providers.databricks_air.api.launch.launch import launch
    from airflow.providers.databricks_air.run.load import load_run_config

    loaded = load_run_config(config, overrides=overrides, base_dir=base_dir)
    token = token or loaded.idempotency_token or uuid.uuid4().hex
    return launch(client, loaded, token=token, base_dir=base_dir)


async def _output(client: AsyncClient, run_id: int) -> dict[str, Any]:
    from airflow.providers.databricks_air.api.runs.result import result_of

    return await result_of(client, await client.perform(get_run(run_id)))


async def _describe(client: AsyncClient, run_id: int) -> dict[str, Any]:
    from airflow.providers.databricks_air.api.runs.description import describe

    return (await describe(client, run_id)).to_json()


async def _lines(client: AsyncClient, run_id: int, node: int, ordinal: int | None, count: int) -> list[str]:
    from airflow.providers.databricks_air.api.runs.log_tail import stored_lines
    from airflow.providers.databricks_air.api.runs.result import follow_steps

    run = await client.perform(get_run(run_id))
    wanted = [each for each in run.attempts if ordinal in {None, each.ordinal}]
    if not wanted:
        if ordinal is None:
            return []
        raise ValueError(f"attempt: run {run_id} has no attempt {ordinal}, only {len(run.attempts)}")
    found = await follow_steps(client, stored_lines(run_id, node, wanted[-1], count))
    return [line.text for line in found]


async def _examine(calls: AsyncClient) -> tuple[bool, str]:
    who = await calls.perform(me().once(timeout=6.0))
    seen = await asyncio.gather(*(_count(calls, what, path, key) for what, path, key in _QUESTIONS))
    where = f"{calls.credentials.host}" + (f" (workspace {who.workspace_id})" if who.workspace_id else "")
    return True, f"Connected to {where} as {who.user_name}. {'; '.join(seen)}"


async def _count(calls: AsyncClient, what: str, path: str, key: str) -> str:
    """Say how much of something we see; an older workspace without it is no fault of the connection."""
    call = Call("GET", path, Answer.json).once(timeout=3.0)
    try:
        found = (await calls.perform(call)).get(key) or ()
    except ApiError as error:
        return f"{what}: {error.message}"
    return f"{what}: {len(found)}"
