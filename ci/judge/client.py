"""A client node of unmodified Tahoe-LAFS 1.20: its web API and its command line."""

import http.client
import json
import time
from urllib.parse import quote

import yaml

from judge.processes import Process, output
from judge.servers import TAHOE
from judge.suite import equal, holds, until


class Refused(Exception):
    """The web API answered with an error."""

    def __init__(self, request, status, text):
        super().__init__(f"{request}: {status}: {text[-2000:]}")
        self.status = status


class Client:
    """A client of some servers, with a gateway on loopback."""

    def __init__(self, directory, port, entries, happy):
        self.directory = directory
        self.port = port
        self.process = None
        self._servers = len(entries)
        options = [f"--webport=tcp:{port}:interface=127.0.0.1", f"--shares-happy={happy}"]
        output([TAHOE, "create-client", *options, directory])
        servers = yaml.safe_dump({"storage": entries})
        (directory / "private" / "servers.yaml").write_text(servers)

    @property
    def name(self):
        return self.directory.name

    def launch(self):
        """Starts it."""
        command = [TAHOE, "run", "--allow-stdin-close", self.directory]
        self.process = Process(command, self.directory.with_suffix(".log"), self.directory.parent)

    def start(self):
        """Starts it and waits until it reaches every server."""
        self.launch()
        self.connected()

    def stop(self):
        self.process.stop()

    def connected(self):
        """Waits until every server has answered it anew."""
        began = time.time()
        until(lambda: self._reached(began) == self._servers, f"{self.name} reaches all servers")

    def _reached(self, since):
        if not self.process.is_running():
            raise AssertionError(f"{self.name} ended: {self.process.last_words()}")
        try:
            servers = json.loads(self.web("GET", "/?t=json"))["servers"]
        except OSError:
            return 0
        return sum(
            server["connection_status"] == "connected" and server["last_received_data"] > since
            for server in servers
        )

    # The web API.

    def web(self, method, path, body=b"", headers=None):
        """Makes a request and returns the answer's body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            # Without it, an error is a page of HTML.
            accept = {"Accept": "text/plain"}
            connection.request(method, path, body, accept | (headers or {}))
            answer = connection.getresponse()
            text = answer.read()
        finally:
            connection.close()
        if answer.status not in (200, 201, 206):
            request = f"{self.name}: {method} {path}"
            raise Refused(request, answer.status, text.decode(errors="replace"))
        return text

    def put(self, content, kind="chk"):
        """Stores a new file and returns its capability."""
        return self.web("PUT", f"/uri?format={kind}", content).decode()

    def write(self, cap, content, offset=None):
        """Replaces a mutable file, or writes into it."""
        at = "" if offset is None else f"?offset={offset}"
        self.web("PUT", f"/uri/{quote(cap)}{at}", content)

    def get(self, cap, span=None):
        """Reads a file, or the bytes from `span[0]` to before `span[1]`."""
        headers = {"Range": f"bytes={span[0]}-{span[1] - 1}"} if span else {}
        return self.web("GET", f"/uri/{quote(cap)}", headers=headers)

    def mkdir(self, kind="sdmf"):
        """Makes a directory and returns its capability."""
        return self.web("POST", f"/uri?t=mkdir&format={kind}").decode()

    def link(self, directory, name, cap):
        """Links something into a directory."""
        self.web("PUT", f"/uri/{quote(directory)}/{quote(name)}?t=uri", cap.encode())

    def children(self, directory):
        """Names and capabilities in a directory."""
        _, listing = json.loads(self.web("GET", f"/uri/{quote(directory)}?t=json"))
        return {
            name: child.get("rw_uri") or child["ro_uri"]
            for name, (_, child) in listing["children"].items()
        }

    def check(self, cap, add_lease=False):
        """Verifies every share of a file or directory, and returns what was found."""
        path = f"/uri/{quote(cap)}?t=check&verify=true&output=JSON"
        found = self.web("POST", path + ("&add-lease=true" if add_lease else ""))
        return json.loads(found)["results"]

    def expect_healthy(self, cap, what, add_lease=False):
        """Fails unless every share of a file or directory is there, once, and verified."""
        results = self.check(cap, add_lease)
        holds(results["healthy"], f"{what} is healthy: {results}")
        equal(results["count-shares-good"], results["count-shares-expected"], f"shares of {what}")

    def repair(self, cap):
        """Verifies and repairs a file or directory, and returns what was found and done."""
        path = f"/uri/{quote(cap)}?t=check&verify=true&repair=true&output=JSON"
        return json.loads(self.web("POST", path))

    # The command line.

    def tahoe(self, *arguments, stdin=b""):
        """Runs a command of the command line and returns what it printed, as bytes."""
        return output([TAHOE, "-d", self.directory, *arguments], stdin)


# For one request; the largest file takes some ten seconds on a slow machine.
PATIENCE = 20
