"""A W&B server on the loopback interface: it works as far as a run needs it, or fails in a chosen way, at a chosen time."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class WandbServer:
    """Answers what W&B's client asks at the start, during and at the end of a run; keeps the rows that it is sent.

    `mode` says how it treats requests, and may change at any time: "works", "errors" (answers 500), or "hangs" (accepts a
    connection, and never answers). `refuse()` lets it go for good, so that the next connection is refused.
    """

    def __init__(self, mode: str = "works"):
        self.mode = mode
        self.rows: dict[str, dict[int, dict[str, Any]]] = {}  # run id → line of its history → row
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
        """Closes the port and every connection."""
        self._over.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def hang(self) -> None:
        """Returns when the server ends."""
        self._over.wait()

    def answer(self, operation: str, variables: dict[str, Any]) -> dict[str, Any]:
        """The data that a GraphQL operation asks for, as far as the client looks at them."""
        match operation:
            case "UpsertBucket":
                self.rows.setdefault(variables["name"], {})
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

    def take(self, run: str, stream: dict[str, Any]) -> None:
        """Keeps the rows of one upload, each at the line that the client gives it."""
        history = stream.get("files", {}).get("wandb-history.jsonl", {"offset": 0, "content": []})
        lines = self.rows.setdefault(run, {})
        for line, row in enumerate(history["content"], start=history["offset"]):
            lines[line] = json.loads(row)

    def _run(self, name: str) -> dict[str, Any]:
        lines = self.rows.get(name, {})
        last = json.dumps(lines[max(lines)]) if lines else "{}"
        project = {"id": "project", "name": "mbrl", "entity": {"id": "entity", "name": "nobody"}}
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
        """A client that breaks off is nothing to speak of."""


class _Requests(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def _reply(self) -> None:
        server: WandbServer = self.server.wandb  # type: ignore[attr-defined]
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if server.mode == "hangs":
            server.hang()
            self.close_connection = True
            return
        if server._over.is_set():  # a connection that outlived its server
            self.close_connection = True
            return
        answer: dict[str, Any] = {}
        if server.mode == "works" and self.path == "/graphql":
            request = json.loads(body)
            answer = {"data": server.answer(request["operationName"], request["variables"])}
        elif server.mode == "works" and self.path.endswith("/file_stream"):
            server.take(self.path.split("/")[-2], json.loads(body))
        content = json.dumps(answer).encode()
        self.send_response(500 if server.mode == "errors" else 200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PUT = _reply

    def log_message(self, *arguments: Any) -> None:
        pass
