"""Who is not who he says he is: counted for an hour, however many there are."""

from msgspec.structs import replace

from gateway import telemetry
from gateway.core.model import Noted, Refusal, Refused
from gateway.suspicions import MINUTE_NS, MINUTES, SUSPECTED, Suspicions
from tests.unit.test_pipeline import Broker, Gateway


class Steady:
    at_ns = 5 * MINUTE_NS

    def at(self):
        return self.at_ns


def test_those_of_the_last_hour_count():
    clock = Steady()
    found = Suspicions(clock.at)
    assert found.per_hour() == 0
    for _ in range(3):
        found.note("token", address="192.0.2.7")
    clock.at_ns += (MINUTES - 1) * MINUTE_NS
    found.note("identity", device="cab-1")
    assert found.per_hour() == 4
    clock.at_ns += MINUTE_NS
    assert found.per_hour() == 1
    clock.at_ns += MINUTES * MINUTE_NS
    assert found.per_hour() == 0


def test_a_flood_costs_a_number_a_minute():
    clock = Steady()
    found = Suspicions(clock.at)
    for number in range(1_000):
        clock.at_ns += MINUTE_NS // 10
        found.note("token", address=f"192.0.2.{number % 250}")
    assert len(found._minutes) == MINUTES and 590 <= found.per_hour() <= 600


def test_each_is_a_line_of_the_log_and_a_count():
    before = SUSPECTED.labels("identity")._value.get()
    with telemetry.testing() as said:
        Suspicions(Steady().at).note("identity", device="cab-1")
    assert [(one.event, one.fields["code"]) for one in said] == [("security_suspected", "identity")]
    assert SUSPECTED.labels("identity")._value.get() == before + 1


def test_another_devices_name_in_a_payload_is_one(tmp_path):
    """Neither a topic that nobody has nor a broken payload is."""
    gateway = Gateway(tmp_path, Broker())
    other = Refused(0, Refusal.IDENTITY, "cab-1", "", "claims to be cab-2")
    broken = replace(other, code=Refusal.SYNTAX), replace(other, code=Refusal.UNKNOWN_DEVICE)
    gateway.pipeline._tell([other, *broken, Noted("payload_refused", {"code": "identity"})])
    assert gateway.pipeline.suspicions.per_hour() == 1
    gateway.store.close()
