"""The errors of an API server, as the `Status` that its clients read."""

from __future__ import annotations

from typing import Any

from tests.kubernetes.kinds import Kind


class ApiError(Exception):
    """A request was refused."""

    def __init__(self, code: int, reason: str, message: str, **details: Any) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.details = details

    def status(self) -> dict[str, Any]:
        """Return what the client gets."""
        return {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": str(self),
            "reason": self.reason,
            "details": self.details,
            "code": self.code,
        }


def not_found(kind: Kind, name: str) -> ApiError:
    """There is no such object."""
    message = f'{kind.resource} "{name}" not found'
    return ApiError(404, "NotFound", message, name=name, group=kind.group, kind=kind.plural)


def already_exists(kind: Kind, name: str) -> ApiError:
    """There is such an object."""
    message = f'{kind.resource} "{name}" already exists'
    return ApiError(409, "AlreadyExists", message, name=name, group=kind.group, kind=kind.plural)


def conflict(kind: Kind, name: str, what: str) -> ApiError:
    """The object is not as the request takes it to be."""
    message = f'Operation cannot be fulfilled on {kind.resource} "{name}": {what}'
    return ApiError(409, "Conflict", message, name=name, group=kind.group, kind=kind.plural)


def invalid(kind: Kind, name: str, faults: list[str]) -> ApiError:
    """The object breaks rules of its kind."""
    listed = faults[0] if len(faults) == 1 else f"[{', '.join(faults)}]"
    causes = [{"message": fault} for fault in faults]
    return ApiError(
        422,
        "Invalid",
        f'{kind.name}{f".{kind.group}" if kind.group else ""} "{name}" is invalid: {listed}',
        name=name,
        group=kind.group,
        kind=kind.name,
        causes=causes,
    )


def bad_request(message: str) -> ApiError:
    """The request makes no sense, or the object is none of its kind."""
    return ApiError(400, "BadRequest", message)


def forbidden(
    user: str, verb: str, kind: Kind, subresource: str, name: str, namespace: str
) -> ApiError:
    """The user may not do that."""
    resource = f"{kind.plural}/{subresource}" if subresource else kind.plural
    which = f'{kind.resource} "{name}"' if name else kind.resource
    message = (
        f'{which} is forbidden: User "{user}" cannot {verb} resource "{resource}" in API group '
        f'"{kind.group}" in the namespace "{namespace}"'
    )
    return ApiError(403, "Forbidden", message, name=name, group=kind.group, kind=kind.plural)


def forbidden_grant(kind: Kind, name: str, user: str) -> ApiError:
    """The user would grant what he may not do himself."""
    message = (
        f'{kind.resource} "{name}" is forbidden: user "{user}" is attempting to grant RBAC '
        "permissions not currently held"
    )
    return ApiError(403, "Forbidden", message, name=name, group=kind.group, kind=kind.plural)
