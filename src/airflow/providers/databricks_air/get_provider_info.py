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
                        "schema",
                        "port",
                    ],
                    "relabeling": {
                        "host": "Workspace URL",
                        "login": "Client id (service principal)",
                        "password": "Token or client secret",
                    },
                    "placeholders": {
                        "host": "https://adb-1234567890123456.7.azuredatabricks.net",
                        "login": "empty for a personal access token",
                        "extra": '{"auth_type": "…"} or any other field of the Databricks SDK\'s configuration',
                    },
                },
            },
        ],
        "extra-links": [
            "airflow.providers.databricks_air.links.air.AirRunLink",
        ],
        "cli": [
            "airflow.providers.databricks_air.cli.definition.get_cli_commands",
        ],
    }
