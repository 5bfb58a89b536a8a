"""The review page's local server: for this machine alone, behind a token, on the standard library.

What arrives is not trusted: neither the requests (any web page can send some to 127.0.0.1) nor the
rows' texts, which the page only ever shows as text.
"""

from __future__ import annotations

import hmac
import http.server
import json
import logging
import secrets
import sys
from collections.abc import Callable, Iterable, Sequence
from http import HTTPStatus
from importlib import resources
from typing import Any, TypeVar
from urllib.parse import SplitResult, parse_qs, urlsplit

from pydantic import BaseModel, ValidationError

from ...chains.task import Task
from ...store.connection import StoreError
from ...store.store import Store
from .desk import Decision, Desk, Undo

logger = logging.getLogger(__name__)
BODY_LIMIT = 8 * 2**20  # bytes; a 1 MB text of which JSON escapes every character fits
_POLICY = (
    "default-src 'none'; script-src 'nonce-{0}'; style-src 'nonce-{0}'; connect-src 'self'; "
    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
_ALWAYS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
Body = TypeVar("Body", bound=BaseModel)


class ReviewServer(http.server.ThreadingHTTPServer):
    """Serves one desk on 127.0.0.1 until it is shut down; `url` is where a browser goes."""

    daemon_threads = True
    allow_reuse_address = sys.platform != "win32"  # there it would share a port that is taken

    def __init__(self, desk: Desk, *, port: int, token: str) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.desk, self.token = desk, token
        self.hosts = [f"{name}:{self.server_port}" for name in ("127.0.0.1", "localhost")]
        self.url = f"http://{self.hosts[0]}/?token={token}"

    def server_bind(self) -> None:
        """Bind without asking a name server who 127.0.0.1 is, as HTTPServer does."""
        super(http.server.HTTPServer, self).server_bind()
        self.server_name, self.server_port = "127.0.0.1", self.server_address[1]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A window that closes in mid-answer is no error; others are logged without the request."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            logger.exception("review: a request failed")


def serve_review(
    task: Task,
    store: Store,
    entries: Iterable[tuple[str, Sequence[str]]],
    *,
    reviewer: str,
    port: int = 0,
    token: str | None = None,
) -> ReviewServer:
    """The server of a review of `entries` (example id, reasons), bound and not yet serving.

    Call `serve_forever()`, then `shutdown()` from another thread, and `server_close()`. Port 0
    takes a free one. Raises OSError where the port is taken, StoreError.
    """
    desk = Desk(task, store, entries, reviewer=reviewer)
    return ReviewServer(desk, port=port, token=token or secrets.token_urlsafe(24))


class _Refused(Exception):
    """This request is not served: its HTTP status and the reason."""

    def __init__(self, status: HTTPStatus, reason: str) -> None:
        super().__init__(reason)
        self.status, self.reason = status, reason


class _Handler(http.server.BaseHTTPRequestHandler):
    server: ReviewServer
    protocol_version = "HTTP/1.1"
    timeout = 60  # seconds that a silent connection is kept

    def do_GET(self) -> None:
        self._answer({"/": self._page, "/api/next": self._next})

    def do_POST(self) -> None:
        self._answer({"/api/review": self._review, "/api/undo": self._undo})

    def do_other(self) -> None:
        self._refuse(_Refused(HTTPStatus.METHOD_NOT_ALLOWED, "only GET and POST"))

    do_HEAD = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_TRACE = do_CONNECT = do_other

    def _answer(self, routes: dict[str, Callable[[], None]]) -> None:
        try:
            self._check_sender()
            route = routes.get(self._url().path)
            if route is None:
                raise _Refused(HTTPStatus.NOT_FOUND, "there is nothing here")
            self._check_token()
            route()
        except _Refused as refused:
            self._refuse(refused)
        except StoreError as error:
            self._refuse(_Refused(HTTPStatus.SERVICE_UNAVAILABLE, str(error)))

    def _check_sender(self) -> None:
        """Another site's page, or a name that was pointed at this machine, does not get in."""
        hosts = self.headers.get_all("Host", [])
        if len(hosts) != 1 or hosts[0].lower() not in self.server.hosts:
            raise _Refused(HTTPStatus.MISDIRECTED_REQUEST, "this is not the host of this page")
        origins = self.headers.get_all("Origin", [])
        if any(origin.lower() != f"http://{hosts[0].lower()}" for origin in origins):
            raise _Refused(HTTPStatus.FORBIDDEN, "another site's page asks")
        if self.headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin"):
            raise _Refused(HTTPStatus.FORBIDDEN, "another site's page asks")

    def _check_token(self) -> None:
        """In the address of the page, in a header of its calls: a form cannot send that."""
        if self._url().path == "/":
            given = self._asked("token")
        else:
            given = self.headers.get("X-Review-Token", "")
        if not hmac.compare_digest(given.encode("utf-8", "replace"), self.server.token.encode()):
            raise _Refused(
                HTTPStatus.FORBIDDEN, "the token is wrong; open the address that was printed"
            )

    def _url(self) -> SplitResult:
        try:
            return urlsplit(self.path)
        except ValueError:
            raise _Refused(HTTPStatus.BAD_REQUEST, "the address is none") from None

    def _asked(self, name: str) -> str:
        try:
            values = parse_qs(self._url().query, max_num_fields=8).get(name, [""])
        except ValueError:
            raise _Refused(HTTPStatus.BAD_REQUEST, "the query is none") from None
        return values[0]

    def _tab(self) -> str:
        return self.headers.get("X-Review-Tab", "")[:64]

    def _page(self) -> None:
        nonce = secrets.token_urlsafe(16)
        page = page_text(self.server.desk, nonce=nonce)
        policy = {"Content-Security-Policy": _POLICY.format(nonce)}
        self._send(HTTPStatus.OK, page.encode(), "text/html; charset=utf-8", policy)

    def _next(self) -> None:
        self._say(self.server.desk.next(self._tab(), holding=self._asked("holding") or None))

    def _review(self) -> None:
        self._say(self.server.desk.decide(self._tab(), self._body(Decision)))

    def _undo(self) -> None:
        self._say(self.server.desk.undo(self._tab(), self._body(Undo)))

    def _body(self, kind: type[Body]) -> Body:
        if self.headers.get_content_type() != "application/json":
            raise _Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "send application/json")
        if "Transfer-Encoding" in self.headers:
            raise _Refused(HTTPStatus.LENGTH_REQUIRED, "send a Content-Length")
        body = self.rfile.read(self._length())
        try:
            return kind.model_validate_json(body)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(step)[:40] for step in first["loc"]) or "body"
            raise _Refused(HTTPStatus.BAD_REQUEST, f"{where}: {first['msg']}") from None

    def _length(self) -> int:
        lengths = self.headers.get_all("Content-Length", [])
        if not lengths:
            raise _Refused(HTTPStatus.LENGTH_REQUIRED, "send a Content-Length")
        if len(lengths) > 1 or not (lengths[0].isascii() and lengths[0].isdigit()):
            raise _Refused(HTTPStatus.BAD_REQUEST, "the Content-Length is none")
        if len(lengths[0]) > 12 or int(lengths[0]) > BODY_LIMIT:
            raise _Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"at most {BODY_LIMIT} bytes")
        return int(lengths[0])

    def _say(self, data: dict[str, Any]) -> None:
        self._send(HTTPStatus.OK, json.dumps(data).encode(), "application/json")

    def _refuse(self, refused: _Refused) -> None:
        self.close_connection = True  # its body may not have been read
        body = json.dumps({"error": refused.reason}).encode()
        more = {"Connection": "close"}
        if refused.status == HTTPStatus.METHOD_NOT_ALLOWED:
            more["Allow"] = "GET, POST"
        self._send(refused.status, body, "application/json", more)

    def _send(
        self, status: HTTPStatus, body: bytes, kind: str, more: dict[str, str] | None = None
    ) -> None:
        self.send_response(status)
        policy = {"Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'"}
        kinds = {"Content-Type": kind, "Content-Length": str(len(body))}
        for name, value in (_ALWAYS | policy | kinds | (more or {})).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """What the standard library refuses by itself, without repeating what was sent."""
        status = HTTPStatus(code)
        self._refuse(_Refused(status, status.phrase))

    def version_string(self) -> str:
        return "understudy"

    def log_message(self, format: str, *args: Any) -> None:
        """Requests are not logged: their addresses hold the token."""


def page_text(desk: Desk, *, nonce: str) -> str:
    """The page, with its style and script in it; what it shows it fetches."""
    folder = resources.files("understudy.distill.templates")
    page = (folder / "review.html").read_text(encoding="utf-8")
    facts = {"task": desk.task.name, "reviewer": desk.reviewer, "reasoning": desk.task.reasoning}
    for mark, text in {
        "@STYLE@": (folder / "review.css").read_text(encoding="utf-8"),
        "@SCRIPT@": "\n".join(
            (folder / name).read_text(encoding="utf-8")
            for name in ("review_fields.js", "review.js")
        ),
        "@NONCE@": nonce,
        "@FACTS@": json.dumps(facts).replace("<", "\\u003c"),
    }.items():
        page = page.replace(mark, text)
    return page
