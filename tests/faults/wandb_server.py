"""A W&B server on the loopback interface that does what a run needs, or fails on demand."""

import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class WandbServer:
    """Answers the requests of W&B's client during a run, and stores the rows that it receives.

    `mode`, which may change at any time, is "works", "errors" (answers with the status 500) or
    "hangs" (accepts a connection and never answers). After `refuse()`, connections are refused.
    """

    def __init__(self, mode: str = "works"):
        self.mode = mode
        self.rows: dict[str, dict[int, dict[str, Any]]] = {}  # run id → line number → row
        self.artifacts: list[dict[str, Any]] = []
        self.num_requests = 0
        # run id → entity, by default "entity", and project
        self.destinations: dict[str, tuple[str, str]] = {}
        self._over = threading.Event()
        self._http = _Server(("127.0.0.1", 0), _Requests)
        self._http.wandb = self  # type: ignore[attr-defined]
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        host, port = self._http.server_address[:2]
        return f"http://{host}:{port}"

    def __enter__(self) -> "WandbServer":
        return self

    def __exit__(self, *error: object) -> None:
        self.refuse()

    def refuse(self) -> None:
        """Close the port and every connection."""
        self._over.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def hang(self) -> None:
        """Return when the server ends."""
        self._over.wait()

    def answer(self, operation: str, variables: dict[str, Any]) -> dict[str, Any]:
        """The data of a GraphQL operation that the client uses."""
        match operation:
            case "Viewer":
                return {"viewer": {"id": "user", "entity": "entity", "username": "entity"}}
            case "ArtifactType":  # of an artifact with the same name
                return {"project": None}
            case "CreateArtifact":  # answered as if its content was there already
                self.artifacts.append(variables["input"])
                sequence = {"latestArtifact": {"id": "artifact"}}
                artifact = {"id": "artifact", "state": "COMMITTED", "artifactSequence": sequence}
                return {"createArtifact": {"artifact": artifact}}
            case "UpsertBucket":
                self.rows.setdefault(variables["name"], {})
                sent_to = variables.get("entity") or "entity", variables["project"]
                self.destinations[variables["name"]] = sent_to
                return {"upsertBucket": {"bucket": self._run(variables["name"]), "inserted": True}}
            case "RunResumeStatus":
                name = variables["name"]
                return {
                    "model": {
                        "id": "model",
                        "name": "mbrl",
                        "bucket": self._run(name) if name in self.rows else None,
                    }
                }
            case "CreateRunFiles":
                files = [
                    {"name": name, "uploadUrl": f"{self.url}/upload/{name}"}
                    for name in variables["files"]
                ]
                return {"createRunFiles": {"runID": "bucket", "uploadHeaders": [], "files": files}}
        return {}

    def store(self, run: str, stream: dict[str, Any]) -> None:
        """Store the rows of one upload by the line numbers that the client gives."""
        history = stream.get("files", {}).get("wandb-history.jsonl", {"offset": 0, "content": []})
        lines = self.rows.setdefault(run, {})
        for line, row in enumerate(history["content"], start=history["offset"]):
            lines[line] = json.loads(row)

    def _run(self, name: str) -> dict[str, Any]:
        lines = self.rows.get(name, {})
        last = json.dumps(lines[max(lines)]) if lines else "{}"
        entity, project_name = self.destinations.get(name, ("entity", "mbrl"))
        owner = {"id": "entity", "name": entity}
        project = {"id": "project", "name": project_name, "entity": owner}
        return {
            "id": "bucket",
            "name": name,
            "displayName": name,
            "project": project,
            "historyLineCount": len(lines),
            "logLineCount": 0,
            "eventsLineCount": 0,
            "historyTail": json.dumps([last]),
            "eventsTail": "[]",
            "summaryMetrics": last,
            "config": "{}",
            "tags": [],
            "wandbConfig": '{"t": 1}',
        }


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore clients that close the connection."""


class _Requests(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def _reply(self) -> None:
        server: WandbServer = self.server.wandb  # type: ignore[attr-defined]
        server.num_requests += 1
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if server.mode == "hangs":
            server.hang()
            self.close_connection = True
            return
        if server._over.is_set():  # a connection that is still open after the end
            self.close_connection = True
            return
        answer: dict[str, Any] = {}
        if server.mode == "works" and self.path == "/graphql":
            request = json.loads(body)
            _, operation = re.findall(r"(query|mutation) (\w+)", request["query"])[0]
            answer = {"data": server.answer(operation, request.get("variables", {}))}
        elif server.mode == "works" and self.path.endswith("/file_stream"):
            server.store(self.path.split("/")[-2], json.loads(body))
        content = json.dumps(answer).encode()
        self.send_response(500 if server.mode == "errors" else 200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PUT = _reply

    def log_message(self, *arguments: Any) -> None:
        pass
