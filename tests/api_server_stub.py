"""A stand-in for Kubernetes' API server, over HTTP; each object is held against its published schema.

It knows server-side apply as far as deploying needs it: fields that a manager applied before and leaves out
now are removed, and a field that another manager has is a conflict.

Source:
    https://kubernetes.io/docs/reference/using-api/server-side-apply.
"""

import contextlib
import copy
import http.server
import json
import re
import threading
import urllib.parse
from datetime import UTC, datetime

import yaml
from kubernetes import client
from kubernetes_schemas import has_schema, problems

_GROUPS = "/api(?:s/(?P<group>[^/]+))?/(?P<version>[^/]+)/namespaces/(?P<namespace>[^/]+)/(?P<plural>[^/]+)"
_OBJECT = re.compile(rf"{_GROUPS}/(?P<name>[^/]+)")
_COLLECTION = re.compile(_GROUPS)


class ApiServerStub:
    """Keeps objects; becomes another server by what a test puts into it.

    Attributes:
        objects: By (plural, namespace, name).
        owners: By the same, which manager applied which leaf.
        refusals: Answers (status, body) to give next; `None` lets a request through.
        allowed: (group, resource, verb) that the account may; all where it is `None`.
        answers: Answers by path, for what is only looked at.
        reconcile: Called with each object that is read, before it is.
    """

    def __init__(self):
        self.objects, self.owners = {}, {}
        self.refusals, self.requests = [], []
        self.allowed, self.answers = None, {}
        self.reconcile = lambda item: None

    def answer(self, method, path, query, body, headers):
        self.requests.append((method, path, query, headers.get("Content-Type")))
        if self.refusals and (refusal := self.refusals.pop(0)):
            return refusal
        if path == "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews":
            return self._review(body)
        if path in self.answers:
            found = self.answers[path]
            return found if isinstance(found, tuple) else (200, found)
        if match := _OBJECT.fullmatch(path):
            return self._object(method, match, query, body, headers)
        if (match := _COLLECTION.fullmatch(path)) and method == "GET":
            found = [
                v for (p, n, _), v in self.objects.items() if (p, n) == (match["plural"], match["namespace"])
            ]
            return 200, {"kind": "List", "apiVersion": "v1", "metadata": {}, "items": found}
        if (match := _COLLECTION.fullmatch(path)) and method == "POST":
            key = match["plural"], match["namespace"], body["metadata"]["name"]
            return _status(409, "it already exists") if key in self.objects else self._store(key, body)
        return _status(404, f"the server could not find the requested resource ({method} {path})")

    def _object(self, method, match, query, body, headers):
        key = match["plural"], match["namespace"], match["name"]
        match method:
            case "PATCH":
                assert headers["Content-Type"].startswith("application/apply-patch+yaml")
                return self._apply(key, yaml.safe_load(body), query)
            case "GET" if key in self.objects:
                self.reconcile(self.objects[key])
                return 200, self.objects[key]
            case "PUT" if key in self.objects:
                if body["metadata"]["resourceVersion"] != self.objects[key]["metadata"]["resourceVersion"]:
                    return _status(409, "the object has been modified")
                return self._store(key, body)
            case "DELETE" if key in self.objects:
                del self.objects[key]
                self.owners.pop(key, None)
                return 200, {"kind": "Status", "status": "Success"}
        return _status(404, f'{key[0]}.serving.kserve.io "{key[2]}" not found', reason="NotFound")

    def _store(self, key, body):
        if has_schema(body) and (wrong := problems(body)):
            return _status(422, f"strict decoding error: {'; '.join(wrong)}", reason="Invalid")
        version = int(body["metadata"].get("resourceVersion", "0")) + 1
        self.objects[key] = {**body, "metadata": {**body["metadata"], "resourceVersion": str(version)}}
        return 201, self.objects[key]

    def _apply(self, key, wanted, query):
        if has_schema(wanted) and (wrong := problems(wanted)):
            return _status(422, f"strict decoding error: {'; '.join(wrong)}", reason="Invalid")
        manager, is_forced = query["fieldManager"], query.get("force") == "true"
        there = copy.deepcopy(self.objects.get(key) or {})
        owners = dict(self.owners.get(key, {}))
        leaves = dict(_leaves({k: v for k, v in wanted.items() if k not in ("apiVersion", "kind")}))
        overruled = [
            (path, owners[path])
            for path, value in leaves.items()
            if path in owners and owners[path] != manager and _at(there, path) != value
        ]
        if overruled and not is_forced:
            causes = [
                {
                    "reason": "FieldManagerConflict",
                    "message": f'conflict with "{owner}" using v1',
                    "field": _dotted(p),
                }
                for p, owner in overruled
            ]
            return _status(409, f"Apply failed with {len(causes)} conflict", details={"causes": causes})
        before = copy.deepcopy(there.get("spec"))
        for path, owner in list(owners.items()):
            if owner == manager and path not in leaves:
                _remove(there, path)
                del owners[path]
        for path, value in leaves.items():
            _set(there, path, value)
            owners[path] = manager
        there |= {"apiVersion": wanted["apiVersion"], "kind": wanted["kind"]}
        has_changed = there.get("spec") != before
        generation = there["metadata"].get("generation", 0) + has_changed
        there.setdefault("metadata", {})
        there["metadata"] |= {"generation": generation, "uid": "u", "resourceVersion": "1"}
        self.objects[key], self.owners[key] = there, owners
        return 200, there

    def write_as(self, manager, key, path, value):
        """Let another manager set a field."""
        _set(self.objects[key], path, value)
        self.objects[key]["metadata"]["generation"] += 1
        self.owners[key][path] = manager

    def _review(self, body):
        assert problems(body) == []
        asked = body["spec"]["resourceAttributes"]
        resource = "/".join(filter(None, (asked["resource"], asked.get("subresource"))))
        may = self.allowed is None or (asked.get("group", ""), resource, asked["verb"]) in self.allowed
        return 201, {**body, "status": {"allowed": may}}


def _status(code, message, **more):
    return code, {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "code": code,
        "message": message,
        **more,
    }


def denied_by_webhook(name, reason):
    """Return the answer of an API server whose webhook refuses."""
    return _status(400, f'admission webhook "{name}" denied the request: {reason}')


def refused(code, message):
    """Return a refusal."""
    return _status(code, message)


def _leaves(value, path=()):
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from _leaves(item, (*path, key))
    else:
        yield path, value


def _at(item, path):
    for key in path:
        item = item.get(key, {}) if isinstance(item, dict) else {}
    return item


def _set(item, path, value):
    for key in path[:-1]:
        item = item.setdefault(key, {})
    item[path[-1]] = value


def _remove(item, path):
    for key in path[:-1]:
        item = item.get(key, {})
    item.pop(path[-1], None)


def _dotted(path):
    return "." + ".".join(path)


def becomes_ready(url="http://heart.clinic.svc.cluster.local", looks=2):
    """Return a controller that sees a change only after some looks, and then makes it ready."""
    seen = {}

    def reconcile(item):
        generation = item["metadata"]["generation"]
        seen[generation] = seen.get(generation, 0) + 1
        if seen[generation] > looks:
            item["status"] = {
                **{
                    "observedGeneration": generation,
                    "url": "http://heart.example.com",
                    "address": {"url": url},
                },
                "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": _now()}],
            }

    return reconcile


def _now():
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@contextlib.contextmanager
def serving(stub):
    """Serve a stub on this machine, and give a client for it."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def _handle(self):
            url = urllib.parse.urlsplit(self.path)
            raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            is_json = "json" in (self.headers.get("Content-Type") or "")
            body = (json.loads(raw) if is_json else raw.decode()) if raw else None
            query = dict(urllib.parse.parse_qsl(url.query))
            status, answer = stub.answer(self.command, url.path, query, body, self.headers)
            text = answer if isinstance(answer, str) else json.dumps(answer)
            self.send_response(status)
            self.send_header("Content-Type", "text/plain" if isinstance(answer, str) else "application/json")
            self.send_header("Content-Length", str(len(text.encode())))
            self.end_headers()
            self.wfile.write(text.encode())

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _handle  # noqa: N815

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        configuration = client.Configuration(host=f"http://127.0.0.1:{server.server_port}")
        with client.ApiClient(configuration) as api:
            yield api
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
