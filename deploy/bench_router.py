"""The router beside nginx, HAProxy and Caddy: the same upstream, the same load, the same run. Part of deploy/bench."""

import contextlib
import json
import os
import pathlib
import shutil
import socket
import statistics
import subprocess
import time

from bench_lib import answers, free_port, run, wait_for

SECONDS = 2
TICK = os.sysconf("SC_CLK_TCK")
HOST = "bench.localhost"
PEERS = {"nginx": "nginx", "HAProxy": "haproxy", "Caddy": "caddy"}
WORKERS = os.cpu_count()

NGINX = """
worker_processes {workers}; daemon off; pid {folder}/pid; error_log {folder}/error.log; worker_rlimit_nofile 65536;
events {{ worker_connections 8192; }}
http {{
  access_log off; keepalive_requests 1000000; client_body_temp_path {folder}/b; proxy_temp_path {folder}/p;
  fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s; sendfile on; tcp_nodelay on;
  server_names_hash_max_size 131072; server_names_hash_bucket_size 128; proxy_http_version 1.1;
  map $http_upgrade $connection_upgrade {{ default upgrade; "" ""; }}
  {servers}
}}
"""
PROXIED = (
    'proxy_set_header Connection $connection_upgrade; proxy_set_header Upgrade $http_upgrade; proxy_set_header Host $host; '
    "proxy_set_header X-Forwarded-For $remote_addr; proxy_set_header X-Forwarded-Proto $scheme; "
    "proxy_set_header X-Request-Start $msec; proxy_set_header X-Request-Id $request_id;"
)
HAPROXY = """
global
  nbthread {workers}
  maxconn 8000
  stats socket {folder}/sock mode 600
defaults
  mode http
  timeout connect 5s
  timeout client 75s
  timeout server 60s
  timeout tunnel 1h
  option forwardfor
  http-reuse always
frontend plain
  bind 127.0.0.1:{plain} backlog 4096
  http-request set-header X-Forwarded-Proto http
  {choose}
{secure}
{backends}
"""


class Server:
    """Something to measure: its process, its ports, and how to give it one more route."""

    STDIN = subprocess.DEVNULL

    def __init__(self, name, work, plain, upstream, websockets=None, tls=None, routes=0):
        self.name, self.upstream, self.websockets, self.tls, self.routes = name, upstream, websockets, tls, routes
        self.folder = work / f"{name}-{plain}"
        self.folder.mkdir()
        self.plain, self.secure = plain, free_port(plain + 1)
        self.process = None

    @property
    def hosts(self):
        return [f"app-{number}.localhost" for number in range(self.routes)]

    def start(self):
        self.write()
        log = open(self.folder / "log", "w")
        self.process = subprocess.Popen(self.command(), stdin=self.STDIN, stdout=log, stderr=log, text=True, env={**os.environ, "HOME": str(self.folder)})
        wait_for(lambda: answers(self.secure if self.tls else self.plain), self.name, 120)
        if self.routes:
            wait_for(lambda: status(self.plain, self.hosts[-1]) == 200, f"the last route of {self.name}", 120)

    def stop(self):
        if self.process:
            self.process.terminate()
            self.process.wait(20)

    def write(self):
        pass

    def add_route(self):
        """Makes a route that was not there, and says how long it took until it answered, in milliseconds."""
        self.routes += 1
        name = self.hosts[-1]
        self.prepare()
        # Whoever is still busy with the change before would miss the signal for this one.
        time.sleep(1)
        begin = time.perf_counter()
        self.apply(name)
        wait_for(lambda: status(self.plain, name) == 200, f"a new route of {self.name}", 120)
        return (time.perf_counter() - begin) * 1000

    def prepare(self):
        self.write()

    def pids(self):
        """The process and its children."""
        own = [self.process.pid]
        for folder in pathlib.Path("/proc").iterdir():
            with contextlib.suppress(OSError, ValueError):
                if int((folder / "stat").read_text().rsplit(")", 1)[1].split()[1]) in own:
                    own.append(int(folder.name))
        return own

    def cpu(self):
        """Seconds of CPU so far."""
        total = 0
        for pid in self.pids():
            with contextlib.suppress(OSError):
                words = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
                total += int(words[11]) + int(words[12])
        return total / TICK

    def memory(self):
        """Megabytes that are its own: pages shared between its processes count once."""
        total = 0
        for pid in self.pids():
            with contextlib.suppress(OSError):
                for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                    if line.startswith("Pss:"):
                        total += int(line.split()[1])
        return total / 1024


class Sarsen(Server):
    STDIN = subprocess.PIPE

    def command(self):
        port, upstream = (self.secure if self.tls else self.plain), self.websockets or self.upstream
        words = [self.program, f"127.0.0.1:{port}", f"127.0.0.1:{upstream}"]
        if self.tls:
            words += ["--tls", *self.tls]
        if self.routes:
            words += ["--routes", str(self.routes)]
        return words

    def prepare(self):
        pass

    def apply(self, name):
        self.process.stdin.write(f"{name}\n")
        self.process.stdin.flush()

    def swap(self):
        """What the last change took inside, in milliseconds."""
        lines = [line for line in (self.folder / "log").read_text().splitlines() if line.startswith("swap ")]
        return float(lines[-1].split()[1])


class Nginx(Server):
    def write(self):
        upstream = self.websockets or self.upstream
        pool = f"server 127.0.0.1:{upstream}; keepalive 128; keepalive_requests 1000000;"
        listen = f"listen 127.0.0.1:{self.plain} backlog=4096;"
        if self.tls:
            certificate, key = self.tls
            listen = (
                f"listen 127.0.0.1:{self.secure} ssl backlog=4096; ssl_certificate {certificate}; ssl_certificate_key {key}; "
                "ssl_protocols TLSv1.2 TLSv1.3; ssl_session_cache shared:s:10m;"
            )
        if self.routes:
            servers = f"server {{ {listen.replace(';', ' default_server;', 1)} return 404; }}\n" + "\n".join(
                f"upstream up-{number} {{ {pool} }} server {{ {listen.replace(' backlog=4096', '')} server_name {host}; "
                f"location / {{ proxy_pass http://up-{number}; {PROXIED} }} }}"
                for number, host in enumerate(self.hosts)
            )
        else:
            servers = f"upstream up {{ {pool} }} server {{ {listen} location / {{ proxy_pass http://up; {PROXIED} }} }}"
        (self.folder / "conf").write_text(NGINX.format(workers=WORKERS, folder=self.folder, servers=servers))

    def command(self):
        return ["nginx", "-c", self.folder / "conf", "-p", self.folder]

    def apply(self, name):
        self.process.send_signal(1)


class HAProxy(Server):
    def write(self):
        upstream = self.websockets or self.upstream
        choose, backends, secure = "default_backend up", f"backend up\n  server s 127.0.0.1:{upstream}\n", ""
        if self.tls:
            pem = self.folder / "pem"
            pem.write_text("".join(pathlib.Path(part).read_text() for part in self.tls))
            secure = f"frontend secure\n  bind 127.0.0.1:{self.secure} backlog 4096 ssl crt {pem} alpn http/1.1\n  http-request set-header X-Forwarded-Proto https\n  default_backend up\n"
        if self.routes:
            (self.folder / "map").write_text("".join(f"{host} up-{number}\n" for number, host in enumerate(self.hosts)))
            choose = f"use_backend %[req.hdr(host),host_only,lower,map({self.folder}/map,none)]"
            backends = "backend none\n  http-request return status 404\n" + "".join(
                f"backend up-{number}\n  server s 127.0.0.1:{upstream}\n" for number in range(self.routes)
            )
        text = HAPROXY.format(workers=WORKERS, folder=self.folder, plain=self.plain, choose=choose, secure=secure, backends=backends)
        (self.folder / "conf").write_text(text)

    def command(self):
        return ["haproxy", "-W", "-f", self.folder / "conf"]

    def apply(self, name):
        self.process.send_signal(12)


class Caddy(Server):
    def write(self):
        self.admin = free_port(self.plain + 300)
        upstream = self.websockets or self.upstream
        proxy = f"reverse_proxy 127.0.0.1:{upstream}"
        if self.routes:
            sites = "\n".join(f"http://{host}:{self.plain} {{\n bind 127.0.0.1\n {proxy}\n}}" for host in self.hosts)
        elif self.tls:
            sites = f"https://:{self.secure} {{\n bind 127.0.0.1\n tls {self.tls[0]} {self.tls[1]}\n {proxy}\n}}"
        else:
            sites = f"http://:{self.plain} {{\n bind 127.0.0.1\n {proxy}\n}}"
        (self.folder / "conf").write_text(f"{{\n admin 127.0.0.1:{self.admin}\n auto_https off\n default_sni bench.localhost\n}}\n{sites}\n")

    def command(self):
        return ["caddy", "run", "--adapter", "caddyfile", "--config", self.folder / "conf"]


SERVERS = {"Sarsen": Sarsen, "nginx": Nginx, "HAProxy": HAProxy, "Caddy": Caddy}


def status(port, host):
    """The status of one request for a host; 0 when nobody answers."""
    with contextlib.suppress(OSError, IndexError, ValueError), socket.create_connection(("127.0.0.1", port), timeout=5) as link:
        link.sendall(f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        return int(link.recv(64).split()[1])
    return 0


def in_ms(text):
    unit = text.lstrip("0123456789.")
    return float(text.removesuffix(unit)) * {"us": 0.001, "ms": 1, "s": 1000}[unit]


def wrk(url, connections, host=HOST):
    out = run("wrk", f"-t{min(WORKERS, connections)}", f"-c{connections}", f"-d{SECONDS}s", "--latency", "-H", f"Host: {host}", url)
    words = [line.split() for line in out.splitlines() if line.strip()]
    found = lambda first: next(line[1] for line in words if line[0] == first)
    for line in out.splitlines():
        if "Non-2xx" in line or "Socket errors" in line and "read 0" not in line:
            raise RuntimeError(f"{url}: {line.strip()}")
    total = next(int(line[0]) for line in words if line[1:3] == ["requests", "in"])
    return total, float(found("Requests/sec:")), in_ms(found("50%")), in_ms(found("99%"))


def handshakes(port, kind, version):
    """How many of them four clients make, one after the other each."""
    command = ["openssl", "s_time", "-connect", f"127.0.0.1:{port}", kind, "-time", str(SECONDS), version]
    begin = time.perf_counter()
    clients = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) for _ in range(4)]
    total = 0
    for client in clients:
        out = client.communicate()[0]
        total += next(int(line.split()[0]) for line in out.splitlines() if " connections in " in line and "real" in line)
    return total, total / (time.perf_counter() - begin), None, None


def websockets(program, port):
    out = json.loads(run(program, "load", f"127.0.0.1:{port}", "64", str(SECONDS)))
    return out["messages"], out["messages"] / out["seconds"], out["p50_us"] / 1000, out["p99_us"] / 1000


class Round:
    """What was measured of one server: rates, percentiles, CPU per request."""

    def __init__(self):
        self.rates, self.p50, self.p99, self.cpu, self.memory = [], [], [], [], 0

    def add(self, server, measure):
        before = server.cpu()
        total, rate, p50, p99 = measure(server)
        self.rates.append(rate)
        self.cpu.append((server.cpu() - before) / max(total, 1) * 1e6)
        if p50 is not None:
            self.p50.append(p50)
            self.p99.append(p99)
        self.memory = max(self.memory, server.memory())

    def rate(self):
        return statistics.median(self.rates)

    def text(self):
        parts = [f"{self.rate():,.0f}/s"]
        if self.p50:
            parts.append(f"{statistics.median(self.p50):.2f} / {statistics.median(self.p99):.2f} ms")
        parts += [f"{statistics.median(self.cpu):.0f} µs", f"{self.memory:.0f} MB"]
        return " · ".join(parts)


def compare(servers, rounds, measure):
    """Each server in turn, again and again: whatever else the machine does is shared."""
    results = {server.name: Round() for server in servers}
    for _ in range(rounds):
        for server in servers:
            results[server.name].add(server, measure)
    return results


def ratios(results):
    """Our rate, p99 and CPU as multiples of nginx's."""
    ours, nginx = results["Sarsen"], results["nginx"]
    parts = [f"{ours.rate() / nginx.rate():.2f}× rate"]
    if ours.p99:
        parts.append(f"{statistics.median(ours.p99) / statistics.median(nginx.p99):.2f}× p99")
    parts.append(f"{statistics.median(ours.cpu) / max(statistics.median(nginx.cpu), 0.1):.2f}× CPU")
    return ", ".join(parts)


@contextlib.contextmanager
def running(work, names, start, **what):
    servers = []
    try:
        for number, name in enumerate(names):
            server = SERVERS[name](name, work, free_port(start + number * 10), **what)
            servers.append(server)
            server.start()
        yield servers
    finally:
        for server in servers:
            server.stop()
            shutil.rmtree(server.folder, ignore_errors=True)


def certificate(work):
    cert, key = work / "cert.pem", work / "key.pem"
    run(
        "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=bench.localhost",
        "-addext", "subjectAltName=DNS:bench.localhost,IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:false", "-keyout", key, "-out", cert,
    )
    return str(cert), str(key)


@contextlib.contextmanager
def upstream(work):
    """Two bodies, by an nginx of its own."""
    port, folder = free_port(25000), work / "upstream"
    (folder / "files").mkdir(parents=True)
    (folder / "files" / "index.html").write_text("x" * 1024)
    (folder / "files" / "large").write_bytes(os.urandom(100 * 1024))
    # nginx's workers are nobody in particular.
    for place in (work.parent, work, folder):
        place.chmod(0o755)
    serve = f"open_file_cache max=10; server {{ listen 127.0.0.1:{port} backlog=4096; root {folder}/files; etag off; }}"
    (folder / "conf").write_text(NGINX.format(workers=1, folder=folder, servers=serve))
    process = subprocess.Popen(["nginx", "-c", folder / "conf", "-p", folder], stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: answers(port), "the upstream")
        yield port
    finally:
        process.terminate()
        process.wait(10)


@contextlib.contextmanager
def echo(program):
    port = free_port(25500)
    process = subprocess.Popen([program, "echo", f"127.0.0.1:{port}"])
    try:
        wait_for(lambda: answers(port), "the echo")
        yield port
    finally:
        process.terminate()
        process.wait(10)


def bench(work, runs, programs, names=None):
    """Rows of a table: what, a cell per server, ratios to nginx. `programs` is where the examples of sarsen-router are."""
    Sarsen.program = programs / "route"
    names = names or ["Sarsen", *(name for name, program in PEERS.items() if shutil.which(program))]
    rounds = max(2, runs // 2)
    rows = []

    def row(what, results):
        rows.append([what, *(results[name].text() if name in results else "" for name in names), ratios(results)])
        print(f"       {what}: " + "; ".join(f"{name} {result.text()}" for name, result in results.items()) + f"; {rows[-1][-1]}", flush=True)

    with upstream(work) as port:
        with running(work, names, 26000, upstream=port) as servers:
            # With one connection at a time the slowest answers of each differ tenfold from round to round.
            for connections, times in ((1, 4), (32, 1), (256, 1)):
                row(f"1 KB, {connections} keep-alive connections", compare(servers, rounds * times, lambda s: wrk(f"http://127.0.0.1:{s.plain}/", connections)))
            row("100 KB, 32 keep-alive connections", compare(servers, rounds, lambda s: wrk(f"http://127.0.0.1:{s.plain}/large", 32)))
        with running(work, names, 26000, upstream=port, tls=certificate(work)) as servers:
            row("TLS 1.3, whole handshakes", compare(servers, rounds, lambda s: handshakes(s.secure, "-new", "-tls1_3")))
            # The client has no use for the tickets of TLS 1.3.
            row("TLS 1.2, resumed handshakes", compare(servers, rounds, lambda s: handshakes(s.secure, "-reuse", "-tls1_2")))
            row("TLS, 1 KB, 32 keep-alive connections", compare(servers, rounds, lambda s: wrk(f"https://127.0.0.1:{s.secure}/", 32)))
        program = programs / "websockets"
        with echo(program) as back, running(work, names, 26000, upstream=port, websockets=back) as servers:
            row("websocket echo, 128 bytes, 64 connections", compare(servers, rounds, lambda s: websockets(program, s.plain)))
        few = [name for name in names if name != "Caddy"]
        for routes in (1_000, 10_000):
            with running(work, few, 26000, upstream=port, routes=routes) as servers:
                last = f"app-{routes - 1}.localhost"
                row(f"1 KB, 32 connections, {routes:,} routes", compare(servers, rounds, lambda s: wrk(f"http://127.0.0.1:{s.plain}/", 32, last)))
                took = {server.name: statistics.median([server.add_route() for _ in range(rounds)]) for server in servers}
                inside = next(server.swap() for server in servers if server.name == "Sarsen")
                cells = [f"{took[name]:.1f} ms" if name in took else "" for name in names]
                rows.append([f"one more route beside {routes:,}, until it answers", *cells, f"{took['Sarsen'] / took['nginx']:.2f}× time; the swap alone {inside:.2f} ms"])
                print(f"       {rows[-1]}", flush=True)
    return names, rows
