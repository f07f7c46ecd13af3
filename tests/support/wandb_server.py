"""A W&B server within the tests: what the unmodified client needs of one, and the faults that a real one may have.

It answers the client's GraphQL by operation name, and keeps the lines of the file stream where the client puts them,
so that a row sent twice shows. `Fault` says what goes wrong, by a regular expression on the operation.
"""

from __future__ import annotations

import base64
import gzip
import json
import re
import socket
import struct
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

KEY = "local-" + "k" * 40
WRONG_KEY = "local-" + "w" * 40
ENTITY = "me"
HISTORY, SUMMARY = "wandb-history.jsonl", "wandb-summary.json"
SETTINGS = ("displayName", "notes", "groupName", "jobType", "tags", "config")
READS = ("Run", "RunHistoryKeys", "HistoryPage", "SampledHistoryPage", "RunParquetHistory", "ArtifactType")
"""Operations that look at a run which may not be there."""


@dataclass
class Fault:
    """What goes wrong with the requests whose operation matches.

    Attributes:
        match: a regular expression on `graphql NAME RUN` or `METHOD /path`.
        status: answered in place of what is right; 0 with `delay` alone: what is right, late.
        delay: seconds before the answer.
        reset: the connection is reset, and nothing answered.
        skip, count: let so many through first, and act on so many; a count of -1 acts on all.
    """

    match: str
    status: int = 0
    delay: float = 0.0
    reset: bool = False
    skip: int = 0
    count: int = -1


@dataclass
class Run:
    """A run as the server has it."""

    name: str
    told: dict[str, Any] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    lines: dict[str, list[str]] = field(default_factory=lambda: {HISTORY: []})
    state: str = "running"

    @property
    def rows(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines[HISTORY]]

    @property
    def config(self) -> dict[str, Any]:
        return {key: entry["value"] for key, entry in json.loads(self.told.get("config", "{}")).items()}


class WandbServer:
    """The server, from its making to `close`."""

    def __init__(self, port: int = 0) -> None:
        self.runs: dict[str, Run] = {}
        self.blobs: dict[str, bytes] = {}
        self.artifacts: dict[str, dict[str, Any]] = {}
        self.requests: list[tuple[str, str]] = []
        self.faults: list[Fault] = []
        self._lock = threading.RLock()
        handler = type("Bound", (_Handler,), {"served": self})
        self._http = _Quiet(("127.0.0.1", port), handler)
        self.port = self._http.server_address[1]
        threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()

    def clear(self) -> None:
        with self._lock:
            for kept in (self.runs, self.blobs, self.artifacts, self.requests, self.faults):
                kept.clear()

    @contextmanager
    def failing(self, *faults: Fault) -> Iterator[None]:
        """With these faults, and healed after."""
        self.faults[:] = faults
        try:
            yield
        finally:
            self.faults.clear()

    def everything(self) -> str:
        """All that any client said, as one text, without the header that carries the key."""
        sent = [f"{op} {told}" for op, told in self.requests]
        return "\n".join([*sent, *(blob.decode("utf-8", "replace") for blob in self.blobs.values())])

    def environment(self, home: Path, key: str | None = KEY) -> dict[str, str]:
        """Variables with which a client talks to this server, and to no one's login or cache."""
        folders = {f"WANDB_{name}_DIR": str(home / name.lower()) for name in ("CACHE", "DATA", "CONFIG")}
        known = {"WANDB_BASE_URL": self.url, "WANDB_ERROR_REPORTING": "false", "HOME": str(home), **folders}
        return {**known, **({"WANDB_API_KEY": key} if key else {})}

    def fault(self, op: str) -> Fault | None:
        with self._lock:
            for rule in self.faults:
                if not re.search(rule.match, op):
                    continue
                if rule.skip:
                    rule.skip -= 1
                elif rule.count:
                    rule.count -= 1
                    return rule
        return None

    def answer(self, op: str, path: str, method: str, body: bytes) -> tuple[int, Any]:
        with self._lock:
            if path == "/graphql":
                call = json.loads(body)
                data = self._graphql(op.split()[1], call.get("variables") or {})
                return 200, {"data": data} if data else {"errors": [{"message": f"not known: {op}"}]}
            if path.startswith("/_blob/"):
                name = unquote(path.removeprefix("/_blob/"))
                if method == "PUT":
                    self.blobs[name] = body
                return (200, self.blobs[name]) if name in self.blobs else (404, {})
            if not path.endswith("/file_stream"):
                return 404, {}
            self._stream(unquote(path.split("/")[4]), json.loads(body))
            return 200, {}

    def _stream(self, name: str, told: Mapping[str, Any]) -> None:
        run = self.runs.setdefault(name, Run(name))
        for file, chunk in (told.get("files") or {}).items():
            if file == SUMMARY:
                run.summary = json.loads(chunk["content"][-1])
            else:  # at their absolute numbers, so that a retry takes its own place
                lines, start = run.lines.setdefault(file, []), chunk.get("offset", 0)
                lines[start : start + len(chunk["content"])] = chunk["content"]
        ended = {0: "finished", 255: "killed"}.get(told.get("exitcode", 0), "failed")
        run.state = ended if told.get("complete") else "running"

    def _graphql(self, op: str, v: Mapping[str, Any]) -> Any:
        name = v.get("name") or v.get("run") or v.get("runName") or ""
        run = self.runs.get(name)
        if op in ("Viewer", "GetViewer", "GetDefaultEntity"):
            me: dict[str, Any] = {
                "id": "u1",
                "email": "a@b.c",
                "flags": "{}",
                "deletedAt": None,
                "apiKeys": None,
            }
            names = dict.fromkeys(("entity", "username", "name"), ENTITY)
            return {"viewer": {**me, **names, "admin": False, "teams": {"edges": []}}}
        if op == "ServerFeaturesQuery":
            return {"serverInfo": {"features": []}}
        if op == "UpsertBucket":
            known, run = run, self.runs.setdefault(name, Run(name))
            run.told |= {key: v[key] for key in SETTINGS if v.get(key) is not None}
            return {"upsertBucket": {"bucket": self._bucket(run), "inserted": known is None}}
        if op == "RunResumeStatus":
            return {"model": {"id": "p1", "bucket": self._bucket(run) if run else None, **_project()}}
        if op == "CreateRunFiles":
            made = [{"name": f, "uploadUrl": f"{self.url}/_blob/{quote(f'{name}/{f}')}"} for f in v["files"]]
            return {"createRunFiles": {"runID": name, "uploadHeaders": [], "files": made}}
        if op == "Runs":
            return self._page(v)
        if op in READS:
            return {"project": {"run": self._read(op, run, v) if run else None, "artifact": None}}
        return self._artifact(op, v)

    def _page(self, v: Mapping[str, Any]) -> dict[str, Any]:
        wanted = (json.loads(v.get("filters") or "{}").get("name") or {}).get("$in")
        runs = [run for run in self.runs.values() if wanted is None or run.name in wanted]
        first, count = int(v.get("cursor") or 0), v.get("perPage") or 50
        shown = runs[first : first + count]
        edges = [
            {"node": self._bucket(r, brief=True), "cursor": str(first + n)} for n, r in enumerate(shown, 1)
        ]
        info = {"endCursor": str(first + len(edges)), "hasNextPage": first + count < len(runs)}
        return {
            "project": {
                "internalId": "1",
                "runCount": len(runs),
                "runs": {"totalCount": len(runs), "edges": edges, "pageInfo": info},
            }
        }

    def _read(self, op: str, run: Run, v: Mapping[str, Any]) -> dict[str, Any]:
        more: dict[str, Any] = {"parquetHistory": {"parquetUrls": [], "liveData": []}}
        if op == "HistoryPage":
            low, high = v["minStep"], v["maxStep"]
            lines = [x for x in run.lines[HISTORY] if low <= json.loads(x).get("_step", 0) < high]
            more["history"] = lines[: v.get("pageSize") or 500]
        elif op == "SampledHistoryPage":
            spec = json.loads(v["spec"])
            low, high, keys = spec.get("minStep", 0), spec.get("maxStep", 1 << 62), spec["keys"]
            rows = [r for r in run.rows if low <= r.get("_step", 0) <= high and all(k in r for k in keys)]
            more["sampledHistory"] = [[{k: row[k] for k in keys} for row in rows]]
        return {**self._bucket(run), **more}

    def _artifact(self, op: str, v: Mapping[str, Any]) -> Any:
        if op == "CreateArtifact":
            given = v["input"]
            key = f"{given['artifactCollectionName']}-{given['digest']}".replace("/", "_")
            known = self.artifacts.setdefault(key, {"id": key, "state": "PENDING", "input": given})
            told = {"id": key, "state": known["state"], "artifactSequence": {"latestArtifact": None}}
            return {"createArtifact": {"artifact": told}}
        if op == "CreateArtifactManifest":
            key = v["artifactID"]
            file = {"id": key, "uploadUrl": f"{self.url}/_blob/artifact/{key}/manifest", "uploadHeaders": []}
            return {"createArtifactManifest": {"artifactManifest": {"id": key, "file": file}}}
        if op == "CreateArtifactFiles":
            edges = [{"node": self._artifact_file(f)} for f in v["input"]["artifactFiles"]]
            return {"createArtifactFiles": {"files": {"edges": edges}}}
        if op == "CommitArtifact":
            self.artifacts[v["artifactID"]]["state"] = "COMMITTED"
            return {"commitArtifact": {"artifact": {"id": v["artifactID"], "digest": ""}}}
        return None

    def _artifact_file(self, file: Mapping[str, Any]) -> dict[str, Any]:
        url = f"{self.url}/_blob/artifact/{file['artifactID']}/{quote(file['name'])}"
        where = {"storagePath": file["name"], "uploadUrl": url, "artifact": {"id": file["artifactID"]}}
        return {**where, "uploadHeaders": [], "uploadMultipartUrls": None}

    def _bucket(self, run: Run, *, brief: bool = False) -> dict[str, Any]:
        """A run; in brief, its keys are those of its last row: a page must not cost a bench the reading of all."""
        lines, told = run.lines[HISTORY], run.told
        last = json.loads(lines[-1]).get("_step", -1) if lines else -1
        rows = [json.loads(line) for line in (lines[-1:] if brief else lines)]
        keys = {k: {"typeCounts": [{"type": "number", "count": len(lines)}]} for k in set().union(*rows)}
        return {
            "id": run.name,
            "name": run.name,
            "displayName": told.get("displayName") or run.name,
            "group": told.get("groupName"),
            "config": told.get("config", "{}"),
            **{key: told.get(key) for key in ("notes", "jobType")},
            **dict.fromkeys(("description", "sweepName", "commit")),
            "tags": told.get("tags") or [],
            "state": run.state,
            "readOnly": False,
            "projectId": "1",
            **dict.fromkeys(("createdAt", "heartbeatAt"), "2026-01-01T00:00:00Z"),
            "user": {"name": ENTITY, "username": ENTITY},
            **_project(),
            "summaryMetrics": json.dumps(run.summary),
            "systemMetrics": "{}",
            "wandbConfig": json.dumps({"t": {}}),
            "historyLineCount": len(lines),
            "historyTail": json.dumps(run.lines[HISTORY][-1:]),
            **{"eventsLineCount": 0, "eventsTail": "[]", "logLineCount": 0},
            "historyKeys": {"sets": [], "keys": keys, "lastStep": last},
        }


def _project() -> dict[str, Any]:
    return {"project": {"id": "p1", "name": "toolrl", "entity": {"id": "e1", "name": ENTITY}}}


class _Quiet(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128  # with 5 a client that opens 16 connections waits seconds for some of them

    def handle_error(self, *_: object) -> None:
        """Clients that are killed reset their connections."""


class _Handler(BaseHTTPRequestHandler):
    served: WandbServer
    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16  # headers and body in one packet: an answer would wait 40 ms for an acknowledgement

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def serve(self) -> None:
        path = urlsplit(self.path).path
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        op, told = f"{self.command} {path}", body.decode("utf-8", "replace")
        if path == "/graphql":
            call = json.loads(body)
            found = re.search(r"(?:query|mutation)\s+(\w+)", call["query"])
            v = call.get("variables") or {}
            of = v.get("name") or v.get("run") or v.get("runName") or ""
            op, told = f"graphql {found[1] if found else ''} {of}", json.dumps(v)
        self.served.requests.append((op, told))
        fault = self.served.fault(op)
        if fault:
            time.sleep(fault.delay)
        if fault and fault.reset:
            self.close_connection = True
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
        elif fault and fault.status:
            self._send(fault.status, {"errors": [{"message": "as the test has it"}]})
        elif not self._logged_in() and not path.startswith("/_blob/"):
            self._send(401, {"errors": [{"message": "user is not logged in"}]})
        else:
            self._send(*self.served.answer(op, path, self.command, body))

    def _logged_in(self) -> bool:
        sent = base64.b64decode(self.headers.get("Authorization", "").removeprefix("Basic ")).decode()
        return sent == f"api:{KEY}"

    def _send(self, code: int, body: Any) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(code)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_PUT = serve
