"""What still stands at a person after a message was taken: a card with buttons, a siren that sounds.

Once somebody has answered, by whatever way, it is changed for all who got it: "已由王经理接手". Such a
change is a Notification like any other (committed, tried again, sent once), but it belongs to no case:
nothing of a case waits for it, and nothing that happens to the case takes it back.
"""

from __future__ import annotations

from msgspec.structs import replace

from gateway.core import texts
from gateway.core.asking import possible
from gateway.core.casebook import Casebook, Step
from gateway.core.cases import ANSWERED, ENDED
from gateway.core.model import Case, Kind, Notification, NotificationState, Outcome, Told, Verb

CARDS_MOST = 50  # of one case; a red one is told again every 15 minutes, and the oldest are out of sight


class Cards:
    """The cards of the open cases of one state."""

    def __init__(self, book: Casebook) -> None:
        self.book, self.state = book, book.state

    def keep(self, step: Step, outcome: Outcome) -> None:
        """A message was taken that can be changed later. Call it before the outcome itself is settled."""
        told = self.state.notifications.get(outcome.notification)
        told = told or self.state.recalled.pop(outcome.notification, None)
        if told is None or not told.case or not outcome.card or outcome.told is not Told.ACCEPTED:
            return
        if told.kind is Kind.ANSWERED:
            return
        card = replace(told, card=outcome.card)
        words = self._words(card, self.state.cases.get(told.case))
        if words:  # it was on its way when somebody answered
            self._change(step, card, words)
        else:
            kept = self.state.cards.setdefault(told.case, [])
            kept.append(card)
            del kept[:-CARDS_MOST]

    def follow(self, step: Step) -> None:
        """Changes the cards of every case that this step has answered or ended."""
        if not self.state.cards:
            return
        turned = {effect.id: effect for effect in step.effects if isinstance(effect, Case)}
        for case in turned.values():
            left = []
            for card in self.state.cards.pop(case.id, ()):
                if words := self._words(card, case):
                    self._change(step, card, words)
                else:
                    left.append(card)
            if left:
                self.state.cards[case.id] = left

    def _words(self, card: Notification, case: Case | None) -> str:
        """What it says from now on, "" while what it asks for can still be done by whoever has it."""
        if case is None or case.stage in ENDED:
            return texts.answered(case, self.book.world) if case else texts.ENDED_CARD
        owner = case.handled_by or case.acknowledged_by
        others = case.stage in ANSWERED and owner not in ("", card.person)
        if not others and any(possible(verb, case.stage) for verb in card.asks if verb is not Verb.RESET):
            return ""
        return texts.answered(case, self.book.world)

    def _change(self, step: Step, card: Notification, words: str) -> None:
        words = f"【演练】{words}" if card.drill else words
        change = replace(
            card, id=self.book.new_id(step), case="", kind=Kind.ANSWERED, title=words, text=words,
            created_ns=step.wall_ns, due_at=step.at, state=NotificationState.DUE, attempt=0, detail="",
        )  # fmt: skip
        self.book.keep_notification(step, change)
