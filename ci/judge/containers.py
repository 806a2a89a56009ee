"""Share files as Tahoe-LAFS's own classes see them, and damage to them."""

import struct
import time

from allmydata.storage.mutable import MutableShareFile
from allmydata.storage.shares import get_share_file

from judge.suite import equal, holds


def expect_leases(paths, count):
    """Fails unless every share file has so many leases, all of them for 31 days from now."""
    for path in paths:
        found = list(get_share_file(str(path)).get_leases())
        equal(len(found), count, f"leases of {path}")
        for lease in found:
            days = (lease.get_expiration_time() - time.time()) / 86400
            holds(30.9 < days <= 31.0, f"a lease of {path} ends in {days:.2f} days")


def flip(path):
    """Changes one bit of the first block of a share."""
    offset = _block_offset(path)
    with open(path, "r+b") as file:
        file.seek(offset)
        (byte,) = file.read(1)
        file.seek(offset)
        file.write(bytes([byte ^ 1]))


def cut(path, size):
    """Cuts a share file short."""
    with open(path, "r+b") as file:
        file.truncate(size)


def _block_offset(path):
    """Where the blocks begin in a share file: the share's own header says it."""
    share = get_share_file(str(path))
    if isinstance(share, MutableShareFile):
        start = share.DATA_OFFSET
        (header,) = share.readv([(0, 200)])
        # allmydata/mutable/layout.py: HEADER of SDMF, MDMFHEADER.
        place = (">L", 87) if header[0] == 0 else (">Q", 99)
    else:
        start = share._data_offset
        header = share.read_share_data(0, 200)
        # allmydata/immutable/layout.py: version 1, which all but huge files have.
        equal(header[:4], b"\0\0\0\1", f"the layout of {path}")
        place = (">L", 0x0C)
    return start + struct.unpack_from(place[0], header, place[1])[0]
