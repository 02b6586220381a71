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
"""All routes of the server: one list per resource."""

from __future__ import annotations

from databricks_air_local.api import (
    artifacts,
    control,
    images,
    jobs,
    logs,
    mlflow_api,
    multipart,
    oidc,
    permissions,
    policies,
    pools,
    scim,
    validate,
    volumes,
    workspace_files,
)
from databricks_air_local.http.router import Router
from databricks_air_local.page import page

__all__ = ["ROUTER", "ROUTES"]

_RESOURCES = (
    *(scim, oidc, validate, workspace_files, volumes, multipart, jobs, logs, mlflow_api, artifacts),
    *(policies, pools, images, permissions, page, control),
)

ROUTES = [route for resource in _RESOURCES for route in resource.ROUTES]
ROUTER = Router(ROUTES)
