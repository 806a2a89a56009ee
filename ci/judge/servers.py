"""Storage servers: `tahoed`, and Tahoe-LAFS's own as the measure of this very program.

Both are known to a client only by their entry in its `private/servers.yaml`, with a NURL:
everything goes over GBS, nothing over Foolscap, and there is no introducer.
"""

import os
import signal
import socket
import sys
from pathlib import Path

import yaml
from allmydata.storage.http_server import build_nurl
from cryptography.x509 import load_pem_x509_certificate

from judge.processes import Process, output
from judge.suite import holds, until

TAHOE = Path(sys.executable).parent / "tahoe"


class Server:
    """A storage server in a directory of its own."""

    def __init__(self, directory, port):
        self.directory = directory
        self.port = port
        self.process = None

    @property
    def name(self):
        return self.directory.name

    @property
    def store(self):
        return self.directory / "storage"

    def launch(self):
        """Starts it."""
        log = self.directory.with_suffix(".log")
        self.process = Process(self.command(), log, self.directory.parent)

    def listening(self):
        """Waits until it accepts connections."""
        until(self._answers, f"{self.name} listens")

    def start(self):
        """Starts it and waits until it accepts connections."""
        self.launch()
        self.listening()

    def _answers(self):
        if not self.process.is_running():
            raise AssertionError(f"{self.name} did not start: {self.process.last_words()}")
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        except OSError:
            return False
        return True

    def stop(self):
        """Ends it as an operator does."""
        code = self.process.stop()
        holds(code in self.exit_codes, f"{self.name} stops orderly: exit code {code}")

    def kill(self):
        """Ends it without a warning."""
        self.process.kill()

    def bucket(self, storage_index):
        """The directory of a bucket or slot in any of the three layouts, or None."""
        first, second = storage_index[:2], storage_index[2:4]
        shares = self.store / "shares"
        places = [shares, shares / first, shares / first / second]
        found = [place / storage_index for place in places if (place / storage_index).is_dir()]
        if len(found) > 1:
            raise AssertionError(f"{self.name} has a bucket twice: {found}")
        return found[0] if found else None

    def shares(self, storage_index):
        """The share files of a bucket or slot, by share number."""
        bucket = self.bucket(storage_index)
        files = bucket.iterdir() if bucket else []
        return {int(path.name): path for path in files if path.name.isdigit()}

    def receiving(self):
        """How many shares are on their way in."""
        incoming = self.store / "shares" / "incoming"
        return sum(len(files) for _, _, files in os.walk(incoming))

    def advisories(self, storage_index):
        """Reports of damage to a share that clients have sent."""
        return list((self.store / "corruption-advisories").glob(f"*--{storage_index}-*"))


class Tahoed(Server):
    """This project's server."""

    program = None
    exit_codes = [0]

    @classmethod
    def make(cls, directory, port):
        """A new server with an empty store."""
        address = f"127.0.0.1:{port}"
        # Ten servers on a disk that may be small and nearly full.
        where = ["--listen", address, "--location", address, "--journal-size", "8MiB"]
        output([cls.program, "init", directory, *where])
        configure(directory / "tahoed.toml", {'#reserved_space = "1G"': "reserved_space = 0"})
        return cls(directory, port)

    @classmethod
    def adopt(cls, node):
        """The successor of a node of Tahoe-LAFS that has stopped, in its directory."""
        output([cls.program, "adopt", node.directory])
        return cls(node.directory, node.port)

    def make_read_only(self):
        """Lets it take no new shares from its next start on."""
        configure(self.directory / "tahoed.toml", {"#read_only = false": "read_only = true"})

    def migrate(self, layout):
        """Moves its store to another layout; it must not run."""
        tahoectl = Path(self.program).with_name("tahoectl")
        output([tahoectl, "migrate", self.store, "--to", layout])
        version = (self.store / "version").read_text()
        holds(version == f"bucketfs 1\nlayout {layout}\n", f"the store is {layout}: {version}")

    def command(self):
        return [self.program, "run", self.directory]

    def entry(self):
        """Its part of a client's `servers.yaml`."""
        return yaml.safe_load(output([self.program, "servers-yaml", self.directory]))["storage"]


class TahoeServer(Server):
    """A storage node of Tahoe-LAFS 1.20."""

    # Twisted ends of the signal, after it has done all that there is to do.
    exit_codes = [0, -signal.SIGTERM]

    @classmethod
    def make(cls, directory, port):
        """A new server with an empty store."""
        where = [f"--port=tcp:{port}:interface=127.0.0.1", f"--location=tcp:127.0.0.1:{port}"]
        output([TAHOE, "create-node", "--webport=none", *where, directory])
        configure(directory / "tahoe.cfg", {"reserved_space = 1G": "reserved_space = 0"})
        return cls(directory, port)

    @classmethod
    def adopt(cls, node):
        """The node itself, as its own successor."""
        return cls(node.directory, node.port)

    def make_read_only(self):
        """Lets it take no new shares from its next start on."""
        configure(self.directory / "tahoe.cfg", {"#readonly =": "readonly = true"})

    def migrate(self, layout):
        """It has one layout only, and keeps it."""

    def command(self):
        return [TAHOE, "run", "--allow-stdin-close", self.directory]

    def entry(self):
        """Its part of a client's `servers.yaml`.

        The node itself tells it only to an introducer; everything in it is in the node's files once
        the node has run.
        """
        furl = (self.directory / "private" / "storage.furl").read_text().strip()
        tub_id = (self.directory / "my_nodeid").read_text().strip()
        public_key = (self.directory / "node.pubkey").read_text().strip()
        certificate = load_pem_x509_certificate((self.directory / "private/node.pem").read_bytes())
        swissnum = furl.rsplit("/", 1)[1]
        nurl = build_nurl("127.0.0.1", self.port, swissnum, certificate)
        seed = (self.directory / "permutation-seed").read_text().strip()
        announcement = {
            "nickname": self.name,
            "anonymous-storage-FURL": f"pb://{tub_id}@unused/unused",
            "anonymous-storage-NURLs": [nurl.to_text()],
            "permutation-seed-base32": seed,
        }
        return {public_key.removeprefix("pub-"): {"ann": announcement}}


def configure(path, replacements):
    """Replaces lines of a configuration file, all of which it must have."""
    text = path.read_text()
    for line, replacement in replacements.items():
        if line not in text:
            raise AssertionError(f"{path} has no line {line!r}")
        text = text.replace(line, replacement)
    path.write_text(text)


def free_ports(count):
    """Ports of loopback that nobody listens on."""
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [listener.getsockname()[1] for listener in held]
    for listener in held:
        listener.close()
    return ports
