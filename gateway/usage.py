"""How much of each channel's limits is used, as the store tells it: for whoever is not the gateway itself."""

from __future__ import annotations

from collections.abc import Iterator

from gateway import channels
from gateway.adapters.store import open_reader
from gateway.config import Config
from gateway.core.model import SECOND, Notification
from gateway.core.quotas import Quotas, Use, recount
from gateway.notifier import StoreLedger

ANCHOR = "SELECT at, wall_ns FROM checkpoint ORDER BY id DESC LIMIT 1"


def used(config: Config, now_ns: int) -> Iterator[tuple[str, list[Use]]]:
    """(channel, the fullest window of each limit of its provider); nothing before a first run.

    Raises sqlite3.Error.
    """
    path = config.state / "lilong.db"
    limited = {name: quotas for name, quotas in _quotas(config).items() if quotas}
    if not limited or not path.exists():
        return
    db = open_reader(path)
    try:
        anchor = db.execute(ANCHOR).fetchone()
        if anchor is None:
            return
        at = anchor["at"] + max(now_ns - anchor["wall_ns"], 0)
        groups = channels.groups(config.channels.values())
        for name, quotas in limited.items():
            since_at = at - int(quotas.span_s * SECOND)
            sent = StoreLedger(lambda: db).sent(groups.get(name, name), since_at)
            recount(quotas, [told for told in sent if _by(name, groups, told)])
            yield name, list(quotas.uses(at))
    finally:
        db.close()


def _quotas(config: Config) -> dict[str, Quotas]:
    """Those of the providers: what we grant a person is nobody else's business."""
    entries = config.channels.values()
    declared = {one.name: channels.quotas(one.name, one.kind, one.settings) for one in entries}
    return {name: Quotas([one for one in quotas if not one.ours]) for name, quotas in declared.items()}


def _by(name: str, groups: dict[str, str], told: Notification) -> bool:
    """Whether this member of a failover sent it; a receipt's words may have hidden who did, then all have."""
    group = groups.get(name)
    members = [one for one, its in groups.items() if its == group] if group else []
    said = next((one for one in members if told.detail.startswith(f"{one}: ")), name)
    return said == name
