"""An app that reads requests as careless servers do, and says in a line of JSON each what it took them for."""

import http.server
import json
import sys
import threading

lock = threading.Lock()


class Careless(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def answer(self):
        body = self.body()
        line = f"{self.command} {self.path}"
        seen = {"line": line, "body": body.decode("latin-1"), "headers": [[name.lower(), value] for name, value in self.headers.items()]}
        with lock:
            print(json.dumps(seen), flush=True)
        text = line.encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(text)

    def body(self):
        # The length wins over chunks, which is what request smuggling lives on.
        length = self.headers.get("Content-Length")
        if length is not None:
            body = self.rfile.read(int(length))
            if len(body) < int(length):
                raise ConnectionError("cut")
            return body
        if "chunked" not in (self.headers.get("Transfer-Encoding") or "").lower():
            return b""
        body = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        while line := self.rfile.readline().strip():
            name, _, value = line.decode("latin-1").partition(":")
            self.headers[name] = value.strip()
        return body

    def __getattr__(self, name):
        if name.startswith("do_"):
            return self.answer
        raise AttributeError(name)

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, address):
        pass


server = Server(("127.0.0.1", 0), Careless)
print(server.server_address[1], flush=True)
# Whoever started this is gone when nothing more comes from him.
threading.Thread(target=lambda: (sys.stdin.read(), server.shutdown()), daemon=True).start()
server.serve_forever()
