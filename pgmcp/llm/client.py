"""One question to the configured model: one connection, one request, one answer.

The rule: the whole exchange has one deadline and one size, is made once, goes nowhere but to the
configured host, and whatever the endpoint does ends as a statement or as one ModelError.
"""

from __future__ import annotations

import functools
import http.client
import io
import logging
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from typing import Any

from pgmcp.calls.call import Call
from pgmcp.catalog.catalogue import Catalogue
from pgmcp.config.llm import Llm
from pgmcp.config.values import Host
from pgmcp.errors import ModelError
from pgmcp.llm import prompt, providers
from pgmcp.llm.turns import Turns
from pgmcp.net.outbound import OnResolved
from pgmcp.net.wire import Wire, WireClosedError, WireInterruptedError, WireTimeoutError
from pgmcp.postgres.address import ServerAddress, UnreachableError, open_wire, server_addresses

RESPONSE_BYTES = 256 * 1024
"""Of all that the endpoint sends: the head, interim responses and chunks' sizes included."""
_REFUSAL_BYTES, _DETAIL_CHARS = 2_000, 300

_LATER = "Ask again later, or write the SQL."
_BROKEN = "the model endpoint broke off, or does not speak HTTP"
_OPERATOR = "Write the SQL, or ask the operator to look at the log."
_REFUSALS = {
    400: ("does not take the question", _OPERATOR),
    401: ("does not take the API key", _OPERATOR),
    403: ("does not take the API key", _OPERATOR),
    404: ("does not know the model or the path", _OPERATOR),
    429: ("has had too many questions", _LATER),
    503: ("is overloaded", _LATER),
    529: ("is overloaded", _LATER),
}

_log = logging.getLogger("pgmcp.llm")


class ModelEndpoint:
    """The configured model. For any number of threads.

    `on_resolved` is told where the host is before it is connected to, as `pool.pools` tells.
    """

    def __init__(
        self,
        config: Llm,
        *,
        on_resolved: OnResolved = lambda _host, _addresses: None,
        log_words: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._config = config
        self._log_words = log_words
        self._on_resolved = on_resolved
        self._clock = clock
        self._turns = Turns(config.max_concurrent)

    @property
    def name(self) -> str:
        """Provider and model, for people."""
        return f"{self._config.provider} {self._config.model}"

    @property
    def host(self) -> Host:
        """The one place that it connects to."""
        return self._config.base_url.host

    def sql_for(self, question: str, catalogue: Catalogue, call: Call) -> str:
        """The statement that the model answers with, which no gate has judged yet.

        ModelError when there is none, CallEndedError when the call was cancelled.
        """
        config = self._config
        request = providers.request(
            config.provider,
            config.model,
            prompt.SYSTEM,
            prompt.user_text(question, catalogue),
            config.api_key,
        )
        started = self._clock()
        try:
            answer = self._ask(request, call)
            return prompt.statement(providers.answer(config.provider, answer))
        except ModelError as error:
            detail = error.detail or (error.endpoint_words if self._log_words else "")
            _log.warning(
                "%s gave no SQL after %.1f s: %s%s",
                self.name,
                self._clock() - started,
                error.message,
                self._without_key(f" ({detail})" if detail else ""),
            )
            raise

    def _ask(self, request: providers.ModelRequest, call: Call) -> bytes:
        call.check()
        seconds = min(self._config.timeout_seconds, call.remaining())
        until = self._clock() + seconds
        try:
            with (
                call.waiting,
                self._turns.hold(call, seconds),
                self._connected(until, call) as wire,
            ):
                return self._exchange(wire, request)
        except WireTimeoutError:
            raise ModelError(
                f"the model endpoint did not answer within {round(seconds, 1):g} seconds", _LATER
            ) from None
        except WireInterruptedError:
            call.check()
            raise
        except WireClosedError as error:
            raise ModelError(_BROKEN, _OPERATOR, detail=str(error)) from None
        except http.client.HTTPException as error:
            endpoint_words = f"{type(error).__name__}: {str(error)[:200]!r}"
            raise ModelError(_BROKEN, _OPERATOR, endpoint_words=endpoint_words) from None

    @contextmanager
    def _connected(self, until: float, call: Call) -> Iterator[Wire]:
        """A line to the first of the host's addresses that takes one, until the deadline."""
        try:
            places = server_addresses(self.host, until - self._clock())
        except UnreachableError as error:
            raise _unreachable(str(error)) from None
        self._on_resolved(self.host, [place.address for place in places])
        for number, place in enumerate(places):
            last = number == len(places) - 1
            with (
                closing(open_wire(place, self._clock)) as wire,
                call.on_cancel(wire.interrupt),
            ):
                now = self._clock()
                wire.until = now + (until - now) / (len(places) - number)
                try:
                    wire.connect(place.address)
                except (OSError, WireTimeoutError) as error:
                    if not last:
                        continue
                    if isinstance(error, OSError):
                        raise _unreachable(error.strerror or str(error)) from None
                    raise
                wire.until = until
                if self._config.base_url.tls:
                    _encrypt(wire, self._tls_context, place)
                yield wire
                return

    @functools.cached_property
    def _tls_context(self) -> ssl.SSLContext:
        """Verified against the machine's roots (or those of SSL_CERT_FILE); it costs 17 ms."""
        return ssl.create_default_context()

    def _exchange(self, wire: Wire, request: providers.ModelRequest) -> bytes:
        """The body of the answer to a request; ModelError unless its status is 200."""
        url = self._config.base_url
        connection = http.client.HTTPConnection(url.host.host, url.host.port)
        connection.default_port = 443 if url.tls else 80
        connection.auto_open = 0  # it is never to connect by itself
        connection.sock = _Socket(wire)
        headers = {**request.headers, "Connection": "close"}
        target = providers.target(url.path, request)
        connection.request("POST", target, request.body, headers)
        with connection.getresponse() as response:
            if response.status != 200:
                raise _refused(response)
            body = response.read(RESPONSE_BYTES)
            if response.length:
                raise WireClosedError("the answer is shorter than its Content-Length")
            return body

    def _without_key(self, text: str) -> str:
        key = self._config.api_key
        # cut last, or the beginning of a key could be left
        return (text.replace(key.reveal(), "***") if key else text)[:_DETAIL_CHARS]


def _encrypt(wire: Wire, context: ssl.SSLContext, place: ServerAddress) -> None:
    try:
        wire.start_tls(context, place.name)
    except (ssl.SSLError, ssl.CertificateError) as error:
        reason = getattr(error, "verify_message", None) or error.reason or str(error)
        raise ModelError(
            "the model endpoint's certificate or encryption is no good",
            _OPERATOR,
            detail=f"TLS: {reason}; SSL_CERT_FILE names more certificates to trust",
        ) from None


def _unreachable(reason: str) -> ModelError:
    return ModelError("the model endpoint cannot be reached", _OPERATOR, detail=reason)


def _refused(response: http.client.HTTPResponse) -> ModelError:
    """What to say of a status that is not 200; the endpoint's own words go to the log."""
    endpoint_words = b""
    with suppress(ModelError, WireTimeoutError, WireClosedError, http.client.HTTPException):
        endpoint_words = response.read1(_REFUSAL_BYTES)
    if 300 <= response.status < 400:
        problem, hint = "sends elsewhere, and pgmcp does not follow", _OPERATOR
    else:
        problem, hint = _REFUSALS.get(response.status, ("failed", _LATER))
    return ModelError(
        f"the model endpoint {problem} (HTTP status {response.status})",
        hint,
        endpoint_words=repr(endpoint_words),
    )


class _Socket:
    """What http.client asks of a socket, over a line with a deadline."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def sendall(self, data: bytes) -> None:
        self._wire.send(data)

    def makefile(self, mode: str) -> io.BufferedReader:  # noqa: ARG002 - socket.makefile's
        return io.BufferedReader(_Stream(self._wire))

    def close(self) -> None:
        """Nothing: whoever opened the line closes it."""


class _Stream(io.RawIOBase):
    """What arrives, up to `RESPONSE_BYTES`; then a ModelError."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._remaining = RESPONSE_BYTES

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            data = self._wire.receive(min(len(buffer), 65536))
        except WireClosedError as error:
            if error.__cause__ is not None:
                raise
            return 0
        self._remaining -= len(data)
        if self._remaining < 0:
            raise ModelError("the model endpoint's answer is too large", _OPERATOR)
        buffer[: len(data)] = data
        return len(data)
