"""A file of 1 GiB that is never held in memory: each block is derived from its number."""
import hashlib

LENGTH = 1 << 30
BLOCK = 1 << 20
SEED = hashlib.shake_256(b"gibibyte").digest(BLOCK)


def block(number):
    """The seed with its number in front: no two blocks are equal, and none costs a hash."""
    return number.to_bytes(8, "big") + SEED[8:]


def sha256():
    """The hash of all of it."""
    whole = hashlib.sha256()
    for number in range(LENGTH // BLOCK):
        whole.update(block(number))
    return whole.hexdigest()


class Pattern:
    """The file, read from any place."""

    def __init__(self):
        self.at = 0

    def __len__(self):
        return LENGTH

    def tell(self):
        return self.at

    def seek(self, offset, whence=0):
        self.at = {0: 0, 1: self.at, 2: LENGTH}[whence] + offset
        return self.at

    def read(self, size=-1):
        if size is None or size < 0:
            size = LENGTH - self.at
        size = min(size, LENGTH - self.at)
        parts = []
        while size > 0:
            number, within = divmod(self.at, BLOCK)
            part = block(number)[within : within + size]
            parts.append(part)
            self.at += len(part)
            size -= len(part)
        return b"".join(parts)
