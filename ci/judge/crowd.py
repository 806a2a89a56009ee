"""Five clients at once."""

import os
from concurrent.futures import ThreadPoolExecutor

from judge.client import Refused
from judge.containers import expect_leases
from judge.grid import SERVERS
from judge.suite import claim, equal, holds, note

CLIENTS = 5
SIZES = [57, 1000, 10_000, 150_000, 2_000_000]


@claim
def five_clients_at_once_each_store_and_change_and_read_what_another_stored(grid):
    clients = grid.clients(CLIENTS)
    stored = _at_once(clients, _store)
    # Each reads what its neighbour stored.
    neighbours = stored[1:] + stored[:1]
    _at_once(zip(clients, neighbours, strict=True), _read_all)
    note(f"{CLIENTS} clients, each {len(SIZES)} files, 2 mutable files, 1 directory")


def _store(client):
    """Stores files of every kind, and returns the capability and content of each."""
    stored = []
    for size in SIZES:
        content = os.urandom(size)
        stored.append((client.put(content), content))
    directory = client.mkdir()
    for kind in ["sdmf", "mdmf"]:
        cap = client.put(os.urandom(500), kind)
        client.link(directory, kind, cap)
        for size in [3000, 200_000, 10]:
            content = os.urandom(size)
            client.write(cap, content)
        stored.append((cap, content))
    equal(sorted(client.children(directory)), ["mdmf", "sdmf"], "a directory")
    return stored


def _read_all(pair):
    client, stored = pair
    for cap, content in stored:
        equal(client.get(cap), content, f"{len(content)} bytes read by {client.name}")
        client.expect_healthy(cap, f"what {client.name} reads")


@claim
def the_same_file_uploaded_by_five_clients_at_once_is_stored(grid):
    # They share a convergence secret, so that their shares are the same too. A server takes each
    # share from one of them at a time; who comes too late may be told that there is no room.
    secret = (grid.client.directory / "private" / "convergence").read_text()
    clients = grid.clients(CLIENTS)
    for client in clients[1:]:
        (client.directory / "private" / "convergence").write_text(secret)
        client.stop()
    for client in clients[1:]:
        client.launch()
    for client in clients[1:]:
        client.connected()
    for size in [1000, 500_000, 3_000_000]:
        content = os.urandom(size)
        answers = _at_once([(client, content) for client in clients], _try_put)
        caps = [cap for cap in answers if cap]
        note(f"{size} bytes: {len(caps)} of {CLIENTS} had room")
        if not caps:
            # Each took some of the servers, and gave them back.
            caps = [grid.client.put(content)]
        equal(len(set(caps)), 1, "different capabilities of one file")
        results = grid.client.check(caps[0])
        equal(results["count-corrupt-shares"], 0, "corrupt shares")
        equal(results["count-shares-good"], SERVERS, "good shares")
        equal(clients[-1].get(caps[0]), content, "the file")


def _try_put(pair):
    client, content = pair
    try:
        return client.put(content)
    except Refused as error:
        holds("UploadUnhappinessError" in str(error), f"only room is missing: {error}")
        return None


@claim
def five_clients_have_five_leases_on_each_share_and_a_slot_grows_under_them(grid):
    # A slot has room for four leases in front of its data; the fifth is behind it and has to move.
    clients = grid.clients(CLIENTS)
    for kind in ["chk", "sdmf", "mdmf"]:
        cap = grid.client.put(os.urandom(3000), kind)
        paths = [path for _, path in grid.shares(cap).values()]
        equal(len(paths), SERVERS, "shares")
        for client in clients:
            client.check(cap, add_lease=True)
        expect_leases(paths, CLIENTS)
        if kind == "chk":
            continue
        for writer, size in zip(clients, [4000, 100, 200_000, 500_000, 1], strict=True):
            content = os.urandom(size)
            writer.write(cap, content)
            equal(clients[0].get(cap), content, f"an {kind} file of {size} bytes")
        expect_leases(paths, CLIENTS)
        grid.client.expect_healthy(cap, f"an {kind} file with five leases")


def _at_once(items, work):
    with ThreadPoolExecutor(CLIENTS) as pool:
        return list(pool.map(work, items))
