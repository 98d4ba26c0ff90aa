"""A message marked as a test, by every channel that would carry a real one: does it reach the person?"""

from __future__ import annotations

from collections.abc import Iterator

from gateway import channels
from gateway.channels import Answer
from gateway.config import Config
from gateway.core.ids import make_id
from gateway.core.model import Kind, Level, Notification, Person, Told

TITLE = "【测试】里弄通知测试"
TEXT = "这是一条测试消息，没有发生任何情况，不必处理。This is a test; nothing has happened."


def send_test(config: Config, person: Person, now_ns: int) -> Iterator[tuple[str, Answer]]:
    """(channel, what became of it) for each way to a person; it never enters the store or a case."""
    groups = channels.groups(config.channels.values())
    for number, channel in enumerate(config.channels.values()):
        if channel.kind in ("inbox", channels.FAILOVER):  # a page of the store; what its members do
            continue
        try:
            sender = channels.build(
                channel.name,
                channel.kind,
                channel.settings,
                channel.secrets,
                channel.templates,
                config.broker,
            )
        except ValueError as error:  # a secret that cannot be read, a setting that is missing
            yield channel.name, Answer(Told.REFUSED, str(error))
            continue
        address = person.reach.get(groups.get(channel.name, channel.name), "")
        told = Notification(
            id=make_id(now_ns, "00000000", number), case="test", alert="test", kind=Kind.RAISED,
            level=Level.YELLOW, person=person.id, channel=channel.name,
            address=address, title=TITLE, text=TEXT, created_ns=now_ns, due_at=0,
        )  # fmt: skip
        yield channel.name, sender.send(told, TEXT, "")
