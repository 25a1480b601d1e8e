"""The Kubernetes client against a server that speaks the few endpoints it uses, in the API's own shapes.

The real driver talks to it over HTTP. What this cannot show, and no test here does: a real cluster (its rights, how
long a deletion takes, what a controller does next).
"""

import json
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import parse_qs, urlsplit

import pytest

from slackwater.clients.kubernetes import RUN_LABEL, Cluster, ClusterScan, RunJob, RunPod
from slackwater.errors import ConfigurationError, StoreRejected, StoreUnavailable

pytestmark = pytest.mark.contract

Json = dict[str, object]
PODS = "/api/v1/namespaces/flows/pods"
JOBS = "/apis/batch/v1/namespaces/flows/jobs"
RUNNING, ENDED = "0199a3f0-1111-7000-8000-000000000001", "0199a3f0-2222-7000-8000-000000000002"


def metadata(name: str, run_id: str, job: str | None = None, *, deleted: bool = False) -> Json:
    labels = {RUN_LABEL: run_id, "prefect.io/version": "3.8.8"}
    if job:
        labels |= {"batch.kubernetes.io/job-name": job, "job-name": job}
    times: Json = {"creationTimestamp": "2026-11-21T10:20:00Z"}
    times |= {"deletionTimestamp": "2026-11-21T10:25:30Z", "deletionGracePeriodSeconds": 30} if deleted else {}
    uid = "6c0d9c1e-5f1a-4b8e-9a61-3f2f4f3a7d10"
    return {"name": name, "namespace": "flows", "uid": uid, "resourceVersion": "812", "labels": labels, **times}


def pod(name: str, run_id: str, phase: str, job: str | None, *, deleted: bool = False) -> Json:
    return {
        "metadata": metadata(name, run_id, job, deleted=deleted),
        "spec": {"containers": [{"name": "prefect-job", "image": "slackwater:1"}], "restartPolicy": "Never"},
        "status": {"phase": phase, "podIP": "10.88.0.7", "qosClass": "Burstable"},
    }


def job(name: str, run_id: str, conditions: list[Json] | None = None) -> Json:
    status: Json = {"startTime": "2026-11-21T10:20:00Z", "ready": 0}
    status |= {"conditions": conditions} if conditions else {"active": 1}
    template = {"spec": {"containers": [{"name": "prefect-job", "image": "slackwater:1"}], "restartPolicy": "Never"}}
    return {"metadata": metadata(name, run_id), "spec": {"backoffLimit": 0, "template": template}, "status": status}


def condition(kind: str) -> Json:
    at = "2026-11-21T10:21:00Z"
    return {"type": kind, "status": "True", "reason": "x", "lastProbeTime": at, "lastTransitionTime": at}


@dataclass
class ApiServer:
    """Answers by method and path; remembers what it was asked."""

    answers: dict[tuple[str, str], tuple[int, Json]]
    asked: list[tuple[str, str, Json]] = field(default_factory=list)


def status_body(code: int, reason: str) -> Json:
    return {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "code": code}


@pytest.fixture
def server() -> ApiServer:
    pods = [
        pod("ingest-x-abc", RUNNING, "Running", "ingest-x"),
        pod("ingest-y-def", ENDED, "Failed", "ingest-y"),
        pod("by-hand", ENDED, "Pending", None, deleted=True),
    ]
    jobs = [job("ingest-x", RUNNING), job("ingest-y", ENDED, [condition("FailureTarget"), condition("Failed")])]
    listing = {"metadata": {"resourceVersion": "900"}}
    return ApiServer(
        {
            ("GET", PODS): (200, {"kind": "PodList", "apiVersion": "v1", **listing, "items": pods}),
            ("GET", JOBS): (200, {"kind": "JobList", "apiVersion": "batch/v1", **listing, "items": jobs}),
            ("DELETE", f"{JOBS}/ingest-x"): (200, job("ingest-x", RUNNING)),
            ("DELETE", f"{PODS}/by-hand"): (200, pod("by-hand", ENDED, "Pending", None, deleted=True)),
        }
    )


@pytest.fixture
def cluster(server: ApiServer, tmp_path: Path) -> Iterator[Cluster]:
    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            url = urlsplit(self.path)
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length) or "{}")
            query = {name: values[0] for name, values in parse_qs(url.query).items()}
            server.asked.append((self.command, url.path, {**query, **body}))
            code, document = server.answers.get((self.command, url.path), (404, status_body(404, "NotFound")))
            text = json.dumps(document).encode()
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_DELETE = answer  # noqa: N815 - the names the server class calls

        def log_message(self, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = Thread(target=http.serve_forever, daemon=True)
        thread.start()
        yield Cluster("flows", kubeconfig=kubeconfig(tmp_path, http.server_address[1]), timeout_seconds=5)
        http.shutdown()
        thread.join()


def kubeconfig(folder: Path, port: int) -> Path:
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u", "namespace": "flows"}}],
        "current-context": "x",
    }
    path = folder / "kubeconfig"
    path.write_text(json.dumps(document))
    return path


def test_jobs_and_pods_of_runs_are_listed(cluster: Cluster, server: ApiServer) -> None:
    assert cluster.scan() == ClusterScan(
        "flows",
        pods=(
            RunPod("ingest-x-abc", RUNNING, "Running", "ingest-x", is_ending=False),
            RunPod("ingest-y-def", ENDED, "Failed", "ingest-y", is_ending=False),
            RunPod("by-hand", ENDED, "Pending", None, is_ending=True),
        ),
        jobs=(
            RunJob("ingest-x", RUNNING, has_finished=False, is_ending=False),
            RunJob("ingest-y", ENDED, has_finished=True, is_ending=False),
        ),
    )
    assert [(method, path, query["labelSelector"]) for method, path, query in server.asked] == [
        ("GET", JOBS, RUN_LABEL),
        ("GET", PODS, RUN_LABEL),
    ]


def test_deleting_a_job_takes_its_pods_with_it_after_a_grace(cluster: Cluster, server: ApiServer) -> None:
    assert cluster.delete_job("ingest-x", grace_seconds=7)
    method, path, options = server.asked[0]
    assert (method, path) == ("DELETE", f"{JOBS}/ingest-x")
    assert (options["gracePeriodSeconds"], options["propagationPolicy"]) == ("7", "Foreground")


def test_a_pod_without_a_job_is_deleted_itself(cluster: Cluster, server: ApiServer) -> None:
    assert cluster.delete_pod("by-hand", grace_seconds=7)
    assert server.asked[0][2]["gracePeriodSeconds"] == "7"


def test_what_is_gone_already_is_no_error(cluster: Cluster) -> None:
    assert not cluster.delete_job("absent", grace_seconds=1)
    assert not cluster.delete_pod("absent", grace_seconds=1)


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (401, ConfigurationError),
        (403, ConfigurationError),
        (404, StoreRejected),
        (429, StoreUnavailable),
        (503, StoreUnavailable),
    ],
)
def test_a_refusal_is_told_from_an_outage(
    cluster: Cluster, server: ApiServer, code: int, error: type[Exception]
) -> None:
    server.answers[("GET", JOBS)] = (code, status_body(code, "because"))
    with pytest.raises(error, match=rf"namespace flows.*{code}"):
        cluster.scan()


def test_a_cluster_that_does_not_answer_is_unavailable(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        silent = Cluster("flows", kubeconfig=kubeconfig(tmp_path, unused.getsockname()[1]), timeout_seconds=2)
        with pytest.raises(StoreUnavailable, match="does not answer"):
            silent.scan()


def test_missing_credentials_are_a_configuration_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no usable credentials"):
        Cluster("flows", kubeconfig=tmp_path / "absent").scan()
