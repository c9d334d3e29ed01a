#!/usr/bin/env python3
"""Stands in for the daemon's binary when git calls it as a hook: tells what it sees, waits for the verdict."""
import os
import sys
import time

folder = os.environ["TEST_DIR"]


def tell(name, text):
    with open(f"{folder}/{name}.part", "w") as part:
        part.write(text)
    os.rename(f"{folder}/{name}.part", f"{folder}/{name}")


tell("updates", sys.stdin.read())
tell("name", os.path.basename(sys.argv[0]))
print("the hook is here", flush=True)
lines = [f"{key}={value}" for key, value in os.environ.items()] + [f"PID={os.getpid()}"]
tell("env", "\n".join(lines))
for _ in range(3000):
    if os.path.exists(f"{folder}/verdict"):
        sys.exit(int(open(f"{folder}/verdict").read()))
    time.sleep(0.01)
sys.exit(9)
