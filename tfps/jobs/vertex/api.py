"""Vertex AI's API for the jobs of one region, through google-cloud-aiplatform."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from tfps.errors import LaunchError
from tfps.jobs.rendering import Document
from tfps.jobs.spec import JobSpec

if TYPE_CHECKING:
    from google.cloud.aiplatform_v1 import JobServiceClient

_SCOPE = "https://www.googleapis.com/auth/cloud-platform"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Jobs:
    """The jobs of one kind in one region.

    Attributes:
        client: The API's client.
        parent: `projects/PROJECT/locations/REGION`.
        kind: "custom_job" or "hyperparameter_tuning_job". The API has the same methods for both.
    """

    client: JobServiceClient
    parent: str
    kind: str

    def create(self, document: Document) -> str:
        """Create a job and return its resource name."""
        create = getattr(self.client, f"create_{self.kind}")
        return str(create(parent=self.parent, **{self.kind: message_of(document)}).name)

    def newest(self, display_name: str) -> Any:
        """Return the newest job with a display name, or None."""
        query = {"parent": self.parent, "filter": f'display_name="{display_name}"'}
        jobs = getattr(self.client, f"list_{self.kind}s")(request=query)
        return max(jobs, key=lambda job: job.create_time.timestamp(), default=None)

    def cancel(self, name: str) -> None:
        """Request the cancellation of a job, which takes a while."""
        getattr(self.client, f"cancel_{self.kind}")(name=name)


def kind_of(spec: JobSpec) -> str:
    """Return the kind of a job, for `Jobs`."""
    return "custom_job" if spec.tuning is None else "hyperparameter_tuning_job"


def message_of(document: Document) -> Any:
    """Return a rendered job as a message of the API's client.

    Raises:
        LaunchError: The message has no such field, or the field has another type.
    """
    from google.cloud.aiplatform_v1 import CustomJob, HyperparameterTuningJob
    from google.protobuf.json_format import ParseError

    kind = HyperparameterTuningJob if "studySpec" in document else CustomJob
    try:
        return kind.from_json(json.dumps(document), ignore_unknown_fields=False)
    except ParseError as error:
        raise LaunchError(
            f"google-cloud-aiplatform does not know such a job: {error}. Try a newer version."
        ) from error


@functools.cache
def regional_client(location: str) -> JobServiceClient:
    """Return the client for a region, with the credentials of the environment."""
    from google.cloud.aiplatform_v1 import JobServiceClient

    options = {"api_endpoint": f"{location}-aiplatform.googleapis.com"}
    return JobServiceClient(client_options=options)


@functools.cache
def default_credentials() -> tuple[Any, str | None]:
    """Return the credentials of the environment, and the project that they name, or None."""
    import google.auth

    credentials, project = google.auth.default(scopes=[_SCOPE])
    return credentials, project


@contextlib.contextmanager
def as_launch_errors() -> Iterator[None]:
    """Raise the errors of Google's clients as LaunchErrors, also if the clients are missing."""
    try:
        import google.cloud.aiplatform_v1  # noqa: F401
        from google.api_core.exceptions import GoogleAPIError
        from google.auth.exceptions import GoogleAuthError
        from requests import RequestException
    except ImportError as error:
        raise LaunchError(
            f"Vertex AI's client is not there: {error}. Run pip install 'tfps[vertex]'."
        ) from error
    try:
        yield
    except GoogleAuthError as error:
        raise LaunchError(
            f"Google Cloud does not know who asks: {error} Run gcloud auth application-default "
            "login."
        ) from error
    except GoogleAPIError as error:
        raise LaunchError(f"Google Cloud answers: {error}") from error
    except RequestException as error:
        raise LaunchError(f"Google Cloud is not reached: {error}") from error
