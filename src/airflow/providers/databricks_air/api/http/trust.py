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
"""Which certificates are believed and which proxy is taken: what the usual variables say, for every client alike."""

from __future__ import annotations

import os
import ssl
from dataclasses import dataclass, field
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from airflow.providers.databricks_air.api.http.errors import RequestError

__all__ = ["Proxy", "certificate_bundle", "proxy_for", "tls_context"]

# In this order; the first two are those of requests, which the Databricks SDK is built on.
_BUNDLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")


@dataclass(frozen=True)
class Proxy:
    """A proxy for HTTP.

    :param url: its address, without name and password.
    :param address: its address with them.
    """

    url: str
    address: str = field(repr=False)


def certificate_bundle() -> str:
    """Return the path of the file or directory with the certificates to believe; empty for those of the system."""
    return next((path for name in _BUNDLES if (path := os.environ.get(name, ""))), "")


def tls_context() -> ssl.SSLContext | None:
    """Return what connections are secured with; None for what the system trusts.

    :raises RequestError: when the bundle that a variable names cannot be read.
    """
    bundle = certificate_bundle()
    if not bundle:
        return ssl.create_default_context(cafile=_certifi()) if _system_has_none() else None
    try:
        if os.path.isdir(bundle):
            return ssl.create_default_context(capath=bundle)
        return ssl.create_default_context(cafile=bundle)
    except OSError as error:
        name = next(name for name in _BUNDLES if os.environ.get(name))
        raise RequestError(f"the certificates in {name}={bundle} cannot be read: {error}") from None


def proxy_for(url: str) -> Proxy | None:
    """Return the proxy that the variables name for an address; None for none.

    :raises RequestError: when it is not a proxy for HTTP.
    """
    parts = urlsplit(url)
    proxies = getproxies()
    address = proxies.get(parts.scheme) or proxies.get("all")
    if not address or proxy_bypass(parts.netloc.rpartition("@")[2]):
        return None
    proxy = urlsplit(address if "://" in address else f"http://{address}")
    if proxy.scheme not in {"http", "https"}:
        raise RequestError(
            f"the proxy is a {proxy.scheme} proxy; set {parts.scheme.upper()}_PROXY to an http one"
        )
    return Proxy(f"{proxy.scheme}://{proxy.netloc.rpartition('@')[2]}", proxy.geturl())


def _system_has_none() -> bool:
    paths = ssl.get_default_verify_paths()
    return paths.cafile is None and paths.capath is None


def _certifi() -> str | None:
    try:
        import certifi
    except ImportError:
        return None
    return certifi.where()
