"""A stand-in for Kubeflow Pipelines' API server; each request is held against the types of kfp-server-api."""

import contextlib
import email.parser
import email.policy
import http.server
import json
import re
import threading
import urllib.parse
from datetime import UTC, datetime

import kfp_server_api
import yaml
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2

ROOT = "/apis/v2beta1"
_SCALARS = {"str": str, "int": int, "float": (int, float), "bool": bool, "object": object, "datetime": str}


def misfits(value, type_name, path=""):
    """Return the paths in a message that KFP's types do not have, or have with another type."""
    if listed := re.fullmatch(r"list\[(.+)\]", type_name):
        if not isinstance(value, list):
            return [path]
        return [p for i, item in enumerate(value) for p in misfits(item, listed[1], f"{path}[{i}]")]
    if mapped := re.fullmatch(r"dict\(str, (.+)\)", type_name):
        if not isinstance(value, dict):
            return [path]
        return [p for key, item in value.items() for p in misfits(item, mapped[1], f"{path}.{key}")]
    if type_name in _SCALARS:
        return [] if isinstance(value, _SCALARS[type_name]) else [path]
    kind = getattr(kfp_server_api, type_name)
    if hasattr(kind, "allowable_values"):
        return [] if value in kind.allowable_values else [path]
    if not isinstance(value, dict):
        return [path]
    fields = {key: kind.openapi_types[name] for name, key in kind.attribute_map.items()}
    return [
        p
        for key, item in value.items()
        for p in (misfits(item, fields[key], f"{path}.{key}") if key in fields else [f"{path}.{key}"])
    ]


class KfpStub:
    """Keeps what it was sent; its runs go through the states that a test gives.

    Args:
        stages: Of each run: (state, {task: state}) at each look; the last one stays.
        is_multi_user: Whether it has profiles.
        token: The only bearer token that it lets in; anybody where it is empty.
    """

    def __init__(self, stages=(("SUCCEEDED", {}),), *, is_multi_user=False, token=""):
        self.stages, self.is_multi_user, self.token = list(stages), is_multi_user, token
        self.experiments, self.pipelines, self.versions = {}, {}, {}
        self.runs, self.schedules = {}, {}
        self.requests, self.wrong, self.looks, self.failures = [], [], {}, []

    def answer(self, method, path, query, body, headers):
        self.requests.append((method, path, body))
        if self.token and headers.get("Authorization") != f"Bearer {self.token}":
            return 401, {"error": "Unauthenticated", "code": 16, "message": "no valid token"}
        if self.failures and (failure := self.failures.pop(0)):
            return failure
        for pattern, handler in self._routes():
            verb, _, place = pattern.partition(" ")
            if verb == method and (match := re.fullmatch(ROOT + place, path)):
                return handler(*match.groups(), query=query, body=body)
        return 404, {"message": f"no route {method} {path}"}

    def _routes(self):
        return (
            ("GET /healthz", lambda **_: (200, {"multi_user": self.is_multi_user})),
            ("GET /experiments", lambda **k: self._list("experiments", self.experiments, k["query"])),
            ("POST /experiments", lambda **k: self._make("V2beta1Experiment", "experiment", k["body"])),
            ("GET /pipelines", lambda **k: self._list("pipelines", self.pipelines, k["query"])),
            ("POST /pipelines", lambda **k: self._make("V2beta1Pipeline", "pipeline", k["body"])),
            ("POST /pipelines/upload_version", self._upload_version),
            ("GET /pipelines/([^/]+)/versions", self._list_versions),
            ("POST /runs", self._create_run),
            ("GET /runs/([^/:]+)", self._get_run),
            ("POST /runs/([^/:]+):retry", self._retry_run),
            ("POST /recurringruns", self._create_schedule),
            ("GET /recurringruns", lambda **k: self._list("recurringRuns", self.schedules, k["query"])),
            ("DELETE /recurringruns/([^/]+)", self._delete_schedule),
        )

    def _list(self, key, kept, query):
        wanted = json.loads(query["filter"])["predicates"][0]["stringValue"] if "filter" in query else None
        found = [one for one in kept.values() if wanted in (None, one["display_name"])]
        # A page holds two, so that whoever does not turn pages misses what is behind.
        start = int(query.get("page_token") or 0)
        page = {key: found[start : start + 2]}
        return 200, page | ({"next_page_token": str(start + 2)} if len(found) > start + 2 else {})

    def _make(self, type_name, what, body):
        self._hold(body, type_name)
        kept = getattr(self, f"{what}s")
        made = {**body, f"{what}_id": f"{what}-{len(kept) + 1}", "created_at": _now()}
        kept[made[f"{what}_id"]] = made
        return 200, made

    def _list_versions(self, pipeline_id, *, query, body):
        of_it = {k: v for k, v in self.versions.items() if v["pipeline_id"] == pipeline_id}
        return self._list("pipeline_versions", of_it, query)

    def _upload_version(self, *, query, body):
        if unknown := query.keys() - {"name", "display_name", "pipelineid", "description", "tags"}:
            self.wrong.append(f"upload_version: {unknown}")
        spec, *platforms = yaml.safe_load_all(body)
        json_format.ParseDict(spec, pipeline_spec_pb2.PipelineSpec())
        for platform in platforms:
            json_format.ParseDict(platform, pipeline_spec_pb2.PlatformSpec())
        version_id = f"version-{len(self.versions) + 1}"
        self.versions[version_id] = {
            **{"pipeline_id": query["pipelineid"], "pipeline_version_id": version_id},
            **{"display_name": query["display_name"], "created_at": _now(), "pipeline_spec": spec},
        }
        return 200, self.versions[version_id]

    def _create_run(self, *, query, body):
        self._hold(body, "V2beta1Run")
        self._hold_reference(body["pipeline_version_reference"])
        run_id = f"run-{len(self.runs) + 1}"
        self.runs[run_id] = {**body, "run_id": run_id, "created_at": _now()}
        return 200, self.runs[run_id]

    def _get_run(self, run_id, *, query, body):
        if run_id not in self.runs:
            return 404, {"error": "NotFound", "code": 5, "message": f"Run {run_id} not found"}
        look = self.looks[run_id] = self.looks.get(run_id, -1) + 1
        state, tasks = self.stages[min(look, len(self.stages) - 1)]
        done = {} if state == "RUNNING" else {"finished_at": _now()}
        details = [
            {
                **{"run_id": run_id, "task_id": name, "display_name": name, "state": task},
                **{"create_time": self.runs[run_id]["created_at"], "start_time": _now()},
                **({"end_time": _now()} if task not in ("RUNNING", "PENDING") else {}),
            }
            # As KFP lists them, with what is no task of the pipeline.
            for name, task in {"root": state, "root-driver": "SUCCEEDED", **tasks}.items()
        ]
        error = {"error": {"code": 13, "message": "a step failed"}} if state == "FAILED" else {}
        return 200, self.runs[run_id] | done | error | {
            "state": state,
            "run_details": {"task_details": details},
        }

    def _retry_run(self, run_id, *, query, body):
        self.looks.pop(run_id, None)
        return 200, {}

    def _create_schedule(self, *, query, body):
        self._hold(body, "V2beta1RecurringRun")
        self._hold_reference(body["pipeline_version_reference"])
        schedule_id = f"schedule-{len(self.schedules) + 1}"
        self.schedules[schedule_id] = {**body, "recurring_run_id": schedule_id, "status": "ENABLED"}
        return 200, self.schedules[schedule_id]

    def _delete_schedule(self, schedule_id, *, query, body):
        if schedule_id not in self.schedules:
            return 404, {"error": "NotFound", "code": 5, "message": f"RecurringRun {schedule_id} not found"}
        del self.schedules[schedule_id]
        return 200, {}

    def _hold(self, body, type_name):
        self.wrong += [f"{type_name}{path}" for path in misfits(body, type_name)]

    def _hold_reference(self, reference):
        version = self.versions.get(reference["pipeline_version_id"], {})
        if version.get("pipeline_id") != reference["pipeline_id"]:
            self.wrong.append(f"there is no such version: {reference}")


def _now():
    return datetime.now(UTC).isoformat()


@contextlib.contextmanager
def serving(stub):
    """Serve a stub on this machine, and give its address."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def _handle(self):
            url = urllib.parse.urlsplit(self.path)
            raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            kind = self.headers.get("Content-Type") or ""
            if kind.startswith("multipart/"):
                message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(
                    f"Content-Type: {kind}\r\n\r\n".encode() + raw
                )
                (part,) = message.iter_parts()
                body = part.get_payload(decode=True).decode()
            else:
                body = json.loads(raw) if raw else None
            query = dict(urllib.parse.parse_qsl(url.query))
            status, answer = stub.answer(self.command, url.path, query, body, self.headers)
            text = answer if isinstance(answer, str) else json.dumps(answer)
            self.send_response(status)
            self.send_header("Content-Type", "text/html" if isinstance(answer, str) else "application/json")
            self.send_header("Content-Length", str(len(text.encode())))
            self.end_headers()
            self.wfile.write(text.encode())

        do_GET = do_POST = do_DELETE = _handle  # noqa: N815

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
