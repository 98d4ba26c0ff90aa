"""Several messages to one person as one: the worst first, each red by name, the others counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from msgspec.structs import replace

from gateway.core.model import Kind, Level, Notification
from gateway.core.quotas import urgent
from gateway.core.templates import SAID
from gateway.core.texts import PLACE, SITUATION

LEAST = 3  # as many waiting for one person become one text, even where there is room for each
REDS_MOST = 20  # named in one text
NAMES_MOST, NAME_MOST = 480, 40  # characters of all and of one: with title and link in WeCom's 2,048 bytes
COUNTED = {Level.RED: "红色", Level.ORANGE: "橙色", Level.YELLOW: "黄色"}
OVER = "已恢复"
ACTION = "要做："


def rank(told: Notification) -> int:
    """The higher, the sooner it goes: what is over waits for what is not."""
    return 0 if told.kind is Kind.CLEARED else int(told.level)


def chosen(waiting: Sequence[Notification]) -> list[Notification]:
    """Those that go into the next text, the worst first: of red only as many as can be named."""
    ordered = sorted(waiting, key=lambda told: -rank(told))
    reds = [told for told in ordered if urgent(told)]
    left = {told.id for told in reds[REDS_MOST:]}
    return [told for told in ordered if told.id not in left]


def digest(batch: Sequence[Notification]) -> Notification:
    """One message that stands for all of `batch` (two or more, the worst first). Its id is the worst's."""
    worst, reds = batch[0], [told for told in batch if urgent(told)]
    head = f"【{SAID['level'](worst)}】" if SAID["level"](worst) else ""
    lines = [f"{SITUATION}另有 {len(batch) - 1} 条：{_counted(batch[1:])}"]
    most = min(NAMES_MOST // max(len(reds), 1), NAME_MOST)
    lines += [f"{number}. {_name(told, most)}" for number, told in enumerate(reds, 1)]
    lines += [PLACE + SAID["place"](worst)]  # from here on it may be cut
    lines += [line for line in worst.text.splitlines() if line.startswith(ACTION)]
    title = f"{head}{len(batch)}条，最急：{SAID['title'](worst)}"
    return replace(worst, title=title, text="\n".join(lines), together=len(batch))


def _counted(told: Sequence[Notification]) -> str:
    """As in 橙色 5、黄色 7."""
    counts = Counter(OVER if one.kind is Kind.CLEARED else COUNTED[one.level] for one in told)
    return "、".join(f"{word} {counts[word]}" for word in (*COUNTED.values(), OVER) if counts[word])


def _name(told: Notification, most: int) -> str:
    """What and where, the compound before the point in it: of that the end tells two points apart."""
    here, _, around = SAID["place"](told).partition("（")
    place = f"{around.rstrip('）').rpartition(' · ')[2]}{here}"[-(most // 3) :]
    title = SAID["title"](told)[: most - len(place) - len("（）")]
    return f"{title}（{place}）" if place else title
