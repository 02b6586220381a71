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
                    "airflow.providers.databricks_air.triggers.finished",
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
                    ],
                    "relabeling": {
                        "host": "Workspace URL",
                        "login": "Client id",
                        "password": "Token or secret",
                        "port": "Port (0 if it is in the URL)",
                    },
                    "placeholders": {
                        "host": "https://adb-1234567890123456.7.azuredatabricks.net",
                        "login": "of a service principal; empty for a personal access token",
                        "password": "personal access token, OAuth secret, Azure client secret or Google key",
                    },
                },
                "conn-fields": {
                    "auth_type": {
                        "label": "Way to sign in",
                        "schema": {
                            "type": [
                                "string",
                                "null",
                            ],
                            "enum": [
                                "pat",
                                "oauth-m2m",
                                "azure-client-secret",
                                "azure-msi",
                                "azure-cli",
                                "google-credentials",
                                "google-id",
                                "env-oidc",
                                "file-oidc",
                                "kubernetes",
                                "github-oidc",
                                "github-oidc-azure",
                                "azure-devops-oidc",
                                "metadata-service",
                                "databricks-cli",
                                "profile",
                                "default",
                            ],
                        },
                    },
                    "azure_tenant_id": {
                        "label": "Azure tenant id",
                        "schema": {
                            "type": [
                                "string",
                                "null",
                            ],
                        },
                    },
                    "azure_workspace_resource_id": {
                        "label": "Azure resource id of the workspace",
                        "schema": {
                            "type": [
                                "string",
                                "null",
                            ],
                        },
                    },
                    "google_service_account": {
                        "label": "Google service account",
                        "schema": {
                            "type": [
                                "string",
                                "null",
                            ],
                        },
                    },
                    "oidc_token_filepath": {
                        "label": "File with an OIDC token",
                        "schema": {
                            "type": [
                                "string",
                                "null",
                            ],
                        },
                    },
                    "oidc_token_env": {
                        "label": "Environment variable with an OIDC token",
                        "schema": {
                            "type": [
                                "string",
                                "null",
                            ],
                        },
                    },
                    "token_audience": {
                        "label": "Audience of the OIDC token",
                        "schema": {
                            "type": [
                                "string",
                                "null",
                            ],
                        },
                    },
                    "profile": {
                        "label": "Profile of .databrickscfg",
                        "schema": {
                            "type": [
                                "string",
                                "null",
                            ],
                        },
                    },
                    "config_file": {
                        "label": "Another file than ~/.databrickscfg",
                        "schema": {
                            "type": [
                                "string",
                                "null",
                            ],
                        },
                    },
                    "account_id": {
                        "label": "Databricks account id",
                        "schema": {
                            "type": [
                                "string",
                                "null",
                            ],
                        },
                    },
                    "workspace_id": {
                        "label": "Workspace id",
                        "schema": {
                            "type": [
                                "string",
                                "null",
                            ],
                        },
                    },
                    "allow_insecure_http": {
                        "label": "Allow http:// to other machines",
                        "schema": {
                            "type": [
                                "boolean",
                                "null",
                            ],
                        },
                    },
                },
            },
        ],
        "extra-links": [
            "airflow.providers.databricks_air.links.air.AirRunLink",
            "airflow.providers.databricks_air.links.air.AirMlflowRunLink",
            "airflow.providers.databricks_air.links.air.AirMlflowExperimentLink",
        ],
        "task-decorators": [
            {
                "class-name": "airflow.providers.databricks_air.decorators.air.air_run_task",
                "name": "air_run",
            },
        ],
        "cli": [
            "airflow.providers.databricks_air.cli.definition.get_cli_commands",
        ],
        "config": {
            "databricks_air": {
                "description": "The pages of AI Runtime in Airflow 3.1 and later.",
                "options": {
                    "page": {
                        "description": "Whether Airflow has a tab with the run on each task, and a page over all live runs.\n",
                        "version_added": "0.1.0",
                        "type": "boolean",
                        "example": None,
                        "default": "True",
                    },
                    "page_connections": {
                        "description": "Ids of the connections whose live runs are shown, with commas between them. Without any, these are the\nconnections of the type databricks_air in Airflow's database, and databricks_air_default.\n",
                        "version_added": "0.1.0",
                        "type": "string",
                        "example": "databricks_air_default,gpu_west",
                        "default": "",
                    },
                },
            },
        },
    }
