"""Three process types in one file, with nothing but Python's standard library."""

import os
import signal
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

DYNO = os.environ.get("DYNO", "local")
GREETING = os.environ.get("GREETING", "no GREETING set")


class Page(BaseHTTPRequestHandler):
    def do_GET(self):
        body = f"Hello from {DYNO}: {GREETING}\n".encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def web():
    port = int(os.environ.get("PORT", "5000"))
    server = ThreadingHTTPServer(("0.0.0.0", port), Page)
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    print(f"listening on {port}", flush=True)
    server.serve_forever()
    print("web stopped tidily", flush=True)


def worker():
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    beat = 0
    while not stop.wait(float(os.environ.get("WORKER_PAUSE", "5"))):
        beat += 1
        print(f"{DYNO} did job {beat}", flush=True)
    print("worker stopped tidily", flush=True)


def release():
    with open("/tmp/release.txt", "w", encoding="utf-8") as note:
        note.write(f"{DYNO}\n")
    print(f"release task ran in {DYNO}: {GREETING}", flush=True)


if __name__ == "__main__":
    {"web": web, "worker": worker, "release": release}[sys.argv[1]]()
