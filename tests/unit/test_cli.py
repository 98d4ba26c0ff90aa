"""The command line as a person types it, right and wrong; what needs a running gateway is in integration/."""

from __future__ import annotations

import json
import re
import sqlite3
import stat
import time
from datetime import datetime
from pathlib import Path

import msgspec
import pytest

from gateway import __version__, demo
from gateway.adapters.photos import Photos
from gateway.adapters.store import Record, Store
from gateway.channels import Answer
from gateway.cli import SHEETS
from gateway.config import load
from gateway.control import SOCKET, Control
from gateway.core.cases import Sheet
from gateway.core.model import SECOND, Alert, AlertState, Case, Entry, Level, QuarantineRow, Stage, Tick, Told
from gateway.core.photos import written
from gateway.doctor import Finding
from tests.pictures import png
from tests.unit.config_files import spoiled, write

OPENED_NS = 1_793_620_800 * SECOND  # 2026-11-02 20:00 in Shanghai


def spoil(folder: Path, file: str, old: str, new: str) -> None:
    write(folder, spoiled(file, old, new))


# ---------------------------------------------------------------- help, and no file


def test_version_and_help(run) -> None:
    assert run("--version").output == f"lilong, version {__version__}\n"
    told = run("-h").output
    order = [told.index(f"\n  {word} ") for word in ("run", "check", "test", "cases", "quarantine", "demo")]
    assert order == sorted(order), "in the order of a day's work"
    for help_text in (told, run("devices", "-h").output, run("model", "-h").output):
        assert "..." not in help_text.replace("[ARGS]...", ""), "a line that is cut off helps nobody"


@pytest.mark.parametrize("group", [(), ("quarantine",)])
def test_no_command_or_a_wrong_one_is_usage(run, group: tuple[str, ...]) -> None:
    assert run(*group).exit_code == 2
    assert "No such command 'foo'" in run(*group, "foo").output


NEEDS_FILE = ["run", "check", "doctor", "reload", "test", "cases", "show", "quality", "decode a b"]
NEEDS_FILE += ["devices list", "devices import x", "devices unknown"]
NEEDS_FILE += ["quarantine list", "quarantine show 1", "quarantine replay 1"]


@pytest.mark.parametrize("words", NEEDS_FILE)
def test_without_a_file_it_says_where_it_looked_and_how_to_name_one(run, words: str) -> None:
    ran = run(*words.split(), config=False)
    assert ran.exit_code == 1
    assert ran.output == (
        "lilong: /etc/lilong/lilong.yaml: No such file or directory; "
        "name your lilong.yaml with --config FILE or in LILONG_CONFIG\n"
    )


def test_a_folder_is_no_file_and_chinese_is_spoken(run, folder: Path) -> None:
    assert "Is a directory" in run("check", "--config", str(folder)).output
    assert "环境变量 LILONG_CONFIG" in run("check", "--config", str(folder / "x"), lang="zh_CN.UTF-8").output


# ---------------------------------------------------------------- the files


def verified_by_sensor(folder: Path) -> None:
    """One person alone cannot verify what he did himself: `check` warns of such a site (W705)."""
    with (folder / "sites/site.yaml").open("a", encoding="utf-8") as file:
        file.write("clocks:\n  - {level: red, verify_by: sensor}\n")


def test_check_counts_what_it_found(run, folder: Path) -> None:
    verified_by_sensor(folder)
    ran = run("check")
    assert (ran.exit_code, ran.output) == (0, "ok: models 2, rules 4, places 2, persons 1, devices 2\n")


def test_check_tells_every_mistake_in_the_readers_language(run, folder: Path) -> None:
    spoil(folder, "rules/all.yaml", "above: 75", "abov: 75")
    ran = run("check")
    assert ran.exit_code == 1 and ran.stdout == ""
    assert re.search(r"rules/all\.yaml:8: .*did you mean above\?", ran.stderr)
    assert "发现未知的键 abov" in run("check", lang="zh_CN.UTF-8").stderr


def test_check_warns_of_what_is_hardly_meant_and_strict_refuses_it(run, folder: Path) -> None:
    spoil(folder, "rules/all.yaml", "clear_below: 50", "clear_below: 55")
    verified_by_sensor(folder)
    ran = run("check")
    assert ran.exit_code == 0 and ran.stdout.endswith("devices 2, warnings 1\n")
    assert re.search(
        r"rules/all\.yaml:7: rules\[0\]\.levels\.yellow\.clear_below: .* \[W503\]$", ran.stderr.strip()
    )
    ran = run("check", "--strict")
    assert ran.exit_code == 1 and "W503" in ran.stderr and ran.stdout == ""


def test_check_speaks_to_programs(run, folder: Path) -> None:
    verified_by_sensor(folder)
    assert json.loads(run("check", "--format", "json").stdout) == []
    assert 'failures="0"' in run("check", "--format", "junit").stdout
    spoil(folder, "rules/all.yaml", "above: 75", "abov: 75")
    ran = run("check", "--format", "json")
    rows = json.loads(ran.stdout)
    assert ran.exit_code == 1 and ran.stderr == ""
    assert {(row["code"], row["line"]) for row in rows} == {("L202", 8), ("L207", 8)}
    ran = run("check", "--format", "junit")
    assert ran.exit_code == 1 and 'failures="2"' in ran.stdout


def test_check_reminds_of_a_secret_that_is_not_there(run, folder: Path) -> None:
    (folder / "hook-secret").unlink()
    ran = run("check")
    assert ran.exit_code == 0 and "secret file not readable" in ran.output


def test_check_reminds_of_a_year_that_nobody_has_told(run, folder: Path, monkeypatch) -> None:
    """In its last 60 days a year is the time to see to the next one's calendar; then it is a mistake."""
    spoil(folder, "rules/all.yaml", "{outside: drop_off}", "{outside: drop_off, days: workdays}")
    for day, code, says in (
        ("2026-11-01", 0, "ok: "),
        ("2026-11-02", 0, "note: no calendar of workdays for 2027\nok: "),
        ("2027-01-01", 1, ""),
    ):
        at_ns = int(datetime.fromisoformat(f"{day}T12:00+08:00").timestamp()) * 10**9
        monkeypatch.setattr("time.time_ns", lambda at_ns=at_ns: at_ns)
        ran = run("check")
        assert ran.exit_code == code and ran.stdout.startswith(says), day
    assert "rules/all.yaml:18: rules[1].during.days: found no calendar of workdays for 2027" in ran.stderr


def test_run_and_others_stop_at_a_mistake(run, folder: Path) -> None:
    spoil(folder, "rules/all.yaml", "above: 75", "abov: 75")
    for words in (["run"], ["test"], ["decode", "camera", "{}"]):
        ran = run(*words)
        assert ran.exit_code == 1 and "rules/all.yaml:8" in ran.stderr, words


def test_run_refuses_a_second_one_on_the_same_store(run, folder: Path) -> None:
    store = Store(folder / "state")
    ran = run("run")
    store.close()
    assert ran.exit_code == 1 and "in use by another lilong" in ran.output


def test_doctor_says_the_next_step(run, folder: Path) -> None:
    spoil(folder, "lilong.yaml", "host: 127.0.0.1", "host: 127.0.0.1\n  port: 1")
    (folder / "hook-secret").chmod(stat.S_IRUSR | stat.S_IROTH)
    ran = run("doctor")
    assert ran.exit_code == 1
    assert "FAIL secrets" in ran.output and f"→ chmod 0640 {folder / 'hook-secret'}" in ran.output
    assert "ok   config" in ran.output and "FAIL broker" in ran.output


def test_doctor_gives_advice_where_all_is_well(run, monkeypatch) -> None:
    findings = [Finding("disk", True, "1 GB free", "lower it"), Finding("clock", True, "now")]
    monkeypatch.setattr("gateway.doctor.diagnose", lambda *_: findings)
    ran = run("doctor")
    assert (ran.exit_code, ran.output) == (0, "ok   disk: 1 GB free\n     → lower it\nok   clock: now\n")


# ---------------------------------------------------------------- rules and models


def test_test_plays_scenarios_and_decodes_examples(run) -> None:
    ran = run("test")
    assert ran.exit_code == 0 and ran.output.splitlines() == [
        "ok   cabinet: example of line 12",
        "ok   cabinet: example of line 14",
        "ok   camera: example of line 9",
        "ok   slot-hot: climbs",
        "4 passed, 0 failed",
        "",
        "          yellow  orange  red",
        "slot-hot  ✓--             --✓",
        "bag       ---",
        "silent            ---",
        "lean      ---",
        "slot-hot yellow: no scenario shows cleared, not raised",
        "slot-hot red: no scenario shows raised, cleared",
        "bag yellow: no scenario shows raised, cleared, not raised",
        "silent orange: no scenario shows raised, cleared, not raised",
        "lean yellow: no scenario shows raised, cleared, not raised",
        "coverage 13.33 % (each level: raised, cleared, not raised)",
    ]


def test_test_picks_files_and_folders(run, folder: Path) -> None:
    assert "climbs\n1 passed, 0 failed\n\n" in run("test", str(folder / "rules")).output
    assert run("test", str(folder / "devices/camera.yaml")).output.endswith("\n1 passed, 0 failed\n")
    ran = run("test", str(folder / "sites"))
    assert ran.exit_code == 1 and "no scenario or example" in ran.stderr
    assert run("test", "no-such-file").exit_code == 2


@pytest.mark.parametrize(
    ("file", "old", "new", "says"),
    [
        (
            "rules/all.yaml", "yellow @ 1m30s", "yellow @ 1m",
            "FAIL slot-hot: climbs found [yellow @ 90s], expected [yellow @ 60s]",
        ),
        (
            "devices/camera.yaml", "bag_on_floor: 1}", "bag_on_floor: 0}",
            "FAIL camera: example of line 9 found [{bag_on_floor: 1.0}], expected [{bag_on_floor: 0}]",
        ),
        (
            "devices/cabinet.yaml", "error: syntax", "error: type",
            "FAIL cabinet: example of line 14 found [] and syntax, expected [] and type",
        ),
    ],
)  # fmt: skip
def test_what_fails_says_what_was_found(run, folder: Path, file: str, old: str, new: str, says: str) -> None:
    spoil(folder, file, old, new)
    ran = run("test")
    assert ran.exit_code == 1 and says in ran.output.splitlines() and ", 1 failed" in ran.output


def test_decode_shows_parts_units_and_instants(run) -> None:
    payload = {"smoke": 0, "ts": OPENED_NS // 1_000_000, "slots": [{"no": 3, "t": 212}]}
    ran = run("decode", "cabinet", json.dumps(payload))
    assert ran.exit_code == 0 and ran.output.splitlines() == [
        "device @ 2026-11-02 20:00:00: smoke=0",
        "slot-3 @ 2026-11-02 20:00:00: slot_temperature_c=100",
    ]


def test_decode_takes_what_mosquitto_sub_gives(run) -> None:
    assert run("decode", "camera", "-", stdin=b'{"bag": 1}\n').output == "device: bag_on_floor=1\n"
    assert "refused: encoding: payload: no UTF-8" in run("decode", "camera", "-", stdin=b"\xff{}").output


@pytest.mark.parametrize(
    ("payload", "says"),
    [
        ('{"bag": "yes"}', "refused: type: bag: found 'yes', expected a number"),
        ('{"bag": 7}', "refused: range: bag_on_floor: found 7, expected 0..1 1"),
        ("x", "refused: syntax: payload: "),
        ("", "refused: syntax: payload: "),
    ],
)
def test_decode_says_what_is_refused_and_fails(run, payload: str, says: str) -> None:
    ran = run("decode", "camera", payload)
    assert ran.exit_code == 1 and says in ran.output


def test_decode_keeps_what_is_sound(run) -> None:
    ran = run("decode", "camera", '{"bag": 1, "tilt": "x"}')
    assert ran.exit_code == 1 and "device: bag_on_floor=1\nrefused: type: tilt" in ran.output


def test_decode_believes_whoever_a_caught_payload_says_it_is_but_not_on_a_devices_topic(
    run, folder: Path
) -> None:
    spoil(folder, "devices/camera.yaml", "{kind: json}", "{kind: json, identity: id}")
    payload = '{"id": "cam-77", "bag": 1}'
    assert run("decode", "camera", payload).exit_code == 0
    ran = run("decode", "cam-1", payload)
    assert ran.exit_code == 1 and "refused: identity: payload: claims to be 'cam-77'" in ran.output


def test_decode_names_the_models_there_are(run) -> None:
    assert (
        run("decode", "camra", "{}").output == "lilong: no model or device camra; models: cabinet, camera\n"
    )


# ---------------------------------------------------------------- what is in the store


def fill(folder: Path, *, named: bool = True) -> None:
    """Two cases, one of them closed; a refused payload with control characters in its topic."""
    opened = Case(
        id="01AAAA", alerts=("a1",), device="cab-1", component="slot-3", place="estate", rule="slot-hot",
        level=Level.RED, stage=Stage.SENT, opened_ns=OPENED_NS, changed_ns=OPENED_NS, responsible="wang",
    )  # fmt: skip
    closed = msgspec.structs.replace(opened, id="01BBBB", alerts=(), stage=Stage.CLOSED, level=Level.YELLOW)
    alert = Alert(
        id="a1", rule="slot-hot", device="cab-1", component="slot-3", case="01AAAA", level=Level.RED,
        worst=Level.RED, state=AlertState.FIRING, raised_ns=OPENED_NS, changed_ns=OPENED_NS,
        quantity="slot_temperature_c", value=81.25, limit=75.0,
    )  # fmt: skip
    found = Entry(case="01AAAA", wall_ns=OPENED_NS, what="found")
    told = Entry(case="01AAAA", wall_ns=OPENED_NS, what="escalated", person="wang")
    refused = QuarantineRow(
        0, "type", "", "site/\x1b[31mx", b'{"smoke": "\x1b"}', "smoke", "found a text", OPENED_NS
    )
    store = Store(folder / "state")
    world = load(folder / "lilong.yaml", "en", environ={}).world if named else None
    effects = [opened, closed, alert, found, told]
    store.commit(
        [Record(Tick(1, OPENED_NS), effects)], None, msgspec.msgpack.encode(world) if world else None
    )
    store.save_cursor("influx", b"", [refused])
    store.close()


def test_cases_are_a_table_people_can_read(run, folder: Path) -> None:
    fill(folder)
    assert run("cases").output == (
        "2026-11-02 20:00:00  red  等待接手  充电仓过热 · cab-1 · 3号仓  街道 · 小区  王经理  01AAAA\n"
    )
    lines = run("cases", "--all").output.splitlines()
    assert [line.split()[2:4] for line in lines] == [["yellow", "已结案"], ["red", "等待接手"]]
    assert lines[0].index("充电仓") == lines[1].index("充电仓") + 1, "已结案 is one character shorter"


def test_cases_are_shown_by_their_ids_when_no_names_are_known(run, folder: Path) -> None:
    fill(folder, named=False)
    assert "slot-hot · cab-1 · 3号仓  estate  wang" in run("cases").output


def test_cases_do_not_care_for_mistakes_in_the_files(run, folder: Path) -> None:
    fill(folder)
    spoil(folder, "rules/all.yaml", "above: 75", "abov: 75")
    assert "王经理" in run("cases").output


def test_show_tells_one_case_whole(run, folder: Path) -> None:
    fill(folder)
    assert run("show", "AAAA").output.splitlines() == [
        "【红色报警】充电仓过热 · cab-1 · 3号仓",
        "街道 · 小区",
        "仓温度 81.2 ℃ 上限 75 ℃",
        "等待接手",
        "要做：断开该仓",
        "11-02 20:00  系统发现问题",
        "11-02 20:00  无人响应，继续通知 王经理",
    ]
    assert "已结案" in run("show").output, "left out: the newest"


def test_quality_lists_the_worst_device_first(run, folder: Path) -> None:
    """Two components of one instant are two readings; what is older than a day is not asked for."""
    now = time.time_ns() - 60 * 10**9
    said = [
        (now, "cab-1", "", "good", "smoke=0.0,temperature_c=20.0,"),
        (now, "cab-1", "slot-1", "good", "slot_temperature_c=20.0,"),
        (now, "cam-1", "", "late", "bag_on_floor=1.0,"),
        (now + 1, "cam-1", "", "good", "bag_on_floor=1.0,"),
        (now - 2 * 86_400 * 10**9, "cam-1", "", "stuck", "bag_on_floor=1.0,"),
    ]
    lines = [
        f"{position}\t{at}\t{at}\t{device}\t{part}\twaste\tm\t{word}\t{fields};\n"
        for position, (at, device, part, word, fields) in enumerate(said)
    ]
    (folder / "state/archive").mkdir(parents=True)
    (folder / "state/archive/closed-0000000000000000-1.tsv").write_text("".join(lines))
    rows = [line.split() for line in run("quality").output.splitlines()]
    assert [[row[0], row[1], row[2], *row[5:]] for row in rows] == [
        ["cam-1", "50.00%", "1", "late=1"],
        ["cab-1", "100.00%", "2"],
    ]
    assert "stuck=1" in run("quality", "cam-1", "--days", "3").output
    assert run("quality", "nobody").output == "no reading in that time\n"


def test_quality_tells_which_battery_ends_first(run, folder: Path) -> None:
    """It falls by 1 % a day and is at 42 %: 32 days until 10 %. One that stands still has no end."""
    day_ns, now = 86_400 * 10**9, time.time_ns()
    lines = []
    for day in range(12):
        for device, percent in (("cam-1", 80), ("cab-1", 40 + 11 - day)):
            at, position = now - (11 - day) * day_ns, len(lines)
            lines.append(f"{position}\t{at}\t{at}\t{device}\t\twaste\tm\tgood\tbattery_pct={percent}.0,;\n")
    (folder / "state/archive").mkdir(parents=True)
    (folder / "state/archive/closed-0000000000000000-1.tsv").write_text("".join(lines))
    first, second = (line.split() for line in run("quality", "--batteries").output.splitlines())
    assert first == ["cab-1", "42%", "some", "32", "days", "-30.0%/30d"]
    assert second == ["cam-1", "80%", "+0.0%/30d"]
    assert run("quality", "nobody", "--batteries").output == ""


def test_show_of_no_case_or_of_two(run, folder: Path) -> None:
    fill(folder)
    assert run("show", "zzz").output == "lilong: no such case; see lilong cases --all\n"
    db = sqlite3.connect(folder / "state/lilong.db")
    db.execute("UPDATE cases SET id = '02AAAA' WHERE id = '01BBBB'")
    db.commit()
    assert run("show", "AAAA").output == "lilong: more than one such case; see lilong cases --all\n"
    assert run("show", "02AAAA").exit_code == 0


def test_an_empty_list_says_so_beside_the_output(run, folder: Path) -> None:
    Store(folder / "state").close()
    for words, says in ((["cases"], "no open case\n"), (["quarantine", "list"], "nothing in quarantine\n")):
        ran = run(*words)
        assert (ran.exit_code, ran.stdout, ran.stderr) == (0, "", says)


@pytest.mark.parametrize(
    "words", ["cases", "show", "quarantine list", "quarantine show 1", "quarantine replay --all"]
)
def test_before_the_first_run_there_is_nothing_to_read(run, folder: Path, words: str) -> None:
    ran = run(*words.split())
    assert ran.exit_code == 1 and "nothing there yet; lilong run makes it" in ran.output
    assert not (folder / "state").exists(), "looking makes nothing"


def test_a_file_that_is_no_store_is_named(run, folder: Path) -> None:
    (folder / "state").mkdir()
    (folder / "state/lilong.db").write_bytes(b"x" * 5000)
    ran = run("cases")
    assert ran.exit_code == 1 and "file is not a database" in ran.output


def test_quarantine_list_and_show_draw_nothing_on_the_terminal(run, folder: Path) -> None:
    fill(folder)
    listed = run("quarantine", "list").output
    assert listed == "1  2026-11-02 20:00:00  type  site/?[31mx  smoke found a text\n"
    assert run("quarantine", "list", "--code", "range").stdout == ""
    shown = run("quarantine", "show", "1").output
    assert r'payload   {"smoke": "\x1b"}' in shown and "received  2026-11-02 20:00:00" in shown
    assert "\x1b" not in listed + shown


def test_quarantine_show_of_what_is_not_there(run, folder: Path) -> None:
    fill(folder)
    ran = run("quarantine", "show", "7")
    assert ran.exit_code == 1 and ran.output.startswith("lilong: 7 is not in quarantine")
    assert run("quarantine", "show", "x").exit_code == 2


# ---------------------------------------------------------------- what asks the running gateway


@pytest.fixture
def running(folder: Path):
    """The control socket of a gateway, and what it was asked."""
    asked: list[dict] = []
    answers: dict[str, list[str]] = {"reload": [], "replay": []}

    def answer(name: str):
        def said(request) -> list[str]:
            asked.append(dict(request))
            return answers[name]

        return said

    (folder / "state").mkdir(exist_ok=True)
    control = Control(folder / "state" / SOCKET, {name: answer(name) for name in answers})
    control.start()
    yield asked, answers
    control.stop()


def test_reload(run, running) -> None:
    asked, answers = running
    assert run("reload").output == "ok\n" and asked == [{"do": "reload"}]
    answers["reload"].append("rules/all.yaml:8: no")
    ran = run("reload")
    assert (ran.exit_code, ran.stdout, ran.stderr) == (1, "nothing was changed\n", "rules/all.yaml:8: no\n")


def test_replay(run, running, folder: Path) -> None:
    asked, answers = running
    fill(folder)
    assert run("quarantine", "replay", "1", "2").output == "2 taken, 0 still refused\n"
    assert run("quarantine", "replay", "--all").output == "1 taken, 0 still refused\n"
    assert [request["ids"] for request in asked] == [[1, 2], [1]]
    answers["replay"].append("1: type: found a text")
    ran = run("quarantine", "replay", "1")
    assert ran.exit_code == 1 and ran.output == "1: type: found a text\n0 taken, 1 still refused\n"


def test_replay_of_nothing_is_usage(run, running) -> None:
    ran = run("quarantine", "replay")
    assert ran.exit_code == 2 and "or say --all" in ran.output


def test_when_no_gateway_runs_it_is_said(run) -> None:
    for words in (["reload"], ["quarantine", "replay", "1"]):
        ran = run(*words)
        assert ran.exit_code == 1 and ran.output.startswith("lilong: no lilong answers at "), words


# ---------------------------------------------------------------- practice


def test_simulate_hands_everything_on(run) -> None:
    assert "publish a neighbourhood's day" in run("simulate", "--help").output
    assert run("simulate", "play", "--no-such-option").exit_code == 2


def test_demo_hands_its_options_on(run, monkeypatch, tmp_path: Path) -> None:
    asked: list[tuple] = []
    monkeypatch.setattr(demo, "run_demo", lambda *words, **more: asked.append((words, more)) or 3)
    assert run("demo", config=False).exit_code == 3
    run("demo", "--dir", str(tmp_path), "--keep", "--speed", "5", "--seed", "7", "--port", "9000")
    assert asked == [
        ((None,), {"keep": False, "speed": demo.SPEED, "seed": 1, "port": demo.PORT}),
        ((tmp_path,), {"keep": True, "speed": 5.0, "seed": 7, "port": 9000}),
    ]
    assert run("demo", "--speed", "fast").exit_code == 2


def test_the_helps_numbers_are_the_demos(run) -> None:
    told = run("demo", "--help").output
    assert f"faster than life; {demo.SPEED:g}" in told and f"{demo.PORT} or the next" in told


def test_send_test_tries_every_channel_and_says_what_became_of_it(run, folder, monkeypatch) -> None:
    """A drill must not need the daemon, and must fail loudly when a provider would refuse a real alarm."""
    sent = []

    class Robot:
        def send(self, told, text, link):
            sent.append((told.person, told.title))
            return Answer(Told.REFUSED, "invalid key")

    monkeypatch.setattr("gateway.channels.build", lambda *_: Robot())
    ran = run("send-test", "nobody")
    assert ran.exit_code != 0 and "no person nobody" in ran.output
    person = next(iter(load(folder / "lilong.yaml").world.persons))
    ran = run("send-test", person)
    assert sent and {who for who, _ in sent} == {person} and all("测试" in title for _, title in sent)
    assert ran.exit_code == 1 and "invalid key" in ran.output


def test_send_test_names_a_secret_that_cannot_be_read(run, folder) -> None:
    (folder / "hook-secret").unlink()
    person = next(iter(load(folder / "lilong.yaml").world.persons))
    ran = run("send-test", person)
    assert ran.exit_code == 1 and "hook-secret" in ran.output


# ---------------------------------------------------------------- acting, and the history


def test_the_four_lists_part_the_cases(run, folder: Path) -> None:
    fill(folder)
    listed = {name: run("cases", "--list", name).output for name in SHEETS}
    assert "01AAAA" in listed["problem"] and "01BBBB" in listed["closure"]
    assert sum(text.count("01AAAA") for text in listed.values()) == 1


def test_the_lists_are_those_of_the_core() -> None:
    assert [str(sheet) for sheet in Sheet] == SHEETS


def test_audit_names_the_edited_row(run, folder: Path) -> None:
    fill(folder)
    whole = run("audit", "verify")
    assert whole.exit_code == 0 and whole.output.startswith("ok: 2 rows, head ")
    head = whole.output.split()[-1]
    assert run("audit", "verify", "--head", head[:10]).exit_code == 0
    assert "written anew" in run("audit", "verify", "--head", "beef").output
    with sqlite3.connect(folder / "state/lilong.db") as db:
        db.execute("UPDATE entry SET person = 'li' WHERE seq = 2")
    db.close()
    broken = run("audit", "verify")
    assert broken.exit_code == 1
    assert broken.output.startswith("lilong: row 2 was edited") and "01AAAA" in broken.output


def test_audit_names_a_swapped_photo(run, folder: Path) -> None:
    """Of one that was swept away long ago nothing can be said but its hash."""
    fill(folder)
    photos = Photos(folder / "state")
    kept, gone = photos.keep("png", png()), photos.keep("png", png(seed=1))
    shown = [
        Entry(case="01AAAA", wall_ns=1, what="photo", person="wang", note=written(p)) for p in (kept, gone)
    ]
    store = Store(folder / "state")
    store.commit([Record(Tick(9, 9), shown)])
    store.close()
    (photos.folder / f"{gone.sha256}.png").unlink()
    assert run("audit", "verify").exit_code == 0
    (photos.folder / f"{kept.sha256}.png").write_bytes(png(seed=2))
    found = run("audit", "verify")
    assert (found.exit_code, found.output) == (
        1, f"lilong: photo {kept.sha256}.png is not the one that the history names\n",
    )  # fmt: skip


def test_an_act_finds_its_case_and_reads_its_day(run, folder: Path, monkeypatch) -> None:
    fill(folder)
    asked: list[dict[str, object]] = []
    monkeypatch.setattr("gateway.cli_cases.ask_gateway", lambda path, do, **more: asked.append(more) or [])
    day = ("--until", "2026-11-03T08:00", "--note", "等配件")
    assert run("act", "AAAA", "suspend", "--person", "wang", *day).exit_code == 0
    assert asked == [
        {
            "case": "01AAAA", "verb": "suspend", "person": "wang", "note": "等配件", "to": "", "reason": "",
            "until_ns": OPENED_NS + 12 * 3600 * 10**9,
        }
    ]  # fmt: skip
    assert "expected a local time" in run("act", "AAAA", "suspend", "--person", "w", "--until", "soon").output
    assert "no such case" in run("act", "ZZZZ", "note", "--person", "wang").output
    monkeypatch.setattr("gateway.cli_cases.ask_gateway", lambda *_, **__: ["nobody above"])
    refused = run("act", "AAAA", "return", "--person", "wang", "--note", "x")
    assert (refused.exit_code, refused.output) == (1, "lilong: return: nobody above\n")
