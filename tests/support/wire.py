"""A wire between the library and PostgreSQL that a test can cut, wherever in a conversation it likes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Literal
from urllib.parse import parse_qs, urlsplit

_CHUNK = 65536
_CANCEL = (16).to_bytes(4, "big") + (80877102).to_bytes(4, "big")
"""The begin of a request to cancel."""


class Wire:
    """A proxy to a server's socket. `dsn` leads through it."""

    def __init__(self, dsn: str) -> None:
        self._given = urlsplit(dsn)
        self._links: set[asyncio.StreamWriter] = set()
        self._clients: set[asyncio.StreamWriter] = set()
        self._half_closed: set[asyncio.StreamWriter] = set()
        self._talks: set[asyncio.Task[None]] = set()
        self._marker: tuple[bytes, Literal["request", "answer", "until later"]] | None = None
        self._later = asyncio.Event()
        self._holding: bytes | None = None
        self._port = 0
        self._silenced: set[asyncio.Event] = set()
        self._silencing: tuple[bytes, Literal["request", "answer"]] | None = None
        self.down = False
        """While it is, every new connection is refused."""
        self.silent = False
        """While it is, every new connection is taken, and nothing that is sent by it goes on or comes back."""
        self.delay = 0.0
        """Seconds by which everything is late, in both directions."""
        self.rate = 0
        """Bytes a second that get through one connection in one direction; 0 for all there are."""
        self.cuts = 0
        """How often a marked conversation was cut."""
        self.silences = 0
        """How often one has fallen silent."""
        self.late_answers = 0
        """How many requests that came later the server has answered."""
        self.held_back = False
        """Whether a request is held back, or was."""
        self.cancels = 0
        """How many requests to cancel the server has taken."""

    @property
    def dsn(self) -> str:
        """The DSN of the same database, through the wire."""
        account, _, _ = self._given.netloc.rpartition("@")
        return self._given._replace(netloc=f"{account}@127.0.0.1:{self._port}", query="").geturl()

    def lead_to(self, dsn: str, *, cut: bool = True) -> None:
        """Lead new connections to another server with the same accounts, and break those there are."""
        self._given = urlsplit(dsn)
        if cut:
            self.cut()

    def half_close(self) -> None:
        """Tell clients that nothing more comes, and go on to take what they send."""
        for client in list(self._clients):
            if not client.is_closing():
                self._half_closed.add(client)
                client.write_eof()

    def cut(self, every: int = 1) -> None:
        """Break all connections there are, or every second, say."""
        for link in list(self._links if every == 1 else self._clients)[::every]:
            link.transport.abort()

    def silence(self) -> None:
        """Let nothing more through on the connections there are, without closing any of them."""
        for silenced in self._silenced:
            silenced.set()

    def lose(self, which: Literal["request", "answer", "until later"], marker: bytes) -> None:
        """Break the next connection that sends this marker.

        It is before the server hears of it, or after it has answered; or the server hears of it when `arrive` is called, long
        after the client has.
        """
        self._marker = (marker, which)

    def hold_back(self, marker: bytes) -> None:
        """Let the next request with this marker be overtaken by all others: the server hears of it when `arrive` is called."""
        self._holding = marker

    def arrive(self) -> None:
        """Let the server hear what it was to hear later."""
        self._later.set()

    def silence_at(self, which: Literal["request", "answer"], marker: bytes) -> None:
        """Let the next connection that sends this marker fall silent, open as it is: before the server hears of it, or after."""
        self._silencing = (marker, which)

    async def serve(self) -> asyncio.Server:
        """Open the wire."""
        server = await asyncio.start_server(self._talk, "127.0.0.1", 0)
        self._port = server.sockets[0].getsockname()[1]
        return server

    async def close(self) -> None:
        """Hang up, and wait until no side talks any more."""
        self.cut()
        if self._talks:
            await asyncio.wait(self._talks)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._talks.add(task)
        task.add_done_callback(self._talks.discard)
        if self.down:
            writer.transport.abort()
            return
        try:
            up_reader, up_writer = await self._server()
        except OSError:  # the server is away: so is the wire
            writer.transport.abort()
            return
        ends = (writer, up_writer)
        self._links.update(ends)
        self._clients.add(writer)
        muted, silenced, cancels = asyncio.Event(), asyncio.Event(), asyncio.Event()
        if self.silent:
            silenced.set()
        self._silenced.add(silenced)
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._ask(reader, up_writer, ends, muted, silenced, cancels))
                both.create_task(self._answer(up_reader, writer, ends, muted, silenced))
            self.cancels += cancels.is_set()
        finally:
            self._links.difference_update(ends)
            self._clients.discard(writer)
            self._half_closed.discard(writer)
            self._silenced.discard(silenced)

    async def _server(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        query = parse_qs(self._given.query)
        if "host" in query:
            port = query.get("port", ["5432"])[0]
            return await asyncio.open_unix_connection(f"{query['host'][0]}/.s.PGSQL.{port}")
        return await asyncio.open_connection(self._given.hostname, self._given.port or 5432)

    async def _lag(self, data: bytes) -> None:
        await asyncio.sleep(self.delay + (len(data) / self.rate if self.rate else 0.0))

    async def _ask(
        self,
        reader: asyncio.StreamReader,
        server: asyncio.StreamWriter,
        ends: tuple[asyncio.StreamWriter, ...],
        muted: asyncio.Event,
        silenced: asyncio.Event,
        cancels: asyncio.Event,
    ) -> None:
        heard = b""
        while data := await _read(reader):
            await self._lag(data)
            if data.startswith(_CANCEL):
                cancels.set()
            if self._holding is not None and self._holding in data:
                self._holding, self.held_back = None, True
                await self._later.wait()
            if self._silencing is not None and self._silencing[0] in data:
                after = self._silencing[1] == "answer"
                self._silencing = None
                self.silences += 1
                silenced.set()
                if after:
                    server.write(data)
            if silenced.is_set():
                continue
            heard = (heard + data)[-2 * _CHUNK :]
            if self._marker is not None and self._marker[0] in heard:
                _, which = self._marker
                self._marker = None
                self.cuts += 1
                if which == "request":
                    break
                if which == "until later":
                    ends[0].transport.abort()
                    await self._later.wait()
                muted.set()
            server.write(data)
        if not muted.is_set():
            _hang_up(ends)

    async def _answer(
        self,
        reader: asyncio.StreamReader,
        client: asyncio.StreamWriter,
        ends: tuple[asyncio.StreamWriter, ...],
        muted: asyncio.Event,
        silenced: asyncio.Event,
    ) -> None:
        while data := await _read(reader):
            await self._lag(data)
            if silenced.is_set() or client in self._half_closed:
                continue
            if not muted.is_set():
                client.write(data)
            elif b"Z\x00\x00\x00\x05I" in data:  # ready for the next query: what was asked has been done
                self.late_answers += self._later.is_set()
                break
        _hang_up(ends)


async def _read(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.read(_CHUNK)
    except ConnectionError:
        return b""


def _hang_up(ends: tuple[asyncio.StreamWriter, ...]) -> None:
    for end in ends:
        end.transport.abort()


@asynccontextmanager
async def wired(dsn: str) -> AsyncGenerator[Wire]:
    """A wire to the database of that DSN."""
    wire = Wire(dsn)
    server = await wire.serve()
    try:
        yield wire
    finally:
        await wire.close()
        server.close()
        await server.wait_closed()
