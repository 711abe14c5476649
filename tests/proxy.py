"""A TCP proxy before PostgreSQL that counts flights: how often the client waits for the server."""

import select
import socket
from threading import Event, Thread
from typing import Self
from urllib.parse import urlsplit


class CountingProxy:
    """Forwards a port of 127.0.0.1; a flight is the first thing sent after an answer."""

    def __init__(self, database_url: str) -> None:
        parts = urlsplit(database_url)
        self.target = (parts.hostname or "", parts.port or 5432)
        self.listener = socket.create_server(("127.0.0.1", 0))
        port = self.listener.getsockname()[1]
        self.url = database_url.replace(f":{parts.port}/", f":{port}/")
        self.flights = 0
        self.stopping = Event()
        self.threads = [Thread(target=self._accept, daemon=True)]

    def __enter__(self) -> Self:
        self.threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        for thread in self.threads:
            thread.join()
        self.listener.close()

    def _accept(self) -> None:
        while not self.stopping.is_set():
            if select.select([self.listener], [], [], 0.05)[0]:
                client, _ = self.listener.accept()
                thread = Thread(target=self._forward, args=(client,), daemon=True)
                self.threads.append(thread)
                thread.start()

    def _forward(self, client: socket.socket) -> None:
        with client, socket.create_connection(self.target) as server:
            sender = server
            while not self.stopping.is_set():
                for source in select.select([client, server], [], [], 0.05)[0]:
                    data = source.recv(65536)
                    if not data:
                        return
                    if source is client and sender is server:
                        self.flights += 1
                    sender = source
                    (server if source is client else client).sendall(data)
