"""Ordinary life: what a device of each scene says on a day on which nothing happens.

Drawn from the seed, the device and the day alone, so that an incident here changes nothing there.
Nothing in ordinary life comes near a limit of the shipped rules: whatever fires is a false alert.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo

from gateway.core.model import SECOND, Device, Model
from simulators.cameras import REPEAT_S
from simulators.encoding import Said

MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR
RESTLESS_S = 10.0  # an event device repeats itself this often while something goes on
COOL_C, SWING_C, WARMEST_H = 14.0, 6.0, 15.0  # a November day in Shanghai
LEAN_DEG_PER_C = 0.0008  # how a wall leans with the sun; far below 0.01 degrees a day
STRETCH_UE_PER_C = 8.0  # brick and concrete, near enough
CRACK_MM_PER_C = -0.004  # warm walls close their cracks
QUIET_END_S = 240.0  # bags are gone this long before a window ends: a late one would be an incident

# quantity: (what it rests at, noise); a state rests at 0 and is not named here
SHAKEN = ("ppv_mm_s", "dominant_hz")  # a block of samples is made of these; its other features follow
RESTING: Mapping[str, tuple[float, float]] = {
    "tilt_z_deg": (89.9, 0.004),
    "tilt_x_deg": (0.0, 0.004),
    "tilt_y_deg": (0.0, 0.004),
    "lean_mm_per_m": (0.0, 0.05),
    "crack_mm": (0.0, 0.01),
    "settlement_mm": (0.0, 0.05),
    "strain_ue": (0.0, 1.5),
    "ppv_mm_s": (0.12, 0.02),
    "dominant_hz": (14.0, 2.0),
    "humidity_pct": (68.0, 1.0),
    "battery_v": (3.6, 0.005),
    "rssi_dbm": (-87.0, 3.0),
    "snr_db": (7.5, 1.0),
    "distance_mm": (900.0, 2.0),
    "fill_pct": (20.0, 0.4),
    "pressure_mpa": (1.2, 0.005),
    "nh3_ppm": (1.0, 0.1),
    "h2s_ppm": (0.02, 0.002),
    "level_mm": (1500.0, 1.0),
    "voltage_v": (228.0, 0.8),
    "current_a": (0.4, 0.02),
    "power_w": (60.0, 2.0),
    "energy_kwh": (1240.0, 0.0),
    "leakage_ma": (0.6, 0.1),
    "expiry_days": (240.0, 0.0),
    "duration_s": (0.8, 0.1),
    "online": (1.0, 0.0),
    "frames_received": (25.0, 2.0),
    "slot_voltage_v": (0.0, 0.0),
    "slot_current_a": (0.0, 0.0),
}


@dataclass(frozen=True, slots=True)
class Episode:
    """Something that goes on from one instant to another."""

    begins_ns: int
    ends_ns: int

    def __contains__(self, ns: int) -> bool:
        return self.begins_ns <= ns < self.ends_ns

    def instants(self, every_s: float = RESTLESS_S) -> Iterator[int]:
        """When an event device speaks of it: at the start, again and again, and at the end."""
        yield from range(self.begins_ns, self.ends_ns, int(every_s * SECOND))
        yield self.ends_ns


class Life:
    """One device on an ordinary day; the scenes below add what is particular to them."""

    def __init__(
        self, device: Device, model: Model, seed: int, zone: tzinfo, windows: Sequence[str] = ()
    ) -> None:
        self.device, self.model, self.zone, self.windows = device, model, zone, windows
        self.seed = seed
        self.dice = random.Random(f"{seed}/{device.id}")
        self._midnight = 0
        self.warmth = self.dice.uniform(-1.5, 1.5)  # a shady or a sunny corner

    def episodes(self, midnight_ns: int) -> list[Episode]:
        """What the device will see on the local day that begins at `midnight_ns`."""
        return []

    def instants(self, episode: Episode) -> Iterable[int]:
        """When the device speaks of an episode, beyond its ordinary beat."""
        return episode.instants(REPEAT_S.get(self.model.codec.kind, RESTLESS_S))

    def say(self, ns: int, episodes: Sequence[Episode]) -> Said:
        """What is true at `ns`: every quantity of the model, at rest."""
        said: Said = {"": self._at_rest(ns, "")}
        for part in self.model.components:
            for number in range(1, part.count + 1):
                said[f"{part.kind}-{number}"] = self._at_rest(ns, part.kind)
        for axis in self.model.codec.wave.axes if self.model.codec.wave else ():
            at_rest = self._at_rest(ns, "axis")
            said[f"axis-{axis}"] = {name: at_rest[name] for name in SHAKEN if name in at_rest}
        return said

    def ambient_c(self, ns: int) -> float:
        turn = (self.hour(ns) - WARMEST_H) / 24 * 2 * math.pi
        return COOL_C + self.warmth + SWING_C * math.cos(turn)

    def hour(self, ns: int) -> float:
        return (ns - self.midnight(ns)) / HOUR

    def midnight(self, ns: int) -> int:
        """The local midnight before `ns`; remembered, because nearly every question is about the same day."""
        if not 0 <= ns - self._midnight < 23 * HOUR:
            self._midnight = midnight_before(ns, self.zone)
        return self._midnight

    def day_dice(self, midnight_ns: int, what: str = "") -> random.Random:
        return random.Random(f"{self.seed}/{self.device.id}/{what}/{midnight_ns}")

    def _at_rest(self, ns: int, kind: str) -> dict[str, float]:
        return {
            field.quantity: self._resting(field.quantity, ns)
            for field in self.model.fields
            if field.of == kind
        }

    def _resting(self, quantity: str, ns: int) -> float:
        if quantity in ("temperature_c", "slot_temperature_c"):
            return self.ambient_c(ns) + self.dice.gauss(0, 0.1)
        if quantity == "battery_pct":
            return max(20.0, 97.0 - self.hour(ns) * 0.01)
        middle, noise = RESTING.get(quantity, (0.0, 0.0))
        middle = self.device.baseline.get(quantity, middle)
        return middle + max(-3.0, min(3.0, self.dice.gauss(0, 1))) * noise if noise else middle


class Structure(Life):
    """An old house: it breathes with the sun, and the street makes it tremble a little."""

    def say(self, ns: int, episodes: Sequence[Episode]) -> Said:
        said = super().say(ns, episodes)
        own, warmer_c = said[""], self.ambient_c(ns) - COOL_C
        moves = {"tilt_x_deg": LEAN_DEG_PER_C, "crack_mm": CRACK_MM_PER_C, "strain_ue": STRETCH_UE_PER_C}
        for quantity, per_c in moves.items():
            if quantity in own:
                own[quantity] += per_c * warmer_c
        if "ppv_mm_s" in own:
            own["ppv_mm_s"] = min(0.8, 0.05 + self.dice.lognormvariate(-2.3, 0.5))
        return said


class Lift(Life):
    """A camera in the car. Now and then an e-bike looks in and is taken out again at once."""

    GLANCES = 3  # a day, at most
    GLANCE_S = 15

    def episodes(self, midnight_ns: int) -> list[Episode]:
        dice = self.day_dice(midnight_ns)
        starts = sorted(
            midnight_ns + dice.randrange(int(7 * HOUR), int(22 * HOUR))
            for _ in range(dice.randint(0, self.GLANCES))
        )
        return [Episode(start, start + dice.randint(8, self.GLANCE_S) * SECOND) for start in starts]

    def say(self, ns: int, episodes: Sequence[Episode]) -> Said:
        said = super().say(ns, episodes)
        seen = any(ns in episode for episode in episodes)
        ride = self.dice.choice((0, 0, 0, 65, 140, 210))
        self._put(said[""], ebike_present=seen, lift_door_held=seen, load_kg=ride + 80 * seen)
        self._put(said[""], confidence=self.dice.uniform(0.86, 0.98) if seen else self.dice.uniform(0, 0.2))
        return said

    @staticmethod
    def _put(own: dict[str, float], **values: float) -> None:
        own.update({quantity: float(value) for quantity, value in values.items() if quantity in own})


class Waste(Life):
    """A waste room: bags stand about while the windows are open, and are gone before they close."""

    BAGS = 4  # a window, at most
    FULL_PCT = 70.0

    def episodes(self, midnight_ns: int) -> list[Episode]:
        dice, found = self.day_dice(midnight_ns), []
        for window in self.windows:
            opens, closes = (midnight_ns + since_midnight_ns(end) for end in window.split("-"))
            for _ in range(dice.randint(1, self.BAGS) if opens < closes else 0):
                starts = dice.randrange(opens, closes - int(QUIET_END_S) * SECOND)
                ends = min(starts + dice.randint(60, 900) * SECOND, closes - int(QUIET_END_S) * SECOND)
                found.append(Episode(starts, ends))
        return sorted(found, key=lambda episode: episode.begins_ns)

    def say(self, ns: int, episodes: Sequence[Episode]) -> Said:
        said = super().say(ns, episodes)
        own = said[""]
        seen = any(ns in episode for episode in episodes)
        if "bag_on_floor" in own:
            own["bag_on_floor"] = float(seen)
        if "confidence" in own:
            own["confidence"] = self.dice.uniform(0.85, 0.97) if seen else self.dice.uniform(0, 0.2)
        if "fill_pct" in own:
            own["fill_pct"] = self._fill_pct(ns)
        return said

    def _fill_pct(self, ns: int) -> float:
        """Rises while a window is open, emptied half an hour after it closed."""
        now = self.hour(ns) * HOUR
        for window in self.windows:
            opens, closes = (since_midnight_ns(end) for end in window.split("-"))
            if opens <= now < closes + HOUR / 2:
                return 5 + (self.FULL_PCT - 5) * min(1.0, (now - opens) / max(1, closes - opens))
        return 5.0 + self.dice.uniform(0, 1)


class Cabinet(Life):
    """Eight slots, each with its own charging sessions; warm while charging, never hot."""

    WARMTH_C = 12.0
    NONE, CHARGING, FULL = 0, 1, 2

    def __init__(
        self, device: Device, model: Model, seed: int, zone: tzinfo, windows: Sequence[str] = ()
    ) -> None:
        super().__init__(device, model, seed, zone, windows)
        self._known: dict[int, dict[str, list[Episode]]] = {}

    def episodes(self, midnight_ns: int) -> list[Episode]:
        return [episode for sessions in self._sessions(midnight_ns).values() for episode in sessions]

    def instants(self, episode: Episode) -> Iterable[int]:
        return episode.begins_ns, episode.ends_ns

    def say(self, ns: int, episodes: Sequence[Episode]) -> Said:
        said = super().say(ns, episodes)
        sessions = self._sessions(self.midnight(ns))
        if "temperature_c" in said[""]:
            said[""]["temperature_c"] += 5
        for component in said:
            if component:
                self._charge(said[component], ns, next((e for e in sessions[component] if ns in e), None))
        return said

    def _sessions(self, midnight_ns: int) -> dict[str, list[Episode]]:
        """Of each slot: none, one or two packs a day, each there for three to six hours."""
        if midnight_ns in self._known:
            return self._known[midnight_ns]
        found = self._known[midnight_ns] = {}
        for part in self.model.components:
            for number in range(1, part.count + 1):
                dice = self.day_dice(midnight_ns, f"{part.kind}-{number}")
                starts = [6 * HOUR + dice.randrange(2 * HOUR), 14 * HOUR + dice.randrange(2 * HOUR)]
                taken = dice.sample(starts, dice.randint(0, 2))
                found[f"{part.kind}-{number}"] = [
                    Episode(midnight_ns + s, midnight_ns + s + dice.randrange(3 * HOUR, 6 * HOUR))
                    for s in sorted(taken)
                ]
        return found

    def _charge(self, slot: dict[str, float], ns: int, session: Episode | None) -> None:
        state = {"slot_state": float(self.NONE)}
        if session:
            soc = min(100.0, 20 + 90 * (ns - session.begins_ns) / (session.ends_ns - session.begins_ns))
            current = 0.0 if soc >= 100 else 8.0 if soc < 80 else 8.0 * (105 - soc) / 25
            state = {
                "slot_state": float(self.FULL if soc >= 100 else self.CHARGING),
                "slot_soc_pct": soc,
                "slot_voltage_v": 47 + 0.075 * soc + self.dice.gauss(0, 0.05),
                "slot_current_a": current + self.dice.gauss(0, 0.05) * (current > 0),
                "slot_temperature_c": slot.get("slot_temperature_c", 0) + self.WARMTH_C * current / 8,
            }
        slot.update({quantity: value for quantity, value in state.items() if quantity in slot})


SCENES: Mapping[str, type[Life]] = {"structure": Structure, "lift": Lift, "waste": Waste, "cabinet": Cabinet}


def life_of(device: Device, model: Model, seed: int, zone: tzinfo, windows: Sequence[str] = ()) -> Life:
    """The ordinary life of a device; a scene we have no story for rests at its baselines."""
    return SCENES.get(model.scene, Life)(device, model, seed, zone, windows)


def since_midnight_ns(clock: str) -> int:
    """`06:30` as a span."""
    hours, minutes = clock.split(":")
    return int(hours) * HOUR + int(minutes) * MINUTE


def midnight_before(ns: int, zone: tzinfo) -> int:
    """The local midnight at or before an instant."""
    local = datetime.fromtimestamp(ns // SECOND, zone).replace(hour=0, minute=0, second=0)
    return int(local.timestamp()) * SECOND


def midnights(start_ns: int, end_ns: int, zone: tzinfo) -> Iterator[int]:
    """Every local midnight whose day touches [start, end)."""
    midnight = midnight_before(start_ns, zone)
    while midnight < end_ns:
        yield midnight
        following = datetime.fromtimestamp(midnight // SECOND, zone) + timedelta(days=1)
        midnight = int(following.timestamp()) * SECOND
