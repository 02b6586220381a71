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
"""Usage policies: which budget a run is counted on."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any

from airflow.providers.databricks_air.api.http.call import Answer, Call
from airflow.providers.databricks_air.run.errors import ConfigError, FieldError

if TYPE_CHECKING:
    from airflow.providers.databricks_air.api.http.client import AsyncClient

__all__ = ["usage_policy_id"]

_SHOWN = 10


async def usage_policy_id(client: AsyncClient, name: str) -> str:
    """Return the id of the usage policy called *name*, whatever the case of its letters.

    ``GET /api/2.0/serverless-policies`` filters by a part of the name; the exact match is made here.

    :param client: the workspace.
    :param name: the name of the policy.
    :raises ConfigError: when no policy, or more than one, has this name.
    """
    wanted = name.strip()
    policies = {
        str(policy["policy_id"]): str(policy.get("policy_name") or "")
        async for policy in _policies(client, wanted)
    }
    matches = [key for key, found in policies.items() if found.strip().casefold() == wanted.casefold()]
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise _refused(
            wanted, f"{len(matches)} policies have this name", f"Use usage_policy_id: {', '.join(matches)}"
        )
    similar = sorted(policies.values())[:_SHOWN]
    hint = (
        f"Similar names: {', '.join(similar)}"
        if similar
        else "Ask an administrator which policies you may use"
    )
    raise _refused(wanted, "the workspace has no policy of this name", hint)


def _refused(name: str, what: str, hint: str) -> ConfigError:
    return ConfigError([FieldError("usage_policy_name", f"{name!r}: {what}", hint)])


async def _policies(client: AsyncClient, name: str) -> AsyncIterator[Mapping[str, Any]]:
    seen: set[str] = set()
    token = ""
    while token not in seen:
        seen.add(token)
        page = await client.perform(_list_policies(name, token))
        for policy in page.get("policies") or ():
            yield policy
        token = str(page.get("next_page_token") or "")


def _list_policies(name: str, page_token: str) -> Call[Mapping[str, Any]]:
    """``GET /api/2.0/serverless-policies``: one page of the policies whose name contains *name*."""
    query = {"page_size": "1000", "filter_by.policy_name": name}
    if page_token:
        query["page_token"] = page_token
    return Call("GET", "/api/2.0/serverless-policies", Answer.json, query=query)
