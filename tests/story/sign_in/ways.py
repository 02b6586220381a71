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

"""A connection for every way to sign in, against the identity servers of the stories."""

from __future__ import annotations

import json
import stat
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.story.sign_in.identity_servers import IdentityServers

__all__ = ["Ways"]

# Asks like the real command, and fails like it.
COMMAND = """#!{python} -IS
import sys, urllib.request
if "version" in sys.argv:
    print('{{"Major": 0, "Minor": 299, "Patch": 0}}')
elif "show" in sys.argv:
    print('{{"user": {{"type": "user"}}}}')
else:
    try:
        print(urllib.request.build_opener(urllib.request.ProxyHandler({{}})).open("{url}", timeout=10).read().decode())
    except urllib.error.HTTPError as error:
        sys.exit(error.read().decode())
    except Exception as error:
        sys.exit(str(error))
"""


@dataclass
class Ways:
    """The connections, and the environment in which they work.

    :param world: who gives out tokens.
    :param directory: for keys, profiles and commands.
    """

    world: IdentityServers
    directory: Path
    connections: dict[str, dict[str, Any]] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        air, here = self.world.air, self.directory
        secret = air.token
        self._key = _private_key()
        (here / "token").write_text(secret)
        (here / "google.json").write_text(self._google_account("google-source"))
        profile = f"[training]\nhost = {air.url}\nclient_id = app-profile\nclient_secret = {secret}\n"
        (here / "databrickscfg").write_text(profile)
        self._set_environment(secret)
        self._add("oauth-m2m", secret)
        self._add("azure-client-secret", "a-secret", azure_tenant_id="tenant")
        self._add("azure-msi")
        self._add("azure-cli", login="")
        self._add("google-credentials", self._google_account("google"), login="")
        self._add("google-id", login="", google_service_account="sa@project.iam.gserviceaccount.com")
        self._add("env-oidc", oidc_token_env="STORY_ID_TOKEN")
        self._add("file-oidc", oidc_token_filepath=str(here / "token"))
        self._add("kubernetes", oidc_token_filepath=str(here / "token"))
        self._add("github-oidc")
        self._add("github-oidc-azure", azure_tenant_id="tenant")
        self._add("azure-devops-oidc")
        self._add("metadata-service", login="", metadata_service_url=f"{self.world.url}/service")
        self._add("databricks-cli", login="", databricks_cli_path=str(here / "databricks"))
        self._add("profile", login="", host="", profile="training", config_file=str(here / "databrickscfg"))
        self._add("default", login="")
        self._add("pat", secret, login="")
        for name, path in (("az", "az"), ("databricks", "databricks")):
            _program(here / name, f"{self.world.url}/{path}")

    def _add(self, way: str, password: str = "", login: str | None = None, **extra: str) -> None:
        host = extra.pop("host", self.world.air.url)
        self.connections[way] = {
            "conn_type": "databricks_air",
            "host": host,
            "login": f"app-{way}" if login is None else login,
            "password": password,
            "extra": {"auth_type": way, **extra},
        }
        self.environment[f"AIRFLOW_CONN_{way.upper().replace('-', '_')}"] = json.dumps(self.connections[way])

    def _set_environment(self, secret: str) -> None:
        world, here = self.world, self.directory
        self.environment |= {
            "HTTPS_PROXY": world.url,
            "NO_PROXY": "127.0.0.1,localhost",
            "REQUESTS_CA_BUNDLE": str(world.certificate),
            "AZURE_POD_IDENTITY_AUTHORITY_HOST": world.url,
            "STORY_ID_TOKEN": secret,
            "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "of-the-job",
            "ACTIONS_ID_TOKEN_REQUEST_URL": f"{world.url}/github?api-version=2",
            "SYSTEM_ACCESSTOKEN": "of-the-job",
            "SYSTEM_TEAMFOUNDATIONCOLLECTIONURI": f"{world.url}/devops/",
            "SYSTEM_TEAMPROJECTID": "project",
            "SYSTEM_PLANID": "plan",
            "SYSTEM_JOBID": "job",
            "SYSTEM_HOSTTYPE": "build",
            "GOOGLE_APPLICATION_CREDENTIALS": str(here / "google.json"),
            # Only the way that is called 'default' reads these.
            "DATABRICKS_HOST": world.air.url,
            "DATABRICKS_CLIENT_ID": "app-default",
            "DATABRICKS_CLIENT_SECRET": secret,
        }

    def _google_account(self, path: str) -> str:
        account = {
            "type": "service_account",
            "project_id": "project",
            "private_key_id": "1",
            "private_key": self._key,
            "client_email": "airflow@project.iam.gserviceaccount.com",
            "client_id": "1",
            "token_uri": f"{self.world.url}/{path}",
        }
        return json.dumps(account)


def _private_key() -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    plain = serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain).decode()


def _program(path: Path, url: str) -> None:
    path.write_text(COMMAND.format(python=sys.executable, url=url))
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
