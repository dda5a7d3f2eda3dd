"""The output of tasks, which Vertex AI sends to Cloud Logging."""

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
class LogSource:
    """The task whose output is read.

    Attributes:
        project: The job's project.
        task: Vertex AI's name of the task, e.g. "workerpool0-0".
        jobs: Returns the ids of the jobs that have such a task, each with a prefix for its lines.
        may_grow: Returns whether more lines may follow.
    """

    project: str
    task: str
    jobs: Callable[[], Mapping[str, str]]
    may_grow: Callable[[], bool]


def authorized_session() -> requests.Session:
    """Return a session with the credentials of the environment."""
    from google.auth.transport.requests import AuthorizedSession

    return AuthorizedSession(default_credentials()[0])  # type: ignore[no-untyped-call]


@dataclasses.dataclass(frozen=True, kw_only=True)
class CloudLogging:
    """Cloud Logging's REST API, without its client, which would be another dependency.

    Attributes:
        session: Returns the session for the requests.
        url: The API's URL.
        poll_s: Seconds between two requests for new lines.
    """

    session: Callable[[], requests.Session] = authorized_session
    url: str = "https://logging.googleapis.com"
    poll_s: float = 5.0

    def lines(self, source: LogSource) -> Iterator[str]:
        """Iterate over the lines of a task, while there are more.

        Raises:
            LaunchError: Cloud Logging refuses.
        """
        session = self.session()
        last, known = "", set[str]()
        while True:
            may_grow, jobs, any_new = source.may_grow(), source.jobs(), False
            for entry in self._entries(session, source, jobs, since=last):
                if entry["timestamp"] != last:
                    last, known = entry["timestamp"], set()
                if entry["insertId"] not in known:
                    known.add(entry["insertId"])
                    any_new = True
                    yield from _lines(entry, jobs)
            if may_grow:
                time.sleep(self.poll_s)
            elif not any_new:
                return

    def _entries(
        self, session: requests.Session, source: LogSource, jobs: Mapping[str, str], *, since: str
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
        # Entries with the time of the last one may have been added since.
        *([f'timestamp>="{since}"'] if since else []),
    ]
    return " AND ".join(parts)


def _lines(entry: Mapping[str, Any], jobs: Mapping[str, str]) -> Iterator[str]:
    prefix = jobs.get(entry["resource"]["labels"]["job_id"], "")
    content = entry.get("jsonPayload", {})
    text = entry.get("textPayload", content.get("message"))
    if text is None:
        text = json.dumps(content)
    for line in text.splitlines() or [""]:
        yield f"{prefix}{line}"


def _refusal(response: requests.Response, source: LogSource, jobs: Mapping[str, str]) -> str:
    command = f"gcloud ai custom-jobs stream-logs {next(iter(jobs))} --task-name={source.task}"
    return (
        f"Cloud Logging answers {response.status_code} {response.reason}: {response.text.strip()} "
        f"You may need the role Logs Viewer. The same lines: {command}"
    )
