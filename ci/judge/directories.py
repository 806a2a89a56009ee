"""Directories, by the command line: what people do with a grid."""

import json
import os

from judge.suite import claim, equal, holds, note


@claim
def directories_are_made_filled_listed_and_changed_by_the_command_line(grid):
    tahoe = grid.client.tahoe
    content = os.urandom(2000)
    tahoe("create-alias", "work")
    tahoe("mkdir", "work:plain")
    tahoe("mkdir", "--format=mdmf", "work:plain/deep")
    tahoe("put", "-", "work:plain/file", stdin=content)
    tahoe("put", "--format=mdmf", "-", "work:plain/deep/mutable", stdin=b"changes")
    equal(_listed(tahoe, "work:"), ["plain"], "the root")
    equal(_listed(tahoe, "work:plain"), ["deep", "file"], "a directory")

    tahoe("ln", "work:plain/file", "work:other name \u00e9")
    tahoe("mv", "work:plain/file", "work:plain/deep/moved")
    equal(_listed(tahoe, "work:"), ["other name \u00e9", "plain"], "the root after ln")
    equal(_listed(tahoe, "work:plain"), ["deep"], "where a file was moved away")
    equal(_listed(tahoe, "work:plain/deep"), ["moved", "mutable"], "where it was moved to")
    equal(tahoe("get", "work:other name \u00e9"), content, "the file by its second name")
    equal(tahoe("get", "work:plain/deep/moved"), content, "the file where it was moved to")

    tahoe("unlink", "work:other name \u00e9")
    tahoe("unlink", "work:plain/deep/mutable")
    equal(_listed(tahoe, "work:"), ["plain"], "the root after unlink")
    equal(_listed(tahoe, "work:plain/deep"), ["moved"], "a directory after unlink")

    said = tahoe("deep-check", "--verify", "--add-lease", "work:").decode()
    holds("4 objects checked, 4 healthy" in said, f"tahoe deep-check says {said!r}")
    paths = [line.split(" ", 1)[1] for line in tahoe("manifest", "work:").decode().splitlines()]
    equal(sorted(paths), ["", "plain", "plain/deep", "plain/deep/moved"], "the manifest")
    stats = json.loads(tahoe("stats", "--raw", "work:"))
    equal(stats["count-directories"], 3, "directories")
    equal(stats["size-immutable-files"], len(content), "bytes of immutable files")


def _listed(tahoe, path):
    return tahoe("ls", path).decode().splitlines()


@claim
def a_tree_is_copied_to_the_grid_and_back(grid):
    source, target = grid.directory / "tree", grid.directory / "tree-back"
    files = {
        "a": os.urandom(1000),
        "b/c": os.urandom(200_000),
        "b/d/e": b"literal",
        "b/d/f": os.urandom(56),
    }
    for name, content in files.items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes(content)
    grid.client.tahoe("create-alias", "tree")
    grid.client.tahoe("cp", "-r", source, "tree:")
    grid.client.tahoe("cp", "-r", "tree:", target)
    for name, content in files.items():
        equal((target / "tree" / name).read_bytes(), content, name)


@claim
def a_directory_of_a_hundred_files_keeps_all_of_them(grid):
    client = grid.client
    for kind in ["sdmf", "mdmf"]:
        directory = client.mkdir(kind)
        caps = {f"{number:03}": client.put(f"literal {number}".encode()) for number in range(100)}
        entries = {name: ["filenode", {"ro_uri": cap}] for name, cap in caps.items()}
        client.web("POST", f"/uri/{directory}?t=set_children", json.dumps(entries).encode())
        equal(client.children(directory), caps, f"children of an {kind} directory")
        client.link(directory, "100", caps["000"])
        client.web("DELETE", f"/uri/{directory}/050")
        names = sorted(client.children(directory))
        equal(len(names), 100, "children after one more and one less")
        holds("100" in names and "050" not in names, "the right ones")
        client.expect_healthy(directory, f"an {kind} directory")
    note("100 children in an SDMF and an MDMF directory")
