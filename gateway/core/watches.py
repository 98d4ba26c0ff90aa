"""What the engine keeps ready of every device of its World: codec, subjects with their rules, its silence."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from msgspec.structs import replace

from gateway.core import calibration
from gateway.core.calendars import Works, works_on
from gateway.core.codecs import Decode
from gateway.core.conditions import OFF, Judge, applies, is_for_all, judge_for
from gateway.core.decoding import Decoder
from gateway.core.derived import Derived, Deriving
from gateway.core.doubts import traced
from gateway.core.effective import effective, is_tuned, rule_of
from gateway.core.model import SECOND, Device, Field, Model, Rule, World
from gateway.core.quality import Heard
from gateway.core.silence import is_silence, learned_ns, learns, spans_ns
from gateway.core.state import State, Track
from gateway.core.units import QUANTITIES
from gateway.core.weighing import Seen, Weighing, groups

Bands = tuple[tuple[str, float, float], ...]  # (quantity, low, high)
Focus = tuple[Bands, list[Judge]]  # the calm band of the judges without a track, and those with one


class Kind:
    """What all components of a kind of one model have in common; "" for the devices themselves."""

    __slots__ = ("band", "ends", "judges", "ranges", "traced", "weighs")

    def __init__(self, model: Model, of: str, judges: Sequence[Judge | Rule], weighs: bool) -> None:
        """`judges`: of one such component, of which those of the others differ in their key alone, or a rule
        that is to be made ready for each. `weighs`: expressions ask for their values.
        """
        fields = [field for field in model.fields if field.of == of]
        self.ranges, self.judges, self.weighs = ranges(fields), judges, weighs
        likes = [one for one in judges if isinstance(one, Judge) and one.expression is None]
        one_value = [one for one in likes if not one.rule.lateness_s]
        self.band = bands(self.ranges, one_value) if all(isinstance(one, Judge) for one in judges) else None
        self.traced = traced(fields)  # those whose values are compared with the ones before
        self.ends = model.ends_after_s > 0


class Subject:
    """A device or one component of it, with its rules made ready."""

    __slots__ = (
        "_alike", "_focus", "_stirred", "astir", "band", "derived", "judges", "orderly", "plain", "ranges",
        "seen", "traced", "unbound", "weighed", "weighs",
    )  # fmt: skip

    def __init__(
        self, kind: Kind, judges: list[Judge], derived: Derived | None, seen: Seen, alike: dict[Bands, Bands]
    ) -> None:
        """`alike`: of all subjects; bands that are equal are one, since a thousand of them are cold."""
        self.ranges, self.traced, self.derived = kind.ranges, kind.traced, derived
        one_value = [judge for judge in judges if judge.expression is None]
        self.judges = [judge for judge in one_value if not judge.rule.lateness_s]
        self.orderly = [judge for judge in one_value if judge.rule.lateness_s]  # they wait for what is late
        # With the quantities they read; its groups' too.
        self.weighed = [(one, one.expression.quantities) for one in judges if one.expression is not None]
        self.seen = seen
        seen.calmed = tuple(
            (one.key, one.expression.goes_by)
            for one, _ in self.weighed
            if one.expression and one.goes_by_states
        )
        self.weighs = kind.weighs  # its values are remembered for expressions, its own or others'
        self._alike = alike
        self.band = kind.band if kind.band is not None else self._calm_band(self.judges)
        # Tracks of this subject: while 0, lying in the band is all there is to ask. One of which something
        # is derived is never done with so quickly, nor is one each word of which counts.
        self.astir = int(derived is not None) + int(kind.ends) + int(kind.weighs) + int(bool(self.orderly))
        self.plain = not self.traced  # its values are judged as they are
        self.unbound = frozenset(judge.quantity for judge in self.judges) - self.ranges.keys()  # by the band
        self._stirred: frozenset[str] = frozenset()  # keys of the judges that have a track
        self._focus: Focus | None = None  # made once something is not calm

    def _calm_band(self, judges: Iterable[Judge]) -> Bands:
        found = bands(self.ranges, judges)
        return self._alike.setdefault(found, found)

    def calm(self, values: dict[str, float]) -> bool:
        if self.astir:
            return False
        get = values.get
        for quantity, low, high in self.band:
            value = get(quantity)
            if value is not None and not low <= value <= high:
                return False
        return True

    def asked(self, values: Mapping[str, float]) -> Sequence[Judge] | None:
        """The judges that these values may move, in their order; None when a value is none that can be."""
        band, moving = self._focus or self._focused()
        get = values.get
        beyond: tuple[str, ...] = ()
        for quantity, low, high in band:
            value = get(quantity)
            if value is not None and not low <= value <= high:
                least, most = self.ranges[quantity]  # what lies in its band is possible
                if not least <= value <= most:
                    return None
                beyond += (quantity,)
        if self.unbound and not self.unbound.isdisjoint(values):
            return self.judges
        if not beyond:
            return moving
        stirred = self._stirred
        return [judge for judge in self.judges if judge.quantity in beyond or judge.key in stirred]

    def _focused(self) -> Focus:
        """Made anew when a track comes or goes: most judges of a subject that is astir are calm."""
        if not self._stirred:
            self._focus = self.band, []
            return self._focus
        calm = [judge for judge in self.judges if judge.key not in self._stirred]
        moving = [judge for judge in self.judges if judge.key in self._stirred]
        self._focus = self._calm_band(calm), moving
        return self._focus

    def stir(self, key: str) -> None:
        """One more track: that of this judge."""
        self.astir += 1
        self._stirred |= {key}
        self._focus = None

    def settle(self, key: str) -> None:
        """It has gone."""
        self.astir -= 1
        self._stirred -= {key}
        self._focus = None


MakeSubject = Callable[[Device, str], Subject]


class Watch:
    """One device of the World with its codec, its subjects, its rules of silence."""

    __slots__ = (
        "_spans", "dark", "decode", "device", "ends_ns", "heard", "lateness_ns", "learns", "make", "model",
        "numbered", "overdue", "plain", "quiet", "reorder_ns", "silence", "subjects", "swaps", "unusual",
        "works",
    )  # fmt: skip

    def __init__(self, device: Device, model: Model, decode: Decode, heard: Heard, make: MakeSubject) -> None:
        self.device, self.model, self.decode, self.heard, self.make = device, model, decode, heard, make
        self.lateness_ns, self.reorder_ns = int(model.lateness_s * SECOND), int(model.reorder_s * SECOND)
        self.ends_ns = int(model.ends_after_s * SECOND)  # a state that is on ends so long after its last word
        self.numbered = numbers(model)
        self.subjects: dict[str, Subject] = {}
        self.silence: list[Rule] = []
        self._spans: tuple[int, list[int]] | None = None
        self.learns = False  # its interval
        self.quiet = False  # a rule of silence is astir
        self.swaps: tuple[int, ...] = ()  # instants from which it has another sensor, not come yet
        self.works: tuple[Works, ...] = ()  # what goes on at it: meanwhile nothing is raised
        self.overdue: frozenset[tuple[str, str]] = frozenset()  # (component, quantity) past its calibration
        self.dark = False  # it has said nothing since all those behind its gateway fell silent
        self.plain = not (self.reorder_ns or any(map(asks_more, model.fields)))
        self.look_up()

    def listen(self, silence: list[Rule]) -> None:
        """Its rules of silence; an interval that the model does not tell is learned when one asks for it."""
        self._spans = None
        self.silence, self.learns = silence, learns(silence) and not self.model.expect_every_s
        self.look_up()

    def look_up(self) -> None:
        """Whether its next message is more than a calm value: asked once a message, so decided here."""
        astir = self.quiet or self.dark or self.heard.offline or bool(self.overdue)
        self.unusual = astir or self.numbered or self.learns or not self.plain

    def interval_ns(self) -> int:
        """How often it speaks: the model's word, or what it does; 0 while that is not known."""
        return int(self.model.expect_every_s * SECOND) or learned_ns(self.heard.intervals)

    def spans(self) -> list[int]:
        """The silences at which some level begins, ascending; worked out again when its interval changes."""
        interval = self.interval_ns()
        if self._spans is None or self._spans[0] != interval:
            self._spans = interval, spans_ns(self.silence, interval)
        return self._spans[1]

    def subject(self, component: str) -> Subject:
        found = self.subjects.get(component)
        if found is None:
            found = self.subjects[component] = self.make(self.device, component)
        return found


class Watches:
    """All watches of one World, by device. `judges` are those of the subjects made so far, by their key."""

    def __init__(self, world: World, state: State, decoder: Decoder) -> None:
        self.judges: dict[str, Judge] = {}
        self.world, self._state, self._decoder = world, state, decoder
        self._deriving = Deriving(world, state)
        self.weighing = Weighing(world, state)
        self._groups: dict[tuple[str, str], list[Judge]] = {}
        for rule in world.rules:
            if rule.group:
                self._gather(rule)
        self._bands: dict[Bands, Bands] = {}  # those alike are one: a thousand are cold
        self._kinds: dict[tuple[str, str], Kind] = {}  # model, kind of component
        # Of a rule, tuned or not, the judge of its first device of a model.
        self._like: dict[tuple[int, str], tuple[Rule, Judge | None]] = {}
        self._silences: dict[str, list[Rule]] = {}  # by scene
        for rule in filter(is_silence, world.rules):
            self._silences.setdefault(rule.scene, []).append(rule)
        self.of = {device.id: self._watch(device) for device in world.devices.values()}

    def _gather(self, rule: Rule) -> None:
        """One judge for each group of a rule, known to each of its members."""
        for name, members in groups(self.world, rule).items():
            first = self.world.devices[members[0][0]]
            judge = judge_for(rule, first, "", self.world)
            if judge is not None:
                works = self._at_all(judge.works, members)
                judge = replace(judge, key=f"{rule.id}|@{name}|", members=tuple(members), works=works)
                self.judges[judge.key] = judge
                for member in members:
                    self._groups.setdefault(member, []).append(judge)

    def _at_all(self, works: tuple[Works, ...], members: Iterable[tuple[str, str]]) -> tuple[Works, ...]:
        """Those that go on at every member: works at one of them are no excuse for the others."""
        devices = [self.world.devices[name] for name in dict.fromkeys(name for name, _ in members)]
        return tuple(
            one
            for one in works
            if all(any(one.entry is other.entry for other in works_on(self.world, at)) for at in devices)
        )

    def rule_of(self, key: str, track: Track) -> Rule:
        """The rule of a track as it is for its device, or its group. Raises KeyError when there is none."""
        judge = self.judges.get(key)
        if judge is not None and judge.members:
            return judge.rule
        rule = rule_of(self.world, track.rule, track.device)
        if rule is None:
            raise KeyError(track.rule)
        return rule

    def _watch(self, device: Device) -> Watch:
        model = self.world.models[device.model]
        heard = self._state.heard.setdefault(device.id, Heard(self._state.at))
        watch = Watch(device, model, self._decoder.codec_of(device), heard, self._make_subject)
        changed = calibration.swaps(self.world.calibrations.get(device.id, ()))
        watch.swaps = tuple(at_ns for at_ns in changed if at_ns > heard.swapped_ns)
        watch.works = works_on(self.world, device)
        rules = self._silences.get(model.scene, ())
        own = (effective(self.world, rule, device) for rule in rules if applies(rule, device, model.scene))
        watch.listen([rule for rule in own if rule.mode != OFF])
        return watch

    def _make_subject(self, device: Device, component: str) -> Subject:
        kind = self._kind(device, component)
        own = (self._judge(one, device, component) for one in kind.judges)
        judges = [judge for judge in own if judge is not None]
        self.judges.update({judge.key: judge for judge in judges})
        judges += self._groups.get((device.id, component), ())
        seen = self.weighing.seen(device.id, component)
        return Subject(kind, judges, self._deriving.of(device, component), seen, self._bands)

    def _judge(self, like: Judge | Rule, device: Device, component: str) -> Judge | None:
        if isinstance(like, Judge):
            return like.of(f"{like.rule.id}|{device.id}|{component}")
        if not is_for_all(like, self.world):
            return judge_for(like, device, component, self.world)
        own = effective(self.world, like, device)
        found = self._like.get((id(own), device.model))
        if found is None:
            found = own, judge_for(like, device, component, self.world)
            self._like[id(own), device.model] = found
        one = found[1]
        return one and one.of(f"{own.id}|{device.id}|{component}")

    def _kind(self, device: Device, component: str) -> Kind:
        """With the judges of all that are like this one, looked for once."""
        about = device.model, component.rpartition("-")[0]
        found = self._kinds.get(about)
        if found is None:
            model = self.world.models[device.model]
            rules = [
                rule
                for rule in self.world.rules
                if rule.scene == model.scene and rule.each == about[1] and rule.quantity and not rule.group
            ]
            likes = (self._like_all(rule, device, component) for rule in rules)
            weighs = self.weighing.asks(model.scene, about[1])
            judges = [one for one in likes if one is not None]
            found = self._kinds[about] = Kind(model, about[1], judges, weighs)
        return found

    def _like_all(self, rule: Rule, device: Device, component: str) -> Judge | Rule | None:
        """Most rules say the same of all devices of a model: a judge, or None, for all of them."""
        if not is_for_all(rule, self.world) or is_tuned(self.world, rule):
            return rule
        return judge_for(rule, device, component, self.world)


def numbers(model: Model) -> bool:
    """Whether its messages must be known by their number: a device without a clock that says one again, and
    a network server that two gateways tell of one frame. With the device's own instant that is enough.
    """
    codec = model.codec
    return bool(codec.envelope or (codec.sequence and not codec.time))


def asks_more(field: Field) -> bool:
    """Whether a value of it is compared with those before."""
    return bool(field.stuck_after or field.spike_window)


def has_component(model: Model, component: str) -> bool:
    """Whether a device of this model has that part."""
    return component in model.parts(component.rpartition("-")[0])


def ranges(fields: Iterable[Field]) -> dict[str, tuple[float, float]]:
    """What each quantity can be: physically, and for this make of device."""
    found = {}
    for field in fields:
        known = QUANTITIES[field.quantity]
        low, high = known.low, known.high
        low = low if field.low is None else max(low, field.low)
        high = high if field.high is None else min(high, field.high)
        found[field.quantity] = low, high
    return found


def bands(possible: Mapping[str, tuple[float, float]], judges: Iterable[Judge]) -> Bands:
    """Each quantity with the interval in which it is possible and every rule calls it good."""
    found = dict(possible)
    for judge in judges:
        if judge.quantity in found:
            low, high = found[judge.quantity]
            found[judge.quantity] = max(low, judge.low), min(high, judge.high)
    return tuple((name, low, high) for name, (low, high) in found.items())
