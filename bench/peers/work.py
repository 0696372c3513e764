"""What the peers in Python compute; knows nothing of a server. Each is a plain blocking function."""

import time


def add(a: int, b: int) -> int:
    return a + b


def mix(n: int) -> int:
    """The work that takes native code about 1 ms: n steps of a xorshift generator."""
    x = 1
    for _ in range(n):
        x ^= (x << 13) & 0xFFFFFFFF
        x ^= x >> 17
        x ^= (x << 5) & 0xFFFFFFFF
    return x


def sleep(seconds: float) -> str:
    time.sleep(seconds)
    return f"Awake! {int(time.time())}"


def loop(seconds: float) -> str:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass
    return "done"


def hello() -> str:
    return f"Hello, world {int(time.time())}"
