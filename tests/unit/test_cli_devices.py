"""`lilong devices …`: tables in and out of a site, strangers taken in, whole or not at all."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.adapters.store import Store
from gateway.config import load
from gateway.control import SOCKET, Control
from gateway.core.model import SECOND, QuarantineRow
from gateway.doctor import Texts, _calibration
from gateway.registry import alone, plan_file
from tests.unit.config_files import write

KEPT_NS = 1_793_620_800 * SECOND  # 2026-11-02 20:00 in Shanghai
HEAD = "id,says,model,at,topic,labels.watched,baseline.tilt_x_deg\n"


def room(number: int, says: str = "箱房", model: str = "camera") -> str:
    return f"room-{number},{says},{model},estate,site/estate/room-{number}/up,yes,0.1\n"


@pytest.fixture
def run(run):
    """`lilong devices WORDS…`."""
    return lambda *words, **how: run("devices", *words, **how)


@pytest.fixture
def gateway(folder: Path):
    """A running gateway that takes what `check` takes; what it was asked, and what it answers."""
    asked: list[str] = []
    answers: dict[str, list[str]] = {"reload": [], "replay": []}

    def answer(name: str):
        def said(request) -> list[str]:
            asked.append(f"{name} {request['ids']}" if "ids" in request else name)
            return answers[name]

        return said

    (folder / "state").mkdir()
    control = Control(folder / "state" / SOCKET, {name: answer(name) for name in answers})
    control.start()
    yield asked, answers
    control.stop()


def table(folder: Path, text: str, name: str = "in.csv") -> str:
    (folder / name).write_text(text, "utf-8")
    return str(folder / name)


def known(folder: Path) -> dict[str, str]:
    """Every device of the site as `check` would take it, with its name."""
    loaded = load(folder / "lilong.yaml", "en", environ={})
    assert loaded.problems == []
    return {device.id: device.says for device in loaded.world.devices.values()}


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((folder / "sites").iterdir())}


# ---------------------------------------------------------------- import


def test_a_table_comes_in_and_the_gateway_takes_it(run, folder: Path, gateway) -> None:
    ran = run("import", table(folder, HEAD + room(1) + room(2)))
    assert (ran.exit_code, ran.output.splitlines()) == (
        0,
        [
            "row  does  entry   what",
            "2    adds  room-1  箱房  camera  estate  site/estate/room-1/up",
            "3    adds  room-2  箱房  camera  estate  site/estate/room-2/up",
            "added 2, changed 0, unchanged 0, mistakes 0",
            f"written: {folder}/sites/devices.csv",
            "the gateway has taken it",
        ],
    )
    assert gateway[0] == ["reload"]
    assert list(known(folder)) == ["cab-1", "cam-1", "room-1", "room-2"]


def test_a_dry_run_says_the_same_and_changes_nothing(run, folder: Path, gateway) -> None:
    before = files(folder)
    ran = run("import", "--dry-run", table(folder, HEAD + room(1)), lang="zh_CN.UTF-8")
    assert ran.exit_code == 0 and "2   新增  room-1" in ran.output and "试运行：未作更改" in ran.output
    assert files(folder) == before and gateway[0] == []


def test_a_change_names_what_was_and_what_will_be_and_keeps_the_other_rows(run, folder: Path) -> None:
    run("import", table(folder, HEAD + room(1) + room(2) + room(3)))
    ran = run("import", table(folder, HEAD + room(2, "东箱房") + room(4) + room(1)))
    assert "2    changes  room-2  says: 箱房 → 东箱房" in ran.output
    assert "3    adds     room-4" in ran.output
    assert "added 1, changed 1, unchanged 1, mistakes 0" in ran.output
    assert known(folder) == {
        "cab-1": "", "cam-1": "", "room-1": "箱房", "room-2": "东箱房", "room-3": "箱房", "room-4": "箱房"
    }  # fmt: skip
    lines = (folder / "sites/devices.csv").read_text("utf-8-sig").splitlines()
    assert [line.split(",")[0] for line in lines] == ["id", "room-1", "room-2", "room-3", "room-4"]


def test_one_bad_row_and_nothing_changes(run, folder: Path, gateway) -> None:
    """Half a table is a site that nobody has ever checked."""
    before = files(folder)
    ran = run("import", table(folder, HEAD + room(1) + room(2, model="camrea") + room(1)))
    assert ran.exit_code == 1 and files(folder) == before and gateway[0] == []
    lines = ran.output.splitlines()
    assert [line.split()[:2] for line in lines[1:4]] == [["3", "model"], ["4", "id"], ["4", "topic"]]
    assert lines[1].endswith("one of cabinet, camera (did you mean camera?)")
    assert "device room-1 a second time (first at in.csv:2)" in lines[2]
    assert lines[-1] == "nothing was changed"


def test_of_two_rows_of_one_device_neither_is_believed(run, folder: Path) -> None:
    run("import", table(folder, HEAD + room(1)))
    before = files(folder)
    ran = run("import", table(folder, HEAD + room(1) + room(1, "东箱房")))
    assert ran.exit_code == 1 and "device room-1 a second time" in ran.output and files(folder) == before


def test_a_plan_with_a_mistake_holds_nothing_to_write(run, folder: Path) -> None:
    source = table(folder, HEAD + room(1) + room(2, model="camrea"))
    plan = plan_file(folder / "lilong.yaml", Path(source), "devices.csv", "en")
    assert plan.problems and plan.tables == {}


def test_a_file_that_is_no_table_is_told_of(run, folder: Path) -> None:
    (folder / "x.csv").write_bytes(b"PK\x03\x04")
    ran = run("import", str(folder / "x.csv"))
    assert ran.exit_code == 1 and "-    -       an Excel workbook" in ran.output
    ran = run("import", str(folder / "none.csv"))
    assert ran.exit_code == 1 and "a file that cannot be read (No such file or directory)" in ran.output


def test_what_stands_in_yaml_is_not_taken_over_by_a_table(run, folder: Path) -> None:
    """Two places that say different things of one device help nobody."""
    ran = run("import", table(folder, HEAD + "cam-1,新名,camera,estate,site/estate/cam-1/up,yes,0.1\n"))
    assert ran.exit_code == 1 and "device cam-1 a second time (first at site.yaml:16)" in ran.output


def test_what_was_exported_comes_back_unchanged(run, folder: Path, gateway) -> None:
    run("import", table(folder, HEAD + room(1), "one.csv"), "--table", "devices-waste.csv")
    out = folder / "out.csv"
    assert run("export", str(out)).output == f"3 rows written to {out}\n"
    before = files(folder)
    gateway[0].clear()
    ran = run("import", str(out))
    assert (ran.exit_code, ran.output) == (0, "added 0, changed 0, unchanged 3, mistakes 0\nok\n")
    assert files(folder) == before and gateway[0] == [], "nothing to write, nothing to take"
    edited = out.read_text("utf-8-sig").replace("箱房", "西箱房")
    ran = run("import", table(folder, edited + "room-5,camera,estate,site/5,新,0.1,yes\n"))
    assert f"written: {folder}/sites/devices-waste.csv" in ran.output, "where it stands"
    assert f"written: {folder}/sites/devices.csv" in ran.output, "and what is new"
    assert known(folder)["room-1"] == "西箱房"


def test_the_rooms_come_in_like_the_devices(run, folder: Path) -> None:
    """262 waste rooms are points of their estates before they have a camera."""
    rooms = "".join(f"r-{n},{n}号箱房,point,estate,06:30-08:30\n" for n in range(262))
    source = table(folder, "编号,名称,类别,上级,时段.drop_off\n" + rooms)
    ran = run("import", source, "--table", "places.csv")
    assert ran.exit_code == 0 and "added 262" in ran.output
    assert "adds  r-0    0号箱房  point  estate" in ran.output
    cameras = "".join(room(n).replace(",estate,", f",r-{n},", 1) for n in range(262))
    assert "added 262" in run("import", table(folder, HEAD + cameras)).output
    out = str(folder / "places-out.csv")
    assert run("export", out, "--kind", "places").output == f"264 rows written to {out}\n"
    assert "unchanged 264" in run("import", out, "--table", "places.csv").output
    assert run("export", "--kind", "rooms").exit_code == 2


def test_export_to_the_terminal_has_no_byte_order_mark(run) -> None:
    assert run("export", "-").output.splitlines()[0].startswith("id,model,at,topic")


def test_a_mistake_elsewhere_stops_an_import_and_is_told(run, folder: Path) -> None:
    (folder / "rules" / "bad.yaml").write_text("rulez: []")
    before = files(folder)
    ran = run("import", table(folder, HEAD + room(1)))
    assert ran.exit_code == 1 and "rules/bad.yaml:1: rulez" in ran.stderr and files(folder) == before


def test_a_gateway_that_refuses_gets_the_files_back_as_they_were(run, folder: Path, gateway) -> None:
    run("import", table(folder, HEAD + room(1)))
    before = files(folder)
    gateway[1]["reload"].append("sites/devices.csv:3: no")
    ran = run("import", table(folder, HEAD + room(2)))
    assert ran.exit_code == 1 and "the files are as before" in ran.output and files(folder) == before
    (folder / "sites" / "devices.csv").unlink()
    run("import", table(folder, HEAD + room(2)))
    assert "devices.csv" not in files(folder), "a table that was not there is gone again"


def test_a_folder_that_takes_no_file_changes_nothing(run, folder: Path, monkeypatch) -> None:
    run("import", table(folder, HEAD + room(1)))
    before = files(folder)

    def full(*_) -> None:
        raise OSError(28, "No space left on device", "x")

    monkeypatch.setattr(os, "replace", full)
    ran = run("import", table(folder, HEAD + room(2)))
    assert ran.exit_code == 1 and "No space left on device" in ran.output and files(folder) == before


def test_two_imports_at_once_do_not_mix(run, folder: Path) -> None:
    with alone(folder / "lilong.yaml"):
        ran = run("import", table(folder, HEAD + room(1)))
    assert ran.exit_code == 1 and "another import is under way" in ran.output


@pytest.mark.parametrize("name", ["waste.csv", "../devices.csv", "devices.txt"])
def test_a_table_has_a_name_that_is_read(run, folder: Path, name: str) -> None:
    assert run("import", table(folder, HEAD), "--table", name).exit_code == 2


def test_a_table_keeps_its_mode(run, folder: Path) -> None:
    run("import", table(folder, HEAD + room(1)))
    (folder / "sites/devices.csv").chmod(0o640)
    run("import", table(folder, HEAD + room(2)))
    assert (folder / "sites/devices.csv").stat().st_mode & 0o777 == 0o640


def test_two_thousand_rows_are_a_matter_of_seconds(run, folder: Path) -> None:
    """The bar is 2 s on an idle box (see CHANGELOG for figures); here only what would be another order."""
    run("import", table(folder, HEAD + "".join(map(room, range(2000)))))
    began = time.process_time()
    ran = run("import", table(folder, HEAD + "".join(room(n, "新") for n in range(2000))))
    assert "added 0, changed 2000" in ran.output and "… and 1980 more rows" in ran.output
    assert time.process_time() - began < 10


# ---------------------------------------------------------------- list, show


def test_list_and_show(run, folder: Path) -> None:
    assert run("list").stdout.splitlines() == [
        "cab-1    cabinet  cabinet  街道 · 小区",
        "cam-1    camera   waste    街道 · 小区",
    ]
    assert run("list", "waste", "小区").stdout.startswith("cam-1")
    shown = run("show", "cam-1").output
    assert "baseline    tilt_x_deg 0.1" in shown and "rules       小包垃圾落地、倾斜" in shown
    assert f"written in  {folder}/sites/site.yaml:16" in shown
    ran = run("show", "cam-11", lang="zh_CN.UTF-8")
    assert (ran.exit_code, ran.output) == (1, "lilong: 没有设备 cam-11；是否为 cam-1？\n")


# ---------------------------------------------------------------- strangers


def strangers(folder: Path) -> None:
    store = Store(folder / "state")
    rows = [
        QuarantineRow(n, "unknown_device", "", topic, payload, "", "", KEPT_NS + n * SECOND)
        for n, (topic, payload) in enumerate(
            [
                ("site/new/1", b'{"bag": 0}'),
                ("site/new/2", b"\x1b[31m\xff"),
                ("site/new/1", b'{"bag": 1, "tilt": 0.5}'),
            ]
        )
    ]
    store.save_cursor("influx", b"", rows)
    store.close()


def test_strangers_are_listed_with_what_would_understand_them(run, folder: Path) -> None:
    strangers(folder)
    assert run("unknown").stdout.splitlines() == [
        "topic       kept  first                last                 models that fit",
        "site/new/1  2     2026-11-02 20:00:00  2026-11-02 20:00:02  camera",
        "site/new/2  1     2026-11-02 20:00:01  2026-11-02 20:00:01  -",
    ]


def test_no_strangers(run, folder: Path) -> None:
    Store(folder / "state").close()
    ran = run("unknown", lang="zh_CN.UTF-8")
    assert (ran.exit_code, ran.stdout, ran.stderr) == (0, "", "没有陌生设备\n")


ADOPT = ["adopt", "site/new/1", "--as", "new-1", "--model", "cabinet", "--at", "estate"]


def test_a_stranger_is_taken_in_with_what_it_said(run, folder: Path, gateway) -> None:
    strangers(folder)
    ran = run(*ADOPT, "--says", "新柜")
    assert ran.exit_code == 0, ran.output
    assert ran.output.splitlines()[1:] == [
        "1    adds  new-1  新柜  cabinet  estate  site/new/1",
        "added 1, changed 0, unchanged 0, mistakes 0",
        f"written: {folder}/sites/devices.csv",
        "the gateway has taken it",
        "2 kept messages taken, 0 still refused",
    ]
    assert gateway[0] == ["reload", "replay [1, 3]"] and known(folder)["new-1"] == "新柜"


def test_a_stranger_with_a_mistake_stays_one(run, folder: Path, gateway) -> None:
    strangers(folder)
    ran = run(*ADOPT[:-1], "nowhere")
    assert ran.exit_code == 1 and "the unknown place nowhere" in ran.output
    assert gateway[0] == [] and "new-1" not in known(folder)


def test_without_a_gateway_the_kept_wait(run, folder: Path) -> None:
    strangers(folder)
    ran = run(*ADOPT)
    assert ran.exit_code == 0 and "2 messages stay in quarantine; once it runs:" in ran.output
    assert "new-1" in known(folder)


def test_what_is_still_refused_is_told(run, folder: Path, gateway) -> None:
    strangers(folder)
    gateway[1]["replay"].append("3: missing: required")
    ran = run(*ADOPT)
    assert ran.exit_code == 1 and ran.output.endswith(
        "3: missing: required\n1 kept messages taken, 1 still refused\n"
    )


# ---------------------------------------------------------------- sensors moved or changed

AT = "2026-11-20T10:00"
AT_NS = 1_795_140_000 * SECOND


def archive(folder: Path, *samples: tuple[int, float]) -> None:
    """What the archive holds of cam-1's tilt: (seconds from AT, degrees)."""
    head = ["cam-1", "", "waste", "camera", "good"]
    rows = [
        "\t".join([str(n), "0", str(AT_NS + s * SECOND), *head, f"tilt_x_deg={degrees}"])
        for n, (s, degrees) in enumerate(samples)
    ]
    (folder / "state" / "archive").mkdir(parents=True, exist_ok=True)
    (folder / "state" / "archive" / "open-0-0.tsv").write_text("\n".join(rows) + "\n")


def entries(folder: Path) -> list:
    loaded = load(folder / "lilong.yaml", "en", environ={})
    assert loaded.problems == []
    return list(loaded.world.calibrations.get("cam-1", ()))


def test_rezero_takes_both_sides_from_the_archive(run, folder: Path, gateway) -> None:
    """Medians: one spike on either side must not become the joint."""
    archive(folder, (-300, 0.10), (-200, 9.0), (-100, 0.12), (60, 1.6), (120, 1.62), (180, 77.0))
    ran = run("rezero", "cam-1", "tilt_x_deg", "--at", AT, "--note", "移位")
    assert ran.exit_code == 0, ran.output
    assert ran.output.splitlines()[0] == "tilt_x_deg: was 0.12, reads 1.62 since"
    (found,) = entries(folder)
    assert (found.since_ns, found.offset, found.scale, found.note) == (AT_NS, -1.5, 1.0, "移位")
    assert gateway[0] == ["reload"]


def test_rezero_by_hand_keeps_scale_and_certificate_and_can_be_put_right(run, folder: Path) -> None:
    write(folder, {"sites/calibrations.csv": (
        "device,quantity,from,scale,offset,certificate,due\ncam-1,tilt_x_deg,2026-01-01T00:00,2,0.5,C-1,2027-01-01\n"
    )})  # fmt: skip
    assert run("rezero", "cam-1", "tilt_x_deg", "--at", AT, "--was", "3", "--reads", "4.5").exit_code == 0
    first, second = entries(folder)
    assert (first.offset, second.offset, second.scale, second.certificate) == (0.5, -1.0, 2.0, "C-1")
    ran = run("rezero", "cam-1", "tilt_x_deg", "--at", AT, "--was", "3", "--reads", "3.25")
    assert ran.exit_code == 0 and "offset: -1 → -1.25" in ran.output, "what it shows now, by the entry it has"


def test_rezero_again_does_not_trust_values_of_before_and_after_its_own_entry(run, folder: Path) -> None:
    archive(folder, (-300, 0.1), (60, 1.6))
    assert run("rezero", "cam-1", "tilt_x_deg", "--at", AT).exit_code == 0
    ran = run("rezero", "cam-1", "tilt_x_deg", "--at", AT)
    assert ran.exit_code == 1 and "say --at when, or --was and --reads what" in ran.output


def test_rezero_now_by_what_the_present_reading_counts_as(run, folder: Path) -> None:
    archive(folder, (-300, 1.6))
    assert run("rezero", "cam-1", "tilt_x_deg", "--at", AT, "--was", "0.1").exit_code == 0
    assert entries(folder)[0].offset == -1.5


def test_rezero_of_the_baseline_alone(run, folder: Path) -> None:
    assert run("rezero", "cam-1", "tilt_x_deg", "--at", AT, "--baseline", "0").exit_code == 0
    (found,) = entries(folder)
    assert (found.baseline, found.offset) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["cam-1", "tilt_x_deg"], 1, "the archive has no values on both sides"),
        (["cam-1", "tilt_x_deg", "--at", "yesterday"], 2, "--at is a local time such as 2026-11-20T10:00"),
        (["cam-2", "tilt_x_deg"], 1, "no device cam-2; did you mean cam-1?"),
        (["cam-1", "tilt_y_deg", "--was", "1", "--reads", "2"], 1, "the unknown quantity tilt_y_deg"),
    ],
)
def test_rezero_of_what_cannot_be(run, folder: Path, words: list[str], code: int, says: str) -> None:
    before = files(folder)
    ran = run("rezero", *words)
    assert ran.exit_code == code and says in ran.output and files(folder) == before


def test_swap_joins_what_has_a_baseline_and_names_the_new_sensor(run, folder: Path, gateway) -> None:
    archive(folder, (-300, 0.10), (60, -0.4))
    ran = run("swap", "cam-1", "--sensor", "SN-2", "--at", AT, "--certificate", "C-2", "--due", "2027-11-20")
    assert ran.exit_code == 0, ran.output
    found = {one.quantity: one for one in entries(folder)}
    assert (found[""].sensor, found[""].certificate, str(found[""].due)) == ("SN-2", "C-2", "2027-11-20")
    assert found["tilt_x_deg"].offset == 0.5
    shown = run("show", "cam-1").output
    assert "calibration  from 2026-11-20 10:00  sensor SN-2  certificate C-2  due 2027-11-20" in shown
    assert "calibration  from 2026-11-20 10:00  tilt_x_deg  + 0.5" in shown


def test_swap_drops_the_old_sensors_scale(run, folder: Path) -> None:
    write(folder, {"sites/calibrations.csv": (
        "device,quantity,from,scale,offset\ncam-1,tilt_x_deg,2026-01-01T00:00,2,0.5\n"
    )})  # fmt: skip
    words = ["--was", "tilt_x_deg=3", "--reads", "tilt_x_deg=4.5"]  # shown by the old entry: it says 2
    assert run("swap", "cam-1", "--sensor", "SN-2", "--at", AT, *words).exit_code == 0
    found = next(one for one in entries(folder) if one.since_ns == AT_NS and one.quantity)
    assert (found.scale, found.offset) == (1.0, 1.0)


def test_swap_before_the_new_one_has_spoken_says_what_is_left_to_do(run, folder: Path) -> None:
    ran = run("swap", "cam-1", "--sensor", "SN-2", "--at", AT)
    later = "lilong devices rezero cam-1 tilt_x_deg --at 2026-11-20T10:00"
    assert ran.exit_code == 0 and f"rules that count from a baseline wait for: {later}" in ran.output
    assert {one.quantity: one.unjoined for one in entries(folder)} == {"": False, "tilt_x_deg": True}
    archive(folder, (-300, 0.10), (60, -0.4))
    assert run(*later.split()[2:]).exit_code == 0
    assert {one.quantity: (one.unjoined, one.offset) for one in entries(folder)}["tilt_x_deg"] == (False, 0.5)
    assert run("swap", "cam-1", "--sensor", "SN-2", "--was", "tilt").exit_code == 2


def test_swap_of_one_quantity_leaves_the_others(run, folder: Path) -> None:
    archive(folder, (-300, 0.10), (60, -0.4))
    assert run("swap", "cam-1", "--sensor", "SN-2", "--at", AT, "--quantity", "bag_on_floor").exit_code == 0
    assert [one.quantity for one in entries(folder)] == ["", "bag_on_floor"]


def test_now_is_now_at_the_site_whatever_the_box_is_set_to(run, folder: Path, monkeypatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    began = time.time_ns() // (60 * SECOND)
    run("rezero", "cam-1", "tilt_x_deg", "--was", "1", "--reads", "2")
    (found,) = entries(folder)
    assert began <= found.since_ns // (60 * SECOND) <= began + 1


def test_what_is_due_is_listed(run, folder: Path) -> None:
    write(folder, {"sites/calibrations.csv": (
        "device,quantity,from,certificate,due\ncam-1,tilt_x_deg,2020-01-01T00:00,C-1,2020-12-31\n"
        "cab-1,,2020-01-01T00:00,,2999-12-31\n"
    )})  # fmt: skip
    ran = run("list", "--due", lang="zh_CN.UTF-8")
    assert ran.stdout.startswith("2020-12-31  逾期 ") and "cam-1  tilt_x_deg  C-1" in ran.stdout
    assert "cab-1" not in ran.stdout
    assert "cab-1  whole device  -" in run("list", "--due", "--within", "999999").stdout
    assert run("list", "--due", "nobody").stderr == "nothing is due within 30 days\n"


@pytest.mark.parametrize(
    ("due", "found"),
    [
        ("2020-12-31", "FAIL calibration: 1 overdue: cam-1\n     → lilong devices list --due\n"),
        ("2999-12-31", "ok   calibration: all of it valid\n"),
    ],
)
def test_doctor_speaks_of_what_is_due(folder: Path, due: str, found: str) -> None:
    table = f"device,quantity,from,due\ncam-1,tilt_x_deg,2020-01-01T00:00,{due}\n"
    write(folder, {"sites/calibrations.csv": table})
    loaded = load(folder / "lilong.yaml", "en", environ={})
    texts, now_ns = Texts("en"), time.time_ns()
    (finding,) = _calibration(loaded.world, now_ns, texts)
    hint = f"     → {finding.hint}\n" if finding.hint else ""
    assert f"{'ok  ' if finding.ok else 'FAIL'} {finding.name}: {finding.detail}\n{hint}" == found
    assert _calibration(replace(loaded.world, calibrations={}), now_ns, texts) == []
