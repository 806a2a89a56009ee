"""A server that takes no new shares."""

import os

from judge.containers import expect_leases
from judge.grid import SERVERS
from judge.suite import claim, equal


@claim
def a_read_only_server_is_passed_over_and_still_serves_what_it_has(grid):
    # It stays read-only for what comes after.
    client, server = grid.client, grid.servers[-1]
    contents = {client.put(content := os.urandom(size)): content for size in [1000, 300_000]}
    server.stop()
    server.make_read_only()
    server.start()
    client.connected()

    for cap, content in contents.items():
        equal(client.get(cap), content, "a file from before")
        client.expect_healthy(cap, "a file from before", add_lease=True)
        shares = grid.shares(cap).values()
        equal(sum(holder is server for holder, _ in shares), 1, "shares on the read-only server")
        expect_leases([path for _, path in shares], 1)
    content = os.urandom(300_000)
    cap = client.put(content)
    equal(client.get(cap), content, "a new file")
    shares = grid.shares(cap)
    equal(sorted(shares), list(range(SERVERS)), "shares of a new file")
    holders = {holder.name for holder, _ in shares.values()}
    equal(holders, {each.name for each in grid.servers[:-1]}, "servers that took them")
    equal(client.put(content), cap, "the same file again")
