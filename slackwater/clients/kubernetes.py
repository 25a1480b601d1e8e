"""The jobs and pods of flow runs in one Kubernetes namespace: list them, delete them. Nothing is decided here.

Prefect's worker labels both with the flow run's id. Rights needed: get and list on pods and jobs, delete on both
(a worker's own role has them). The driver is imported when it is needed: most installations have no cluster.
"""

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from slackwater.errors import ConfigurationError, StoreRejected, StoreUnavailable

if TYPE_CHECKING:
    from kubernetes_asyncio.client import ApiClient, V1Job, V1Pod

T = TypeVar("T")

RUN_LABEL = "prefect.io/flow-run-id"
JOB_LABELS = ("batch.kubernetes.io/job-name", "job-name")
_ENDED_CONDITIONS = ("Complete", "Failed")
_HTTP_NOT_FOUND = 404
_HTTP_TOO_MANY = 429
_HTTP_SERVER_ERROR = 500


@dataclass(frozen=True)
class RunPod:
    """A pod of a flow run; `job` is the job that would start another one in its place."""

    name: str
    run_id: str
    phase: str
    job: str | None
    is_ending: bool

    @property
    def has_finished(self) -> bool:
        """Tell whether its containers have ended for good."""
        return self.phase in ("Succeeded", "Failed")


@dataclass(frozen=True)
class RunJob:
    """A job of a flow run; finished when it is complete or has failed for good, ending when it is being deleted."""

    name: str
    run_id: str
    has_finished: bool
    is_ending: bool


@dataclass(frozen=True)
class ClusterScan:
    """The pods and jobs of all flow runs of the namespace at one moment."""

    namespace: str
    pods: tuple[RunPod, ...]
    jobs: tuple[RunJob, ...]


class Cluster:
    """One namespace of a cluster.

    Args:
        namespace: Where the work pool creates its jobs.
        kubeconfig: File with address and credentials; None inside a pod (service account) or for the default file.
        timeout_seconds: Longest wait for one answer.
    """

    def __init__(self, namespace: str, *, kubeconfig: Path | None = None, timeout_seconds: float = 30.0) -> None:
        self._namespace = namespace
        self._kubeconfig = kubeconfig
        self._timeout_seconds = timeout_seconds

    def scan(self) -> ClusterScan:
        """List the pods and jobs of flow runs. Jobs first: a job without a pod is one that still has to start it.

        Raises:
            StoreUnavailable: The cluster does not answer.
            ConfigurationError: The credentials are refused, or there are none.
        """
        from kubernetes_asyncio.client import BatchV1Api, CoreV1Api

        async def ask(client: "ApiClient") -> ClusterScan:
            seconds = self._timeout_seconds
            jobs = await BatchV1Api(client).list_namespaced_job(
                self._namespace, label_selector=RUN_LABEL, _request_timeout=seconds
            )
            pods = await CoreV1Api(client).list_namespaced_pod(
                self._namespace, label_selector=RUN_LABEL, _request_timeout=seconds
            )
            return ClusterScan(self._namespace, tuple(map(_pod, pods.items)), tuple(map(_job, jobs.items)))

        return self._run(ask)

    def delete_job(self, name: str, *, grace_seconds: int) -> bool:
        """Delete a job and, with it, its pods (SIGTERM, SIGKILL after the grace); False when there was none."""
        from kubernetes_asyncio.client import BatchV1Api

        async def ask(client: "ApiClient") -> bool:
            await BatchV1Api(client).delete_namespaced_job(
                name,
                self._namespace,
                grace_period_seconds=grace_seconds,
                propagation_policy="Foreground",
                _request_timeout=self._timeout_seconds,
            )
            return True

        return self._run(ask, absent=False)

    def delete_pod(self, name: str, *, grace_seconds: int) -> bool:
        """Delete a pod that belongs to no job; False when there was none."""
        from kubernetes_asyncio.client import CoreV1Api

        async def ask(client: "ApiClient") -> bool:
            await CoreV1Api(client).delete_namespaced_pod(
                name,
                self._namespace,
                grace_period_seconds=grace_seconds,
                _request_timeout=self._timeout_seconds,
            )
            return True

        return self._run(ask, absent=False)

    def _run(self, ask: "Callable[[ApiClient], Awaitable[T]]", *, absent: T | None = None) -> T:
        """Run one request on a loop of its own, because the caller's thread may have a running one already."""
        with ThreadPoolExecutor(max_workers=1) as pool:
            return pool.submit(lambda: asyncio.run(self._asked(ask, absent=absent))).result()

    async def _asked(self, ask: "Callable[[ApiClient], Awaitable[T]]", *, absent: T | None) -> T:
        from aiohttp import ClientError
        from kubernetes_asyncio.client import ApiException
        from kubernetes_asyncio.config import ConfigException

        place = f"Kubernetes, namespace {self._namespace}"
        try:
            client = await self._connect()
            async with client:
                return await ask(client)
        except ConfigException as exc:
            raise ConfigurationError(f"{place}: no usable credentials: {exc}") from exc
        except ApiException as exc:
            if exc.status == _HTTP_NOT_FOUND and absent is not None:
                return absent
            message = f"{place} answered {exc.status} {exc.reason}"
            if exc.status in (401, 403):
                raise ConfigurationError(f"{message}; check the role of the service account") from exc
            if exc.status == _HTTP_TOO_MANY or exc.status >= _HTTP_SERVER_ERROR:
                raise StoreUnavailable(message) from exc
            raise StoreRejected(message) from exc
        except (ClientError, OSError, TimeoutError) as exc:
            raise StoreUnavailable(f"{place} does not answer: {exc!r}") from exc

    async def _connect(self) -> "ApiClient":
        from kubernetes_asyncio import config
        from kubernetes_asyncio.client import ApiClient

        if self._kubeconfig is None:
            with suppress(config.ConfigException):
                config.load_incluster_config()  # type: ignore[no-untyped-call]
                return ApiClient()
        return await config.new_client_from_config(str(self._kubeconfig) if self._kubeconfig else None)


def _pod(pod: "V1Pod") -> RunPod:
    labels = pod.metadata.labels or {}
    return RunPod(
        name=str(pod.metadata.name),
        run_id=str(labels.get(RUN_LABEL, "")),
        phase=str(pod.status.phase or "Unknown") if pod.status else "Unknown",
        job=next((str(labels[name]) for name in JOB_LABELS if labels.get(name)), None),
        is_ending=pod.metadata.deletion_timestamp is not None,
    )


def _job(job: "V1Job") -> RunJob:
    conditions = (job.status.conditions or []) if job.status else []
    has_finished = any(one.type in _ENDED_CONDITIONS and one.status == "True" for one in conditions)
    labels = job.metadata.labels or {}
    return RunJob(
        name=str(job.metadata.name),
        run_id=str(labels.get(RUN_LABEL, "")),
        has_finished=has_finished,
        is_ending=job.metadata.deletion_timestamp is not None,
    )
