"""Events that never say that they are over: each ends so long after its last word (`ends_after`)."""

from __future__ import annotations

from gateway.core.caseload import Step
from gateway.core.judging import Judging
from gateway.core.model import Ended
from gateway.core.state import Lasting, State
from gateway.core.timers import Timers
from gateway.core.units import QUANTITIES
from gateway.core.watches import Watch, Watches


class Ending:
    """What is on and ends by itself."""

    def __init__(self, state: State, watches: Watches, judging: Judging, timers: Timers) -> None:
        self.state, self.timers, self._of, self._judging = state, timers, watches.of, judging
        self.resume()

    def note(self, watch: Watch, component: str, values: dict[str, float], said_at: int, now: int) -> None:
        """What is on lasts until so long after its last word; what is off is over already."""
        for quantity, value in values.items():
            key = f"{watch.device.id}|{component}|{quantity}"
            if value > 0 and QUANTITIES[quantity].is_event:
                ripe = now + watch.ends_ns
                again = key in self.state.lasting
                self.state.lasting[key] = Lasting(said_at + watch.ends_ns, again, ripe)
                self.timers.push(ripe, "end", key)
            else:
                self.state.lasting.pop(key, None)

    def due(self, step: Step, due: int, key: str) -> None:
        """Judges a 0 that the device never sends, as of the instant at which it became true."""
        lasting = self.state.lasting.get(key)
        if lasting is None:
            return
        until = lasting.until
        ripe = max(
            until, lasting.ripe, self.state.patient_until
        )  # while we are deaf its next word may be under way
        if due < ripe:
            self.timers.push(ripe, "end", key)
            return
        del self.state.lasting[key]
        device, component, quantity = key.split("|")
        watch = self._of[device]
        subject = watch.subject(component)
        step.effects.append(Ended(device, component, quantity, step.wall_ns - (step.at - until)))
        age_ns = step.at - until
        self._judging.judge(step, watch, subject, component, {quantity: 0.0}, age_ns, is_said=False)
        self._judging.settle(step)

    def resume(self) -> None:
        """After a start or a change of World; what no longer ends by itself is left to say so."""
        lasting = self.state.lasting
        for key in [key for key in lasting if not self._ends(key.partition("|")[0])]:
            del lasting[key]
        for key, one in lasting.items():
            self.timers.push(max(one.until, one.ripe, self.state.patient_until), "end", key)

    def _ends(self, device: str) -> bool:
        return device in self._of and self._of[device].ends_ns > 0
