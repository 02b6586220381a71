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
"""Runs as a list: newest first, filtered here because the service filters by little."""

from __future__ import annotations

import fnmatch
from collections.abc import AsyncIterable, AsyncIterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from airflow.providers.databricks_air.api.http import calls
from airflow.providers.databricks_air.api.http.errors import ApiError, AuthError, NotFoundError
from airflow.providers.databricks_air.api.http.together import together
from airflow.providers.databricks_air.api.runs.calls import (
    Document,
    Indexed,
    get_document,
    index_page,
    list_page,
)
from airflow.providers.databricks_air.api.runs.fields import RunFields, is_training

if TYPE_CHECKING:
    from airflow.providers.databricks_air.api.http.client import AsyncClient

__all__ = ["SCAN_LIMIT", "Listing", "RunFilter", "list_runs", "live_runs", "started_since"]

SCAN_LIMIT = 2000
"""How many runs of a workspace a listing looks through at most: the service cannot list those of one user."""

_AT_ONCE = 16


@dataclass(frozen=True)
class RunFilter:
    """Which runs are wanted.

    :param active_only: whether to leave out what is over.
    :param user: who submitted them; None for the caller, empty for everybody.
    :param status: the word of the state, any case; empty for all.
    :param experiment: glob of the experiment's name, any case; empty for all.
    :param accelerator_type: part of the accelerator's type, any case; empty for all.
    :param num_accelerators: how many; 0 for any number.
    :param since: epoch milliseconds of the earliest start; 0 for all.
    :param before: id of a run: only older ones; 0 for all.
    """

    active_only: bool = True
    user: str | None = None
    status: str = ""
    experiment: str = ""
    accelerator_type: str = ""
    num_accelerators: int = 0
    since: int = 0
    before: int = 0

    def accepts(self, fields: RunFields) -> bool:
        """Return whether a run is wanted, its user apart."""
        glob = self.experiment.lower()
        return (
            not (self.active_only and fields.run.is_terminal)
            and (not self.status or fields.run.phase == self.status.upper())
            and (not glob or fnmatch.fnmatchcase(fields.experiment_name.lower(), glob))
            and self.accelerator_type.lower() in fields.accelerator_type.lower()
            and self.num_accelerators in (0, fields.num_accelerators)
        )


@dataclass(frozen=True)
class Listing:
    """Runs, newest first.

    :param runs: at most as many as were asked for.
    :param has_more: whether there are older ones.
    :param is_cut: whether the search ended before it had seen every run.
    """

    runs: tuple[RunFields, ...]
    has_more: bool = False
    is_cut: bool = False


async def list_runs(client: AsyncClient, wanted: RunFilter, limit: int | None) -> Listing:
    """Return the newest runs that are wanted.

    The caller's own runs, ended ones among them, come from the service's index of them, and from a scan of the
    workspace's runs where there is no index.

    :param client: the workspace.
    :param wanted: which runs.
    :param limit: how many at most; None for all.
    :raises ApiError: when the workspace does not tell.
    """
    me = (await client.perform(calls.me())).user_name
    user = me if wanted.user is None else wanted.user
    if user == me and not wanted.active_only:
        try:
            index = await _index(client)
        except ApiError:
            # The index is a preview; not every workspace has it.
            pass
        else:
            return await _chosen(_hydrated(client, index), wanted, limit)
    scan = _Scan(client, wanted.active_only)
    found = await _chosen((run async for run in scan.runs() if not user or run.user == user), wanted, limit)
    return Listing(found.runs, found.has_more, scan.is_cut)


async def live_runs(client: AsyncClient, most: int) -> AsyncIterator[RunFields]:
    """Yield everybody's runs that have not ended, newest first.

    :param client: the workspace.
    :param most: how many at most.
    :raises ApiError: when the workspace does not tell.
    """
    left = most
    async for fields in _Scan(client, active_only=True).runs():
        if not left:
            return
        left -= 1
        yield fields


async def started_since(client: AsyncClient, since: int) -> AsyncIterator[RunFields]:
    """Yield everybody's runs that have started since a moment, ended ones too, newest first.

    :param client: the workspace.
    :param since: epoch milliseconds.
    :raises ApiError: when the workspace does not tell.
    """
    async for fields in _Scan(client, active_only=False).runs():
        if 0 < fields.run.start_time < since:
            return
        yield fields


async def _chosen(runs: AsyncIterable[RunFields], wanted: RunFilter, limit: int | None) -> Listing:
    found: list[RunFields] = []
    behind = not wanted.before
    async for fields in runs:
        if wanted.since and 0 < fields.run.start_time < wanted.since:
            break
        if behind and wanted.accepts(fields):
            if limit is not None and len(found) == limit:
                return Listing(tuple(found), has_more=True)
            found.append(fields)
        behind = behind or fields.run.run_id == wanted.before
    return Listing(tuple(found))


class _Scan:
    """Goes through the submitted runs of a workspace."""

    def __init__(self, client: AsyncClient, active_only: bool) -> None:
        self._client = client
        self._active_only = active_only
        self.is_cut = False

    async def runs(self) -> AsyncIterator[RunFields]:
        """Yield runs of AI Runtime, newest first."""
        token, seen = "", 0
        while True:
            page = await self._client.perform(list_page(active_only=self._active_only, token=token))
            for run in page.runs:
                if is_training(run):
                    yield RunFields.read(run)
            seen += len(page.runs)
            if page.next_token in {"", token}:
                return
            if seen >= SCAN_LIMIT:
                self.is_cut = True
                return
            token = page.next_token


async def _index(client: AsyncClient) -> list[int]:
    """Return the ids of the caller's runs, newest first."""
    entries: dict[int, Indexed] = {}
    token = ""
    while True:
        page = await client.perform(index_page(token))
        # Ids may come again on a later page.
        entries.update({entry.run_id: entry for entry in page.entries})
        if page.next_token in {"", token}:
            break
        token = page.next_token
    ordered = sorted(entries.values(), key=lambda entry: (entry.submitted, entry.run_id), reverse=True)
    return [entry.run_id for entry in ordered]


async def _hydrated(client: AsyncClient, run_ids: list[int]) -> AsyncIterator[RunFields]:
    """Ask for each run, some side by side; what is gone or not ours to see is left out."""
    for start in range(0, len(run_ids), _AT_ONCE):
        some = [partial(_document, client, run_id) for run_id in run_ids[start : start + _AT_ONCE]]
        for document in await together(some, limit=_AT_ONCE):
            if document:
                yield RunFields.read(document)


async def _document(client: AsyncClient, run_id: int) -> Document | None:
    try:
        return await client.perform(get_document(run_id))
    except NotFoundError:
        return None
    except AuthError as error:
        if error.status != 403:
            raise
        return None
