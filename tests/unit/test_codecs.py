"""Codecs by example: formulas, bits, frames, envelopes, signals; and the mistakes of a model file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from gateway.core.codecs import CODECS
from gateway.core.codecs.bits import reader
from gateway.core.codecs.chirpstack import wrapped
from gateway.core.codecs.formula import DEPTH_MAX, LONGEST, Formula
from gateway.core.model import Codec, Components, Device, Fault, Field, Message, Model, PayloadError
from tests.unit.config_files import FILES, told
from tests.unit.test_config_mistakes import Case, cases

EUI = "24e124713d004a11"
RECEIVED = 1_800_000_000_000_000_000


def model(kind: str, *fields: Field, components: tuple[Components, ...] = (), **codec) -> Model:
    made = Codec(kind=kind, **codec)
    return Model(id="m", says="", scene="s", source="", codec=made, fields=fields, components=components)


def heard(made: Model, payload: bytes | str, **device):
    """(component, values) of each reading, the faults' codes."""
    body = bytes.fromhex(payload) if isinstance(payload, str) else payload
    speaker = Device(id="d", model="m", at="", topic=f"application/7/device/{EUI}/event/up", **device)
    faults: list[Fault] = []
    try:
        readings = CODECS[made.codec.kind](made)(speaker, Message(speaker.topic, body), RECEIVED, faults)
    except PayloadError as error:
        return [], [str(error.code)]
    return readings, [str(fault.code) for fault in faults]


def values(made: Model, payload: bytes | str, **device):
    readings, codes = heard(made, payload, **device)
    return [{"": reading.component, **reading.values} for reading in readings], codes


# ---------------------------------------------------------------- formulas


@pytest.mark.parametrize(
    ("text", "is_"),
    [
        ("1 + 2 * 3", 7),
        ("(1 + 2) * 3", 9),
        ("10 - 4 - 3", 3),
        ("12 / 3 / 2", 2),
        ("-raw ^ 2", -16),
        ("(-raw)^2", 16),
        ("2 * -raw", -8),
        ("raw^0", 1),
        ("min(raw, 3) + max(raw, 10)", 13),
        ("uint16be(1) - k", 256.5),
        ("int8(0)", -1),
    ],
)
def test_a_formula_means_what_it_meant_at_school(text, is_) -> None:
    assert Formula(text)(b"\0\0\xff\x01\x02", 2, {"raw": 4.0, "k": 1.5}) == is_


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "1 +", "* 2", "(1", "1)", "1 2", "raw raw", "2 ^ 2.5", "2 ^ 9", "2 ^ raw", "uint17be(0)",
        "min(1)", "min(1, 2", "max 1, 2", "__import__('os')", "raw.real", "a[0]", "lambda: 1", "1e9", "0x10",
        "raw if 1", "1;2", "1,2", "１", "1" * (LONGEST + 1), "(" * DEPTH_MAX + "1" + ")" * DEPTH_MAX,
        "-" * DEPTH_MAX + "1",
    ],
)  # fmt: skip
def test_what_is_no_formula_is_refused(text) -> None:
    with pytest.raises(ValueError):
        Formula(text)


def test_a_formula_tells_what_it_reads() -> None:
    formula = Formula("(uint16be(0) / uint16be(2)) * k - raw")
    assert formula.names == {"k", "raw"}
    assert formula.reads == {("uint16be", 0), ("uint16be", 2)}


# ---------------------------------------------------------------- bits


@pytest.mark.parametrize(
    ("kind", "bits", "data", "is_"),
    [
        ("int16le", "1-15", "f3ff", -7),
        ("int16le", "1-15", "1900", 12),
        ("uint16le", "1-15", "f3ff", 32761),
        ("uint8", "0", "07", 1),
        ("uint8", "1-2", "04", 2),
        ("int8", "4-7", "f0", -1),
        ("uint24be", "", "010203", 66051),
        ("int24le", "", "ffffff", -1),
        ("int32be", "", "fffffffe", -2),
        ("float32be", "", "3fc00000", 1.5),
    ],
)
def test_a_number_of_bytes_and_bits(kind, bits, data, is_) -> None:
    assert reader(kind, bits)(b"\0" + bytes.fromhex(data), 1) == is_


# ---------------------------------------------------------------- frames

THERMO = model(
    "tlv",
    Field(quantity="temperature_c", block="0367", type="int16le", scale=0.1),
    Field(quantity="temperature_c", block="20ce", at=4, type="int16le", scale=0.1),
    blocks={"0367": 2, "20ce": 6, "ff01": 1},
    history={"20ce": 0},
)


def test_a_block_of_history_is_a_reading_of_its_own() -> None:
    readings, codes = heard(THERMO, "20ce 00000000 d200 0367 c800 20ce ffffffff 0100")
    assert codes == []
    assert [(r.values["temperature_c"], r.history, r.timed, r.measured_ns) for r in readings] == [
        (21.0, True, True, 0),
        (0.1, True, True, (2**32 - 1) * 10**9),
        (20.0, False, False, RECEIVED),
    ]


@pytest.mark.parametrize(
    ("frame", "is_", "codes"),
    [
        ("0367c800", [{"": "", "temperature_c": 20.0}], []),
        ("ff01aa0367c800", [{"": "", "temperature_c": 20.0}], []),
        ("0367c8000367d200", [{"": "", "temperature_c": 20.0}], ["duplicate_key"]),
        ("0367c800ff", [{"": "", "temperature_c": 20.0}], ["syntax"]),
        ("0367c800099901", [{"": "", "temperature_c": 20.0}], ["syntax"]),
        ("0367c8", [], ["syntax"]),
        ("ff01aa", [], ["empty"]),
        ("", [], ["empty"]),
        ("00" * 1025, [], ["oversize"]),
    ],
)
def test_what_stood_before_a_flaw_counts(frame, is_, codes) -> None:
    assert values(THERMO, frame) == (is_, codes)


FIXED = model(
    "struct",
    Field(quantity="strain_ue", block="a", type="uint16be", formula="raw * k", required=True),
    Field(quantity="battery_v", block="b", type="uint16be", unit="mV"),
    Field(quantity="fill_pct", block="b", type="uint16be", formula="raw / other"),
    starts="02", head=3, flags_at=1, blocks={"a": 2, "b": 2},
)  # fmt: skip


@pytest.mark.parametrize(
    ("frame", "is_", "codes"),
    [
        ("02 0003 0002 0c60", [{"": "", "strain_ue": 3.0, "battery_v": 3.168}], []),
        ("02 0001 0002", [{"": "", "strain_ue": 3.0}], []),
        ("02 0002 0c60", [{"": "", "battery_v": 3.168}], ["missing"]),
        ("02 0003 0002 0c", [{"": "", "strain_ue": 3.0}], ["syntax"]),
        ("02 0001 0002 0c60", [{"": "", "strain_ue": 3.0}], ["syntax"]),
        ("02 0005 0002", [{"": "", "strain_ue": 3.0}], ["syntax"]),
        ("02 0000", [], ["missing"]),
        ("02 00", [], ["syntax"]),
        ("03 0003 0002 0c60", [], ["syntax"]),
    ],
)
def test_flags_tell_which_blocks_are_there(frame, is_, codes) -> None:
    assert values(FIXED, frame, constants={"k": 1.5}) == (is_, codes)


def test_a_required_value_without_its_constant_is_missed_and_another_is_left_out() -> None:
    """Not computed with somebody else's: it would be wrong and look right."""
    assert values(FIXED, "02 0003 0002 0c60") == ([{"": "", "battery_v": 3.168}], ["missing", "missing"])


def test_a_value_that_a_state_makes_meaningless_is_left_out() -> None:
    bin_ = model(
        "tlv",
        Field(quantity="tipped", block="05", type="uint8"),
        Field(quantity="fill_pct", block="04", type="uint8", unless="tipped"),
        blocks={"04": 1, "05": 1},
    )
    assert values(bin_, "0432 0500") == ([{"": "", "tipped": 0.0, "fill_pct": 50.0}], [])
    assert values(bin_, "0432 0501") == ([{"": "", "tipped": 1.0}], [])


@pytest.mark.parametrize(
    ("raw", "is_", "codes"),
    [
        ("41280000", [{"": "", "temperature_c": 10.5}], []),
        ("5f800000", [{"": "", "temperature_c": 2.0**64}], []),
        ("7fc00000", [], ["not_finite"]),
        ("ff800000", [], ["not_finite"]),
    ],
)
def test_a_float_of_the_device_may_be_none(raw, is_, codes) -> None:
    made = model("struct", Field(quantity="temperature_c", block="t", type="float32be"), blocks={"t": 4})
    assert values(made, raw) == (is_, codes)


# ---------------------------------------------------------------- the envelope

LORA = model(
    "tlv",
    Field(quantity="battery_pct", block="0175", type="uint8"),
    envelope="chirpstack", port=85, blocks={"0175": 1},
)  # fmt: skip
TIME = '"time": "2026-11-02T04:00:15.775023242+00:00"'


@pytest.mark.parametrize(
    "event",
    [
        '{"deduplicationId": "u1", %s, "deviceInfo": {"devEui": "%s"}, "fPort": 85, "data": "AXVk"}',
        # the same, but one key written so that only the strict parser can vouch for it
        '{"deduplicationId": "u1", %s, "deviceInfo": {"dev\\u0045ui": "%s"}, "fPort": 85, "data": "AXVk"}',
        '{"deduplicationId":"u1",%s,"deviceInfo":{"devEui":"%s"},"fPort":85,"data":"AXVk","x":"data"}',
    ],
)
def test_both_ways_through_the_envelope_say_the_same(event) -> None:
    (reading,), codes = heard(LORA, (event % (TIME, EUI)).encode())
    assert codes == [] and reading.values == {"battery_pct": 100.0}
    assert (reading.measured_ns, reading.sequence) == (1_793_592_015_775_023_000, "u1")


@pytest.mark.parametrize("eui", [EUI, EUI.upper(), "JOEkcT0AShE="])
def test_an_event_of_version_3(eui) -> None:
    event = (
        b'{"applicationID":"7","devEUI":"%s","devAddr":"00189440","fCnt":35,"fPort":85,"data":"AXVk",'
        b'"rxInfo":[{"time":"2026-11-02T04:10:15Z","loRaSNR":10.2}]}' % eui.encode()
    )
    (reading,), codes = heard(LORA, event)
    assert codes == [] and reading.values == {"battery_pct": 100.0}
    assert (reading.measured_ns // 10**9, reading.sequence) == (1_793_592_615, "'00189440'/35")


def test_a_frame_counter_left_out_is_zero() -> None:
    (reading,), _ = heard(LORA, b'{"devEUI":"%s","devAddr":"a","fPort":85,"data":"AXVk"}' % EUI.encode())
    assert reading.sequence == "'a'/0" and not reading.timed


@pytest.mark.parametrize(
    ("event", "code"),
    [
        ('{"deviceInfo":{"devEui":"24e124713d004a99"},"fPort":85,"data":"AXVk"}', "identity"),
        ('{"devEUI":"24e124713d004a99","fPort":85,"data":"AXVk"}', "identity"),
        ('{"deviceInfo":{"devEui":"24e124713d004a11"},"fPort":2,"data":"AXVk"}', "empty"),
        ('{"deviceInfo":{"devEui":"24e124713d004a11"},"data":"AXVk"}', "empty"),
        ('{"deviceInfo":{"devEui":"24e124713d004a11"},"fPort":85}', "missing"),
        ('{"deviceInfo":{"devEui":"24e124713d004a11"},"fPort":85,"data":7}', "type"),
        ('{"deviceInfo":{"devEui":"24e124713d004a11"},"fPort":85,"data":"A"}', "encoding"),
        (
            '{"deviceInfo":{"devEui":"24e124713d004a11"},"fPort":85,"data":"AXVk","data":"AXVl"}',
            "duplicate_key",
        ),
        ('{"deviceInfo":{"devEui":"d","devEui":"d"},"fPort":85,"data":"AXVk"}', "duplicate_key"),
        ('{"deviceInfo":{"devEui":"x"},"deviceInfo":{},"fPort":85,"data":"AXVk"}', "duplicate_key"),
        ('{"deviceInfo":{},"fPort":85,"fPort":85,"data":"AXVk"}', "duplicate_key"),
        ('{"deviceInfo":{},"fPort":85,"data":"AXVk","time":"","time":""}', "duplicate_key"),
        (
            '{"deviceInfo":{},"fPort":85,"data":"AXVk","deduplicationId":"a","deduplicationId":"b"}',
            "duplicate_key",
        ),
        ("AXVk", "syntax"),
    ],
)
def test_an_event_that_is_none_of_ours(event, code) -> None:
    assert heard(LORA, event.encode()) == ([], [code])


def test_an_object_inside_the_envelope_of_either_version() -> None:
    made = model("json", Field(quantity="temperature_c", path="t"), envelope="chirpstack")
    for event in (
        '{"deviceInfo":{"devEui":"%s"},"object":{"t":21.5}}',
        '{"devEUI":"%s","object":{"t":21.5}}',
        '{"devEUI":"%s","objectJSON":"{\\"t\\":21.5}"}',
    ):
        assert values(made, (event % EUI).encode()) == ([{"": "", "temperature_c": 21.5}], [])


RADIO = replace(
    LORA,
    fields=(*LORA.fields, Field(quantity="rssi_dbm", radio="rssi"), Field(quantity="snr_db", radio="snr")),
)


@pytest.mark.parametrize(
    ("rest", "is_"),
    [
        ('"rxInfo":[{"rssi":-97,"snr":-3.2},{"rssi":-36,"snr":10.5}]', (-36.0, 10.5)),
        ('"rxInfo":[{"rssi":-97}]', (-97.0, 0.0)),  # a zero is left out
        ('"rxInfo":[{"rssi":"weak","snr":1}]', (0.0, 1.0)),
        ('"rxInfo":[]', None),
        ('"rxInfo":{}', None),
        ('"x":1', None),
        ('"rxInfo":[{"rssi":-60,"loRaSNR":9.5}],"devEUI":"24e124713d004a11"', (-60.0, 9.5)),
    ],
)
def test_how_well_it_was_heard_by_the_gateway_that_heard_it_best(rest, is_) -> None:
    info = "" if "devEUI" in rest else '"deviceInfo":{"devEui":"24e124713d004a11"},'
    (reading,), codes = heard(RADIO, f'{{{info}"fPort":85,"data":"AXVk",{rest}}}'.encode())
    wanted = {"rssi_dbm": is_[0], "snr_db": is_[1]} if is_ else {}
    assert codes == [] and reading.values == {"battery_pct": 100.0} | wanted


def test_an_unreadable_frame_is_no_reading_of_the_radio() -> None:
    event = b'{"deviceInfo":{"devEui":"24e124713d004a11"},"fPort":85,"data":"AXU=","rxInfo":[{"rssi":-36}]}'
    assert heard(RADIO, event) == ([], ["syntax"])


def test_a_frame_wrapped_for_an_example_is_opened_again() -> None:
    assert values(LORA, wrapped(b"\x01\x75\x64", EUI, 85)) == ([{"": "", "battery_pct": 100.0}], [])


# ---------------------------------------------------------------- signals

CABINET = model(
    "signals",
    Field(quantity="temperature_c", signal="02113001"),
    Field(quantity="slot_temperature_c", signal="01119001", of="slot"),
    Field(quantity="slot_voltage_v", signal="01111**1", of="slot"),
    Field(quantity="slot_door_open", signal="02103001", of="slot", values={"open": 1.0, "shut": 0.0}),
    components=(Components(kind="slot", number="doorId", count=8),),
    list="body.attrs",
)


@pytest.mark.parametrize(
    ("entries", "is_", "codes"),
    [
        ('{"id":"02113001","value":"24.5"}', [{"": "", "temperature_c": 24.5}], []),
        ('{"id":"02113001","value":24.5}', [{"": "", "temperature_c": 24.5}], []),
        ('{"id":"02113001","value":""}', [], ["empty"]),
        ('{"id":"01119001","value":"31","doorId":"3"}', [{"": "slot-3", "slot_temperature_c": 31.0}], []),
        ('{"id":"01119001","value":"31","doorId":3}', [{"": "slot-3", "slot_temperature_c": 31.0}], []),
        ('{"id":"01111081","value":"53.1"}', [{"": "slot-8", "slot_voltage_v": 53.1}], []),
        ('{"id":"02103001","value":"open","doorId":"1"}', [{"": "slot-1", "slot_door_open": 1.0}], []),
        ('{"id":"01111091","value":"53.1"}', [], ["component"]),
        ('{"id":"01119001","value":"31","doorId":"9"}', [], ["component"]),
        ('{"id":"01119001","value":"31","doorId":0}', [], ["component"]),
        ('{"id":"01119001","value":"31","doorId":true}', [], ["component"]),
        ('{"id":"01119001","value":"31","doorId":[]}', [], ["component"]),
        ('{"id":"02113001","value":"24.5","doorId":""}', [{"": "", "temperature_c": 24.5}], []),
        ('{"id":"01119001","value":"31","doorId":"０３"}', [], ["component"]),
        ('{"id":"01119001","value":"1e3","doorId":"3"}', [], ["type"]),
        ('{"id":"02103001","value":"ajar","doorId":"1"}', [], ["type"]),
        ('{"id":1,"value":"31"}', [], ["type"]),
        ('{"id":"02113001","value":1e999}', [], ["not_finite"]),
        ('{"id":"09999999","value":"31"}', [], ["empty"]),
    ],
)
def test_a_signal(entries, is_, codes) -> None:
    assert values(CABINET, f'{{"body":{{"attrs":[{entries}]}}}}'.encode()) == (is_, codes)


# ---------------------------------------------------------------- mistakes of a model file

SENSOR = """\
says: 传感器
source: invented
scene: structure
codec: {kind: tlv, blocks: {"0175": 1, "03cf": 4}, history: {"03cf": 0}}
constants: {k: 2}
fields:
  - {quantity: battery_pct, block: "0175", type: uint8, bits: 0-6}
  - {quantity: strain_ue, block: "0175", type: uint8, formula: raw * k, required: true}
examples:
  - {frame: "0175 64", readings: [{battery_pct: 100, strain_ue: 200}]}
"""


def files(old: str = "", new: str = "", device: str = "") -> dict[str, str]:
    assert not old or old in SENSOR
    site = FILES["sites/site.yaml"] + device
    return FILES | {"devices/sensor.yaml": SENSOR.replace(old, new, 1), "sites/site.yaml": site}


def test_the_sound_model_is_sound(tmp_path: Path) -> None:
    assert told(tmp_path, files()) == []


MISTAKES = cases(Path(__file__).with_name("codec_mistakes.txt").read_text("utf-8"))


@pytest.mark.parametrize("case", MISTAKES, ids=lambda case: case.name)
def test_a_mistake_is_told_with_its_line(case: Case, tmp_path: Path) -> None:
    (found,) = told(tmp_path, files(case.old, case.new))
    before, _, after = case.expected[0].partition("one of … ")
    assert found.startswith(before) and found.endswith(after)
    (chinese,) = told(tmp_path, files(case.old, case.new), "zh")
    assert chinese.split(": ")[0] == found.split(": ")[0] and "发现" in chinese


def test_check_misses_a_devices_own_constants(tmp_path: Path) -> None:
    """Another sensor's calibration would be wrong in silence; those of the examples are nobody's."""
    device = "  - {id: s-1, model: sensor, at: estate, topic: site/s-1}\n"
    line = FILES["sites/site.yaml"].count("\n") + 1
    assert told(tmp_path, files(device=device)) == [
        f"sites/site.yaml:{line}: devices[2].constants: found no constant k for device s-1, "
        "expected the constant that strain_ue needs"
    ]
    own = device.replace("s-1}", "s-1, constants: {k: 3}}")
    assert told(tmp_path, files(device=own)) == []
    strange = own.replace("{k: 3}", "{k: 3, j: 4}")
    assert told(tmp_path, files(device=strange)) == [
        f"sites/site.yaml:{line}: devices[2].constants.j: found the unknown constant j, expected one of k"
    ]
