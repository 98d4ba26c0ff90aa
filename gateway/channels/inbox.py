"""`inbox`: a page of this gateway that looks like a phone. For the demo and for drills.

The row in the store is the message and the page shows it, so there is nothing to send.
"""

from __future__ import annotations

from gateway.channels.base import Answer, Setup
from gateway.core.model import Notification, Told

SETTINGS: frozenset[str] = frozenset()
REQUIRED: frozenset[str] = frozenset()
SECRETS: frozenset[str] = frozenset()


class Inbox:
    def send(self, notification: Notification, text: str, link: str) -> Answer:
        return Answer(Told.ACCEPTED, "")


def build(setup: Setup) -> Inbox:
    return Inbox()
