"""The register of approved templates: what a provider would refuse, cut or charge for is told by `check`."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gateway import config
from gateway.checks import texts
from gateway.checks.parts import Text
from gateway.checks.texts import lengths
from gateway.config import Loaded, load
from gateway.core.model import Kind, Notification, Verb
from gateway.core.templates import KINDS, Template
from tests.unit.config_files import FILES, write
from tests.unit.worlds import HOT, Play

CHANNELS = """\
  sms: {kind: sms_aliyun, key_id: k, key_secret_file: s, sign: 枫林街道}
  tx: {kind: sms_tencent, key_id: k, key_secret_file: s, sign: 枫林街道, app_id: "14"}
  voice: {kind: voice_aliyun, key_id: k, key_secret_file: s}
templates:
  - channel: sms
    id: SMS_1
    kinds: [raised, risen, escalated, overdue, late, recurred, returned, transferred, reopened, taken_over]
    text: "${level}：${title}，位置${place}，${situation}。回复1接手。"
    state: approved
    since: 2026-10-08
  - {channel: sms, id: SMS_2, text: "${level}：${title}，位置${place}。", state: approved, since: 2026-10-08}
  - channel: tx
    id: "1234567"
    variables: [level, title, place]
    text: "{1}：{2}，位置{3}。"
    state: approved
    since: 2026-10-08
  - {channel: voice, id: TTS_1, text: "${level}。${place}，${title}。", state: approved, since: 2026-10-08}
"""
HOOK = "secret_file: hook-secret}\n"
SOUND = {**FILES, "lilong.yaml": FILES["lilong.yaml"].replace(HOOK, HOOK + CHANNELS)}


def found(folder: Path, file: str, old: str, new: str) -> list[str]:
    """`file:line code` of each finding of the sound files with `old` (there once) turned into `new`."""
    assert SOUND[file].count(old) == 1 or not old
    loaded = looked(folder, {**SOUND, file: SOUND[file].replace(old, new)})
    told = [*loaded.problems, *loaded.warnings]
    return [f"{one.file.removeprefix(f'{folder}/')}:{one.line} {one.code}" for one in told]


def looked(folder: Path, files: dict[str, str]) -> Loaded:
    return load(write(folder, files), "en", environ={}, lint=True)


def line_of(file: str, text: str) -> int:
    return SOUND[file].partition(text)[0].count("\n") + 1


def test_a_sound_register_is_taken(tmp_path: Path) -> None:
    loaded = looked(tmp_path, SOUND)
    assert [*loaded.problems, *loaded.warnings] == []
    assert loaded.config
    assert [one.id for one in loaded.config.channels["sms"].templates] == ["SMS_1", "SMS_2"]


MISTAKES = [
    ("channel: voice, id: TTS_1", "channel: inbox, id: TTS_1", "L301"),
    ("channel: voice, id: TTS_1", "channel: voic, id: TTS_1", "L301"),
    ("kinds: [raised, risen,", "kinds: [raised, rised,", "L301"),
    ("[level, title, place]", "[level, title, spot]", "L301"),
    ("{1}：{2}，位置{3}。", "{1}：{2}，位置{4}。", "L210"),
    ("{1}：{2}，位置{3}。", "{1}：{2}。", "L210"),
    ("{1}：{2}，位置{3}。", "${1}：{2}，位置{3}。", "L210"),
    ("，${situation}。回复1", "，${situaton}。回复1", "L210"),
    ("，${situation}。回复1", "，{situation}。回复1", "L210"),
    ("，${situation}。回复1", "，${situation}。见x.cn/a ，回复1", "L211"),
    ("，${situation}。回复1", "，${situation}。過熱，回复1", "L211"),
    ("，${situation}。回复1", "，${situation}。电13812341234，回复1", "L211"),
    ("，${situation}。回复1", "，${situation}。【急】回复1", "L211"),
    ("，${situation}。回复1", f"，${{situation}}。{'请马上到场' * 100}回复1", "L211"),
    ('TTS_1, text: "${level}。${place}，${title}。",', 'TTS_1, text: "${level}", most: {place: 9},', "L301"),
    ("TTS_1,", "TTS_1, most: {title: 36},", "L201"),
    ("TTS_1,", "TTS_1, parts: 4,", "L201"),
    ("id: TTS_1, ", "id: TTS_1, kinds: cleared, ", "L212"),
    ("SMS_2,", "SMS_2, kinds: [raised],", "L302"),
    ("SMS_2,", "SMS_2, kinds: [cleared],", "L212"),
    ('"${level}。${place}，${title}。", state: approved', '"${level}", state: passed', "L201"),
    ("sign: 枫林街道}\n  tx", 'sign: 枫林街道, template: SMS_0, variables: "level"}\n  tx', "L205"),
]


@pytest.mark.parametrize(("old", "new", "code"), MISTAKES, ids=lambda one: str(one)[:24])
def test_what_no_provider_would_send_is_a_mistake(old: str, new: str, code: str, tmp_path: Path) -> None:
    told = found(tmp_path, "lilong.yaml", old, new)
    assert code in {one.split()[1] for one in told} and len(told) <= 3, told
    lines = range(line_of("lilong.yaml", "channels:"), SOUND["lilong.yaml"].count("\n") + 1)
    assert all(int(one.split(":")[1].split()[0]) in lines for one in told)


LONG, SAYS = "三号楼地下一层西侧非机动车库内靠墙的智能充电柜", "says: 充电仓过热"
CAB, ASKING, TTS = "- {id: cab-1,", "，${situation}。回复1", "- {channel: voice, id: TTS_1, "
PENDING = "- {channel: voice, id: TTS_0, state: pending, since: 2026-11-02, text: x}\n  "
MUCH = "请马上到场" * 24
WARNINGS = [
    ("lilong.yaml", 'SMS_2, text: "${level}：', 'SMS_2, text: "回复1接手。${level}：', "W202", "SMS_2"),
    ("lilong.yaml", TTS, PENDING + TTS, "W201", TTS),
    ("lilong.yaml", ASKING, f"，${{situation}}。{MUCH}。回复1", "W203", ASKING),
    ("lilong.yaml", f'{TTS}text: "', f'{TTS}text: "{MUCH}', "W203", TTS),
    ("rules/all.yaml", SAYS, f"says: {LONG}温度过高而且还在升高", "W509", SAYS),
    ("rules/all.yaml", SAYS, "says: 充电仓装修", "W510", SAYS),
    ("sites/site.yaml", CAB, f"- {{id: cab-1, says: {LONG}{LONG},", "W509", CAB),
    ("sites/site.yaml", CAB, "- {id: cab-1, says: 见x.cn/a ,", "W510", CAB),
    ("sites/site.yaml", "says: 小区,", f"says: {LONG}{LONG},", "W509", "says: 小区,"),
    ("sites/site.yaml", "says: 小区,", "says: 過街樓,", "W510", "says: 小区,"),
]


@pytest.mark.parametrize(("file", "old", "new", "code", "at"), WARNINGS)
def test_what_would_arrive_cut_or_in_vain_is_a_warning(
    file: str, old: str, new: str, code: str, at: str, tmp_path: Path
) -> None:
    told = found(tmp_path, file, old, new)
    assert f"{file}:{line_of(file, at)} {code}" in told
    assert len(told) == 1, told


def test_the_only_text_of_a_channel_that_nobody_wrote_down(tmp_path: Path) -> None:
    entry = (
        "  sms: {kind: sms_aliyun, key_id: k, key_secret_file: s, sign: 枫, template: T, variables: title}\n"
    )
    files = {**FILES, "lilong.yaml": FILES["lilong.yaml"].replace(HOOK, HOOK + entry)}
    (told,) = looked(tmp_path, files).warnings
    assert (told.code, told.path) == ("W204", "channels.sms.template")


def test_with_a_register_the_whole_message_may_be_long(tmp_path: Path) -> None:
    """Nobody sends it by SMS: what counts is the approved text."""
    action = {"rules/all.yaml": FILES["rules/all.yaml"].replace("断开该仓", "请马上到场" * 40)}
    assert looked(tmp_path, {**SOUND, **action}).warnings == []
    assert [one.code for one in looked(tmp_path, {**FILES, **action}).warnings] == ["W507"]


def test_rules_are_not_asked_of_every_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """2,000 rules of 10,000 devices are 20 million pairs: a rule is asked of each kind of device."""
    rows = "".join(
        f"  - {{id: more-{n}, model: cabinet, at: estate, topic: site/estate/m{n}/up}}\n" for n in range(300)
    )
    asked: list[str] = []
    speaks_of = texts.speaks_of
    monkeypatch.setattr(texts, "speaks_of", lambda *each: asked.append(each[1].id) or speaks_of(*each))
    files = {**SOUND, "sites/site.yaml": SOUND["sites/site.yaml"].replace("devices:\n", f"devices:\n{rows}")}
    assert looked(tmp_path, files).problems == []
    assert 0 < len(asked) <= 4 * 2  # rules, and kinds of devices: by model and the labels that rules name


def test_a_running_gateway_is_not_kept_waiting_by_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Warnings are for `check`: a reload asks for none."""
    monkeypatch.setattr(texts, "worst", None)
    assert config.load(write(tmp_path, SOUND), "en", environ={}).problems == []


def test_no_message_is_longer_than_was_foretold() -> None:
    """What the engine really says of a device, in every kind that it comes to, against the worst case."""
    text = "${level}：${title}，位置${place}，${situation}。"
    one = Template(channel="sms", id="T", text=text, state="approved", since=None)
    play = Play()
    play.say(slots={3: 56})
    play.wait(61)
    play.say(slots={3: 399.9})
    play.act(play.case().id, Verb.ACKNOWLEDGE)
    play.wait(90_000)
    play.say(slots={3: 20})
    play.wait(600)
    told = play.notifications()
    assert {Kind.RAISED, Kind.RISEN, Kind.CLEARED} <= {each.kind for each in told}
    world = play.engine.world
    ((_, most),) = lengths(HOT, world.devices["cab-1"], world, [Text(one, "枫林", False)])
    said = [len(f"【枫林】{filled(one, each)}") for each in told]
    assert max(said) <= most <= max(said) + 15  # another head, and the day before each hour


def filled(one: Template, told: Notification) -> str:
    """As the provider puts it together."""
    text = one.text
    for name, value in one.fill(told).items():
        text = text.replace(f"${{{name}}}", value)
    return text


def test_the_manual_lists_every_kind_of_message() -> None:
    text = (Path(__file__).parents[2] / "deploy/example/README.md").read_text("utf-8")
    (row,) = [line for line in text.splitlines() if line.startswith("| `kinds` | what it is for:")]
    assert re.findall(r"`([a-z_]+)`", row)[1:] == list(KINDS)
