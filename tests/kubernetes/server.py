"""The API server's HTTP side, on loopback."""

from __future__ import annotations

import contextlib
import json
import socket
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import yaml

from tests.kubernetes import api_errors, discovery
from tests.kubernetes.api import ADMIN, Api, How
from tests.kubernetes.objects import Object, name_of
from tests.kubernetes.store import Key
from tests.kubernetes.targets import Target, concerns, is_selected, is_true, target_of

Logs = Callable[[Key, dict[str, str]], Iterable[bytes]]
"""The output of a pod's container, by the query of the request."""

_WATCH_TURN_S = 0.5


class Server:
    """An API server at `address`, from its making until `close`."""

    def __init__(self, api: Api, logs: Logs) -> None:
        self.api = api
        self.logs = logs
        self.closing = threading.Event()
        self.requests: list[str] = []
        """What was asked for, e.g. `GET /version`."""
        self._listeners: list[_Listener] = []
        self.listen(lambda address: socket.create_server(address))

    @property
    def address(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self._listeners[0].server_port}"

    def listen(self, make: Callable[[tuple[str, int]], socket.socket]) -> None:
        """Listen at the same port of another loopback: that of a network namespace.

        Args:
            make: Makes a listening socket there.
        """
        port = self._listeners[0].server_port if self._listeners else 0
        http = _Listener(("127.0.0.1", port), _handler(self), bind_and_activate=False)
        http.socket.close()
        http.socket = make(("127.0.0.1", port))
        http.server_port = http.socket.getsockname()[1]
        http.daemon_threads = True
        self._listeners.append(http)
        threading.Thread(target=http.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        """Answer no more."""
        self.closing.set()
        for http in self._listeners:
            http.shutdown()
            http.server_close()


def _handler(server: Server) -> type[BaseHTTPRequestHandler]:
    class Handler(_Handler):
        api_server = server

    return Handler


class _Listener(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        # A client that was ended in the middle of a request is nothing to tell.
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    api_server: Server
    protocol_version = "HTTP/1.1"
    # The body follows the headers at once, rather than after the client's delayed acknowledgement.
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        self._answer("get")

    def do_POST(self) -> None:
        self._answer("create")

    def do_PUT(self) -> None:
        self._answer("update")

    def do_PATCH(self) -> None:
        self._answer("patch")

    def do_DELETE(self) -> None:
        self._answer("delete")

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def _answer(self, verb: str) -> None:
        url = urlsplit(self.path)
        query = {
            name: values[-1] for name, values in parse_qs(url.query, keep_blank_values=True).items()
        }
        self.api_server.requests.append(f"{self.command} {self.path}")
        body = self._body()
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            try:
                self._dispatch(verb, url.path, query, body)
            except api_errors.ApiError as error:
                self._send(error.code, error.status())

    def _dispatch(self, verb: str, path: str, query: dict[str, str], body: Any) -> None:
        result = discovery.answer(path, self.api_server.api.kinds)
        if result is not None:
            self._send(200, result)
            return
        target = target_of(path, self.api_server.api.kinds)
        if target is None:
            self._send_text(404, "404 page not found\n")
            return
        self._authorize(verb, target, query)
        if verb == "get":
            self._get(target, query)
        else:
            self._send(201 if verb == "create" else 200, self._changed(verb, target, query, body))

    def _authorize(self, verb: str, target: Target, query: dict[str, str]) -> None:
        if verb == "get" and not target.key.name:
            verb = "watch" if is_true(query, "watch") else "list"
        if verb == "delete" and not target.key.name:
            verb = "deletecollection"
        self.api_server.api.authorize(
            self._user(), target.key.kind, verb, target.key, target.subresource
        )

    def _user(self) -> str:
        return self.headers.get("Authorization", "").removeprefix("Bearer ") or ADMIN

    def _get(self, target: Target, query: dict[str, str]) -> None:
        api = self.api_server.api
        if target.subresource == "log":
            api.store.get(target.key)
            self._stream("text/plain", self.api_server.logs(target.key, query))
        elif target.subresource == "scale":
            self._send(200, api.scale_of(target.key))
        elif target.key.name:
            self._send(200, api.store.get(target.key))
        elif is_true(query, "watch"):
            self._stream("application/json", self._watched(target, query))
        else:
            self._send(200, self._listed(target, query))

    def _changed(self, verb: str, target: Target, query: dict[str, str], body: Any) -> Object:
        api, key = self.api_server.api, target.key
        how = How(
            user=self._user(),
            manager=query.get("fieldManager") or self.headers.get("User-Agent", "").split("/")[0],
            dry_run=query.get("dryRun") == "All" or (body or {}).get("dryRun") == ["All"],
            force=is_true(query, "force"),
        )
        if verb == "create" and target.subresource == "eviction":
            api.evict(key)
            return {"kind": "Status", "apiVersion": "v1", "status": "Success", "code": 201}
        if verb == "create":
            return api.create(Key(key.kind, key.namespace, name_of(body)), body, how)
        if verb == "delete":
            return self._deleted(target, query, body or {}, how)
        if target.subresource == "scale":
            return api.scale(key, body["spec"]["replicas"], how)
        form = self.headers.get("Content-Type", "")
        if verb == "update":
            return api.replace(key, body, how)
        if "apply-patch" in form:
            if "fieldManager" not in query:
                raise api_errors.bad_request(
                    "fieldManager: Required value: is required for apply patch"
                )
            return api.apply(key, body, how)
        return api.patch(key, body, how, strategic="strategic" in form)

    def _deleted(self, target: Target, query: dict[str, str], body: Object, how: How) -> Object:
        api = self.api_server.api
        propagation = query.get("propagationPolicy") or body.get("propagationPolicy")
        grace = query.get("gracePeriodSeconds", body.get("gracePeriodSeconds"))
        grace_s = None if grace is None else int(grace)
        if target.key.name:
            return api.delete(target.key, how, propagation, grace_s)
        for item in self._listed(target, query)["items"]:
            key = Key(target.key.kind, item["metadata"].get("namespace", ""), name_of(item))
            api.delete(key, how, propagation, grace_s)
        return {"kind": "Status", "apiVersion": "v1", "status": "Success"}

    def _listed(self, target: Target, query: dict[str, str]) -> Object:
        kind = target.key.kind
        store = self.api_server.api.store
        version = store.version
        items = store.list(kind, None if target.all_namespaces else target.key.namespace)
        return {
            "kind": f"{kind.name}List",
            "apiVersion": kind.api_version,
            "metadata": {"resourceVersion": str(version)},
            "items": [item for item in items if is_selected(item, query)],
        }

    def _watched(self, target: Target, query: dict[str, str]) -> Iterator[bytes]:
        store = self.api_server.api.store
        version = int(query.get("resourceVersion") or 0)
        turns = int(float(query.get("timeoutSeconds") or 3600) / _WATCH_TURN_S)
        for _ in range(max(1, turns)):
            for event in store.since(version):
                version = event.version
                if concerns(event, target, query):
                    yield json.dumps({"type": event.type, "object": event.object}).encode() + b"\n"
            if self.api_server.closing.is_set():
                return
            store.wait(version, _WATCH_TURN_S)

    def _body(self) -> Any:
        length = int(self.headers.get("Content-Length") or 0)
        text = self.rfile.read(length)
        if not text:
            return None
        is_json = text.lstrip()[:1] in (b"{", b"[")
        return json.loads(text) if is_json else yaml.load(text, Loader=yaml.CSafeLoader)

    def _send(self, code: int, content: Object) -> None:
        self._send_text(code, json.dumps(content), "application/json")

    def _send_text(self, code: int, text: str, form: str = "text/plain") -> None:
        data = text.encode()
        self.send_response(code)
        self.send_header("Content-Type", form)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _stream(self, form: str, parts: Iterable[bytes]) -> None:
        self.send_response(200)
        self.send_header("Content-Type", form)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for part in parts:
            if part:
                self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
        self.wfile.write(b"0\r\n\r\n")
