"""What stands for more than a day is told of again every morning, with who has it, and is in its history."""

import msgspec
import pytest

from gateway.channels.wecom_robot import compose
from gateway.core import state as states
from gateway.core.calendars import local
from gateway.core.engine import Engine
from gateway.core.model import (
    SECOND,
    Act,
    Entry,
    Kind,
    Notification,
    NotificationState,
    Step,
    Told,
    Verb,
)
from gateway.core.state import State
from tests.unit.test_case_life import street
from tests.unit.worlds import HOT, SMOKE, Play, of

HOUR, DAY = 3600, 86400
ABOVE = Step(role="street", by=("inbox",))


def playing(**changes):
    changes = {"review_at": "08:30", "supervisor": ABOVE, **changes}
    play = Play(Engine(street(HOT, SMOKE, **changes), State(identity="0000002a")))
    play.say(smoke=0)
    return play


def hot(play, slot=3):
    play.say({slot: 58.0})
    play.wait(61)
    play.say({slot: 58.0})


def lists(play):
    return [
        one
        for one in of(play.effects, Notification)
        if one.kind is Kind.STANDING and one.state is NotificationState.DUE
    ]


def at(one):
    return local(one.created_ns, "Asia/Shanghai").strftime("%d %H:%M")


def test_a_list_that_never_went_out_gives_way_to_the_next():
    """Or a channel that is away for weeks fills memory, and people read three weeks of mornings at once."""
    play = playing(clocks=(), supervisor=None)
    hot(play)
    play.wait(5 * DAY)
    waiting = [one for one in play.engine.state.notifications.values() if one.kind is Kind.STANDING]
    assert [at(one) for one in waiting] == [at(lists(play)[-1])] and len(lists(play)) == 4


def test_every_morning_until_it_is_over_and_never_before_a_day():
    play = playing(clocks=())  # 20:00 on the 2nd
    hot(play)
    (case,) = play.engine.state.cases
    play.act(case, Verb.ACKNOWLEDGE)
    play.wait(4 * DAY)
    assert [(at(one), one.person) for one in lists(play)] == [
        ("04 08:30", "wang"), ("05 08:30", "wang"), ("06 08:30", "wang"),
    ]  # fmt: skip
    play.say({3: 20.0})
    play.wait(HOUR)
    before = len(lists(play))
    play.wait(2 * DAY)
    assert len(lists(play)) == before


def test_it_says_what_where_how_long_and_who_and_what_is_shelved():
    play = playing()
    hot(play)
    hot(play, slot=4)
    until_ns = play.wall() + 3 * DAY * SECOND
    play.give(
        Act(play.at, play.wall(), "slot-hot|cab-1|slot-4", "li", Verb.SHELVE, "等配件", until_ns=until_ns)
    )
    play.wait(37 * HOUR)
    first, mine = [one for one in lists(play) if one.person == "wang"]
    assert first.title == "【每日提醒】1 项已搁置或停用"
    assert mine.title == "【每日提醒】2 条报警超过 24 小时未恢复；1 项已搁置或停用"
    assert mine.text.splitlines() == [
        "情况：2 条报警超过 24 小时未恢复；1 项已搁置或停用",
        "1. 充电仓过热 · cab-1 3号仓，1 天 12 小时，无人接手",
        "2. 充电仓过热 · cab-1 4号仓，1 天 12 小时，已搁置",
        "3. 充电仓过热 · cab-1 4号仓 搁置到 11-05 20:02，不高于黄色提示（李主任：等配件）",
        "要做：逐条处理、转交，或者说明原因后搁置；不处理的，明天再次提醒。",
    ]


def test_of_what_nobody_has_taken_on_the_supervisor_hears_too():
    play = playing()
    hot(play)
    play.wait(37 * HOUR)
    assert {one.person for one in lists(play)} == {"wang", "zhao"}


def test_an_empty_post_leaves_nobody_out():
    found = street()
    nobody = tuple(post for post in found.posts if post.role != "property")
    play = playing(posts=nobody, supervisor=None)
    hot(play)
    play.wait(37 * HOUR)
    assert {one.person for one in lists(play)} == {"li"}


def test_it_is_in_the_history_of_the_case():
    play = playing()
    hot(play)
    (case,) = play.engine.state.cases
    play.wait(37 * HOUR)
    assert [one.note for one in of(play.effects, Entry) if one.what == "standing" and one.case == case] == [
        "1 天 12 小时"
    ]


def test_a_restart_neither_repeats_nor_forgets_it():
    plays = [playing(), playing()]
    for number, play in enumerate(plays):
        hot(play)
        for _ in range(40):
            play.wait(HOUR)
            if number:
                play.engine = Engine(play.engine.world, states.load(states.save(play.engine.state)))
    assert plays[0].effects == plays[1].effects and lists(plays[0])


def test_one_that_was_down_at_the_hour_makes_up_for_it():
    play = playing()
    hot(play)
    play.wait(36 * HOUR)
    play.engine.state.reviewed_ns -= DAY * SECOND
    play.engine = Engine(play.engine.world, states.load(states.save(play.engine.state)))
    play.wait(1)
    assert len({at(one) for one in lists(play)}) == 1


def test_an_answer_to_a_case_takes_nothing_back_and_a_refusal_raises_nothing():
    play = playing()
    hot(play)
    play.wait(37 * HOUR)
    first, second = lists(play)[:2]
    play.told(first, Told.LATER, retry_after_s=1.0)
    play.wait(2)
    play.told(second, Told.REFUSED, detail="no such address")
    play.act(next(iter(play.engine.state.cases)), Verb.ACKNOWLEDGE)
    assert first.id in play.engine.state.notifications
    play.told(first)
    assert first.id not in play.engine.state.notifications


def test_long_lists_say_how_many_more():
    play = playing()
    for _ in range(2):
        play.say(dict.fromkeys(range(1, 9), 58.0))
        play.wait(61)
    for name in ("a", "b", "c"):
        until_ns = play.wall() + 3 * DAY * SECOND
        what = f"slot-hot|cab-1|slot-{name}"
        play.give(Act(play.at, play.wall(), what, "li", Verb.SHELVE, "x", until_ns=until_ns))
    play.wait(37 * HOUR)
    assert "另有 1 项，见控制台" in lists(play)[-1].text.splitlines()


@pytest.mark.parametrize("address", ["wang", "13800001234"])
def test_without_a_case_there_is_no_link(address):
    play = playing()
    hot(play)
    play.wait(37 * HOUR)
    told = lists(play)[0]
    sent = compose(msgspec.structs.replace(told, address=address), told.text, "")
    assert "打开处置单" not in str(sent)


def test_a_site_without_an_hour_tells_none():
    play = playing(review_at="")
    hot(play)
    play.wait(3 * DAY)
    assert (lists(play), "timer_failed" in play.noted()) == ([], False)
