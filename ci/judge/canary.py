"""Promises that are broken on purpose: a judge that does not notice is worth nothing."""

import os

from judge.containers import expect_leases, flip
from judge.suite import claim, equal, fails


@claim
def a_broken_promise_is_noticed(grid):
    for kind in ["chk", "sdmf"]:
        _noticed(grid, kind)


def _noticed(grid, kind):
    client = grid.client
    content = os.urandom(5000)
    lost, damaged = client.put(content, kind), client.put(content[1:], kind)
    _, path = grid.shares(lost)[0]
    fails(lambda: expect_leases([path], 2), f"a lease too few on a share of {kind}")
    path.unlink()
    fails(lambda: client.expect_healthy(lost, "a file"), f"a share of {kind} that is lost")
    flip(grid.shares(damaged)[0][1])
    fails(lambda: client.expect_healthy(damaged, "a file"), f"a damaged share of {kind}")
    fails(lambda: equal(client.get(damaged), content, "a file"), "another file than expected")
