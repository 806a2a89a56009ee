"""A store that changes hands: from Tahoe-LAFS's own server to `tahoed`, and back.

One server and a client of it alone, whose `servers.yaml` is written once, from the files of the
Tahoe node. It stays right all the way: key, address, swissnum, and what secrets are made with.
"""

import os

from judge.client import Client
from judge.containers import expect_leases
from judge.grid import storage_index
from judge.servers import TahoeServer, free_ports
from judge.suite import claim, equal, note


@claim
def a_store_of_tahoe_is_adopted_served_and_given_back(grid):
    server_port, client_port = free_ports(2)
    tahoe = grid.also(TahoeServer.make(grid.directory / "legacy", server_port))
    tahoe.start()
    entry = tahoe.entry()
    client = grid.also(Client(grid.directory / "heir", client_port, entry, happy=1))
    client.start()

    stored = Stored(client)
    stored.add("by Tahoe")
    stored.expect_whole()
    tahoe.stop()
    stored.expect_one_lease_each(tahoe)

    successor = grid.also(grid.kind.adopt(tahoe))
    equal(_names(successor.entry()), _names(entry), "the entry of the adopted server")
    successor.start()
    client.connected()
    stored.expect_whole()
    stored.change()
    stored.expect_whole()
    stored.add("by its successor")
    stored.renew_leases()
    successor.stop()
    stored.expect_one_lease_each(tahoe)

    before = _shares(successor)
    successor.migrate("two-level")
    equal(_shares(successor), before, "the shares in another layout")
    successor.start()
    client.connected()
    stored.expect_whole()
    stored.change()
    stored.add("in another layout")
    successor.stop()
    stored.expect_one_lease_each(tahoe)
    before = _shares(successor)
    successor.migrate("one-level")
    equal(_shares(successor), before, "the shares in the layout of Tahoe-LAFS")

    tahoe.start()
    client.connected()
    stored.expect_whole()
    stored.renew_leases()
    stored.change()
    stored.add("by Tahoe again")
    stored.expect_whole()
    tahoe.stop()
    stored.expect_one_lease_each(tahoe)
    client.stop()
    note(f"{len(stored.contents)} files and a directory")


class Stored:
    """What a client has stored, and knows to be there."""

    def __init__(self, client):
        self._client = client
        self._directory = client.mkdir()
        self.contents = {}
        self._names = {}

    def add(self, name):
        """Stores something of every kind."""
        for kind, size in [("chk", 56), ("chk", 400_000), ("sdmf", 2000), ("mdmf", 300_000)]:
            content = os.urandom(size)
            cap = self._client.put(content, kind)
            self.contents[cap] = content
            self._names[f"{kind} of {size} bytes {name}"] = cap
            self._client.link(self._directory, f"{kind} of {size} bytes {name}", cap)

    def change(self):
        """Makes every mutable file longer, and then writes into it."""
        for cap, content in self.contents.items():
            if cap.startswith("URI:CHK"):
                continue
            self._client.write(cap, content + os.urandom(1000))
            self._client.write(cap, b"changed", 500)
            now = self._client.get(cap)
            equal(len(now), len(content) + 1000, "the length of a changed file")
            equal(now[:507], content[:500] + b"changed", "the beginning of a changed file")
            self.contents[cap] = now

    def renew_leases(self):
        """As an owner does now and then."""
        for cap in [self._directory, *self.contents]:
            self._client.expect_healthy(cap, "what is there", add_lease=True)

    def expect_whole(self):
        """Fails unless everything is there, whole and with every share."""
        equal(self._client.children(self._directory), self._names, "the directory")
        for cap, content in self.contents.items():
            equal(self._client.get(cap), content, f"a file of {len(content)} bytes")
            self._client.expect_healthy(cap, "what is there")

    def expect_one_lease_each(self, server):
        """Fails unless the one client has one lease on each share, in the eyes of Tahoe-LAFS."""
        for cap in [self._directory, *self.contents]:
            shares = server.shares(storage_index(cap))
            equal(len(shares), 10, "shares in the store")
            expect_leases(shares.values(), 1)


def _shares(server):
    """The bytes of every share, by its bucket and number, wherever that lies."""
    shares = server.store / "shares"
    files = [path for path in shares.rglob("*") if path.is_file() and path.name.isdigit()]
    return {(path.parent.name, path.name): path.read_bytes() for path in files}


def _names(entry):
    """What of an entry matters to a client; the nickname and the unused rest of the fURL do not."""
    return {
        name: (
            server["ann"]["anonymous-storage-FURL"].split("@")[0],
            server["ann"]["anonymous-storage-NURLs"],
            server["ann"]["permutation-seed-base32"],
        )
        for name, server in entry.items()
    }
