"""Shares that are lost or damaged on the servers' disks: noticed, read around, and repaired."""

import os

from judge.client import Refused
from judge.containers import cut, flip
from judge.grid import SERVERS, storage_index
from judge.suite import claim, equal, holds, note, until

KINDS = ["chk", "sdmf", "mdmf", "directory"]
SIZE = 200_000


@claim
def deleted_shares_are_missed_and_made_again(grid):
    for kind in KINDS:
        cap, content = _stored(grid.client, kind)
        shares = grid.shares(cap)
        for number in [0, 3, 6, 9]:
            shares[number][1].unlink()
        results = grid.client.check(cap)
        holds(not results["healthy"], f"{kind} is not healthy with four shares deleted")
        equal(results["count-shares-good"], SERVERS - 4, f"good shares of {kind}")
        _repaired(grid, kind, cap, content)


@claim
def damaged_shares_are_named_read_around_and_repaired(grid):
    for kind in KINDS:
        cap, content = _stored(grid.client, kind)
        damaged = {number: grid.shares(cap)[number] for number in [1, 4, 7]}
        for _, path in damaged.values():
            flip(path)
        equal(_read(grid.client, kind, cap), content, f"{kind} with three shares damaged")
        results = grid.client.check(cap)
        holds(not results["healthy"], f"{kind} is not healthy with three shares damaged")
        named = sorted(number for _, _, number in results["list-corrupt-shares"])
        equal(named, sorted(damaged), f"damaged shares of {kind} that are named")
        if kind == "chk":
            # A client never replaces an immutable share: somebody has to take it away.
            for _, path in damaged.values():
                path.unlink()
        _repaired(grid, kind, cap, content)


@claim
def clients_report_the_damage_that_they_meet(grid):
    cap, content = _stored(grid.client, "chk")
    shares = grid.shares(cap)
    for number in range(SERVERS - 3):
        flip(shares[number][1])

    # Which shares a client tries first is chance, but it does not always find the three good ones.
    def reported():
        equal(grid.client.get(cap), content, "a file of which three shares are good")
        return [path for server in grid.servers for path in server.advisories(storage_index(cap))]

    text = until(reported, "a server has a report")[0].read_text()
    holds("type: immutable" in text, f"the report says what is damaged: {text!r}")
    holds(f"storage_index: {storage_index(cap)}" in text, f"the report says where: {text!r}")


@claim
def a_container_cut_short_does_not_harm_the_other_shares(grid):
    for kind in KINDS:
        cap, content = _stored(grid.client, kind)
        # Into the container's own header.
        paths = [grid.shares(cap)[number][1] for number in [2, 5]]
        for path, size in zip(paths, [0, 5], strict=True):
            cut(path, size)
        equal(_read(grid.client, kind, cap), content, f"{kind} with two containers cut short")
        results = grid.client.check(cap)
        equal(results["count-shares-good"], SERVERS - 2, f"good shares of {kind}")
        for path in paths:
            path.unlink()
        _repaired(grid, kind, cap, content)


@claim
def a_file_with_too_few_shares_left_is_refused_and_a_share_put_back_brings_it_back(grid):
    cap, content = _stored(grid.client, "chk")
    paths = [path for _, path in grid.shares(cap).values()]
    kept = paths[0].read_bytes()
    for path in paths[:-2]:
        path.unlink()
    results = grid.client.check(cap)
    holds(not results["recoverable"], f"two shares are too few: {results}")
    try:
        grid.client.get(cap)
    except Refused as error:
        equal(error.status, 410, "the status of a file that is gone")
    else:
        raise AssertionError("two shares make no file")
    paths[0].write_bytes(kept)
    equal(grid.client.get(cap), content, "the file from exactly three shares")


@claim
def a_tree_is_repaired_by_the_command_line(grid):
    client = grid.client
    root, directory = client.mkdir(), client.mkdir("mdmf")
    content = os.urandom(SIZE)
    file = client.put(content)
    client.link(root, "directory", directory)
    client.link(directory, "file", file)
    for cap in [root, directory, file]:
        grid.shares(cap)[3][1].unlink()
    client.tahoe("add-alias", "repair", root)
    said = client.tahoe("deep-check", "--repair", "--verify", "--add-lease", "repair:").decode()
    note(said.replace("\n", "; "))
    for cap in [root, directory, file]:
        client.expect_healthy(cap, "it after a deep repair")
    equal(client.tahoe("get", "repair:directory/file"), content, "the file")


def _stored(client, kind):
    if kind == "directory":
        cap = client.mkdir()
        child = client.put(b"literal")
        client.link(cap, "child", child)
        return cap, {"child": child}
    content = os.urandom(SIZE)
    return client.put(content, kind), content


def _read(client, kind, cap):
    return client.children(cap) if kind == "directory" else client.get(cap)


def _repaired(grid, kind, cap, content):
    done = grid.client.repair(cap)
    holds(done["repair-attempted"] and done["repair-successful"], f"{kind} is repaired: {done}")
    grid.client.expect_healthy(cap, f"{kind} after repair")
    equal(sorted(grid.shares(cap)), list(range(SERVERS)), f"shares of {kind} after repair")
    equal(_read(grid.client, kind, cap), content, f"{kind} after repair")
