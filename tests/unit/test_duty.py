"""Who answers for a role at a place at an instant: posts, turns, leave, and what falls back upward."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config import load
from gateway.core.duty import Asked, Gap, Lack, Way, absences, holder, instants, next_end, successor
from gateway.core.model import (
    Calendar,
    During,
    Leave,
    Level,
    Override,
    Person,
    Place,
    Post,
    Rotation,
    Step,
    Unit,
    World,
)
from gateway.core.rotas import changes, on_duty, wall_of
from gateway.core.routing import acknowledgers, asked, ladder, plan, quiet_ns, recipients
from tests.unit.worlds import world

SHANGHAI = "Asia/Shanghai"
NIGHT = Rotation(
    id="night", members=("an", "bo", "cheng"), since=date(2026, 11, 2), handover="20:00", turn_s=86_400
)


def at(text: str, zone: str = SHANGHAI) -> int:
    return wall_of(datetime.fromisoformat(text), zone)


# ---------------------------------------------------------------- turns


@pytest.mark.parametrize(
    ("instant", "who"),
    [
        ("2026-11-02T19:59", ""),
        ("2026-11-02T20:00", "an"),
        ("2026-11-03T00:00", "an"),
        ("2026-11-03T07:59:59", "an"),
        ("2026-11-03T20:00", "bo"),
        ("2026-11-05T19:59", "cheng"),
        ("2026-11-05T20:00", "an"),
        ("2027-01-01T03:00", "cheng"),
    ],
)
def test_a_turn_goes_over_midnight(instant, who):
    """Of the 60th night, 31 December: 59 % 3 is the third."""
    assert on_duty(NIGHT, at(instant), SHANGHAI) == (who, None)


def test_turns_of_half_a_day_and_of_a_week():
    halves = replace(NIGHT, handover="08:00", turn_s=43_200, members=("day", "night", "late"))
    said = [
        on_duty(halves, at(f"2026-11-0{day}T{hour}:00"), SHANGHAI)[0]
        for day in (2, 3)
        for hour in ("09", "21")
    ]
    assert said == ["day", "night", "late", "day"]
    weeks = replace(NIGHT, handover="09:00", turn_s=7 * 86_400)
    assert on_duty(weeks, at("2026-11-09T08:59"), SHANGHAI)[0] == "an"
    assert on_duty(weeks, at("2026-11-09T09:00"), SHANGHAI)[0] == "bo"


def test_an_override_counts_to_the_minute_and_a_swap_is_two():
    one = Override(since="2026-11-02T22:00", until="2026-11-03T08:00", person="cheng")
    two = Override(since="2026-11-04T20:00", until="2026-11-05T20:00", person="an")
    swapped = replace(NIGHT, overrides=(one, two))
    assert on_duty(swapped, at("2026-11-02T21:59:59"), SHANGHAI) == ("an", None)
    assert on_duty(swapped, at("2026-11-02T22:00"), SHANGHAI) == ("cheng", one)
    assert on_duty(swapped, at("2026-11-03T08:00"), SHANGHAI) == ("an", None)
    assert on_duty(swapped, at("2026-11-05T00:00"), SHANGHAI) == ("an", two)


def test_where_the_clock_is_put_forward_the_handover_stays_at_its_hour():
    """2026-03-29 has 23 hours in Berlin."""
    early = replace(NIGHT, since=date(2026, 3, 28), handover="08:00")
    assert on_duty(early, at("2026-03-29T07:59", "Europe/Berlin"), "Europe/Berlin")[0] == "an"
    assert on_duty(early, at("2026-03-29T08:00", "Europe/Berlin"), "Europe/Berlin")[0] == "bo"


@given(
    st.integers(1, 6),
    st.sampled_from([3600, 7200, 43_200, 86_400, 172_800, 604_800]),
    st.integers(0, 60 * 24 * 60),
)
def test_nobody_changes_but_at_a_change(count, turn_s, minute):
    rotation = replace(NIGHT, members=tuple("abcdef"[:count]), turn_s=float(turn_s))
    first = at("2026-11-02T20:00")
    now = first + minute * 60 * 10**9
    edges = sorted(changes(rotation, first - 1, now + turn_s * 2 * 10**9, SHANGHAI))
    assert [edge - first for edge in edges] == [n * turn_s * 10**9 for n in range(len(edges))]
    turn = sum(edge <= now for edge in edges) - 1
    assert on_duty(rotation, now, SHANGHAI)[0] == rotation.members[turn % count]


# ---------------------------------------------------------------- who answers


def person(name: str, *leave: Leave, unit: str = "firm", **reach: str) -> Person:
    return Person(id=name, says=name, unit=unit, reach=reach or {"inbox": name}, leave=leave)


def away(since: str, until: str, delegate: str = "") -> Leave:
    return Leave(since=date.fromisoformat(since), until=date.fromisoformat(until), delegate=delegate)


def post(role: str, place: str, who: str = "", **more) -> Post:
    return Post(
        **{"role": role, "at": place, "unit": "firm", "person": who, "since": date(2026, 1, 1), **more}
    )


def site(*posts: Post, persons=(), **more) -> World:
    """grid < yard < committee < street, and everybody whom a post names."""
    names = {one.person for one in posts if one.person} | set(NIGHT.members)
    known = {name: person(name) for name in names} | {one.id: one for one in persons}
    chain = ["street", "committee", "yard", "grid"]
    places = {
        one: Place(id=one, says=one, kind="point", within=around)
        for one, around in zip(chain, ["", *chain], strict=False)
    }
    return world(places=places, posts=posts, persons=known, rotations={"night": NIGHT}, **more)


NOON = at("2026-11-10T12:00")


def who(found) -> str:
    return found.person.id if found.person else ""


def test_the_nearest_post_upward_answers_and_that_is_no_gap():
    found = holder(
        site(post("property", "yard", "wang"), post("property", "street", "zhou")), "grid", "property", NOON
    )
    assert (who(found), found.at, found.way, found.gaps) == ("wang", "yard", Way.POST, ())


def test_five_levels_of_empty_posts_fall_up_in_one_question():
    """Ended, on leave, unknown, unreachable: each is passed and named."""
    persons = [person("lin", away("2026-11-09", "2026-11-12")), person("mute", sms="")]
    persons[1] = replace(persons[1], reach={})
    posts = [
        post("keeper", "grid", "old", until=date(2026, 11, 1)),
        post("keeper", "yard", "lin"),
        post("keeper", "committee", "mute"),
        post("keeper", "street", "zhou"),
    ]
    found = holder(site(*posts, persons=persons), "grid", "keeper", NOON, ("inbox",))
    assert who(found) == "zhou"
    assert found.gaps == (
        Gap("keeper", "grid", Lack.VACANT, "old"),
        Gap("keeper", "yard", Lack.LEAVE, "lin"),
        Gap("keeper", "committee", Lack.UNREACHABLE, "mute"),
    )


def test_a_group_is_told_with_whoever_is_told():
    """A robot in the duty room, a siren: no person has an address there, and it speaks all the same."""
    known = site(post("keeper", "yard", "lin"), persons=[replace(person("lin"), reach={"inbox": "lin"})])
    step = Step(role="keeper", by=("inbox", "sms", "robot"))
    (alone,) = recipients(known, "grid", step, NOON).recipients
    (together,) = recipients(replace(known, groups=frozenset({"robot"})), "grid", step, NOON).recipients
    assert alone.channels == (("inbox", "lin"),)
    assert together.channels == (("inbox", "lin"), ("robot", ""))


def test_the_kind_of_a_channel_says_whether_it_is_a_group():
    found = load(Path(__file__).parents[2] / "deploy/example/lilong.yaml", "en", environ={})
    assert found.world is not None and found.world.groups == {"duty-robot", "street-hook"}


def test_then_the_declared_roles_then_the_head_of_the_unit_above():
    posts = [post("property", "yard", "lin"), post("committee", "street", "li")]
    gone = [person("lin", away("2026-11-01", "2026-12-01"))]
    declared = site(*posts, persons=gone, fallback={"property": ("committee",)})
    found = holder(declared, "grid", "property", NOON)
    assert (who(found), found.role, len(found.gaps)) == ("li", "committee", 1)
    units = {
        "firm": Unit(id="firm", says="firm", within="group"),
        "group": Unit(id="group", says="group", head="boss"),
    }
    headed = site(*posts, persons=[*gone, person("boss")], units=units)
    found = holder(headed, "grid", "property", NOON)
    assert (who(found), found.way) == ("boss", Way.HEAD)
    assert who(holder(site(*posts, persons=gone), "grid", "property", NOON)) == ""


@pytest.mark.parametrize(("day", "name"), [("08", "lin"), ("09", "ma"), ("11", "ma"), ("12", "lin")])
def test_a_delegate_stands_in_from_the_first_day_away_to_the_first_day_back(day, name):
    persons = [person("lin", away("2026-11-09", "2026-11-12", "ma")), person("ma")]
    found = holder(
        site(post("property", "yard", "lin"), persons=persons), "yard", "property", at(f"2026-11-{day}T00:00")
    )
    assert (who(found), found.stands_in_for) == (name, "lin" if name == "ma" else "")
    assert not found.gaps


def test_a_delegate_who_is_away_too_passes_it_on_and_a_ring_of_them_is_a_gap():
    absent = ("2026-11-01", "2026-12-01")
    persons = [person("lin", away(*absent, "ma")), person("ma", away(*absent, "he")), person("he")]
    found = holder(site(post("property", "yard", "lin"), persons=persons), "yard", "property", NOON)
    assert (who(found), found.stands_in_for) == ("he", "lin")
    persons[2] = person("he", away(*absent, "lin"))
    found = holder(site(post("property", "yard", "lin"), persons=persons), "yard", "property", NOON)
    assert found.person is None and found.gaps == (Gap("property", "yard", Lack.LEAVE, "lin"),)


def test_by_night_those_who_take_turns_by_day_the_one_person():
    night = post("property", "yard", rotation="night", during=During(inside="20:00-08:00"))
    held = site(post("property", "yard", "wang"), night)
    said = [
        who(holder(held, "yard", "property", at(f"2026-11-03T{hour}")))
        for hour in ("07:59", "08:00", "19:59", "20:00")
    ]
    assert said == ["an", "wang", "wang", "bo"]


def test_out_of_its_hours_a_post_is_no_gap_but_the_one_above():
    night = post("property", "yard", rotation="night", during=During(inside="20:00-08:00"))
    found = holder(site(night, post("property", "street", "zhou")), "yard", "property", NOON)
    assert (who(found), found.gaps) == ("zhou", ())
    assert holder(site(night), "yard", "property", NOON).gaps == (Gap("property", "yard", Lack.VACANT),)


def test_a_role_that_a_place_does_not_have_is_no_gap_where_another_is_declared():
    """The street's own office lies in no committee."""
    held = site(post("street", "street", "zhou"), fallback={"committee": ("street",)})
    found = holder(held, "street", "committee", NOON)
    assert (who(found), found.role, found.gaps) == ("zhou", "street", ())


def test_holidays_have_their_own_people():
    """1 October 2026, a Thursday, is a holiday; the Sunday before it is worked."""
    calendar = Calendar(differs=frozenset({date(2026, 10, 1), date(2026, 9, 27)}), years=frozenset({2026}))
    rest = post("property", "yard", "xu", during=During(days=("restdays",)))
    held = site(post("property", "yard", "wang"), rest, calendar=calendar)
    said = [
        who(holder(held, "yard", "property", at(f"2026-{day}T10:00")))
        for day in ("09-26", "09-27", "10-01", "10-08")
    ]
    assert said == ["xu", "wang", "xu", "wang"]


# ---------------------------------------------------------------- steps


def test_a_step_tells_every_role_once_and_copies_last():
    posts = [
        post("property", "yard", "wang"),
        post("committee", "yard", "li"),
        post("fire", "street", "wang"),
    ]
    step = Step(role=("property", "committee"), by=("inbox", "sms"), copy=("fire", "lift"))
    found = recipients(site(*posts, post("lift", "yard", "tang")), "grid", step, NOON)
    assert [(one.person.id, one.copy, one.channels) for one in found.recipients] == [
        ("wang", False, (("inbox", "wang"),)),
        ("li", False, (("inbox", "li"),)),
        ("tang", True, (("inbox", "tang"),)),
    ]
    assert Step(role="property", by=()) == Step(role=("property",), by=())


def test_an_empty_post_of_a_copy_disturbs_nobody():
    found = recipients(
        site(post("property", "yard", "wang")),
        "yard",
        Step(role="property", by=("inbox",), copy=("fire",)),
        NOON,
    )
    assert [one.person.id for one in found.recipients] == ["wang"] and not found.gaps


def test_a_scene_has_its_own_ladder_hours_and_number_of_answers():
    own = (Step(role="property", by=("inbox",)),)
    held = world(
        scene_ladders={"cabinet.red": own},
        quiet={"yellow": "22:00-07:00", "waste.yellow": "21:00-06:00"},
        acknowledge_by={"cabinet.red": 2},
    )
    assert (
        ladder(held, Level.RED, "cabinet") is own
        and ladder(held, Level.RED, "waste") is held.ladders[Level.RED]
    )
    assert [acknowledgers(held, scene, Level.RED) for scene in ("cabinet", "waste")] == [2, 1]
    hours = [
        quiet_ns(held, "yard", scene, Level.YELLOW, at("2026-11-10T21:30")) for scene in ("cabinet", "waste")
    ]
    assert hours == [0, int(8.5 * 3600e9)]


@pytest.mark.parametrize(
    ("instant", "hours"),
    [
        ("21:59:59", 0),
        ("22:00:00", 9),
        ("23:59:59", 7 + 1 / 3600),
        ("00:00:00", 7),
        ("06:59:30", 0.5 / 60),
        ("07:00:00", 0),
    ],
)
def test_quiet_hours_end_to_the_second(instant, hours):
    held = world(quiet={"yellow": "22:00-07:00", "red": "22:00-07:00"})
    assert quiet_ns(held, "yard", "cabinet", Level.YELLOW, at(f"2026-11-10T{instant}")) == round(
        hours * 3600e9
    )
    assert quiet_ns(held, "yard", "cabinet", Level.RED, at(f"2026-11-10T{instant}")) == 0


def test_quiet_hours_may_be_a_places_own():
    places = dict(world().places)
    places["yard"] = replace(places["yard"], windows={"night": ("22:00-24:00", "00:00-06:00")})
    held = world(places=places, quiet={"yellow": "night"})
    assert quiet_ns(held, "yard", "cabinet", Level.YELLOW, at("2026-11-10T23:00")) == int(7 * 3600e9)
    assert quiet_ns(held, "street", "cabinet", Level.YELLOW, at("2026-11-10T23:00")) == 0


def test_the_plan_counts_from_the_morning_and_asks_who_it_is_then():
    posts = (
        post("property", "yard", "wang", until=date(2026, 11, 11)),
        post("property", "yard", "li", since=date(2026, 11, 11)),
    )
    held = world(posts=posts, quiet={"yellow": "22:00-07:00"})
    waits_ns, rungs = plan(held, held.devices["cab-1"], Level.YELLOW, at("2026-11-10T23:00"))
    assert waits_ns == 8 * 3600 * 10**9
    assert [(rung.after_s, who_of(rung)) for rung in rungs] == [(0, ["li"]), (300, [])]


def who_of(rung) -> list[str]:
    return [one.person.id for one in rung.told.recipients]


# ---------------------------------------------------------------- another holder


def test_who_follows_at_midnight():
    posts = (
        post("property", "yard", "wang", until=date(2026, 11, 3)),
        post("property", "yard", "li", since=date(2026, 11, 3)),
    )
    held = site(*posts)
    assert successor(held, "grid", "wang", at("2026-11-02T23:59:59")) is None
    assert who(successor(held, "grid", "wang", at("2026-11-03T00:00"))) == "li"
    assert successor(held, "street", "wang", at("2026-11-03T00:00")) is None, "he was nobody there"
    assert successor(held, "grid", "li", at("2026-11-03T00:00")) is None
    assert next_end(held, at("2026-11-01T09:00")) == at("2026-11-03T00:00")
    assert next_end(held, at("2026-11-03T00:00")) is None


def test_who_still_holds_another_post_there_has_not_gone():
    posts = (
        post("property", "yard", "wang", until=date(2026, 11, 3)),
        post("property", "yard", "li", since=date(2026, 11, 3)),
        post("committee", "street", "wang"),
    )
    assert successor(site(*posts), "grid", "wang", NOON) is None


def test_whoever_stood_in_or_took_turns_goes_with_the_post():
    persons = [person("wang", away("2026-11-01", "2026-11-09", "ma")), person("ma")]
    posts = [
        post("property", "yard", "wang", until=date(2026, 11, 3)),
        post("property", "yard", "li", since=date(2026, 11, 3)),
    ]
    assert who(successor(site(*posts, persons=persons), "yard", "ma", NOON)) == "li"
    posts[0] = replace(posts[0], person="", rotation="night")
    assert who(successor(site(*posts), "yard", "bo", NOON)) == "li"


# ---------------------------------------------------------------- beforehand


def test_a_fortnight_is_looked_through_to_the_minute():
    """A leave without a delegate, a swap to somebody without an address, a firm without a successor."""
    silent = Override(since="2026-11-12T20:00", until="2026-11-12T22:30", person="mute")
    mute = replace(person("mute"), reach={})
    night = post("property", "yard", rotation="night", during=During(inside="20:00-08:00"))
    posts = [
        post("property", "yard", "wang", until=date(2026, 11, 20)),
        night,
        post("property", "street", "zhou"),
    ]
    persons = [mute, person("wang", away("2026-11-15", "2026-11-16"))]
    held = site(*posts, persons=persons)
    held = replace(held, rotations={"night": replace(NIGHT, overrides=(silent,))})
    found = absences(
        held, [Asked("grid", "property", ("inbox",))], at("2026-11-10T00:00"), at("2026-11-24T00:00")
    )
    lines = [(one.gap.lack, one.gap.person, one.since_ns, one.until_ns, one.instead) for one in found]
    assert lines == [
        (Lack.UNREACHABLE, "mute", at("2026-11-12T20:00"), at("2026-11-12T22:30"), "zhou"),
        (Lack.LEAVE, "wang", at("2026-11-15T08:00"), at("2026-11-15T20:00"), "zhou"),
        *(
            (Lack.VACANT, "wang", at(f"2026-11-{day}T08:00"), at(f"2026-11-{day}T20:00"), "zhou")
            for day in (20, 21, 22, 23)
        ),
    ]


def test_between_two_firms_there_may_be_days_of_nobody():
    posts = [
        post("property", "yard", "wang", until=date(2026, 11, 3)),
        post("property", "yard", "li", since=date(2026, 11, 10)),
        post("property", "street", "zhou"),
    ]
    (found,) = absences(
        site(*posts), [Asked("grid", "property", ())], at("2026-11-01T00:00"), at("2026-11-24T00:00")
    )
    assert (found.since_ns, found.until_ns) == (at("2026-11-03T00:00"), at("2026-11-10T00:00"))
    assert (found.gap.person, found.instead) == ("wang", "zhou")


def test_what_nobody_answers_at_all_says_so():
    held = site(post("property", "yard", "wang", until=date(2026, 11, 20)))
    (found,) = absences(held, [Asked("grid", "property", ())], at("2026-11-10T00:00"), at("2026-11-24T00:00"))
    assert (found.gap.at, found.instead, found.until_ns - found.since_ns) == ("yard", "", 4 * 86_400 * 10**9)


def test_every_step_of_every_ladder_is_asked_for():
    assert [(one.place, one.role) for one in asked(world())] == [("yard", "property"), ("yard", "committee")]


def test_thirty_days_between_two_instants_nobody_changes():
    """The edges are all there are: at any minute between two of them the same person answers."""
    night = post(
        "property", "yard", rotation="night", during=During(inside="20:00-08:00", days=("mon", "sat"))
    )
    held = site(
        post("property", "yard", "wang"),
        night,
        persons=[person("wang", away("2026-11-15", "2026-11-16", "ma")), person("ma")],
    )
    edges = [*instants(held, at("2026-11-09T00:00"), at("2026-11-23T00:00")), at("2026-11-23T00:00")]
    for begins, ends in pairwise(edges):
        minutes = [begins + n * int(timedelta(minutes=7).total_seconds()) * 10**9 for n in range(300)]
        said = {who(holder(held, "yard", "property", one)) for one in minutes if one < ends}
        assert len(said) == 1, (begins, said)
