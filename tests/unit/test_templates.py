"""Variables of approved templates: short, harmless, never empty, whatever a device is called."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.core.model import Kind
from gateway.core.templates import (
    KEPT,
    LINK,
    MOBILE,
    NOTHING,
    SAID,
    VALUE_MOST,
    Template,
    Templates,
    fill,
    fit,
    parts,
    refused,
    safe,
    variables,
)
from tests.contract.dialects import notification
from tests.unit.worlds import Play

NASTY = [
    "【紧急】梧桐里 12 号",
    "面积 30m²•①号→②号★",
    "请看 https://evil.example/a?b=c 马上",
    "见www.evil.example/x",
    "报警alarm.example:8443/c/abc",
    "联系 13812341234",
    "电话+86 138-1234-1234。",
    "8613812341234",
    "1381234" + "https://x.example 1234",
    "138【】1234【】1234",
    "装修扰民",
    "\n\t\x00\u200b\ud800",
    "",
    "🔥🔥🔥",
    "a" * 500,
    "1" * 34 + "13812341234",
    "9" * 24 + "13812341234" + "9",
    "x" * 24 + "138123412349",
    "138★1234★1234",
    "装★修",
]


@pytest.mark.parametrize("text", NASTY)
def test_nothing_that_a_carrier_refuses_is_left(text):
    harmless(safe(text))


def harmless(said):
    assert 1 <= len(said) <= VALUE_MOST
    assert not LINK.search(said) and not MOBILE.search(said)
    assert all(KEPT.fullmatch(letter) for letter in said)
    assert "装修" not in said and not set("【】²•①→★") & set(said)


@given(st.text(max_size=80))
@example("装装修修")
@example("1https://a 3812341234")
def test_whatever_is_said(text):
    harmless(safe(text))
    assert safe(safe(text)) == safe(text)


@given(
    st.lists(st.sampled_from([*NASTY, "★", "1", "3", "8123", "4123", "4", " ", "-", ".", "com", "装", "修"]))
)
def test_pieces_never_make_a_whole(pieces):
    """Leaving one thing out must not put another together, and cutting must not either."""
    harmless(safe("".join(pieces)))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("仓温度 81.2 ℃（限 75 ℃），14:05 起", "仓温度 81.2 度（限 75 度），14:05 起"),
        ("振动 3.5mm/s(限 3.0mm/s)", "振动 3.5mm/s(限 3.0mm/s)"),
        ("堆放 2.5m² → 3m²", "堆放 2.5平方米 到 3平方米"),
        ("①号仓 · 充电柜", "1号仓 充电柜"),
        ("装修敲墙", "施工敲墙"),
        ("倾斜 ≥ ±0.3°", "倾斜 不小于 正负0.3度"),
        ("物业 021-64310000", "物业 021-64310000"),
        ("  多  空\n格 ", "多 空 格"),
        ("🔥", NOTHING),
    ],
)
def test_what_is_said_instead(text, said):
    assert safe(text) == said


def test_a_notification_fills_every_variable():
    play = Play()
    play.say(slots={3: 76.5})
    play.wait(60)
    told = play.notifications()[0]
    assert fill(tuple(SAID), told) == {
        "level": "红色报警",
        "title": "充电仓过热 cab-1 3号仓",
        "place": "向阳小区（枫林街道）",
        "situation": "仓温度 76.5 度（限 75 度），20:00 起",
    }


def test_a_long_place_keeps_the_door():
    """The nearest stands first; who is told knows the street."""
    place = "二期 12 号楼东侧车棚（向阳新村小区，宛南居民委员会，第三片区，枫林路街道，徐汇区，上海市）"
    (said,) = fill(("place",), notification(text=f"位置：{place}\n情况：x")).values()
    assert said.startswith("二期 12 号楼东侧车棚（向阳新村小区") and len(said) == VALUE_MOST


def test_a_text_of_another_shape_is_filled_all_the_same():
    told = notification(title="充电仓过热", text="没有行")
    assert fill(("title", "level", "place"), told) == {
        "title": "充电仓过热",
        "level": NOTHING,
        "place": NOTHING,
    }


def test_variables_stand_in_their_order():
    assert variables("title, level place") == ("title", "level", "place")
    assert list(fill(variables("title level"), notification())) == ["title", "level"]


@pytest.mark.parametrize("names", ["title titel", "title title", "link"])
def test_strange_variables_are_a_mistake(names):
    with pytest.raises(ValueError, match="expected some of level, title, place, situation"):
        variables(names)


@pytest.mark.parametrize(
    ("characters", "count"),
    [(0, 1), (70, 1), (71, 2), (134, 2), (135, 3), (201, 3), (202, 4)],
)
def test_parts(characters, count):
    """70 in one; of several each holds 67, since three are spent on putting them together."""
    assert parts(characters) == count


def test_the_worst_case_counts_the_sign_and_every_variable_full():
    template = "${level}:${title},位置${place},${situation}。回复1接手。"
    names = ("level", "title", "place", "situation")
    one = Template(channel="sms", id="SMS_1", text=template, state="approved", since=None)
    worst = one.characters(dict.fromkeys(names, 99), "枫林街道")
    assert worst == len("【枫林街道】:,位置,。回复1接手。") + 4 * 35
    said = "【枫林街道】" + template
    for name in names:
        said = said.replace(f"${{{name}}}", safe("警" * 99))
    assert len(said) == worst and parts(worst) == 3


# ---------------------------------------------------------------- the register


def one(name="T", kinds=(), state="approved", text="${title}", **more):
    return Template(channel="sms", id=name, kinds=kinds, text=text, state=state, since=None, **more)


def test_a_kind_has_its_own_template_and_all_others_one():
    found = Templates([one("any"), one("good", ("cleared", "latched")), one("new", ("verify",), "pending")])
    kinds = (Kind.RAISED, Kind.CLEARED, Kind.LATCHED, Kind.VERIFY)
    assert [found.of(notification(kind=kind)).id for kind in kinds] == ["any", "good", "good", "any"]
    assert found.missing == []


def test_several_in_one_have_a_template_of_their_own_or_go_as_the_worst():
    worst = notification(kind=Kind.RISEN, together=5)
    kinds = [one("risen", ("risen",)), one("any")]
    assert Templates(kinds).of(worst).id == "risen"
    assert Templates([*kinds, one("many", ("digest",))]).of(worst).id == "many"


def test_what_could_not_be_told_is_named():
    missing = Templates([one("good", ("cleared",)), one("no", (), "rejected")]).missing
    assert "raised" in missing and "cleared" not in missing and "answered" not in missing


def test_a_template_takes_less_of_a_variable():
    told = notification(title="【红色报警】充电仓过热 · 3号仓")
    assert one(most={"title": 5}).fill(told) == {"title": "充电仓过热"}
    numbered = one(text="{2}：{1}", variables=("title", "level"))
    assert list(numbered.fill(told)) == ["title", "level"]
    assert numbered.used == ["level", "title"]


@pytest.mark.parametrize(
    ("most", "said"),
    [
        (35, "仓温度 119.9 度（限 75 度），09-21 20:00 起"),
        (34, "仓温度 119.9 度（限 75 度），09-21 20:00 起"),
        (31, "仓温度 119.9 度（限 75 度）"),
        (8, "仓温度 119."),
    ],
)
def test_a_situation_loses_whole_clauses(most, said):
    """09-21 2 would be read as an hour."""
    text = "仓温度 119.9 ℃（限 75 ℃），09-21 20:00 起"
    assert fit(text, most, "situation") == said[:most].strip()
    assert len(fit(text, most, "situation")) <= most


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("充电仓过热，位置3号楼。", ""),
        ("见www.x.cn/a 后", "www.x.cn/a"),
        ("请拨13812341234。", "13812341234"),
        ("装修扰民", "装修"),
        ("【枫林】过热", "【"),
        ("面积30m²", "²"),
        ("過熱", "過"),
        ("①号仓", "①"),
    ],
)
def test_what_no_carrier_approves(text, found):
    assert refused(text) == found


@pytest.mark.parametrize(("text", "found"), [("30m² → ①号", ""), ("★号楼", "★"), ("過街樓", "過")])
def test_what_is_lost_of_a_variable(text, found):
    """A sign with a word for it is said by that word."""
    assert refused(text, variable=True) == found
