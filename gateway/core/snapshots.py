"""A picture of what raised an alert, asked of the very camera: once for each level that the alert reaches.

The request is an effect like a message to a person: committed with its alert, then carried out, and again
after a crash, under an id made of alert and level, by which the camera knows it again. Nothing waits for the
answer. What comes is the address of a picture; it is kept until it expires, and is never in a log.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from gateway.core.backoff import wait_s
from gateway.core.cameras import ID, REF, host_of, request_id, texts_in, topics
from gateway.core.casebook import Casebook, Step
from gateway.core.decoding import Decoder
from gateway.core.model import SECOND, Alert, Message, Outcome, Rule, Snapshot, SnapshotState, Told

ANSWER_S = 60.0  # a camera on a mobile line takes and uploads a picture within half of that
RETRY_S_MOST = 10.0  # between two attempts to ask: there are only so many in a minute
WAITING_MOST = 500  # a street in which everything burns at once has other needs than one more picture


class Snapshots:
    """The pictures wanted of one casebook's alerts."""

    def __init__(self, book: Casebook) -> None:
        self.book, self.world, self.state = book, book.world, book.state

    def want(self, step: Step, alert: Alert, rule: Rule) -> None:
        """One for this alert at this level; nothing where its device has no picture to give."""
        device = self.world.devices.get(alert.device)
        model = self.world.models[device.model] if device else None
        if not rule.wants_snapshot or device is None or model is None or model.snapshot is None:
            return
        where = topics(model, device)
        if where is None and not model.snapshot.ref:
            return
        self._make_room(step)
        wanted = Snapshot(
            id=request_id(alert.id, alert.level), alert=alert.id, case=alert.case, device=alert.device,
            level=alert.level, topic=where[0] if where else "", wanted_ns=step.wall_ns, due_at=step.at,
            answer_by=step.at + int(ANSWER_S * SECOND),
            state=SnapshotState.DUE if where else SnapshotState.ASKED,
        )  # fmt: skip
        step.note("snapshot_wanted", alert=alert.id, device=alert.device, alert_level=alert.level.word)
        step.timers.append((wanted.answer_by, "snapshot", wanted.id))
        self._keep(step, wanted)

    def timers(self) -> list[tuple[int, str, str]]:
        return [(one.answer_by, "snapshot", one.id) for one in self.state.snapshots.values()]

    def due(self, step: Step, due: int, key: str) -> None:
        """Its time is up."""
        wanted = self.state.snapshots.get(key)
        if wanted is not None and wanted.answer_by <= due:
            self._miss(step, wanted, wanted.detail or "no answer")

    def outcome(self, step: Step, outcome: Outcome) -> None:
        """What became of one attempt to ask."""
        wanted = self.state.snapshots.get(outcome.notification)
        if wanted is None or wanted.state is not SnapshotState.DUE:
            return
        if outcome.told is Told.ACCEPTED:
            self._keep(step, replace(wanted, state=SnapshotState.ASKED, detail=""))
        elif outcome.told is Told.REFUSED:
            self._miss(step, wanted, outcome.detail)
        else:
            attempt = wanted.attempt + 1
            wait_ns = int(wait_s(attempt, wanted.id, outcome.retry_after_s, RETRY_S_MOST) * SECOND)
            again = replace(wanted, attempt=attempt, due_at=step.at + wait_ns, detail=outcome.detail)
            self._keep(step, again)

    def heard(self, step: Step, messages: Sequence[Message], decoder: Decoder) -> None:
        """What came on the topics of requests and answers; what answers none of ours changes nothing."""
        for message in messages:
            device = decoder.answering(message.topic)
            if device is None or message.retained:  # our own request, come back to us; or one of long ago
                continue
            name, ref = texts_in(message.payload, ID, REF)
            wanted = self.state.snapshots.get(name)
            if wanted is None or wanted.device != device.id:
                self._ignore(step, device.id, "not asked for, or too late")
            else:
                self._take(step, wanted, ref)

    def look(self, step: Step, messages: Sequence[Message], decoder: Decoder) -> None:
        """A device may name a picture in its own messages: what it names while one is wanted is that one."""
        paths = self._paths()
        for message in messages if paths else ():
            device = decoder.device_of(message.topic)
            if device is None or device.id not in paths or message.retained:
                continue
            (ref,) = texts_in(message.payload, paths[device.id])
            for wanted in [one for one in self.state.snapshots.values() if ref and one.device == device.id]:
                self._take(step, wanted, ref)

    def _paths(self) -> dict[str, str]:
        """Device -> where its payloads may name a picture, of those of which one is wanted."""
        devices = [self.world.devices.get(one.device) for one in self.state.snapshots.values()]
        cameras = {one.id: self.world.models[one.model].snapshot for one in devices if one is not None}
        return {device: camera.ref for device, camera in cameras.items() if camera and camera.ref}

    def _take(self, step: Step, wanted: Snapshot, ref: str) -> None:
        if not host_of(ref):
            self._ignore(step, wanted.device, "no address of a picture")
            return
        kept_ns = int(self.world.keep_snapshots_s * SECOND)
        taken = replace(
            wanted, state=SnapshotState.TAKEN, ref=ref, taken_ns=step.wall_ns,
            expires_ns=step.wall_ns + kept_ns, detail="",
        )  # fmt: skip
        step.note("snapshot_taken", alert=wanted.alert, device=wanted.device)
        self._end(step, taken, "snapshot")

    def _miss(self, step: Step, wanted: Snapshot, why: str) -> None:
        step.note("snapshot_missed", alert=wanted.alert, device=wanted.device, reason=why)
        self._end(step, replace(wanted, state=SnapshotState.MISSED, detail=why), "snapshot_missed")

    def _ignore(self, step: Step, device: str, why: str) -> None:
        step.note("snapshot_ignored", device=device, reason=why)

    def _keep(self, step: Step, wanted: Snapshot) -> None:
        self.state.snapshots[wanted.id] = wanted
        step.effects.append(wanted)

    def _end(self, step: Step, ended: Snapshot, what: str) -> None:
        """A line of its case's history, without the address: that is forgotten, and lines are not. Why there
        is none, `lilong why` tells.
        """
        del self.state.snapshots[ended.id]
        step.effects.append(ended)
        alert = self.state.alerts.get(ended.alert)
        case = alert.case if alert is not None else ended.case
        if case in self.state.cases:
            self.book.enter(step, case, what)

    def _make_room(self, step: Step) -> None:
        while len(self.state.snapshots) >= WAITING_MOST:
            self._miss(step, next(iter(self.state.snapshots.values())), "too many wait")
