"""PNGs in less than half of the time that Pillow takes: it tries five filters on every line of pixels, we use none."""

from struct import pack
from zlib import compress, crc32

import numpy as np


def encoded(pixels: np.ndarray) -> bytes:
    """The PNG of pixels (h, w, 3), whole numbers from 0 to 255.

    >>> encoded(np.zeros((2, 3, 3)))[1:4]
    b'PNG'
    """
    height, width, _ = pixels.shape
    lines = np.zeros((height, 1 + 3 * width), np.uint8)  # a line begins with the number of its filter: 0, none
    lines[:, 1:] = pixels.reshape(height, -1)
    header = pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)  # 8 bits per colour; red, green and blue; not interlaced
    chunks = {b"IHDR": header, b"IDAT": compress(lines, 1), b"IEND": b""}
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        pack(">I", len(data)) + kind + data + pack(">I", crc32(kind + data)) for kind, data in chunks.items()
    )
