"""All that the engine remembers: what a checkpoint saves, and what the log behind it rebuilds."""

from __future__ import annotations

import msgspec

from gateway.core import chatter
from gateway.core.alerts import ACTIVE, Standing
from gateway.core.lateness import Queue
from gateway.core.measures import Windows
from gateway.core.model import Alert, Case, Level, Notification, Shelf, Snapshot
from gateway.core.past import Past
from gateway.core.quality import Heard
from gateway.core.silence import Group

VERSION = 1


class Track(msgspec.Struct):
    """One rule on one subject while it is astir: exists only as long as a level is not calm."""

    rule: str
    device: str
    component: str
    standings: list[Standing]
    value: float | None = None  # the last one judged; None for silence
    alert: str = ""  # the episode's alert while a level is active
    count: int = 0  # bad readings of this episode; of a group's silence, how many devices
    evidence: str = ""  # where a derived value comes from, in words
    heard_at: int = 0  # of silence: steady instant of the last word
    question: str = ""  # of the rule that made it: core.edits.question
    sides: int = chatter.NONE  # on which side of the limit its last readings were
    chattering: bool = False
    unknown: bool = False  # its alert stands, and what it is judged by is not known

    @property
    def quiet_ns(self) -> int:
        """For how long it must be good at least before it is over."""
        return chatter.QUIET_NS if self.chattering else 0

    def level(self) -> Level | None:
        """The alert's level: the highest that stands."""
        return max((one.level for one in self.standings if one.phase in ACTIVE), default=None)


class Fit(msgspec.Struct, frozen=True):
    """What temperature does to one quantity, as learnt from an approved period."""

    period: str  # str() of the model.Period
    version: str  # names period and coefficients
    level: float
    per_degree: float
    reference_c: float
    scatter: float

    def residual(self, value: float, temperature_c: float) -> float:
        """How far a value lies from where the temperature alone would have put it since the period."""
        return value - self.level - self.per_degree * (temperature_c - self.reference_c)


class Series(msgspec.Struct):
    """One quantity of one device in means of three hours: some 4 kB for six weeks, whatever it sends."""

    block: int = 0  # number of the open one
    count: int = 0  # readings in it
    total: float = 0.0
    warmth: float = 0.0  # total of the temperature beside it
    closed: bytes = b""  # core.derived.RECORD each: number, mean, mean temperature
    fit: Fit | None = None


class Latest(msgspec.Struct):
    """The last word of a device that another is compared with."""

    measured_ns: int
    value: float


class Lasting(msgspec.Struct):
    """A state that is on and ends by itself at a steady instant, unless it is said again."""

    until: int
    repeated: bool = (
        False  # it was said more than once: whoever repeats himself is believed up to his last word
    )
    ripe: int = (
        0  # not judged before: its next word has been as long under way as this one, or its clock lags
    )


class Closing(msgspec.Struct, frozen=True):
    """How a case ended, for as long as the same again, or a second thought, may refer to it."""

    case: Case
    at: int
    alert: Alert | None


class Cooling(msgspec.Struct):
    """After an alert: nothing that is no worse than it is raised before a steady instant."""

    until: int
    level: Level


class State(msgspec.Struct, omit_defaults=True):  # a table that is empty takes no room in a checkpoint
    identity: str  # of the store: part of every id
    version: int = VERSION
    at: int = 0  # steady instant of the last event
    counter: int = 0  # ids given so far
    digest: str = ""  # of the World that judged last
    link_up: bool = False
    listening_since: int = 0  # silence before this proves nothing
    deaf: list[tuple[int, int]] = []  # the spans in which we could not hear, of late
    deaf_since: int = 0  # the last instant before that at which we heard
    patient_until: int = 0  # what time alone would end waits till then: its next word may be under way
    heard: dict[str, Heard] = {}
    lasting: dict[str, Lasting] = {}  # device|component|quantity
    tracks: dict[str, Track] = {}
    alerts: dict[str, Alert] = {}  # those that stand
    cases: dict[str, Case] = {}  # those that are open
    notifications: dict[str, Notification] = {}  # those not told yet
    sent: dict[str, Notification] = {}  # those told of which a receipt, or to which a reply, may come
    cards: dict[str, list[Notification]] = {}  # case -> what stands at people until somebody answers
    recalled: dict[str, Notification] = {}  # taken back when due, and so perhaps on its way already
    series: dict[str, Series] = {}  # of|compensated by|device
    latest: dict[str, Latest] = {}  # quantity|device
    past: dict[str, Past] = {}  # what rules make of samples that came too late to ring
    queues: dict[str, Queue] = {}  # key of a judge whose rule has a lateness -> what waits for its turn
    known: dict[str, dict[str, Latest]] = {}  # device|component -> quantities that expressions ask for
    windows: Windows = {}  # measure|device|component
    waking: dict[str, int] = {}  # key of a judge -> when time alone may change what its expression says
    disabled: dict[str, str] = {}  # key of a judge that failed -> how: it judges no more until files change
    raised: dict[str, list[int]] = {}  # key of a track -> when it raised its alert in the last minute
    gaps: dict[str, int] = {}  # role|place of an empty post -> when its supervisor was told (wall)
    cooling: dict[str, Cooling] = {}  # key of a track whose rule has a cool-down
    groups: dict[str, Group] = {}  # device -> those behind it, once they fell silent together
    last: dict[str, Alert] = {}  # case -> its alert that ended last, while the case is open
    closings: dict[str, list[Closing]] = {}  # rule|place -> the last ones, oldest first
    digested: dict[str, str] = {}  # key of a digest -> the last week it was sent for
    shelves: dict[str, Shelf] = {}  # of what nobody is told, or would not be, should somebody agree
    snapshots: dict[str, Snapshot] = {}  # those wanted, until they are there or are given up
    reviewed_ns: int = 0  # when the last morning list was told (wall)
    watched_at: int = 0  # when it was last made sure that every open case has a next timer


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(State).decode


def save(state: State) -> bytes:
    return _encode(state)


def load(body: bytes) -> State:
    """Raises msgspec.MsgspecError when the bytes are of another version's making."""
    return _decode(body)
