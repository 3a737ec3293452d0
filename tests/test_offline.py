"""The network is off in the processes that labs run in, and the refusal says why."""

import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat.v4 import new_code_cell, new_notebook

OFFLINE = Path(__file__).resolve().parent / "offline"
REASON = "the tests run with the network off"
FAR = "192.0.2.1"  # an address reserved for documentation: nobody answers there


def run(code: str) -> subprocess.CompletedProcess:
    """Run ``code`` in a process that starts as a kernel does."""
    environment = dict(os.environ, PYTHONPATH=str(OFFLINE))
    command = [sys.executable, "-c", code]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize(
    "code",
    [
        f"import socket; socket.create_connection(({FAR!r}, 80), 5)",
        f"import socket; socket.socket().connect_ex(({FAR!r}, 80))",
        f"import socket as s; s.socket(s.AF_INET, s.SOCK_DGRAM).sendto(b'x', ({FAR!r}, 80))",
        f"import socket as s; s.socket(s.AF_INET, s.SOCK_DGRAM).sendto(b'x', 0, ({FAR!r}, 80))",
        "import socket; socket.getaddrinfo('example.org', 80)",
        "import urllib.request; urllib.request.urlopen('http://example.org')",
        "import requests; requests.get('http://example.org')",
        f"import asyncio; asyncio.run(asyncio.open_connection({FAR!r}, 80))",
    ],
)
def test_a_process_cannot_reach_another_machine(code):
    result = run(code)
    assert result.returncode != 0
    assert REASON in result.stderr


def test_a_process_can_reach_this_machine():
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"here")

        def log_message(self, *arguments):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for host in ("127.0.0.1", "localhost"):
        address = f"http://{host}:{server.server_port}"
        result = run(f"import urllib.request as r; print(r.urlopen({address!r}).read())")
        assert result.stdout == "b'here'\n", result.stderr
    server.shutdown()


def test_a_kernel_cannot_reach_another_machine(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(OFFLINE))
    lab = new_notebook(
        cells=[new_code_cell(f"import socket\nsocket.create_connection(({FAR!r}, 80), 5)")]
    )
    with pytest.raises(CellExecutionError, match=REASON):
        NotebookClient(lab, kernel_name="python3", timeout=60).execute()
