"""What is heard of a message after a provider took it: delivered or not, and what the person answered.

A message that did not arrive is one that nobody got: the next rung does not wait for its time. Which
channels give receipts, and how long one may take, comes with the outcome of each sending.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from gateway.core.asking import INFORMED
from gateway.core.casebook import Casebook, Step
from gateway.core.cases import UNANSWERED
from gateway.core.model import (
    SECOND,
    Act,
    Failure,
    Kind,
    Level,
    Notification,
    NotificationState,
    Outcome,
    Receipt,
    Reply,
    Told,
    Verb,
)
from gateway.core.telling import Telling

OPEN = (NotificationState.ACCEPTED, NotificationState.UNSURE)  # nothing has been heard of it yet
LADDER = (  # what the next rung can tell as well
    *(Kind.RAISED, Kind.RISEN, Kind.ESCALATED, Kind.OVERDUE, Kind.LATE, Kind.RECURRED),
    *(Kind.RETURNED, Kind.TRANSFERRED, Kind.REOPENED, Kind.TAKEN_OVER),
)
ANSWERS = {"1": Verb.ACKNOWLEDGE}  # all that can be said by one key or one character
ENTRIES = {
    NotificationState.DELIVERED: "delivered",
    NotificationState.FAILED: "undelivered",
    NotificationState.MISSED: "unreceipted",
    NotificationState.CANCELLED: "unneeded",
}
CALLS_AGAIN = 2  # to one person, who did not answer; then the next rung
CALL_AGAIN_S = 60.0  # between two calls: a provider lets one a minute through to a number
PATIENCE_S = 60.0  # a provider that wants red to wait for longer is not waited for
NOTE_CHARACTERS_MOST = 200
DIGITS = 11  # of a mobile number; what stands before it is the country, in one of three ways


class Receipts:
    """Receipts and replies for the messages of one casebook. `act` is what a person's deed goes through."""

    def __init__(self, book: Casebook, telling: Telling, act: Callable[[Step, Act], None]) -> None:
        self.book, self.telling, self.state, self._act = book, telling, book.state, act

    def arm(self, step: Step) -> None:
        """The timers of all whose receipt is waited for."""
        waiting = (told for told in self.state.sent.values() if told.receipt_by)
        step.timers += [(told.receipt_by, "receipt", told.id) for told in waiting]

    # ------------------------------------------------------------ delivered or not

    def outcome(self, step: Step, outcome: Outcome) -> None:
        """A red case waits neither for the receipt of what may never have been sent, nor for a far turn."""
        told = self.state.sent.get(outcome.notification)
        if told is not None and told.state is NotificationState.UNSURE:
            self.book.enter(step, told.case, "unsure", told.person, told.channel)
            if told.level is Level.RED or not told.receipt_by:
                self._unreached(step, told)
        later = self.state.notifications.get(outcome.notification)
        if later is not None and later.level is Level.RED and outcome.retry_after_s > PATIENCE_S:
            self._unreached(step, later)

    def receipt(self, step: Step, receipt: Receipt) -> None:
        """One that names no message of ours, comes again or too late changes nothing."""
        told = self._named(receipt.channel, receipt.number) or self._overtaken(step, receipt)
        if told is None:
            self._ignore(step, receipt, "no message of ours")
        elif told.state not in OPEN:
            late = told.state is NotificationState.MISSED
            self._ignore(step, receipt, "too late" if late else "heard already")
        else:
            for one in self._same_text(told):
                self._receipted(step, one, receipt)

    def _receipted(self, step: Step, told: Notification, receipt: Receipt) -> None:
        if receipt.delivered:
            state = NotificationState.DELIVERED
            self._heard(step, told, state, receipt.detail, ENTRIES[state])
            self.telling.reached(step, told)
        else:
            what = receipt.failure or ENTRIES[NotificationState.FAILED]
            self._undelivered(step, told, NotificationState.FAILED, receipt.detail, what)
            self._go_on(step, told, receipt.failure)

    def due(self, step: Step, due: int, name: str) -> None:
        """No receipt within its time."""
        told = self.state.sent.get(name)
        if told is not None and told.state in OPEN and 0 < told.receipt_by <= due:
            state = NotificationState.MISSED
            self._undelivered(step, told, state, "no receipt in time", ENTRIES[state])
            self._unreached(step, told)

    def _undelivered(
        self, step: Step, told: Notification, state: NotificationState, detail: str, what: str
    ) -> None:
        if told.channel in self.book.world.loud and self._is_answered(told.case):
            state = NotificationState.CANCELLED
            self._heard(step, told, state, detail, ENTRIES[state])
            return  # it rang on for what somebody has taken on meanwhile: no fault of anybody's
        self._heard(step, told, state, detail, what)
        fields = {"case": told.case, "channel": told.channel, "error": detail}
        step.note("notification_undelivered", **fields)

    def _is_answered(self, case: str) -> bool:
        found = self.state.cases.get(case)
        return found is None or found.stage not in UNANSWERED

    def _go_on(self, step: Step, told: Notification, failure: Failure) -> None:
        """Who did not answer is rung again, as long as the ladder stands there; any other is passed over."""
        if failure is Failure.NO_ANSWER and told.calls < CALLS_AGAIN and self._may_tell_more(told):
            self._call_again(step, told)
        else:
            self._unreached(step, told)

    def _call_again(self, step: Step, told: Notification) -> None:
        calls = told.calls + 1
        again = replace(
            told, id=self.book.new_id(step), state=NotificationState.DUE, attempt=0, detail="", number="",
            receipt_by=0, told_at=0, due_at=step.at + int(CALL_AGAIN_S * SECOND), calls=calls,
        )  # fmt: skip
        self.book.enter(step, told.case, "call_again", told.person, told.channel, str(calls))
        self.book.keep_notification(step, again)

    def _heard(
        self, step: Step, told: Notification, state: NotificationState, detail: str, what: str
    ) -> None:
        told = replace(told, state=state, detail=detail[:NOTE_CHARACTERS_MOST], receipt_by=0)
        self.state.sent[told.id] = told
        step.effects.append(told)
        note = "" if state is NotificationState.MISSED else told.detail
        self.book.enter(step, told.case, what, told.person, told.channel, note)

    def _unreached(self, step: Step, told: Notification) -> None:
        """The next rung at once, unless somebody has answered, or this rung has another way that is open."""
        case = self.state.cases.get(told.case)
        if case is not None and self._may_tell_more(told) and not self._another_way(told):
            self.telling.hurry(step, case)

    def _may_tell_more(self, told: Notification) -> bool:
        """Nobody has answered, and the ladder still stands where this was told."""
        case = self.state.cases.get(told.case)
        if case is None or case.silent or case.stage not in UNANSWERED:
            return False
        return told.kind in LADDER and told.rung == case.rung

    def _another_way(self, told: Notification) -> bool:
        """The same rung has reached its person otherwise, or a receipt will soon tell whether it has."""
        others = [one for one in self.state.sent.values() if one.id != told.id]
        same = [one for one in others if (one.case, one.rung) == (told.case, told.rung)]
        same = [one for one in same if one.kind not in INFORMED]
        return any(one.state is NotificationState.DELIVERED or one.receipt_by for one in same)

    def _ignore(self, step: Step, receipt: Receipt, reason: str) -> None:
        step.note("receipt_ignored", channel=receipt.channel, message_id=receipt.number, reason=reason)

    # ------------------------------------------------------------ what the person answered

    def reply(self, step: Step, reply: Reply) -> None:
        """An answer of the closed list is that person's act; other words stand in the case's history."""
        told = self._named(reply.channel, reply.number) if reply.number else self._newest(reply)
        if told is None or (reply.address and _plain(reply.address) != _plain(told.address)):
            step.note("reply_ignored", channel=reply.channel, reason="to no message of ours")
            return
        words = reply.text.strip()
        verb = ANSWERS.get(words)
        if verb is None:
            step.note("reply_ignored", channel=reply.channel, case=told.case, reason="no answer we know")
            note = words[:NOTE_CHARACTERS_MOST]
            self.book.enter(step, told.case, "replied", told.person, told.channel, note)
        else:
            self._act(step, Act(step.at, step.wall_ns, told.case, told.person, verb, channel=told.channel))

    def _newest(self, reply: Reply) -> Notification | None:
        """The last message to that address on a case which nobody has answered."""
        for told in reversed(self.state.sent.values()):
            case = self.state.cases.get(told.case)
            same = (told.channel, _plain(told.address)) == (reply.channel, _plain(reply.address))
            if same and case is not None and case.stage in UNANSWERED:
                return told
        return None

    # ------------------------------------------------------------ which message

    def _named(self, channel: str, number: str) -> Notification | None:
        """By the provider's name of it, or by ours."""
        for told in self.state.sent.values():
            if number and told.channel == channel and number in (told.number, told.id):
                return told
        return None

    def _same_text(self, told: Notification) -> list[Notification]:
        """With all that the provider has under the same name: they were one text, a digest."""
        same = (told.channel, told.address, told.number)
        others = [one for one in self.state.sent.values() if (one.channel, one.address, one.number) == same]
        return [told, *(one for one in others if told.number and one.id != told.id and one.state in OPEN)]

    def _overtaken(self, step: Step, receipt: Receipt) -> Notification | None:
        """A receipt may be here before the answer that the message was taken: then it was."""
        told = self.state.notifications.get(receipt.number)
        if told is None or told.channel != receipt.channel:
            return None
        self.telling.outcome(
            step,
            Outcome(receipt.at, receipt.wall_ns, told.id, Told.ACCEPTED, receipt.detail, number=told.id),
        )
        return self.state.sent.get(told.id)


def _plain(address: str) -> str:
    """An address without what may be written otherwise: 138… and +86 138… are one, WangJL and wangjl too."""
    digits = "".join(letter for letter in address if letter in "0123456789")
    return digits[-DIGITS:] if len(digits) >= DIGITS else address.strip().casefold()
