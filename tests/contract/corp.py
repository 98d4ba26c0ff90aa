"""The practice WeCom corp on a pretend provider's wire."""

from __future__ import annotations

import json
import socket

from gateway.channels.base import Call
from simulators import wecom
from simulators.wecom import sealed
from tests.contract.dialects import Hand
from tests.contract.provider import Provider, Request, reply


class Corp(wecom.Corp):
    """`now` is a Hand that a test moves."""

    now: Hand

    def __init__(self, provider: Provider, members: set[str]) -> None:
        super().__init__(members, Hand())
        provider.gives_token = self.give_token
        provider.then(self.take)

    def give_token(self, provider: Provider, wire: socket.socket) -> bool:
        return self._reply(provider, wire, provider.token_requests[-1])

    def take(self, provider: Provider, wire: socket.socket) -> bool:
        return self._reply(provider, wire, provider.requests[-1])

    def _reply(self, provider: Provider, wire: socket.socket, request: Request) -> bool:
        return reply(200, json.dumps(self.answer(request)).encode())(provider, wire)


def call(message: str, at_s: float, **how: str) -> Call:
    """A call of WeCom's as the door hands it in."""
    query, body = sealed(message, at_s, **how)
    return Call(query, {}, body, at_s)
