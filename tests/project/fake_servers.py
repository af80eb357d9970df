"""A Dagster UI and an endpoint in one: answers what the first start asks, keeps what it was told."""

import json
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class FakeServers:
    """State that a test sets before and reads after."""

    partitions: list[str] = field(default_factory=lambda: ["2013-01-01", "2013-01-02", "2013-01-03"])
    outcome: str = "SUCCESS"
    releases: bool = True
    location: dict[str, Any] = field(default_factory=lambda: {"__typename": "RepositoryLocation"})
    refuses: str | None = None
    seconds_to_launch: float = 0.0
    versions: list[str] = field(default_factory=list)
    unfinished: dict[str, str] = field(default_factory=dict)
    succeeded: dict[str, dict[str, str]] = field(default_factory=dict)  # job → tags of a run that ended well
    launched: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    looked: dict[str, int] = field(default_factory=dict)

    def graphql(self, query: str, variables: dict[str, Any]) -> dict[str, Any]:
        for field_name, answer in (
            ("workspaceOrError", self._workspace),
            ("pipelineOrError", self._pipeline),
            ("runsOrError", self._runs),
            ("launchRun", self._launch),
            ("runOrError", self._run),
        ):
            if f"{field_name}(" in query or f"{field_name} {{" in query:
                return {"data": {field_name: answer(variables)}}
        return {"errors": [{"message": f"no such field in {query}"}]}

    def _workspace(self, _: dict[str, Any]) -> dict[str, Any]:
        entry = {"name": "mlops_assets", "loadStatus": "LOADED", "locationOrLoadError": self.location}
        return {"locationEntries": [entry]}

    def _pipeline(self, _: dict[str, Any]) -> dict[str, Any]:
        return {"partitionKeysOrError": {"partitionKeys": self.partitions}}

    def _runs(self, variables: dict[str, Any]) -> dict[str, Any]:
        asked = variables["filter"]
        if asked["statuses"] == ["SUCCESS"]:
            tags = {tag["key"]: tag["value"] for tag in asked["tags"]}
            return {"results": [{"runId": "over"}] if self.succeeded.get(asked["pipelineName"]) == tags else []}
        run = self.unfinished.get(asked["pipelineName"])
        return {"results": [{"runId": run}] if run else []}

    def _launch(self, variables: dict[str, Any]) -> dict[str, Any]:
        time.sleep(self.seconds_to_launch)
        if self.refuses:
            return {"__typename": "RunConfigValidationInvalid", "errors": [{"message": self.refuses}]}
        params = variables["params"]
        job = params["selector"]["pipelineName"]
        self.launched.append((job, {t["key"]: t["value"] for t in params["executionMetadata"]["tags"]}))
        if job.endswith("_train") and self.releases and self.outcome == "SUCCESS":
            self.versions.append(f"1.0.{len(self.versions) + 1}")
        return {"__typename": "LaunchRunSuccess", "run": {"runId": f"run-of-{job}"}}

    def _run(self, variables: dict[str, Any]) -> dict[str, Any]:
        """In progress at the first look, over at the second."""
        looks = self.looked[variables["run"]] = self.looked.get(variables["run"], 0) + 1
        over = looks > 1
        step = {
            "stepKey": "raw_data",
            "status": self.outcome if over else "IN_PROGRESS",
            "startTime": 10.0,
            "endTime": 14.0 if over else None,
        }
        return {"__typename": "Run", "status": self.outcome if over else "STARTED", "stepStats": [step]}


class RunningServers:
    """The fake behind a real socket."""

    def __init__(self, fake: FakeServers) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                self._answer(fake.graphql(asked["query"], asked["variables"]))

            def do_GET(self) -> None:
                arms = [{"role": "champion", "version": v} for v in fake.versions[-1:]]
                self._answer({"models": {"flight_delay": {"arms": arms}} if arms else {}})

            def _answer(self, body: dict[str, Any]) -> None:
                self.send_response(200)
                self.end_headers()
                self.wfile.write(json.dumps(body).encode())

            def log_message(self, *_: Any) -> None:
                """Quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
