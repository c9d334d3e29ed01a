#!/usr/bin/env python3
"""A git server for tests: /smart/ speaks git's protocol, /dumb/ hands out files, /slow/ never answers."""
import http.server
import os
import subprocess
import sys
import threading

root = sys.argv[1]


class Handler(http.server.SimpleHTTPRequestHandler):
    def __init__(self, *args):
        super().__init__(*args, directory=root)

    def log_message(self, form, *args):
        with open(f"{root}/log", "a") as log:
            log.write(f"{self.command} {self.path} {self.headers.get('Authorization', '-')}\n")

    def do_POST(self):
        self.do_GET()

    def do_GET(self):
        _, kind, rest = self.path.split("/", 2)
        if kind == "slow":
            self.log_message("")
            threading.Event().wait(60)
        elif kind == "moved":
            self.send_response(302)
            self.send_header("Location", "/dumb/" + rest)
            self.end_headers()
        elif kind == "dumb":
            self.path = "/" + rest
            super().do_GET()
        else:
            self.smart(*(rest.split("?") + [""])[:2])

    def smart(self, path, query):
        env = dict(
            os.environ,
            GIT_PROJECT_ROOT=root,
            GIT_HTTP_EXPORT_ALL="1",
            PATH_INFO="/" + path,
            QUERY_STRING=query,
            REQUEST_METHOD=self.command,
            CONTENT_TYPE=self.headers.get("Content-Type", ""),
            HTTP_CONTENT_ENCODING=self.headers.get("Content-Encoding", ""),
            GIT_PROTOCOL=self.headers.get("Git-Protocol", ""),
        )
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        out = subprocess.run(["git", "http-backend"], input=body, stdout=subprocess.PIPE, env=env).stdout
        head, _, data = out.partition(b"\r\n\r\n")
        self.send_response(200)
        for line in head.decode().splitlines():
            self.send_header(*line.split(": ", 1))
        self.end_headers()
        self.wfile.write(data)


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
server.daemon_threads = True
print(server.server_port, flush=True)
server.serve_forever()
