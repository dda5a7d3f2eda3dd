"""A simulation of Vertex AI's JobService and of Cloud Logging, on loopback."""

from __future__ import annotations

import contextlib
import datetime
import json
import re
import threading
from collections.abc import Iterator
from concurrent import futures
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import grpc
from google.auth.credentials import AnonymousCredentials
from google.cloud import aiplatform_v1 as v1
from google.cloud.aiplatform_v1.services.job_service.transports import JobServiceGrpcTransport
from google.protobuf import empty_pb2

_SERVICE = "google.cloud.aiplatform.v1.JobService"


class JobService:
    """Keeps jobs of both kinds, as the service does; a test moves them on.

    Attributes:
        jobs: By resource name.
        refusal: What every call is answered with, if anything.
    """

    def __init__(self) -> None:
        self.jobs: dict[str, Any] = {}
        self.refusal: tuple[grpc.StatusCode, str] | None = None

    def handlers(self) -> grpc.GenericRpcHandler:
        methods = {
            "CreateCustomJob": (self._create, v1.CreateCustomJobRequest, v1.CustomJob),
            "CreateHyperparameterTuningJob": (
                self._create,
                v1.CreateHyperparameterTuningJobRequest,
                v1.HyperparameterTuningJob,
            ),
            "ListCustomJobs": (self._list, v1.ListCustomJobsRequest, v1.ListCustomJobsResponse),
            "ListHyperparameterTuningJobs": (
                self._list,
                v1.ListHyperparameterTuningJobsRequest,
                v1.ListHyperparameterTuningJobsResponse,
            ),
            "CancelCustomJob": (self._cancel, v1.CancelCustomJobRequest, None),
            "CancelHyperparameterTuningJob": (
                self._cancel,
                v1.CancelHyperparameterTuningJobRequest,
                None,
            ),
        }
        return grpc.method_handlers_generic_handler(
            _SERVICE,
            {
                name: grpc.unary_unary_rpc_method_handler(
                    function,
                    request_deserializer=request.deserialize,
                    response_serializer=response.serialize
                    if response
                    else empty_pb2.Empty.SerializeToString,
                )
                for name, (function, request, response) in methods.items()
            },
        )

    def _create(self, request: Any, context: grpc.ServicerContext) -> Any:
        self._check(context)
        is_custom = isinstance(request, v1.CreateCustomJobRequest)
        job = request.custom_job if is_custom else request.hyperparameter_tuning_job
        collection = "customJobs" if is_custom else "hyperparameterTuningJobs"
        number = len(self.jobs)
        job.name = f"{request.parent}/{collection}/{number}"
        job.state = v1.JobState.JOB_STATE_QUEUED
        job.create_time = datetime.datetime(2026, 1, 1, minute=number, tzinfo=datetime.UTC)
        self.jobs[job.name] = job
        return job

    def _list(self, request: Any, context: grpc.ServicerContext) -> Any:
        self._check(context)
        wanted = re.fullmatch(r'display_name="([^"]*)"', request.filter)
        assert wanted is not None, request.filter
        is_custom = isinstance(request, v1.ListCustomJobsRequest)
        kind = v1.CustomJob if is_custom else v1.HyperparameterTuningJob
        result = [
            job
            for job in self.jobs.values()
            if isinstance(job, kind)
            and job.name.startswith(f"{request.parent}/")
            and job.display_name == wanted[1]
        ]
        # One a page, so that all pages are asked for.
        page = int(request.page_token or 0)
        more = {"next_page_token": str(page + 1)} if page + 1 < len(result) else {}
        if is_custom:
            return v1.ListCustomJobsResponse(custom_jobs=result[page : page + 1], **more)
        return v1.ListHyperparameterTuningJobsResponse(
            hyperparameter_tuning_jobs=result[page : page + 1], **more
        )

    def _cancel(self, request: Any, context: grpc.ServicerContext) -> empty_pb2.Empty:
        self._check(context)
        self.jobs[request.name].state = v1.JobState.JOB_STATE_CANCELLING
        return empty_pb2.Empty()

    def _check(self, context: grpc.ServicerContext) -> None:
        if self.refusal is not None:
            context.abort(*self.refusal)


@contextlib.contextmanager
def serving(service: JobService) -> Iterator[v1.JobServiceClient]:
    """Serve, and give a client of the service."""
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=2))
    server.add_generic_rpc_handlers((service.handlers(),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    channel = grpc.insecure_channel(f"127.0.0.1:{port}")
    try:
        yield v1.JobServiceClient(
            transport=JobServiceGrpcTransport(channel=channel, credentials=AnonymousCredentials())
        )
    finally:
        channel.close()
        server.stop(1).wait()


class Logging:
    """Answers `entries:list` from a list of entries, two a page, and notes the filters.

    Attributes:
        entries: In the order of their timestamps.
        filters: Of the requests so far.
        refusal: Status with which every request is answered, if any.
    """

    def __init__(self) -> None:
        self.entries: list[dict[str, Any]] = []
        self.filters: list[str] = []
        self.refusal: int | None = None

    def add(self, job: str, task: str, text: str | None, second: int = 0, **more: Any) -> None:
        """Add an entry, which has a message if it has a text."""
        message = {} if text is None else {"message": text}
        self.entries.append(
            {
                "insertId": f"i{len(self.entries)}",
                "timestamp": f"2026-01-01T00:00:{second:02}.000001Z",
                "resource": {"type": "ml_job", "labels": {"job_id": job, "task_name": task}},
                "jsonPayload": {**message, **more},
            }
        )

    def answer(self, body: dict[str, Any]) -> dict[str, Any]:
        assert body["orderBy"] == "timestamp asc"
        self.filters.append(body["filter"])
        result = [entry for entry in self.entries if _fits(entry, body["filter"])]
        page = int(body.get("pageToken", 0))
        more = {"nextPageToken": str(page + 1)} if 2 * (page + 1) < len(result) else {}
        return {"entries": result[2 * page : 2 * page + 2], **more}


def _fits(entry: dict[str, Any], expression: str) -> bool:
    labels = entry["resource"]["labels"]
    jobs = re.search(r"job_id=\(([^)]*)\)", expression)
    since = re.search(r'timestamp>="([^"]*)"', expression)
    assert jobs is not None
    return (
        f'"{labels["job_id"]}"' in jobs[1].split(" OR ")
        and f'task_name="{labels["task_name"]}"' in expression
        and (since is None or entry["timestamp"] >= since[1])
    )


@contextlib.contextmanager
def logging_at(logging: Logging) -> Iterator[str]:
    """Serve, and give the API's URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.path == "/v2/entries:list"
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            answer = json.dumps(logging.answer(body)).encode()
            self.send_response(logging.refusal or 200)
            self.end_headers()
            self.wfile.write(b"no rights" if logging.refusal else answer)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
