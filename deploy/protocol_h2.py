"""What RFC 9113 and RFC 7541 ask of a server, frame by frame. Part of deploy/protocol-test."""

import contextlib
import socket
import struct

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RESET, SETTINGS, PUSH, PING, GOAWAY, WINDOW, CONTINUATION = range(10)
END_STREAM = ACK = 1
END_HEADERS, PADDED = 4, 8
PATIENCE = 10

# What an error may look like: of the connection it ends the connection, with or without a word; of a stream it may do
# that as well, for a peer may take any error for one of the connection.
CONNECTION, STREAM, FINE = "connection", "stream", "fine"


def frame(kind, flags=0, stream=0, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes((kind, flags)) + struct.pack(">I", stream) + payload


def text(words):
    return bytes((len(words),)) + words.encode()


def block(method="GET", path="/echo", extra=b""):
    """The head of a request, spelt out."""
    fields = {":method": method, ":scheme": "http", ":authority": "app.localhost", ":path": path}
    return b"".join(b"\x00" + text(name) + text(value) for name, value in fields.items()) + extra


def get(stream=1, extra=b"", flags=END_STREAM | END_HEADERS):
    return frame(HEADERS, flags, stream, block(extra=extra))


def post(stream=1):
    return frame(HEADERS, END_HEADERS, stream, block("POST"))


def setting(name, value):
    return struct.pack(">HI", name, value)


def number(value):
    return struct.pack(">I", value)


class Wire:
    """A connection that has said hello."""

    def __init__(self, port, settings=b""):
        self.socket = socket.create_connection(("127.0.0.1", port), PATIENCE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""
        self.send(PREFACE + frame(SETTINGS, payload=settings))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        with contextlib.suppress(ConnectionError):
            self.socket.sendall(data)

    def take(self, count):
        while len(self.buffer) < count:
            try:
                piece = self.socket.recv(65536)
            except ConnectionError:
                piece = b""
            if not piece:
                return None
            self.buffer += piece
        taken, self.buffer = self.buffer[:count], self.buffer[count:]
        return taken

    def frames(self):
        """What comes until the end: kind, flags, stream, payload."""
        while head := self.take(9):
            payload = self.take(int.from_bytes(head[:3], "big"))
            if payload is None:
                return
            if head[3] == SETTINGS and not head[4] & ACK:
                self.send(frame(SETTINGS, ACK))
            yield head[3], head[4], int.from_bytes(head[5:9], "big") & 0x7FFFFFFF, payload

    def outcome(self, stream=1):
        for kind, _, on, payload in self.frames():
            if kind == GOAWAY and payload[4:8] != bytes(4):
                return CONNECTION
            if kind == RESET and on == stream and payload != bytes(4):
                return STREAM
            # 200 is in the static table; 4xx is an answer to what is malformed.
            if kind == HEADERS and on == stream:
                return FINE if payload[0] == 0x88 else STREAM
        return CONNECTION


def cases():
    """Section, what is done, the bytes, what must come of it, on which stream."""
    big = b"\0" * 16385
    yield "3.5", "nothing but the preface and a request", get(), FINE
    yield "4.1", "a frame of an unknown kind", frame(0xEE, 0xFF, 0, b"12345678") + get(), FINE
    yield "4.1", "a reserved bit", frame(PING, 0, 1 << 31, b"12345678") + get(), FINE
    yield "4.2", "a frame that is too large", post() + frame(DATA, END_STREAM, 1, big), STREAM
    yield "4.2", "SETTINGS that are too large", frame(SETTINGS, 0, 0, setting(5, 16384) * 2731), CONNECTION
    yield "4.3", "a header block that is none", frame(HEADERS, 5, 1, b"\xff\xff\xff\xff\xff\xff\xff\xff"), CONNECTION
    opened = frame(HEADERS, END_STREAM, 1, block())
    yield "4.3", "PRIORITY within a head", opened + frame(PRIORITY, 0, 1, b"\0\0\0\0\0"), CONNECTION
    yield "4.3", "another stream's head within a head", opened + get(3), CONNECTION
    yield "4.3", "an unknown frame within a head", opened + frame(0xEE, 0, 1, b"x"), CONNECTION
    yield "5.1", "DATA on an idle stream", frame(DATA, 0, 1, b"x"), CONNECTION
    yield "5.1", "RST_STREAM on an idle stream", frame(RESET, 0, 1, number(8)), CONNECTION
    yield "5.1", "WINDOW_UPDATE on an idle stream", frame(WINDOW, 0, 1, number(1)), CONNECTION
    yield "5.1", "CONTINUATION on an idle stream", frame(CONTINUATION, 4, 1, block()), CONNECTION
    yield "5.1", "DATA behind the end of a stream", frame(HEADERS, 5, 1, block(path="/large")) + frame(DATA, 0, 1, b"x"), "broken"
    yield "5.1", "a head behind the end of a stream", frame(HEADERS, 5, 1, block(path="/large")) + get(), "broken"
    yield "5.1", "DATA behind RST_STREAM", post() + frame(RESET, 0, 1, number(8)) + frame(DATA, 1, 1, b"x") + get(3), "third"
    yield "5.1.1", "an even stream", get(2), CONNECTION
    yield "5.1.1", "a stream behind a later one", post(5) + get(3), CONNECTION
    yield "5.5", "an unknown setting", frame(SETTINGS, 0, 0, setting(0xABCD, 1)) + get(), FINE
    yield "6.1", "DATA on no stream", post() + frame(DATA, 1, 0, b"x"), CONNECTION
    yield "6.1", "more padding than DATA", post() + frame(DATA, END_STREAM | PADDED, 1, b"\x06xxxx"), CONNECTION
    yield "6.1", "padded DATA", post() + frame(DATA, END_STREAM | PADDED, 1, b"\x02ab\0\0"), FINE
    yield "6.2", "a head on no stream", get(0), CONNECTION
    yield "6.2", "more padding than head", frame(HEADERS, 5 | PADDED, 1, b"\xff" + block()), CONNECTION
    yield "6.2", "a padded head", frame(HEADERS, 5 | PADDED, 1, b"\x02" + block() + b"\0\0"), FINE
    yield "6.2", "a head with a priority", frame(HEADERS, 5 | 0x20, 1, b"\0\0\0\0\x0f" + block()), FINE
    yield "6.3", "PRIORITY", frame(PRIORITY, 0, 3, b"\0\0\0\0\x0f") + get(), FINE
    yield "6.3", "PRIORITY on no stream", frame(PRIORITY, 0, 0, b"\0\0\0\0\x0f"), CONNECTION
    yield "6.3", "PRIORITY of a wrong size", post() + frame(PRIORITY, 0, 1, b"\0\0\0\0"), STREAM
    yield "6.4", "RST_STREAM on no stream", frame(RESET, 0, 0, number(8)), CONNECTION
    yield "6.4", "RST_STREAM of a wrong size", post() + frame(RESET, 0, 1, b"\0\0\0"), CONNECTION
    yield "6.5", "SETTINGS that acknowledge and set", frame(SETTINGS, ACK, 0, setting(3, 1)), CONNECTION
    yield "6.5", "SETTINGS on a stream", frame(SETTINGS, 0, 1, b""), CONNECTION
    yield "6.5", "SETTINGS of a wrong size", frame(SETTINGS, 0, 0, b"\0\0\0"), CONNECTION
    yield "6.5.2", "ENABLE_PUSH of 2", frame(SETTINGS, 0, 0, setting(2, 2)), CONNECTION
    yield "6.5.2", "a window beyond the limit", frame(SETTINGS, 0, 0, setting(4, 1 << 31)), CONNECTION
    yield "6.5.2", "frames that are too small", frame(SETTINGS, 0, 0, setting(5, 16383)), CONNECTION
    yield "6.5.2", "frames that are too large", frame(SETTINGS, 0, 0, setting(5, 1 << 24)), CONNECTION
    yield "6.6", "PUSH_PROMISE of a client", post() + frame(PUSH, END_HEADERS, 1, number(2) + block()), CONNECTION
    yield "6.7", "PING on a stream", frame(PING, 0, 1, b"12345678"), CONNECTION
    yield "6.7", "PING of a wrong size", frame(PING, 0, 0, b"123456"), CONNECTION
    yield "6.8", "GOAWAY on a stream", frame(GOAWAY, 0, 1, number(0) * 2), CONNECTION
    yield "6.9", "WINDOW_UPDATE of nothing", frame(WINDOW, 0, 0, number(0)), CONNECTION
    yield "6.9", "WINDOW_UPDATE of nothing on a stream", post() + frame(WINDOW, 0, 1, number(0)), STREAM
    yield "6.9", "WINDOW_UPDATE of a wrong size", frame(WINDOW, 0, 0, b"\0\0\1"), CONNECTION
    yield "6.9.1", "a window that overflows", frame(WINDOW, 0, 0, number(0x7FFFFFFF)) * 2, CONNECTION
    yield "6.9.1", "a stream's window that overflows", post() + frame(WINDOW, 0, 1, number(0x7FFFFFFF)) * 2, STREAM
    yield "6.10", "a head in pieces", frame(HEADERS, 1, 1, block()[:9]) + frame(CONTINUATION, 0, 1, block()[9:20]) + frame(CONTINUATION, 4, 1, block()[20:]), FINE
    yield "6.10", "CONTINUATION on no stream", opened + frame(CONTINUATION, 4, 0, b""), CONNECTION
    yield "6.10", "CONTINUATION of another stream", opened + frame(CONTINUATION, 4, 3, b""), CONNECTION
    yield "6.10", "CONTINUATION of a whole head", post() + frame(CONTINUATION, 4, 1, block()), CONNECTION
    yield "6.10", "CONTINUATION behind DATA", post() + frame(DATA, 0, 1, b"x") + frame(CONTINUATION, 4, 1, b""), CONNECTION
    yield "8.1", "trailers that do not end the stream", post() + frame(HEADERS, END_HEADERS, 1, b"\0" + text("x") + text("y")), STREAM
    hpack = lambda piece: frame(HEADERS, 5, 1, piece)
    yield "RFC 7541 2.3.3", "an index beyond the table", hpack(block(extra=b"\xc6")), CONNECTION
    yield "RFC 7541 4.2", "a table that is too large", hpack(b"\x3f\xe1\xff\x03" + block()), CONNECTION
    yield "RFC 7541 4.2", "a change of the table behind a header", hpack(block() + b"\x20"), CONNECTION
    yield "RFC 7541 5.2", "an end of string within one", hpack(b"\x00\x85\xf2\xb2\x4a\x87\xff\xff\xff\xfa\xff\xff\xff"), CONNECTION
    yield "RFC 7541 6.1", "index 0", hpack(block(extra=b"\x80")), CONNECTION


def expect(wire, expected):
    if expected == "third":
        found = [(kind, on) for kind, _, on, _ in until(wire, 3)]
        assert (HEADERS, 3) in found or (GOAWAY, 0) in found, found
        return
    if expected == "broken":
        # What the answer had begun with may come first.
        kinds = []
        for kind, flags, on, _ in wire.frames():
            kinds.append(kind)
            if kind in (RESET, GOAWAY):
                return
            assert not (kind == DATA and flags & END_STREAM), "the whole answer came"
        return
    outcome = wire.outcome()
    allowed = {FINE: {FINE}, STREAM: {STREAM, CONNECTION}, CONNECTION: {CONNECTION}}[expected]
    assert outcome in allowed, f"{outcome} for {expected}"


def until(wire, stream):
    for heard in wire.frames():
        yield heard
        if heard[2] == stream or heard[0] == GOAWAY:
            return


def checks(check, port):
    for section, name, sent, expected in cases():

        @check(f"HTTP/2 {section}: {name}")
        def _():
            with Wire(port) as wire:
                wire.send(sent)
                expect(wire, expected)

    @check("HTTP/2 3.4: a broken preface")
    def _():
        with socket.create_connection(("127.0.0.1", port), PATIENCE) as raw:
            raw.sendall(b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n")
            answer = raw.recv(100)
            assert not answer or answer.startswith(b"HTTP/1.1 400"), answer

    @check("HTTP/2 5.1.2: more streams than were offered are refused, the others served")
    def _():
        with Wire(port) as wire:
            offered = next(int.from_bytes(p[n + 2 : n + 6], "big") for kind, _, _, p in wire.frames() if kind == SETTINGS for n in range(0, len(p), 6) if p[n : n + 2] == b"\0\3")
            wire.send(b"".join(post(1 + 2 * n) for n in range(offered + 3)))
            refused = set()
            for kind, _, on, payload in wire.frames():
                if kind == RESET:
                    assert payload == number(7), payload
                    refused.add(on)
                assert kind != GOAWAY, payload
                if len(refused) == 3:
                    break
            wire.send(frame(DATA, END_STREAM, 1, b"x"))
            assert wire.outcome() == FINE

    @check("HTTP/2 6.5.3: SETTINGS are acknowledged")
    def _():
        with Wire(port) as wire:
            assert any(kind == SETTINGS and flags & ACK for kind, flags, _, _ in wire.frames())

    @check("HTTP/2 6.7: PING is answered, and its answer is not")
    def _():
        with Wire(port) as wire:
            wire.send(frame(PING, ACK, 0, b"answered") + frame(PING, 0, 0, b"12345678"))
            assert next((flags, payload) for kind, flags, _, payload in wire.frames() if kind == PING) == (ACK, b"12345678")

    @check("HTTP/2 6.9: no more is sent than there is room for, and the rest when there is")
    def _():
        with Wire(port, setting(4, 3)) as wire:
            wire.send(get())
            body = b""
            for kind, flags, _, payload in wire.frames():
                if kind != DATA:
                    continue
                body += payload
                assert len(payload) <= 3, payload
                if flags & END_STREAM:
                    break
                wire.send(frame(WINDOW, 0, 1, number(3)))
            assert body.startswith(b"GET "), body

    @check("HTTP/2 6.9.2: a window may become negative")
    def _():
        with Wire(port, setting(4, 3)) as wire:
            wire.send(get())
            heard = wire.frames()
            assert next(len(payload) for kind, _, _, payload in heard if kind == DATA) == 3
            wire.send(frame(SETTINGS, 0, 0, setting(4, 1)) + frame(WINDOW, 0, 1, number(3)))
            assert next(len(payload) for kind, _, _, payload in heard if kind == DATA) == 1
