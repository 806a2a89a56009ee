"""The grid that is judged: ten servers, and the clients."""

from concurrent.futures import ThreadPoolExecutor

from allmydata import uri
from allmydata.util.base32 import b2a

from judge.client import Client
from judge.servers import free_ports

SERVERS = 10


class Grid:
    """Servers of one kind in a directory, and clients that know all of them."""

    def __init__(self, directory, kind):
        self.directory = directory
        self.kind = kind
        self.servers = []
        self._clients = []
        self._others = []

    def start(self):
        """Starts the servers and one client."""
        directories = [self.directory / f"server{number}" for number in range(SERVERS)]
        # Making a node of Tahoe-LAFS takes a second of a processor.
        with ThreadPoolExecutor(2) as pool:
            self.servers = list(pool.map(self.kind.make, directories, free_ports(SERVERS)))
        for server in self.servers:
            server.launch()
        for server in self.servers:
            server.listening()
        self.clients(1)

    @property
    def client(self):
        return self._clients[0]

    def clients(self, count):
        """So many clients; those that are missing are started."""
        entries = {}
        for server in self.servers:
            entries |= server.entry()
        numbers = range(len(self._clients), count)
        for number, port in zip(numbers, free_ports(len(numbers)), strict=True):
            client = Client(self.directory / f"client{number}", port, entries, happy=7)
            self._clients.append(client)
            client.launch()
        for number in numbers:
            self._clients[number].connected()
        return self._clients[:count]

    def also(self, process):
        """Keeps a further server or client, to be stopped with the grid."""
        self._others.append(process)
        return process

    def shares(self, cap):
        """A share file of each number that a file has: pairs of a server and a path."""
        found = {}
        for server in self.servers:
            for number, path in server.shares(storage_index(cap)).items():
                found.setdefault(number, (server, path))
        return found

    def explain(self):
        """Prints the last words of the clients, and of every server that has ended."""
        for node in [*self._clients, *self.servers, *self._others]:
            process = node.process
            if process and (isinstance(node, Client) or not process.is_running()):
                print(f"--- {node.name}\n{process.last_words()}", flush=True)

    def stop(self):
        """Ends everything."""
        for node in [*self._clients, *self.servers, *self._others]:
            if node.process and node.process.is_running():
                node.process.kill()


def storage_index(cap):
    """The name of the bucket or slot of a capability, or None if it is literal."""
    index = uri.from_string(cap.encode()).get_storage_index()
    return b2a(index).decode() if index else None
