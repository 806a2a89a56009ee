"""Immutable files."""

import os

from judge.containers import expect_leases
from judge.grid import SERVERS, storage_index
from judge.suite import claim, equal, holds, note

# The largest file that is kept in its capability.
LITERAL_SIZE_MAX = 55

# A segment of the client's, which it rounds up so that 3 divides it.
SEGMENT_SIZE = 1024 * 1024
SEGMENT_SIZE_ROUNDED = 1024 * 1024 + 2

SIZES = [
    56,
    57,
    1000,
    *range(128 * 1024 - 1, 128 * 1024 + 2),
    *range(SEGMENT_SIZE - 1, SEGMENT_SIZE_ROUNDED + 2),
    2 * SEGMENT_SIZE_ROUNDED + 1,
]

LARGE = 20_000_000


@claim
def files_up_to_55_bytes_are_literal_and_stored_nowhere(grid):
    for size in [0, 1, LITERAL_SIZE_MAX]:
        content = os.urandom(size)
        cap = grid.client.put(content)
        equal(storage_index(cap), None, f"the storage index of {size} bytes")
        equal(grid.client.get(cap), content, f"{size} bytes")
    cap = grid.client.put(os.urandom(LITERAL_SIZE_MAX + 1))
    equal(len(grid.shares(cap)), SERVERS, "shares of the first file that is not literal")


@claim
def files_of_every_size_come_back_with_a_share_on_each_server(grid):
    stored = {}
    for size in SIZES:
        content = os.urandom(size)
        stored[grid.client.put(content)] = content
    for cap, content in stored.items():
        equal(grid.client.get(cap), content, f"a file of {len(content)} bytes")
        shares = grid.shares(cap)
        equal(sorted(shares), list(range(SERVERS)), "the share numbers")
        holders = {server.name for server, _ in shares.values()}
        equal(len(holders), SERVERS, "servers that have a share")
    note(f"sizes {', '.join(map(str, SIZES))}")


@claim
def a_file_of_20_MB_comes_back_by_the_command_line(grid):
    source, target = grid.directory / "large", grid.directory / "large-back"
    content = os.urandom(LARGE)
    source.write_bytes(content)
    cap = grid.client.tahoe("put", source).decode().strip()
    grid.client.tahoe("get", cap, target)
    holds(target.read_bytes() == content, "20 MB come back the same")
    grid.client.expect_healthy(cap, "a file of 20 MB")
    for begin, end in [(0, 1), (LARGE - 1, LARGE), (SEGMENT_SIZE - 5, SEGMENT_SIZE + 5)]:
        equal(grid.client.get(cap, (begin, end)), content[begin:end], f"bytes {begin} to {end}")


@claim
def a_file_that_is_there_already_is_stored_once(grid):
    content = os.urandom(5000)
    cap = grid.client.put(content)
    before = grid.shares(cap)
    equal(grid.client.put(content), cap, "the capability of the same file")
    equal(grid.shares(cap), before, "the shares after the second upload")


@claim
def a_fresh_file_is_healthy_to_the_command_line_and_has_one_lease(grid):
    cap = grid.client.put(os.urandom(3000))
    said = grid.client.tahoe("check", "--verify", "--add-lease", cap).decode()
    holds("Healthy" in said, f"tahoe check says {said!r}")
    expect_leases([path for _, path in grid.shares(cap).values()], 1)
