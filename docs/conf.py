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

from airflow.providers.databricks_air import __version__

project = "airflow-provider-databricks-air"
author = "The airflow-provider-databricks-air authors"
copyright = f"2026, {author}"
version = release = __version__

extensions = ["sphinx.ext.autodoc"]
exclude_patterns = ["_build", "many-runs-table.rst"]
nitpicky = True
# Names of the standard library, of other packages and of annotations, which have no page here.
nitpick_ignore_regex = [
    (
        "py:class",
        r"(collections\.abc\.|datetime\.|pathlib\.|aiohttp|airflow\.(sdk|models|utils)|pydantic|jinja2).*"
        r"|Path|Duration|OnKill|OnClear|ConfigInput|Run|RunConfig|databricks_air_local\..*",
    ),
    ("py:exc", r"ApiError|SnapshotError|RunNotFoundError|ConfigError"),
]
autodoc_typehints = "description"
autodoc_member_order = "bysource"

html_theme = "alabaster"
html_theme_options = {"description": "Databricks AI Runtime in Airflow", "page_width": "1080px"}
html_show_sourcelink = False
html_show_copyright = False
