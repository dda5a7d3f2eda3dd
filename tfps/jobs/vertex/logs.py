"""The lines of tasks, which Vertex AI sends to Cloud Logging."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from tfps.errors import LaunchError
from tfps.jobs.vertex.api import default_credentials

if TYPE_CHECKING:
    import requests

_PAGE = 1000


@dataclasses.dataclass(frozen=True, kw_only=True)
class Source:
    """Whose lines to read.

    Attributes:
        project: The job's.
        task: The task's name at Vertex AI, e.g. "workerpool0-0".
        jobs: Returns the ids of the jobs that have such a task, with what their lines begin with.
        goes_on: Returns whether there may be more lines later.
    """

    project: str
    task: str
    jobs: Callable[[], Mapping[str, str]]
    goes_on: Callable[[], bool]


def authorized_session() -> requests.Session:
    """Return a session with the credentials of the environment."""
    from google.auth.transport.requests import AuthorizedSession

    return AuthorizedSession(default_credentials()[0])  # type: ignore[no-untyped-call]


@dataclasses.dataclass(frozen=True, kw_only=True)
class CloudLogging:
    """Cloud Logging's REST API; a client of its own would be one more package.

    Attributes:
        session: Makes what sends requests.
        url: Of the API.
        poll_s: Seconds between two requests for lines that are yet to come.
    """

    session: Callable[[], requests.Session] = authorized_session
    url: str = "https://logging.googleapis.com"
    poll_s: float = 5.0

    def lines(self, source: Source) -> Iterator[str]:
        """Iterate over the lines that a task has written, and those that it still writes.

        Raises:
            LaunchError: Cloud Logging refuses to tell them.
        """
        session = self.session()
        last, known = "", set[str]()
        while True:
            goes_on, jobs, is_done = source.goes_on(), source.jobs(), True
            for entry in self._entries(session, source, jobs, since=last):
                if entry["timestamp"] != last:
                    last, known = entry["timestamp"], set()
                if entry["insertId"] not in known:
                    known.add(entry["insertId"])
                    is_done = False
                    yield from _lines(entry, jobs)
            if goes_on:
                time.sleep(self.poll_s)
            elif is_done:
                return

    def _entries(
        self, session: requests.Session, source: Source, jobs: Mapping[str, str], *, since: str
    ) -> Iterator[dict[str, Any]]:
        if not jobs:
            return
        body: dict[str, Any] = {
            "resourceNames": [f"projects/{source.project}"],
            "filter": _filter(source.task, jobs, since),
            "orderBy": "timestamp asc",
            "pageSize": _PAGE,
        }
        while True:
            response = session.post(f"{self.url}/v2/entries:list", json=body, timeout=60)
            if not response.ok:
                raise LaunchError(_refusal(response, source, jobs))
            page = response.json()
            yield from page.get("entries", ())
            if not page.get("nextPageToken"):
                return
            body["pageToken"] = page["nextPageToken"]


def _filter(task: str, jobs: Mapping[str, str], since: str) -> str:
    ids = " OR ".join(f'"{job}"' for job in jobs)
    parts = [
        'resource.type="ml_job"',
        f"resource.labels.job_id=({ids})",
        f'resource.labels.task_name="{task}"',
        # Not all entries of the same time need have been there.
        *([f'timestamp>="{since}"'] if since else []),
    ]
    return " AND ".join(parts)


def _lines(entry: Mapping[str, Any], jobs: Mapping[str, str]) -> Iterator[str]:
    beginning = jobs.get(entry["resource"]["labels"]["job_id"], "")
    content = entry.get("jsonPayload", {})
    text = entry.get("textPayload", content.get("message"))
    if text is None:
        text = json.dumps(content)
    for line in text.splitlines() or [""]:
        yield f"{beginning}{line}"


def _refusal(response: requests.Response, source: Source, jobs: Mapping[str, str]) -> str:
    command = f"gcloud ai custom-jobs stream-logs {next(iter(jobs))} --task-name={source.task}"
    return (
        f"Cloud Logging answers {response.status_code} {response.reason}: {response.text.strip()} "
        f"You may need the role Logs Viewer. The same lines: {command}"
    )
