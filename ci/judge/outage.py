"""A server that is killed and started again in the middle of everything."""

import os
from concurrent.futures import ThreadPoolExecutor
from threading import Event

from judge.client import Refused
from judge.grid import SERVERS
from judge.suite import claim, equal, holds, note, until

UPLOADS = 3
SIZE = 8_000_000
KILLS = 3


@claim
def a_server_killed_in_the_middle_of_uploads_and_started_at_once_loses_nothing(grid):
    _killed_during_uploads(grid, lambda server: server.start())


@claim
def a_server_killed_in_the_middle_of_uploads_and_started_later_loses_nothing(grid):
    _killed_during_uploads(grid, lambda server: None)


def _killed_during_uploads(grid, at_once):
    client, victim = grid.client, grid.servers[4]
    acknowledged = {}
    for kind, size in [("chk", 1000), ("chk", 300_000), ("sdmf", 2000), ("mdmf", 300_000)]:
        content = os.urandom(size)
        acknowledged[client.put(content, kind)] = content
    # A server may keep what the last kill has left, for the client to resume.
    before = victim.receiving()
    with ThreadPoolExecutor(UPLOADS) as pool:
        contents = [os.urandom(SIZE) for _ in range(UPLOADS)]
        uploads = [pool.submit(client.put, content) for content in contents]
        until(lambda: victim.receiving() == before + UPLOADS, "all uploads are on their way")
        victim.kill()
        at_once(victim)
        uploaded = {
            upload.result(): content for upload, content in zip(uploads, contents, strict=True)
        }
    if not victim.process.is_running():
        victim.start()
    client.connected()

    # What was acknowledged before is whole, on the victim too.
    for cap, content in acknowledged.items():
        client.expect_healthy(cap, "what was acknowledged before the kill")
        equal(client.get(cap), content, "what was acknowledged before the kill")
    # Of the rest, each share is there and whole, or is not there.
    for cap, content in uploaded.items():
        holds(client.get(cap) == content, "a file uploaded during the kill comes back")
        results = client.check(cap)
        equal(results["count-corrupt-shares"], 0, "corrupt shares after the kill")
        note(f"{results['count-shares-good']} of {SERVERS} shares of a file uploaded meanwhile")
        client.repair(cap)
        client.expect_healthy(cap, "what is repaired")


@claim
def a_server_killed_while_slots_are_written_keeps_them_whole(grid):
    client, victim = grid.client, grid.servers[7]
    caps = [client.put(_version(0), kind) for kind in ["sdmf", "mdmf", "sdmf", "mdmf"]]
    written = []
    enough = Event()

    def write(cap):
        number = 0
        while not enough.is_set():
            number += 1
            _write(client, cap, _version(number))
            written.append(number)
        return _version(number)

    with ThreadPoolExecutor(len(caps)) as pool:
        writing = [pool.submit(write, cap) for cap in caps]
        try:
            for _ in range(KILLS):
                before = len(written)
                until(lambda before=before: len(written) > before + 3, "slots are written")
                victim.kill()
                victim.start()
        finally:
            enough.set()
        last = [each.result() for each in writing]
    note(f"{len(written)} writes, {KILLS} kills")
    client.connected()
    for cap, content in zip(caps, last, strict=True):
        equal(client.get(cap), content, "the last version")
        results = client.check(cap)
        equal(results["count-corrupt-shares"], 0, "corrupt shares after the kill")
        client.repair(cap)
        client.expect_healthy(cap, "what is repaired")
        equal(client.get(cap), content, "the last version after repair")


def _version(number):
    # Longer from one to the next, and then short again.
    return b"%07d" % number * (1000 + 300 * (number % 8))


def _write(client, cap, content):
    # A server that vanishes between the client's question and its write is to the client as if
    # somebody else had written.
    for _ in range(5):
        try:
            return client.write(cap, content)
        except Refused as error:
            holds("UncoordinatedWriteError" in str(error), f"an honest refusal: {error}")
            note("a write was refused, and is tried again")
    raise AssertionError("a mutable file can not be written any more")
