#!/usr/bin/env python3
"""Stands in for ssh: git's bytes go to a socket; what comes back is framed as stdout, stderr or the exit code."""
import os
import socket
import struct
import sys
import threading

link = socket.socket(socket.AF_UNIX)
link.connect(os.environ["TEST_FRONT"])
link.sendall(f"{os.environ.get('GIT_PROTOCOL', '')}\t{sys.argv[-1]}\n".encode())


def send():
    while chunk := os.read(0, 65536):
        link.sendall(chunk)
    link.shutdown(socket.SHUT_WR)


threading.Thread(target=send, daemon=True).start()
frames = link.makefile("rb")
while head := frames.read(5):
    kind, size = struct.unpack(">BI", head)
    data = frames.read(size)
    if kind == 3:
        os._exit(data[0])
    while data:
        data = data[os.write(kind, data):]
os._exit(255)
