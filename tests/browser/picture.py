"""Writes a picture to upload: waves of colour, as a PNG, with nothing but the standard library."""

import math
import struct
import sys
import zlib

WIDTH, HEIGHT = 640, 420


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def pixel(x: int, y: int) -> bytes:
    return bytes([
        int(110 + 80 * math.sin(x / 90)),
        int(120 + 70 * math.cos((x + y) / 130)),
        int(150 + 70 * math.sin(y / 70)),
    ])


rows = b"".join(b"\0" + b"".join(pixel(x, y) for x in range(WIDTH)) for y in range(HEIGHT))
header = struct.pack(">IIBBBBB", WIDTH, HEIGHT, 8, 2, 0, 0, 0)
parts = [chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows, 9)), chunk(b"IEND", b"")]
with open(sys.argv[1], "wb") as file:
    file.write(b"\x89PNG\r\n\x1a\n" + b"".join(parts))
