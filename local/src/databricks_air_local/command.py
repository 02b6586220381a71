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
"""The command ``databricks-air-local``; the provider's command ``local`` is the same."""

from __future__ import annotations

import argparse
import ipaddress
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from databricks_air_local.argument_types import count, port, seconds, size

if TYPE_CHECKING:
    from databricks_air_local.runtime import LocalAirRuntime

__all__ = ["configure", "main", "run"]

_TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]{16,}")


def main() -> int:
    """Run the command and return its exit code: 0 stopped, 2 wrong usage, or that of the command behind ``--``."""
    parser = argparse.ArgumentParser(
        prog="databricks-air-local",
        description="Databricks AI Runtime on this machine.",
        usage="%(prog)s [options] [-- COMMAND ...]",
        epilog="With a COMMAND the server lives as long as it does, and it has the connection in its environment.",
    )
    configure(parser)
    arguments, command = sys.argv[1:], []
    if "--" in arguments:
        place = arguments.index("--")
        arguments, command = arguments[:place], arguments[place + 1 :]
    args = parser.parse_args(arguments)
    args.command_line = command
    return run(args)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=port, default=0, help="port; 0 takes a free one (default)")
    parser.add_argument(
        "--state-dir", type=Path, help="where runs, files and logs are kept (default: temporary)"
    )
    parser.add_argument(
        "--user", default="you@example.com", help="user name of the token (default: %(default)s)"
    )
    parser.add_argument(
        "--secret", action="append", default=[], metavar="SCOPE/KEY=VALUE", help="a secret; repeatable"
    )
    parser.add_argument("--secrets", type=Path, metavar="FILE", help="a file of SCOPE/KEY=VALUE lines")
    parser.add_argument("--faults", type=Path, metavar="FILE", help="YAML: what goes wrong and what runs do")
    _configure_inventory(parser)
    parser.add_argument(
        "--retry-wait", type=seconds, default=0.1, help="seconds between two attempts of a run"
    )
    parser.add_argument("--latency", type=seconds, default=0.0, help="seconds that every answer is held back")
    parser.add_argument(
        "--clock", choices=("real", "virtual"), default="real", help="virtual: moved by tests only"
    )
    parser.add_argument(
        "--speed", type=seconds, default=0.0, metavar="N", help="the virtual clock passes N seconds in one"
    )
    parser.add_argument(
        "--install-dependencies",
        action="store_true",
        help="install what runs ask for, into kept environments",
    )
    parser.add_argument(
        "--keep",
        type=count,
        default=0,
        metavar="N",
        help="of the runs that ended the newest N (default: all)",
    )
    parser.add_argument(
        "--log-limit", type=size, default=1024**3, metavar="SIZE", help="of the log of a node (default: 1G)"
    )
    parser.add_argument("--memory", type=size, default=0, metavar="SIZE", help="of each process, such as 4G")
    parser.add_argument("--cpus", type=count, default=0, help="processors for each node (default: all)")
    parser.add_argument(
        "--requirements-notice",
        action="store_true",
        help="begin logs as the platform does, with a line about a missing requirements.yaml",
    )
    parser.add_argument("--token", default="", help="the token, instead of a new one")
    parser.add_argument(
        "--public-url",
        default="",
        metavar="URL",
        help="what clients reach the server by, from a container say",
    )
    parser.add_argument(
        "--tls", nargs=2, metavar=("CERT", "KEY"), help="files of a certificate and of its key: speak https"
    )
    parser.add_argument("--json", action="store_true", help="print one line of JSON when the server is up")
    parser.add_argument("--keep-runs", action="store_true", help="processes may outlive the server")
    parser.add_argument("--i-know", action="store_true", help="listen on an address that others can reach")


def _configure_inventory(parser: argparse.ArgumentParser) -> None:
    """Add the options that say what the workspace has."""
    there = parser.add_argument_group("what the workspace has", "what is not declared does not exist")
    there.add_argument(
        "--workspace", type=Path, metavar="FILE", help="YAML: volumes, images, pools, policies"
    )
    for option, name, words in (
        ("--volume", "CATALOG.SCHEMA.VOLUME", "a volume"),
        ("--image", "IMAGE", "an image, of a registry or catalog.schema.image:tag"),
        ("--pool", "ID=TYPE:COUNT", "a GPU pool, such as team=GPU_8xH100:16"),
        ("--policy", "NAME=ID", "a usage policy"),
    ):
        there.add_argument(option, action="append", default=[], metavar=name, help=f"{words}; repeatable")
    there.add_argument("--relaxed", action="store_true", help="whatever is named exists: for a first try")


def run(args: argparse.Namespace) -> int:
    """Serve until interrupted; return 2 for wrong options."""
    try:
        runtime = _runtime(args)
    except ValueError as error:
        return _fail(str(error))
    if not _is_loopback(args.host):
        sys.stderr.write(
            f"warning: others reach {args.host}: whoever has the token runs commands as you.\n"
            if args.tls
            else f"warning: others reach {args.host}, and what they send is not encrypted (--tls): whoever has or "
            "overhears the token runs commands as you.\n"
        )
    os.umask(0o077)
    # Worker threads that lay out nodes must not make requests wait for the interpreter.
    sys.setswitchinterval(0.001)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    try:
        runtime.start()
    except (OSError, sqlite3.Error) as error:
        return _fail(
            f"cannot serve on {args.host}:{args.port} from {args.state_dir or 'a new directory'}: {error}"
        )
    if getattr(args, "command_line", None):
        return _beside(runtime, args.command_line)
    shown = _shown(runtime)
    _say(*([json.dumps(shown)] if args.json else _lines_of(shown)))
    stop.wait()
    runtime.stop()
    return 0


def _check(args: argparse.Namespace) -> None:
    """Check what options say together.

    :raises ValueError: naming the option and what is wrong.
    """
    if args.speed and args.clock != "virtual":
        raise ValueError("--speed: only a virtual clock has one; add --clock virtual")
    if args.token and not _TOKEN.fullmatch(args.token):
        raise ValueError("--token: may hold letters, digits and -._~+/= only, 16 or more")
    if args.public_url and not args.public_url.startswith(("http://", "https://")):
        raise ValueError(f"--public-url {args.public_url!r}: must begin with http:// or https://")
    if not args.user.strip():
        raise ValueError("--user: must not be empty")
    _check_host(args.host, args.i_know)


def _shown(runtime: LocalAirRuntime) -> dict[str, str]:
    return {
        "url": runtime.url,
        "token": runtime.token,
        "connection_uri": runtime.connection_uri,
        "pages": runtime.page_url(),
    }


def _beside(runtime: LocalAirRuntime, command: list[str]) -> int:
    """Run a command with the server up, and return its exit code."""
    environment = {
        **os.environ,
        "AIRFLOW_CONN_DATABRICKS_AIR_DEFAULT": runtime.connection_uri,
        "DATABRICKS_HOST": runtime.url,
        "DATABRICKS_TOKEN": runtime.token,
    }
    try:
        return subprocess.run(command, env=environment, check=False).returncode
    except OSError as error:
        return _fail(f"{command[0]}: {error.strerror}")
    finally:
        runtime.stop()


def _lines_of(shown: dict[str, str]) -> list[str]:
    return [
        f"Local AI Runtime: {shown['url']}",
        f"Token: {shown['token']}",
        f"export AIRFLOW_CONN_DATABRICKS_AIR_DEFAULT={shown['connection_uri']}",
        f"Pages: {shown['pages']}",
        "Ctrl-C stops it.",
    ]


def _runtime(args: argparse.Namespace) -> LocalAirRuntime:
    _check(args)
    from databricks_air_local.runtime import LocalAirRuntime
    from databricks_air_local.script.scenario import Scenario
    from databricks_air_local.state.clock import VirtualClock

    return LocalAirRuntime(
        args.state_dir,
        host=args.host,
        port=args.port,
        clock=VirtualClock(speed=args.speed) if args.clock == "virtual" else "real",
        scenario=Scenario.load(args.faults) if args.faults else None,
        user=args.user,
        retry_wait=args.retry_wait,
        latency=args.latency,
        keep_runs=args.keep_runs,
        install_dependencies=args.install_dependencies,
        requirements_notice=args.requirements_notice,
        memory_limit=args.memory,
        keep=args.keep,
        log_limit=args.log_limit,
        cpus=args.cpus,
        **_declared(args),
        relaxed=args.relaxed,
        secrets=_secrets([*_lines(args.secrets), *args.secret]),
        token=args.token,
        public_url=args.public_url,
        tls=tuple(args.tls) if args.tls else None,
    )


def _lines(path: Path | None) -> list[str]:
    if path is None:
        return []
    try:
        lines = path.read_text().splitlines()
    except OSError as error:
        raise ValueError(f"--secrets {path}: {error.strerror}") from None
    return [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]


def _declared(args: argparse.Namespace) -> dict[str, Any]:
    from databricks_air_local.state.inventory import Declaration

    kept = Declaration.load(args.workspace) if args.workspace else Declaration()
    given = Declaration.parse(
        {
            "volumes": args.volume,
            "images": args.image,
            "pools": _named("--pool", args.pool),
            "policies": _named("--policy", args.policy),
        }
    )
    return {
        "volumes": kept.volumes + given.volumes,
        "images": kept.images + given.images,
        "pools": {**kept.pools, **given.pools},
        "policies": {**kept.policies, **given.policies},
    }


def _named(option: str, pairs: list[str]) -> dict[str, str]:
    named = dict(pair.partition("=")[::2] for pair in pairs)
    for name, value in named.items():
        if not name or not value:
            raise ValueError(f"{option} {name!r}: must read NAME=VALUE")
    return named


def _secrets(pairs: list[str]) -> dict[str, str]:
    found = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        scope, _, key = name.partition("/")
        if not equals or not scope or not key or "/" in key:
            raise ValueError(f"--secret {name!r}: must read SCOPE/KEY=VALUE")
        found[name] = value
    return found


def _check_host(host: str, known: bool) -> None:
    if not _is_loopback(host) and not known:
        raise ValueError(
            f"--host {host!r}: this server runs the commands it is sent; anyone who reaches it and has the "
            "token can run anything as you. Stay on 127.0.0.1, or add --i-know."
        )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _say(*lines: str) -> None:
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()


def _fail(message: str) -> int:
    sys.stderr.write(f"error: {message}\n")
    return 2
