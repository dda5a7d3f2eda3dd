"""The status of a pod as a kubelet writes it: pure functions."""

from __future__ import annotations

from tests.kubernetes.objects import Object, set_condition, timestamp

# A kubelet writes times; here only that they are there matters, and that nothing changes for them.
_SINCE = timestamp()


def running(container: Object, restarts: int, ready: bool, last_exit: int | None) -> Object:
    """Return the status of a pod whose container runs."""
    state = {"running": {"startedAt": _SINCE}}
    return _status("Running", _container(container, restarts, state, ready, last_exit), ready)


def crashed(container: Object, restarts: int, code: int) -> Object:
    """Return the status of a pod whose container will be started again after a while."""
    message = f"back-off restarting failed container {container['name']}"
    state = {"waiting": {"reason": "CrashLoopBackOff", "message": message}}
    return _status("Running", _container(container, restarts, state, False, code), False)


def ended(container: Object, restarts: int, code: int) -> Object:
    """Return the status of a pod whose container will not be started again."""
    phase = "Succeeded" if code == 0 else "Failed"
    state = {"terminated": _terminated(code)}
    return _status(phase, _container(container, restarts, state, False, None), False)


def waiting_for_image(image: str) -> Object:
    """Return the status of a pod whose image is not to be had."""
    message = f'Back-off pulling image "{image}"'
    state = {"waiting": {"reason": "ImagePullBackOff", "message": message}}
    container = {"name": "", "image": image}
    return _status("Pending", _container(container, 0, state, False, None), False)


def apply(pod: Object, status: Object) -> None:
    """Put a status into a pod."""
    ready = status.pop("ready")
    pod["status"].update(status)
    pod["status"].setdefault("startTime", timestamp())
    for kind in ("Ready", "ContainersReady"):
        set_condition(pod, kind, ready)
    for container in pod["status"]["containerStatuses"]:
        container["name"] = container["name"] or pod["spec"]["containers"][0]["name"]


def _status(phase: str, container: Object, ready: bool) -> Object:
    return {"phase": phase, "containerStatuses": [container], "ready": ready}


def _container(
    container: Object, restarts: int, state: Object, ready: bool, last_exit: int | None
) -> Object:
    last = {} if last_exit is None else {"terminated": _terminated(last_exit)}
    return {
        "name": container["name"],
        "image": container["image"],
        "imageID": "",
        "ready": ready,
        "started": "running" in state,
        "restartCount": restarts,
        "state": state,
        "lastState": last,
    }


def _terminated(code: int) -> Object:
    reason = "Completed" if code == 0 else "Error"
    return {"exitCode": code, "reason": reason, "startedAt": _SINCE, "finishedAt": _SINCE}
