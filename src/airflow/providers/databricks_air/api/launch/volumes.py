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
"""Large files of a Unity Catalog volume, in parts, as the Databricks SDK sends them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, BinaryIO

from airflow.providers.databricks_air.api.http.credentials import TokenCredentials
from airflow.providers.databricks_air.api.http.errors import ApiError, AuthError, NotFoundError, ServiceError
from airflow.providers.databricks_air.api.sign_in.credentials import SdkCredentials

if TYPE_CHECKING:
    from databricks.sdk import WorkspaceClient

    from airflow.providers.databricks_air.api.http.credentials import Credentials

__all__ = ["LARGE", "add_large_file"]

LARGE = 50 * 1024 * 1024
"""From this size on, in bytes, the SDK sends a file in parts, straight to the cloud's storage."""


def add_large_file(credentials: Credentials, path: str, content: Callable[[], BinaryIO]) -> None:
    """Write a file whose name stands for its content; if somebody was faster, that is as good.

    :param credentials: the workspace and who asks.
    :param path: absolute path in a volume; its directory exists.
    :param content: opens the bytes.
    :raises ApiError: when the SDK gives up.
    """
    from databricks.sdk.errors import AlreadyExists, ResourceConflict
    from databricks.sdk.errors.base import DatabricksError

    try:
        with content() as stream:
            _sdk(credentials).files.upload(path, stream, overwrite=False)
    except (AlreadyExists, ResourceConflict):
        return
    except DatabricksError as error:
        raise _translated(error, path) from None
    except (OSError, TimeoutError) as error:
        raise ServiceError(f"no answer ({error})", request=f"PUT /api/2.0/fs/files{path}") from None


def _sdk(credentials: Credentials) -> WorkspaceClient:
    from databricks.sdk import WorkspaceClient

    if isinstance(credentials, SdkCredentials):
        return WorkspaceClient(config=credentials.config)
    assert isinstance(credentials, TokenCredentials)
    return WorkspaceClient(host=credentials.host, token=credentials.token, auth_type="pat")


def _translated(error: Exception, path: str) -> ApiError:
    from databricks.sdk import errors

    kinds: tuple[tuple[type[Exception], type[ApiError]], ...] = (
        (errors.Unauthenticated, AuthError),
        (errors.PermissionDenied, AuthError),
        (errors.NotFound, NotFoundError),
    )
    kind = next((ours for theirs, ours in kinds if isinstance(error, theirs)), ServiceError)
    code = str(getattr(error, "error_code", "") or "")
    return kind(str(error), error_code=code, request=f"PUT /api/2.0/fs/files{path}")
