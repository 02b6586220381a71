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
"""What is known of the exceptions that training code ends with.

The words are looked for in the one line of an exception that ended a program, never in the rest of a log. The
table is in order: what says more about the cause stands above what says less.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from airflow.providers.databricks_air.run.outcome.causes.cause import CauseKind, Diagnosis, Weight
from airflow.providers.databricks_air.run.outcome.causes.tracebacks import Chain, Raised

__all__ = ["HINTS", "KNOWN_ERRORS", "diagnosis_of"]

_USER, _INFRA, _UNKNOWN = CauseKind.USER_CODE, CauseKind.INFRASTRUCTURE, CauseKind.UNKNOWN
_CONFIG = CauseKind.CONFIGURATION
_CAUSE, _CONSEQUENCE, _LAUNCHER = Weight.CAUSE, Weight.CONSEQUENCE, Weight.LAUNCHER

HINTS = {
    "access": "check the token among the secrets, and what its owner may read",
    "arguments": "correct the options in command",
    "bad_import": "check that the versions in environment.dependencies fit each other and the environment",
    "collective_timeout": "look for the rank that stopped first: it was slow, stuck, or had gone another way",
    "crash": "check that the compiled dependencies match the environment's versions",
    "cuda_memory": "reduce the batch size or the sequence length, checkpoint gradients, or take more accelerators",
    "dependencies": "correct environment.dependencies",
    "disk_full": "write checkpoints to a volume and delete old ones",
    "exit_code": "see the lines before it in the log",
    "gpu_fault": "the accelerator is at fault, not the code; run it again",
    "gpu_kernel": "set CUDA_LAUNCH_BLOCKING=1 in env_variables to find the operation",
    "gpu_setup": "check that the build of the dependencies fits the accelerators and their driver",
    "host_memory": "use fewer data loader workers, a smaller prefetch or cache, or more nodes",
    "killed": "most often main memory: use fewer data loader workers or a smaller cache",
    "missing_file": "check the path; code is below $CODE_SOURCE_PATH, data on a volume",
    "missing_module": "add it to environment.dependencies, or to code_source.include_paths if it is your own",
    "missing_program": "add it to environment.dependencies, or correct its name in command",
    "missing_remote": "check the name, the revision and, where it is private, the token",
    "nccl": "often passes on another try; set NCCL_DEBUG=INFO in env_variables if it comes back",
    "network": "check the address, and whether the node may reach it",
    "peer_lost": "see the other nodes' and ranks' logs for the one that ended first",
    "permission": "check who may read or write the path",
    "port_in_use": "use the MASTER_PORT that the node is given, once in each node",
    "preempted": "run it again, or choose another priority_class",
    "rate_limit": "try again later, with a token, or keep a copy on a volume",
    "rendezvous": "check that every node reaches init_process_group, and its timeout",
    "shared_memory": "use fewer data loader workers, or the file_system sharing strategy",
    "terminated": "another process ended first, or the node was taken away; see the other nodes' logs",
}


class _Known(NamedTuple):
    name: str
    types: re.Pattern[str] | None
    words: re.Pattern[str] | None
    kind: CauseKind
    weight: Weight


def _known(
    name: str,
    kind: CauseKind,
    *,
    types: str = "",
    words: str = "",
    weight: Weight = _CAUSE,
) -> _Known:
    """Return a row: the class matches ``types`` as a whole, or the message has ``words``."""
    return _Known(
        name,
        re.compile(rf"(?:[\w.]+\.)?(?:{types})") if types else None,
        re.compile(words) if words else None,
        kind,
        weight,
    )


KNOWN_ERRORS = (
    _known("gpu_fault", _INFRA, words=r"uncorrectable ECC error|GPU is lost|fallen off the bus"),
    _known(
        "host_memory",
        _USER,
        types=r"MemoryError|_ArrayMemoryError|ray\.exceptions\.OutOfMemoryError",
        words=r"Cannot allocate memory|DefaultCPUAllocator: (?:can't|not enough)|node running low on memory",
    ),
    _known(
        "cuda_memory",
        _USER,
        types=r"OutOfMemoryError|OutOfMemory|ResourceExhaustedError",
        words=r"CUDA out of memory|CUDA error: out of memory|CUBLAS_STATUS_ALLOC_FAILED"
        r"|RESOURCE_EXHAUSTED: |OOM when allocating tensor|HIP out of memory"
        r"|No available memory for the cache blocks",
    ),
    _known(
        "shared_memory",
        _USER,
        words=r"signal: Bus error|unable to open shared memory object|unable to allocate shared memory"
        r"|insufficient shared memory",
    ),
    _known("disk_full", _USER, words=r"No space left on device|Disk quota exceeded|\[Errno 28\]"),
    _known(
        "killed",
        _UNKNOWN,
        words=r"is killed by signal: Killed|terminated with signal SIGKILL|died with <Signals\.SIGKILL",
    ),
    _known(
        "crash",
        _USER,
        words=r"signal: (?:Segmentation fault|Aborted)|terminated with signal SIG(?:SEGV|ABRT)",
    ),
    _known(
        "gpu_setup", _UNKNOWN, words=r"No CUDA GPUs are available|no CUDA-capable device|CUDA unknown error"
    ),
    _known(
        "gpu_setup",
        _USER,
        words=r"no kernel image is available|driver version is insufficient|invalid device ordinal"
        r"|not compiled with CUDA enabled|Found no NVIDIA driver|NVIDIA driver on your system is too old"
        r"|FlashAttention only supports",
    ),
    _known("gpu_kernel", _USER, words=r"illegal memory access|device-side assert|misaligned address"),
    _known("nccl", _USER, words=r"ncclInvalidUsage|ncclInvalidArgument|Duplicate GPU detected"),
    _known(
        "terminated",
        _UNKNOWN,
        types=r"SignalException|KeyboardInterrupt",
        words=r"got signal: 15|died with <Signals\.SIGTERM|terminated with signal SIGTERM",
        weight=_CONSEQUENCE,
    ),
    _known(
        "collective_timeout",
        _UNKNOWN,
        words=r"collective operation timeout|Timed out waiting \d+ms for (?:recv|send) operation"
        r"|\[Rank \d+\]: Ranks? .{1,200} failed to pass monitoredBarrier|monitoredBarrier",
        weight=_CONSEQUENCE,
    ),
    _known(
        "port_in_use",
        _UNKNOWN,
        words=r"EADDRINUSE|Address already in use|address already in use",
    ),
    _known(
        "rendezvous",
        _UNKNOWN,
        types=r"DistStoreError|RendezvousTimeoutError|RendezvousConnectionError|RendezvousClosedError",
        words=r"client socket has (?:timed out|failed to connect)|wait timeout after \d+ms, keys:|^Socket Timeout$"
        r"|Timed out after \d+ seconds waiting for clients",
        weight=_CONSEQUENCE,
    ),
    _known(
        "nccl",
        _INFRA,
        words=r"ncclSystemError|ncclInternalError",
        weight=_CONSEQUENCE,
    ),
    _known(
        "nccl",
        _UNKNOWN,
        types=r"DistBackendError",
        words=r"\bNCCL (?:error|communicator was aborted)|ncclRemoteError|ncclUnhandledCudaError",
        weight=_CONSEQUENCE,
    ),
    _known(
        "rate_limit",
        _INFRA,
        types=r"RateLimitError|TooManyRequests|RequestLimitExceeded",
        words=r"\b429 (?:Client Error|Too Many Requests)|Too Many Requests|\(SlowDown\)|HTTP Error 429",
    ),
    _known(
        "access",
        _CONFIG,
        types=r"GatedRepoError|AuthenticationError|PermissionDenied|Unauthenticated|NoCredentialsError|Forbidden",
        words=r"\b40[13] (?:Client Error|Forbidden|Unauthorized)|\(AccessDenied\)|PERMISSION_DENIED"
        r"|You are trying to access a gated repo|HTTP Error 40[13]|\(403\) when calling|\(InvalidAccessKeyId\)",
    ),
    _known(
        "missing_remote",
        _USER,
        types=r"RepositoryNotFoundError|RemoteEntryNotFoundError|EntryNotFoundError|RevisionNotFoundError"
        r"|DatasetNotFoundError",
        words=r"\b404 (?:Client Error|Not Found)|\(NoSuchKey\)|\(NoSuchBucket\)|RESOURCE_DOES_NOT_EXIST"
        r"|HTTP Error 404|is not a local folder and is not a valid model identifier",
    ),
    _known(
        "network",
        _INFRA,
        words=r"\b50[0234] Server Error|HTTP Error 50[0234]|^50[0234] ",
    ),
    _known(
        "network",
        _UNKNOWN,
        types=r"(?:requests|urllib3|httpx|httpcore|aiohttp|botocore|http|urllib|socket)\.(?:[\w]+\.)*"
        r"(?:\w*(?:Connect|Timeout|timeout|Retry|Disconnected|Protocol|Read|SSL|Proxy|Endpoint)\w*|gaierror|URLError)|LocalEntryNotFoundError",
        words=r"Temporary failure in name resolution|Name or service not known|Max retries exceeded with url"
        r"|^We couldn't connect to|\[Errno 11[01]\]|Couldn't reach ",
    ),
    _known(
        "peer_lost",
        _UNKNOWN,
        types=r"DistNetworkError|ConnectionResetError|BrokenPipeError|BrokenProcessPool|ActorDiedError|RayActorError"
        r"|ActorUnavailableError|WorkerCrashedError|LocalRayletDiedError|NodeDiedError|ConnectionAbortedError",
        words=r"Connection (?:reset|closed) by (?:remote )?peer|^Broken pipe"
        r"|DataLoader worker .{1,40} exited unexpectedly",
        weight=_CONSEQUENCE,
    ),
    _known("missing_module", _USER, types=r"ModuleNotFoundError"),
    _known(
        "bad_import",
        _USER,
        types=r"ImportError",
        words=r"undefined symbol|cannot open shared object file|version `GLIBC\w*_[\d.]+' not found",
    ),
    _known("missing_file", _USER, types=r"FileNotFoundError|NotADirectoryError"),
    _known("permission", _USER, types=r"PermissionError"),
    _known("storage", _UNKNOWN, words=r"\[Errno (?:5|107|110|116|121)\]"),
    _known(
        "launcher",
        _USER,
        types=r"ChildFailedError|CalledProcessError|ProcessRaisedException|ProcessExitedException"
        r"|TrainingFailedError|TuneError",
        weight=_LAUNCHER,
    ),
    _known(
        "gpu_kernel",
        _UNKNOWN,
        words=r"CUDA error|CUDA runtime error|CUBLAS_STATUS_|cuDNN error|CUDNN_STATUS_",
    ),
    _known("assertion", _USER, types=r"AssertionError"),
    _known("syntax", _USER, types=r"SyntaxError|IndentationError|TabError"),
    _known(
        "exception",
        _UNKNOWN,
        types=r"OSError|IOError|TimeoutError|ConnectionError|EOFError|SystemError|SparkConnectGrpcException",
    ),
    _known("exception", _USER, types=r".*"),
)


def diagnosis_of(chain: Chain) -> Diagnosis:
    """Return what is known of exceptions of which each led to the next.

    :param chain: at least one exception.
    """
    rows = [_row_of(raised) for raised in chain.raised]
    best = min(range(len(rows)), key=lambda place: (rows[place], -place))
    known, last = KNOWN_ERRORS[rows[best]], chain.raised[-1]
    fact = last.fact
    if best < len(rows) - 1 and known.name != KNOWN_ERRORS[rows[-1]].name:
        fact = f"{fact}; it began with {chain.raised[best].fact}"
    weight = known.weight
    if chain.is_aside and weight is _CAUSE:
        weight = _CONSEQUENCE
    return Diagnosis(known.name, fact, HINTS.get(known.name, ""), known.kind, weight, last.at)


def _row_of(raised: Raised) -> int:
    return next(place for place, known in enumerate(KNOWN_ERRORS) if _matches(known, raised))


def _matches(known: _Known, raised: Raised) -> bool:
    # Ray names the exception that it wraps: RayTaskError(ValueError).
    if known.types is not None and known.types.fullmatch(raised.type):
        return True
    return known.words is not None and known.words.search(raised.message) is not None
