"""Damage to files, from a seed: what disks, networks and editors do to bytes."""

from __future__ import annotations

import random
from collections.abc import Iterator


def mutations(content: bytes, count: int, *, seed: int = 0) -> Iterator[bytes]:
    """Yields damaged copies: bytes flipped, overwritten, cut off, taken out, repeated or added."""
    rng = random.Random(seed)
    for _ in range(count):
        damaged = bytearray(content)
        for _ in range(rng.choice((1, 1, 1, 2, 5))):
            at, length = rng.randrange(len(damaged) + 1), rng.choice((1, 1, 2, 4, 16, 200))
            match rng.choice(("flip", "flip", "overwrite", "cut", "remove", "repeat", "insert")):
                case "flip" if at < len(damaged):
                    damaged[at] ^= 1 << rng.randrange(8)
                case "overwrite":
                    damaged[at : at + length] = rng.choice((b"\0", b"\xff", b"9", b"{")) * length
                case "cut":
                    del damaged[at:]
                case "remove":
                    del damaged[at : at + length]
                case "repeat":
                    damaged[at:at] = damaged[at : at + length]
                case _:
                    damaged[at:at] = rng.randbytes(length)
        yield bytes(damaged)
