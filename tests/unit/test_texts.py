"""What a person reads: the weightiest word first, and by when on the clock."""

import pytest

from gateway.core import texts
from gateway.core.engine import Engine
from gateway.core.model import Kind, Verb
from gateway.core.state import State
from tests.unit.worlds import START_NS, Play, world

HOUR_NS = 3600 * 10**9


@pytest.fixture
def play():
    """Slot 3 at 81.5 ℃, at 20:00."""
    found = Play()
    found.say(slots={3: 81.5})
    return found


def last(play):
    return play.notifications()[-1]


def test_raised(play):
    assert last(play).title == "【红色报警】充电仓过热 · cab-1 3号仓"
    assert last(play).text.splitlines() == [
        "位置：向阳小区（枫林街道）",
        "情况：仓温度 81.5 ℃（限 75 ℃），20:00 起",
        "要做：断开该仓",
        "时限：20:10 前响应（10 分钟内）",
        texts.HINT,
    ]


def test_escalated_names_who_did_not_answer_and_what_is_left_of_the_time(play):
    play.wait(300)
    assert last(play).title.startswith("【红色报警，无人响应】充电仓过热")
    assert last(play).text.splitlines()[3:5] == ["时限：20:10 前响应", "此前已通知王经理，尚无响应。"]


def test_a_time_that_has_passed_says_so(play):
    play.wait(300)
    play.told(last(play))
    play.wait(900)
    assert last(play).kind is Kind.ESCALATED
    assert "时限：20:10 已过，请马上响应" in last(play).text


def test_bounced_asks_for_another_look_and_for_no_answer(play):
    play.act(play.case().id, Verb.ACKNOWLEDGE)
    play.act(play.case().id, Verb.DONE)
    assert last(play).title.startswith("【红色报警，仍未恢复】")
    assert "请再到现场查看" in last(play).text and "时限" not in last(play).text


def test_good_news_does_not_shout_red(play):
    play.wait(60)
    play.say(slots={3: 30})
    play.wait(400)
    assert last(play).kind is Kind.CLEARED
    assert last(play).title.startswith("【已恢复正常】充电仓过热")
    assert "情况：仓温度 30 ℃（限 75 ℃），20:00 至 20:" in last(play).text and "异常" in last(play).text


def test_silence_is_found_and_smoke_is_over():
    play = Play(Engine(world(), State(identity="0000002a")))
    play.say(smoke=1)
    play.wait(10)
    play.say(smoke=0)
    play.wait(100)
    assert "情况：烟雾已解除，20:00 至 " in last(play).text
    play.wait(300)
    assert "情况：没有数据（最后一次 20:00），20:0" in last(play).text and "发现" in last(play).text


def test_the_date_is_said_on_another_day():
    assert texts.clock(START_NS, "Asia/Shanghai", START_NS + 3 * HOUR_NS) == "20:00"
    assert texts.clock(START_NS, "Asia/Shanghai", START_NS + 5 * HOUR_NS) == "11-02 20:00"


def test_an_unknown_place_is_its_id():
    assert texts.whereabouts(world(places={}), "yard") == "yard"
