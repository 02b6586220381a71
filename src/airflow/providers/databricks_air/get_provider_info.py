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
"""What Airflow asks of a provider at run time; made from provider.yaml by ``make provider-info``."""

from __future__ import annotations

from typing import Any


def get_provider_info() -> dict[str, Any]:
    """Return the provider's metadata in the shape of Airflow's provider-info schema."""
    return {
        "package-name": "airflow-provider-databricks-air",
        "name": "Databricks AI Runtime",
        "description": "`Databricks AI Runtime (AIR) <https://docs.databricks.com/aws/en/machine-learning/ai-runtime/>`__, serverless GPU training.\n",
        "integrations": [
            {
                "integration-name": "Databricks AI Runtime",
                "external-doc-url": "https://docs.databricks.com/aws/en/machine-learning/ai-runtime/",
                "how-to-guide": [
                    "/docs/operators/air.rst",
                ],
                "tags": [
                    "service",
                    "ai",
                    "machine-learning",
                ],
            },
        ],
        "operators": [
            {
                "integration-name": "Databricks AI Runtime",
                "python-modules": [
                    "airflow.providers.databricks_air.operators.air",
                ],
            },
        ],
        "sensors": [
            {
                "integration-name": "Databricks AI Runtime",
                "python-modules": [
                    "airflow.providers.databricks_air.sensors.air",
                ],
            },
        ],
        "hooks": [
            {
                "integration-name": "Databricks AI Runtime",
                "python-modules": [
                    "airflow.providers.databricks_air.hooks.air",
                ],
            },
        ],
        "triggers": [
            {
                "integration-name": "Databricks AI Runtime",
                "python-modules": [
                    "airflow.providers.databricks_air.triggers.air",
                ],
            },
        ],
        "connection-types": [
            {
                "connection-type": "databricks_air",
                "hook-class-name": "airflow.providers.databricks_air.hooks.air.AirRuntimeHook",
                "hook-name": "Databricks AI Runtime",
                "ui-field-behaviour": {
                    "hidden-fields": [
                        "port",
                        "schema",
                    ],
                    "relabeling": {
                        "host": "Workspace URL",
                        "login": "Client ID (service principal)",
                        "password": "Token or client secret",
                        "extra": "Extra (databricks-sdk Config fields)",
                    },
                    "placeholders": {
                        "host": "https://adb-1234567890123456.7.azuredatabricks.net",
                        "login": "leave empty with a personal access token",
                        "password": "personal access token, or the OAuth secret of the client ID",
                        "extra": '{"auth_type": "oauth-m2m"}',
                    },
                },
            },
        ],
        "extra-links": [
            "airflow.providers.databricks_air.links.air.AirRunLink",
        ],
    }
