"""Connections that are not kept for clients who say nothing."""

from __future__ import annotations

from typing import Any


def connections(silence: float) -> Any:
    """uvicorn's HTTP/1.1 protocol, closing what has sent no whole request's head for so long.

    uvicorn itself closes only what falls silent between two requests.
    """
    from uvicorn.protocols.http.h11_impl import H11Protocol

    class Connection(H11Protocol):
        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._requests_seen: Any = None
            self._patience = self.loop.call_later(silence, self._look)

        def connection_lost(self, exc: Exception | None) -> None:
            self._patience.cancel()
            super().connection_lost(exc)

        def _look(self) -> None:
            """Close it if no request is in work and none has come since the last look."""
            idle = self.cycle is None or self.cycle.response_complete
            if idle and self.cycle is self._requests_seen:
                self.transport.close()
                return
            self._requests_seen = self.cycle
            self._patience = self.loop.call_later(silence, self._look)

    return Connection
