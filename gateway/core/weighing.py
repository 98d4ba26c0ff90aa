"""What rules with an expression go by: the last words of subjects, their windows, and who belongs together.

Only scenes with such a rule pay: of each of their subjects the quantities that are asked for are kept with
their instant. A value counts for two and a half of its device's intervals, then it is unknown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from importlib import import_module
from math import isnan
from typing import cast

from gateway.core.calibration import zero_at, zeros
from gateway.core.conditions import Judge, applies, parsed
from gateway.core.measures import Measure, Window, key_of
from gateway.core.model import SECOND, Device, Rule, World
from gateway.core.places import ancestors
from gateway.core.quality import AHEAD_NS
from gateway.core.state import Latest, State
from gateway.core.terms import Scope
from gateway.core.texts import double_control, usual
from gateway.core.units import BESIDE, QUANTITIES, shown

COUNTS_NS = 600 * SECOND  # a word of a device whose interval nobody knows
COUNTS_FOR = 2.5  # intervals
SAME_NS = 1_000_000  # of one instant, as devices count it, the last word counts
GROUPS = ("device", "place")  # what `group` may name beside a kind of place
Subject = tuple[str, str]  # device, component
# Device, kind of component, quantity and instant; what was known then of each component.
Row = tuple[tuple[str, str, str, int], list[tuple[str, float]]]
NO_ROW: Row = ("", "", "", 0), []


def group_of(world: World, rule: Rule, device: Device) -> str:
    """Which group of the rule a device belongs to; "" for none."""
    if rule.group == "device":
        return device.id
    if rule.group == "place":
        return device.at
    return next((place.id for place in ancestors(world, device.at) if place.kind == rule.group), "")


def compound_of(world: World, device: Device) -> str:
    """The compound a device stands in; its place, where there is none."""
    return next((place.id for place in ancestors(world, device.at) if place.kind == "compound"), device.at)


def groups(world: World, rule: Rule) -> dict[str, list[Subject]]:
    """The members of each group that a rule speaks of, in the order of the site's devices."""
    found: dict[str, list[Subject]] = {}
    for device in world.devices.values():
        model = world.models[device.model]
        if applies(rule, device, model.scene) and (name := group_of(world, rule, device)):
            found.setdefault(name, []).extend((device.id, part) for part in model.parts(rule.each))
    return found


class WindowFailed(ArithmeticError):
    """A window cannot take a sample: the rules that use it must not go on without."""

    def __init__(self, key: str, error: ArithmeticError) -> None:
        self.key = key
        super().__init__(f"{key}: {error}")


class Weighing:
    """The memory behind expressions, of one World."""

    def __init__(self, world: World, state: State) -> None:
        self.world, self._state = world, state
        rules = [rule for rule in world.rules if rule.when]
        self._asked: dict[Subject, dict[str, None]] = {}  # scene, kind of component -> quantities
        self._measures: dict[Subject, dict[str, Measure]] = {}
        self._telling: dict[Subject, set[str]] = {}
        for rule in rules:
            expression, about = parsed(rule.when), (rule.scene, rule.each)
            self._asked.setdefault(about, {}).update(dict.fromkeys(expression.quantities))
            self._measures.setdefault(about, {}).update({one.key: one for one in expression.windows})
            if expression.is_of_states:
                self._telling.setdefault(about, set()).update(expression.goes_by)
        if any(self._measures.values()):
            import_module("gateway.core.signals")  # numpy: now, and not beside an alert
        # Of judges without a track, by key: what they go by has not changed since they were found calm.
        self.calm: set[str] = set()
        self._seen: dict[Subject, Seen] = {}
        self._gathered: dict[str, Gathered] = {}  # by key of a group's judge
        self._row = NO_ROW
        self._rows: dict[Subject, list[tuple[str, Seen]]] = {}  # device, kind of component -> those of it
        self._peers: dict[Subject, list[str]] = {}  # model, compound -> devices
        self._compounds = {
            device.id: (device.model, compound_of(world, device))
            for device in (world.devices.values() if rules else ())
        }
        for device, about in self._compounds.items():
            self._peers.setdefault(about, []).append(device)
        self._forget()
        told = (one.measured_ns for known in state.known.values() for one in known.values())
        self._newest_ns = max(told, default=0)  # of all that is known, or was

    def asks(self, scene: str, kind: str) -> bool:
        return (scene, kind) in self._asked

    def note(
        self,
        seen: Seen,
        values: Mapping[str, float],
        measured_ns: int,
        wall_ns: int,
    ) -> Sequence[WindowFailed]:
        """Remembers what a reading says; the windows that could not. What no clock has come to yet is not
        remembered: for as long as it lay ahead, nothing newer would count.
        """
        edge_ns = wall_ns + AHEAD_NS
        if measured_ns > edge_ns:
            return ()
        self._row, known = NO_ROW, seen.said
        if not known:  # of which the state may not know yet
            self._state.known[seen.key] = known
        elif self._newest_ns > edge_ns and any(one.measured_ns > edge_ns for one in known.values()):
            self._forget_after(wall_ns)
        if measured_ns > wall_ns:
            measured_ns = wall_ns
        if measured_ns > self._newest_ns:
            self._newest_ns = measured_ns
        latest_ns = measured_ns + SAME_NS
        for quantity in seen.asked:
            value = values.get(quantity)
            if value is None:
                continue
            before = known.get(quantity)
            if before is None:
                known[quantity] = Latest(measured_ns, value)  # whoever was calm without it still is
            elif before.measured_ns <= latest_ns:
                if value != before.value and quantity in seen.telling:
                    self._end_calm(seen, quantity)
                before.measured_ns, before.value = measured_ns, value
        return self._feed(seen, values, measured_ns) if seen.measures else ()

    def _feed(self, seen: Seen, values: Mapping[str, float], measured_ns: int) -> list[WindowFailed]:
        failed = []
        for measure in seen.measures:
            try:
                sample = measure.sample(values)
                if sample is None:
                    continue
                window = seen.window_of(measure)
                if not window.at:
                    self._state.windows[key_of(measure, seen.key)] = window
                window.add(measured_ns, sample)
                if sample is True:  # a condition that held
                    self._end_calm(seen, measure.key)
            except ArithmeticError as error:
                failed.append(WindowFailed(measure.key, error))
        return failed

    def _end_calm(self, seen: Seen, name: str) -> None:
        """There is news of a quantity, or in a window: whoever goes by it is to be asked again."""
        self.calm.difference_update(key for key, goes_by in seen.calmed if name in goes_by)

    def _forget_after(self, wall_ns: int) -> None:
        """Our own clock has been set back: what it said meanwhile lies ahead of it."""
        for known in self._state.known.values():
            for quantity in [name for name, one in known.items() if one.measured_ns > wall_ns]:
                del known[quantity]
        for window in self._state.windows.values():
            window.forget_after(wall_ns)
        self.calm.clear()

    def newest_ns(self, judge: Judge) -> int:
        """When one of a group last said something that it is judged by."""
        assert judge.expression is not None
        told = (self.seen(*one).said for one in judge.members)
        asked = judge.expression.quantities
        return max((one[name].measured_ns for one in told for name in asked if name in one), default=0)

    def value(self, judge: Judge, seen: Seen, now_ns: int) -> float | None:
        """What a judge's expression says at an instant. Raises ArithmeticError."""
        assert judge.expression is not None
        found = judge.expression.evaluate(self._scope(judge, seen, now_ns))
        return None if found is None else float(found)

    def note_calm(self, judge: Judge, seen: Seen) -> bool:
        """Of a judge that goes by states, has no track, and was just found calm: whether time alone changes
        nothing. It then need not be asked again before there is news.
        """
        if not self._nothing_held(judge, seen):
            return False
        self.calm.add(judge.key)
        return True

    def _nothing_held(self, judge: Judge, seen: Seen) -> bool:
        """All its windows remember something, and nothing that held."""
        assert judge.expression is not None
        measures = judge.expression.windows
        windows = (one.window_of(measure) for measure in measures for one in self._subjects(judge, seen))
        return all(window.at and window.never_held() for window in windows)

    def bounds(self, judge: Judge, seen: Seen, now_ns: int) -> tuple[float, float] | None:
        """(least, most) of a value that is known in part."""
        assert judge.expression is not None
        if not judge.expression.may_be_known_in_part:
            return None
        return judge.expression.bounds(self._scope(judge, seen, now_ns))

    def _subjects(self, judge: Judge, seen: Seen) -> Sequence[Seen]:
        """The members of a group, or the one subject."""
        if not judge.members:
            return (seen,)
        found = self._gathered.get(judge.key)
        if found is None:
            found = self._gathered[judge.key] = Gathered([self.seen(*one) for one in judge.members])
        return found.members()

    def _scope(self, judge: Judge, seen: Seen, now_ns: int) -> Scope:
        seen.now_ns = now_ns
        if not judge.members:
            return seen
        for one in self._subjects(judge, seen):
            one.now_ns = now_ns
        return cast("Scope", self._gathered[judge.key])  # of a group nothing but its members is asked

    def seen(self, device: str, component: str, now_ns: int = 0) -> Seen:
        """What is remembered of a subject, to be asked about an instant."""
        found = self._seen.get((device, component))
        if found is None:
            found = self._seen[device, component] = self._seen_first(device, component)
        found.now_ns = now_ns
        return found

    def _seen_first(self, device: str, component: str) -> Seen:
        model = self.world.models[self.world.devices[device].model]
        about, counts_ns = (model.scene, component.rpartition("-")[0]), self._counts_ns(device)
        found = Seen(self, self._state, device, component, counts_ns)
        found.asked, found.telling = tuple(self._asked.get(about, {})), self._telling.get(about, set())
        found.measures = tuple(self._measures.get(about, {}).values())
        return found

    def wakes_ns(self, judge: Judge, seen: Seen, now_ns: int) -> int | None:
        """When time alone may change what it says, at the earliest."""
        assert judge.expression is not None
        measures = judge.expression.windows
        if not measures:
            return None
        told = (
            one.window_of(measure).next_change_ns(now_ns)
            for one in self._subjects(judge, seen)
            for measure in measures
        )
        return min((at for at in told if at is not None), default=None)

    def expires_ns(self, judge: Judge, seen: Seen, now_ns: int) -> int | None:
        """When the first word that it goes by counts no more, unless it is said again."""
        assert judge.expression is not None
        last = (
            one.said[name].measured_ns + one.counts_ns + 1
            for one in self._subjects(judge, seen)
            for name in judge.expression.quantities
            if name in one.said
        )
        return min((at for at in last if at > now_ns), default=None)

    def wanting(self, judge: Judge, seen: Seen, now_ns: int) -> str:
        """What is not known of what it reads, in words."""
        assert judge.expression is not None
        self._scope(judge, seen, now_ns)
        subjects = self._subjects(judge, seen)
        found = {
            name: [one for one in subjects if one.value(name) is None] for name in judge.expression.quantities
        }
        named = [
            QUANTITIES[name].says
            + (f"（{'、'.join(one.device for one in silent)}）" if judge.members else "")
            for name, silent in found.items()
            if silent
        ]
        return "、".join(named) or "数据还不够多"

    def evidence(self, judge: Judge, seen: Seen, now_ns: int) -> str:
        """What it reads, as far as it is known of the subject itself."""
        assert judge.expression is not None
        seen.now_ns = now_ns
        if judge.rule.double_control is not None:
            return self._both_parts(judge, seen)
        told = self._unusual(judge, seen)
        names = () if judge.members else [name for name in judge.expression.quantities if name not in told]
        found = ((name, seen.value(name)) for name in names)
        known = [f"{QUANTITIES[name].says} {shown(name, x)}" for name, x in found if x is not None]
        return "，".join([*told.values(), *known])

    def _unusual(self, judge: Judge, seen: Seen) -> dict[str, str]:
        """By quantity, what a reading is unusual beside; of a group that of the member furthest off."""
        assert judge.expression is not None
        told: dict[str, str] = {}
        for measure in judge.expression.unusual:
            each = [
                (one.key.replace("|", " ").strip(), one.window_of(measure).usual(seen.now_ns))
                for one in self._subjects(judge, seen)
            ]
            known = [(found.apart, name, found) for name, found in each if found is not None]
            if known:
                _, name, found = max(known)
                told[measure.of] = usual(measure, found, name if judge.members else "")
        return told

    def _both_parts(self, judge: Judge, seen: Seen) -> str:
        """How far it went and how fast it goes."""
        assert judge.expression is not None
        found = {one.function: seen.window(one) for one in judge.expression.windows}
        went = found["change"] if "change" in found else seen.moved(judge.rule.quantity)
        return double_control(judge.rule, went, found["rate_per_day"])

    def known(self, device: str, component: str, quantity: str, now_ns: int) -> float | None:
        return self.seen(device, component, now_ns).value(quantity)

    def moved(self, device: str, component: str, quantity: str, now_ns: int) -> float | None:
        """How far a value lies from its baseline; unknown where there is none."""
        value, zero = self.known(device, component, quantity, now_ns), self._zero(device, component, quantity)
        if value is None or zero is None:
            return None
        distance = abs(value - zero_at(zero, now_ns))
        return None if isnan(distance) else distance

    def _zero(self, device: str, component: str, quantity: str) -> tuple[tuple[int, float], ...] | None:
        baseline = self.world.devices[device].baseline.get(quantity)
        if baseline is None:
            return None
        return zeros(self.world.calibrations.get(device, ()), component, quantity, baseline)

    def row(self, device: str, kind: str, quantity: str, now_ns: int) -> list[tuple[str, float]]:
        """What is known of all components of a kind; each of them is compared with the same."""
        about = device, kind, quantity, now_ns
        if self._row[0] != about:
            found: list[tuple[str, float]] = []
            for part, one in self._rows.get((device, kind)) or self._row_of(device, kind):
                one.now_ns = now_ns
                value = one.value(quantity)
                if value is not None:
                    found.append((part, value))
            self._row = about, found
        return self._row[1]

    def _row_of(self, device: str, kind: str) -> list[tuple[str, Seen]]:
        model = self.world.models[self.world.devices[device].model]
        found = self._rows[device, kind] = [(part, self.seen(device, part)) for part in model.parts(kind)]
        return found

    def peers(self, device: str) -> Sequence[str]:
        return [other for other in self._peers[self._compounds[device]] if other != device]

    def _counts_ns(self, device: str) -> int:
        """For how long a word of the device counts."""
        model = self.world.models[self.world.devices[device].model]
        return int(COUNTS_FOR * model.expect_every_s * SECOND) or COUNTS_NS

    def _forget(self) -> None:
        """What no rule asks for any more, or of devices that are gone."""
        devices, models = self.world.devices, self.world.models
        for kept in (self._state.known, self._state.windows):
            for key in list(kept):
                *measure, device, component = key.split("|")
                known = devices.get(device)
                about = (models[known.model].scene, component.rpartition("-")[0]) if known else ("", "")
                wanted = self._measures.get(about, {}) if measure else self._asked
                if (measure[0] if measure else about) not in wanted:
                    del kept[key]


def _of_one_reading(said: Mapping[str, Latest], latest: Latest, others: Sequence[str]) -> bool:
    """Whether the newest word of the others came with it."""
    newest_ns = max((said[name].measured_ns for name in others if name in said), default=latest.measured_ns)
    return latest.measured_ns == newest_ns


class Seen:
    """What is remembered of one subject, as an expression asks about it at `now_ns`."""

    __slots__ = (
        "_state", "_weighing", "_windows", "asked", "calmed", "component", "counts_ns", "device", "key",
        "kind", "measures", "now_ns", "said", "telling",
    )  # fmt: skip

    def __init__(self, weighing: Weighing, state: State, device: str, component: str, counts_ns: int) -> None:
        self._weighing, self._state, self.device, self.component = weighing, state, device, component
        self.kind = component.rpartition("-")[0]
        self.key, self.counts_ns, self.now_ns = f"{device}|{component}", counts_ns, 0
        self.asked: Sequence[str] = ()  # by rules about such subjects
        self.measures: Sequence[Measure] = ()
        # Of which another value is news, and whose calm may end then: its judges', its groups'. One that is
        # not known any more changes nothing but that.
        self.telling: AbstractSet[str] = frozenset()
        self.calmed: Sequence[tuple[str, AbstractSet[str]]] = ()  # key of a judge, what it goes by
        self.said = state.known.get(self.key, {})  # the state knows of it once something is said
        self._windows: dict[str, Window] = {}

    def value(self, quantity: str) -> float | None:
        latest = self.said.get(quantity)
        if latest is None or self.now_ns - latest.measured_ns > self.counts_ns:
            return None
        if quantity in BESIDE and not _of_one_reading(self.said, latest, BESIDE[quantity]):
            return None
        return latest.value

    def window(self, measure: Measure) -> float | None:
        return self.window_of(measure).value(self.now_ns)

    def window_of(self, measure: Measure) -> Window:
        """The state's own; an empty one of which it knows nothing yet."""
        found = self._windows.get(measure.key)
        if found is None:
            found = self._state.windows.get(key_of(measure, self.key))
            found = self._windows[measure.key] = measure.window() if found is None else found
        return found

    def moved(self, quantity: str) -> float | None:
        return self._weighing.moved(self.device, self.component, quantity, self.now_ns)

    def siblings(self, quantity: str) -> Sequence[float]:
        row, own = self._weighing.row(self.device, self.kind, quantity, self.now_ns), self.component
        return [value for part, value in row if part != own]

    def peers(self, quantity: str) -> Sequence[float]:
        """Of those that are known."""
        others = self._weighing.peers(self.device)
        found = (self._weighing.known(one, self.component, quantity, self.now_ns) for one in others)
        return [value for value in found if value is not None]

    def members(self) -> Sequence[Scope]:
        return ()


class Gathered:
    """A group, of which an expression asks one by one."""

    __slots__ = ("_members",)

    def __init__(self, members: Sequence[Seen]) -> None:
        self._members = members

    def members(self) -> Sequence[Seen]:
        return self._members
