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
"""The commands with Airflow: ``python -m airflow.providers.databricks_air``.

Python imports the package ``airflow`` first, and with it all of Airflow's core. ``python -m
airflow_provider_databricks_air`` starts the same commands without it.
"""

from __future__ import annotations

import sys

from airflow.providers.databricks_air.cli.parser import main

if __name__ == "__main__":
    sys.exit(main())
