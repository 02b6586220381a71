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
"""The form of a connection: provider.yaml says the same for Airflow from 3.2 on."""

from __future__ import annotations

__all__ = ["FORM_FIELDS", "HIDDEN_FIELDS", "LABELS", "PLACEHOLDERS"]

HIDDEN_FIELDS = ("schema",)
LABELS = {
    "host": "Workspace URL",
    "login": "Client id",
    "password": "Token or secret",
    "port": "Port (0 if it is in the URL)",
}
PLACEHOLDERS = {
    "host": "https://adb-1234567890123456.7.azuredatabricks.net",
    "login": "of a service principal; empty for a personal access token",
    "password": "personal access token, OAuth secret, Azure client secret or Google key",
}
FORM_FIELDS = {
    "auth_type": "Way to sign in",
    "azure_tenant_id": "Azure tenant id",
    "azure_workspace_resource_id": "Azure resource id of the workspace",
    "google_service_account": "Google service account",
    "oidc_token_filepath": "File with an OIDC token",
    "oidc_token_env": "Environment variable with an OIDC token",
    "token_audience": "Audience of the OIDC token",
    "profile": "Profile of .databrickscfg",
    "config_file": "Another file than ~/.databrickscfg",
    "account_id": "Databricks account id",
    "workspace_id": "Workspace id",
    "allow_insecure_http": "Allow http:// to other machines",
}
"""Names in ``extra`` and their labels."""
