"""Mutable files: SDMF, which is one segment, and MDMF, which has segments of 128 KiB."""

import os

from judge.containers import expect_leases
from judge.grid import SERVERS
from judge.suite import claim, equal, holds, note

# Around the segments of MDMF, which the client rounds up so that 3 divides them.
SIZES = [1, 1000, 128 * 1024 - 1, 128 * 1024, 128 * 1024 + 1, 128 * 1024 + 2, 500_000]

LARGE = 10_000_000


@claim
def sdmf_files_of_every_size_are_written_and_overwritten(grid):
    _written_and_overwritten(grid.client, "sdmf")


@claim
def mdmf_files_of_every_size_are_written_and_overwritten(grid):
    _written_and_overwritten(grid.client, "mdmf")


def _written_and_overwritten(client, kind):
    # From each size to the next, so that slots grow and shrink, by little and by much.
    cap = client.put(b"", kind)
    equal(client.get(cap), b"", f"an empty {kind} file")
    for size in [*SIZES, *reversed(SIZES), 0, 300_000]:
        content = os.urandom(size)
        client.write(cap, content)
        equal(client.get(cap), content, f"an {kind} file of {size} bytes")
    client.expect_healthy(cap, f"an {kind} file after many versions")
    note(f"{kind}: sizes {', '.join(map(str, SIZES))}, up and down")


@claim
def parts_of_a_mutable_file_are_written_in_place_and_past_its_end(grid):
    for kind in ["mdmf", "sdmf"]:
        content = bytearray(os.urandom(400_000))
        cap = grid.client.put(bytes(content), kind)
        for offset, size in [
            (0, 1),
            (131_000, 300),
            (399_999, 1),
            (400_000, 50_000),
            (449_990, 20),
        ]:
            part = os.urandom(size)
            content[offset : offset + size] = part
            grid.client.write(cap, part, offset)
            equal(grid.client.get(cap), bytes(content), f"{kind} after {size} bytes at {offset}")
        for begin, end in [(0, 10), (131_070, 131_080), (450_000, 450_010)]:
            equal(
                grid.client.get(cap, (begin, end)), bytes(content[begin:end]), f"a part of {kind}"
            )


@claim
def a_large_mutable_file_is_written_and_overwritten(grid):
    # The client sends each share whole, in one request.
    for kind in ["sdmf", "mdmf"]:
        cap = grid.client.put(os.urandom(100), kind)
        for size in [LARGE, LARGE - 1_000_001, LARGE + 1]:
            content = os.urandom(size)
            grid.client.write(cap, content)
            holds(grid.client.get(cap) == content, f"an {kind} file of {size} bytes comes back")
        grid.client.expect_healthy(cap, f"a large {kind} file")


@claim
def mutable_files_are_written_by_the_command_line(grid):
    for kind in ["sdmf", "mdmf"]:
        cap = (
            grid.client.tahoe("put", f"--format={kind}", "-", stdin=b"first" * 100).decode().strip()
        )
        grid.client.tahoe("put", "-", cap, stdin=b"second")
        equal(grid.client.tahoe("get", cap), b"second", f"an {kind} file")


@claim
def a_mutable_file_has_one_lease_on_each_share_however_often_it_is_written(grid):
    cap = grid.client.put(b"1", "sdmf")
    for content in [b"22", b"333"]:
        grid.client.write(cap, content)
        grid.client.expect_healthy(cap, "a mutable file", add_lease=True)
    shares = grid.shares(cap)
    equal(len(shares), SERVERS, "shares")
    expect_leases([path for _, path in shares.values()], 1)
