"""A router's HTTP bridge with managers behind it that say what a test wants them to say."""

import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import yaml

ROOT = "obs"


def child(instance_id: str, **more: Any) -> dict[str, Any]:
    """A child state of an agent that is up."""
    return {
        "instance_id": instance_id,
        "agent_class": "FakeDataAgent",
        "target_state": "up",
        "next_action": "up",
        "stability": 1.0,
        "operable": True,
        "restart_required": False,
        **more,
    }


def session(*children: dict[str, Any], status: str = "running", **data: Any) -> dict[str, Any]:
    """The session of a `manager` process."""
    return {
        "session_id": 1,
        "op_name": "manager",
        "status": status,
        "messages": [],
        "success": None,
        "data": {
            "child_states": list(children),
            "config_parse_status": {"[SCF]": [True, 1.0, "fine"]},
            "orphans": {},
            "new_tags": {},
            **data,
        },
    }


class Bridge:
    """The bridge.

    Attributes:
        sessions: What `status` of an operation gives, by manager and operation.
        tasks: What runs when a task is started: by operation, gets manager and parameters,
            gives success, text, and data.
        asked: Everything that was asked: manager, action, operation, parameters, password.
        silent: Managers that do not answer.
    """

    def __init__(self) -> None:
        self.sessions: dict[str, dict[str, Any]] = {}
        self.tasks: dict[str, Callable[[str, dict[str, Any]], tuple[bool, str, Any]]] = {}
        self.asked: list[tuple[str, str, str, dict[str, Any], str | None]] = []
        self.silent: set[str] = set()
        self.released = threading.Event()
        self._count = 100
        bridge = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers["Content-Length"])
                reply = bridge._answer(json.loads(self.rfile.read(length)))
                body = json.dumps(reply).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    def __enter__(self) -> "Bridge":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def stop_listening(self) -> None:
        """Refuse connections from now on."""
        self._server.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/call"

    def hub(self) -> dict[str, Any]:
        return {
            "wamp_server": "ws://127.0.0.1:9/ws",
            "wamp_http": self.url,
            "wamp_realm": "r",
            "address_root": ROOT,
        }

    def write(self, path: Any, **hosts: list[str] | list[dict[str, Any]]) -> None:
        """Write a site file: agents by host, as ids or as entries; each host has a manager."""
        blocks = {}
        for host, entries in hosts.items():
            whole = [
                {"instance-id": e, "agent-class": "FakeDataAgent"} if isinstance(e, str) else e
                for e in entries
            ]
            manager = {"instance-id": f"hm-{host}", "agent-class": "HostManager"}
            blocks[host] = {"agent-instances": [manager, *whole]}
        path.write_text(yaml.safe_dump({"hub": self.hub(), "hosts": blocks}, sort_keys=False))

    def _answer(self, call: dict[str, Any]) -> dict[str, Any]:
        manager = call["procedure"].removeprefix(f"{ROOT}.").removesuffix(".ops")
        action, operation, *params = call["args"]
        given = (params or [{}])[0]
        self.asked.append((manager, action, operation, given, call["kwargs"].get("password")))
        if manager in self.silent:
            self.released.wait(60)
        if manager not in self.sessions:
            return {"error": "wamp.error.no_such_procedure", "args": ["no"], "kwargs": {}}
        known = self.sessions[manager]
        if action == "start":
            if operation not in self.tasks:
                text = f'No task or process called "{operation}"'
                return {"args": [[-1, text, {}]]}
            known[operation] = self._run(manager, operation, given)
        return {"args": [[0, "fine", known.get(operation, {})]]}

    def _run(self, manager: str, operation: str, params: dict[str, Any]) -> dict[str, Any]:
        ok, text, data = self.tasks[operation](manager, params)
        self._count += 1
        return {
            "session_id": self._count,
            "op_name": operation,
            "status": "done",
            "success": ok,
            "messages": [[time.time(), "Status is now 'starting'."], [time.time(), text]],
            "data": data,
        }
