"""Persons, posts, rotations and ladders: whoever must be told holds a post and has an address."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from itertools import pairwise

from gateway.checks.hours import named_windows
from gateway.checks.parts import Names, Parts, check_known, check_unique, line_of, passes, upward
from gateway.core.calendars import (
    RESTDAYS,
    WORKDAYS,
    begun,
    gaps,
    is_window,
    parse_window,
)
from gateway.core.model import During, Leave, Level, Override, Person, Place, Post, Rotation, Step, Unit
from gateway.grammar import SiteKeys, level_of
from gateway.problems import listing, say
from gateway.typed import IDENTIFIER, Builder

SETTINGS = ("quiet", "acknowledge_by", "fallback", "shelve_most")  # of a site, each key in one file
NUMBER = re.compile(r"\+?\d[\d -]{6,}")  # what a telephone is reached by, and a finger slips on


def check_people(parts: Parts, channels: Names, builder: Builder) -> None:
    units, persons, places = builder.ids(Unit), builder.ids(Person), builder.ids(Place)
    for unit in parts.units:
        if unit.within:
            check_known(builder, unit, "within", "unit", unit.within, units)
        if unit.head:
            check_known(builder, unit, "head", "person", unit.head, persons)
    for person in parts.persons:
        check_known(builder, person, "unit", "unit", person.unit, units)
        for channel in person.reach:
            check_known(builder, person, f"reach.{channel}", "channel", channel, channels)
        for channel in person.verified:
            if channel not in person.reach:
                found = say("without", first=f"verified.{channel}", second=f"reach.{channel}")
                builder.mistake(person, f"verified.{channel}", found, say("both_or_neither"))
        _check_leave(person, builder)
    for rotation in parts.rotations:
        _check_rotation(rotation, builder)
    check_unique(builder, "rotation", parts.rotations, "id", lambda one: one.id)
    for post in parts.posts:
        check_known(builder, post, "at", "place", post.at, places)
        check_known(builder, post, "unit", "unit", post.unit, units)
        _check_filled(post, builder)
        _check_ends(post, builder)
        _check_windows(post, parts, builder)
    _check_one_person(parts.posts, builder)
    _check_owners(parts, builder)


def _check_filled(post: Post, builder: Builder) -> None:
    """By a person, or by those who take turns."""
    if bool(post.person) == bool(post.rotation):
        found = say("both", first="person", second="rotation") if post.person else say("none_of")
        builder.mistake(post, "", found, say("only_one_of", words="person, rotation"))
    elif post.person:
        check_known(builder, post, "person", "person", post.person, builder.ids(Person))
    else:
        check_known(builder, post, "rotation", "rotation", post.rotation, builder.ids(Rotation))


def _check_ends(span: Post | Leave, builder: Builder) -> None:
    if span.until and span.until <= span.since:
        builder.mistake(span, "to", say("ends_first"), say("after_since"))


def _check_windows(post: Post, parts: Parts, builder: Builder) -> None:
    """The hours that a post names are those of its place, or of one around it."""
    parents = {one.id: one.within for one in parts.places}
    around = set(upward(post.at, parents))
    known = {name for one in parts.places if one.id in around for name in one.windows}
    for key, name in named_windows(post.during) if around else ():
        check_known(builder, post, f"during.{key}", "window", name, known)


def _check_leave(person: Person, builder: Builder) -> None:
    for leave in person.leave:
        _check_ends(leave, builder)
        if leave.delegate == person.id:
            builder.mistake(leave, "delegate", say("own_delegate"), say("another_person"))
        elif leave.delegate:
            check_known(builder, leave, "delegate", "person", leave.delegate, builder.ids(Person))
    _check_apart(person.leave, builder)


def _check_rotation(rotation: Rotation, builder: Builder) -> None:
    if not rotation.members:
        builder.mistake(rotation, "members", say("none_of"), say("at_least_one"))
    for index, name in enumerate(rotation.members):
        check_known(builder, rotation, f"members[{index}]", "person", name, builder.ids(Person))
    for one in rotation.overrides:
        check_known(builder, one, "person", "person", one.person, builder.ids(Person))
        if one.until <= one.since:
            builder.mistake(one, "to", say("ends_first"), say("later"))
    _check_apart(rotation.overrides, builder)


def _check_apart(spans: Sequence[Leave | Override], builder: Builder) -> None:
    """Of two that overlap nobody knows which counts."""
    for before, span in pairwise(sorted(spans, key=lambda span: str(span.since))):
        if str(span.since) < str(before.until):
            builder.mistake(span, "from", say("same_time", where=line_of(before)), say("apart_in_time"))


def _check_owners(parts: Parts, builder: Builder) -> None:
    """An owner that is written like a role must be one; any other is words for people."""
    roles = {post.role for post in parts.posts}
    for rule in parts.rules if roles and builder.complete(Post) else ():
        if re.fullmatch(IDENTIFIER, rule.owner) and rule.owner not in roles:
            builder.mistake(rule, "owner", say("no_post", value=rule.owner), say("a_post"))


def _check_one_person(posts: Sequence[Post], builder: Builder) -> None:
    """One named person is told: two in one post would each think it the other's."""
    ordered = sorted(posts, key=lambda post: (post.role, post.at, post.during is not None, post.since))
    for number, post in enumerate(ordered):
        for before in ordered[:number][::-1]:
            if (before.role, before.at) != (post.role, post.at):
                break
            if _overlap(before, post):
                builder.mistake(post, "from", say("overlap", where=line_of(before)), say("one_person"))
                break


def _overlap(before: Post, post: Post) -> bool:
    """Whether both are held at an instant. That of some hours goes before that of the whole day."""
    first, second = sorted((before, post), key=lambda one: one.since)
    if first.until is not None and second.since >= first.until:
        return False
    if (before.during is None) != (post.during is None):
        return False
    return before.during is None or post.during is None or _meet(before.during, post.during)


def _meet(one: During, other: During) -> bool:
    """Whether two spans of hours meet; of windows that places give nobody knows here."""
    kinds = [set(during.days) for during in (one, other)]
    if all(kinds) and ([{WORKDAYS}, {RESTDAYS}] in (kinds, kinds[::-1]) or _weekdays_apart(*kinds)):
        return False
    if not all(name == "" or is_window(name) for during in (one, other) for name in _names(during)):
        return False
    first, second = _spans(one), _spans(other)
    return any(begun(span, start) is not None for start, _ in first for span in second) or any(
        begun(span, start) is not None for start, _ in second for span in first
    )


def _weekdays_apart(one: set[str], other: set[str]) -> bool:
    return not {WORKDAYS, RESTDAYS} & (one | other) and one.isdisjoint(other)


def _names(during: During) -> tuple[str, str]:
    return during.inside, during.outside


def _spans(during: During) -> tuple[tuple[int, int], ...]:
    if during.inside:
        return (parse_window(during.inside),)
    return gaps((parse_window(during.outside),) if during.outside else ())


# ---------------------------------------------------------------- ladders


def check_ladders(parts: Parts, channels: Names, builder: Builder) -> None:
    seen: dict[str, SiteKeys] = {}
    for key, steps, site in parts.ladders:
        step = f"ladders.{key}"
        if key in seen:
            found = say("twice", what=say("what_ladder"), value=key, where=line_of(seen[key]))
            builder.mistake(site, step, found, say("unique", what=say("what_ladder")))
        seen.setdefault(key, site)
        _check_scene(key, step, parts, site, builder)
        if not steps:
            builder.mistake(site, step, say("none_of"), say("at_least_one"))
        if [rung.after_s for rung in steps] != sorted(rung.after_s for rung in steps):
            builder.mistake(site, step, say("out_of_order"), say("ascending"))
        for rung in steps:
            if passes(builder, _check_rung, rung, parts, channels):
                _check_reach(rung, key, parts, channels, builder)
    check_settings(parts, channels, builder)


def check_settings(parts: Parts, channels: Names, builder: Builder) -> None:
    """What a site says beside its ladders: quiet hours, how many must answer, who else, who hears of gaps."""
    for site in parts.sites:
        for key, name in site.quiet.items():
            step = f"quiet.{key}"
            _check_scene(key, step, parts, site, builder)
            if level_of(key)[1] is Level.RED:
                builder.mistake(site, step, say("quiet_red"), say("red_rings"))
            elif is_window(name) and not gaps((parse_window(name),)):
                builder.mistake(site, step, say("always_quiet"), say("some_hours"))
            elif not is_window(name):
                known = {window for place in parts.places for window in place.windows}
                check_known(builder, site, step, "window", name, known)
        for key, count in site.acknowledge_by.items():
            _check_scene(key, f"acknowledge_by.{key}", parts, site, builder)
            _check_enough(key, count, parts, site, builder)
        for key in site.shelve_most:
            _check_scene(key, f"shelve_most.{key}", parts, site, builder)
        _check_fallback(parts, site, builder)
        if site.supervisor and passes(builder, _check_rung, site.supervisor, parts, channels):
            _check_reach(site.supervisor, "supervisor", parts, channels, builder)
    _check_settings_once(parts.sites, builder)


def _check_settings_once(sites: Sequence[SiteKeys], builder: Builder) -> None:
    seen: dict[str, SiteKeys] = {}
    for site in sites:
        steps = [f"{name}.{key}" for name in SETTINGS for key in getattr(site, name)]
        for step in [*steps, *(["supervisor"] if site.supervisor else [])]:
            if step in seen:
                found = say("twice", what=say("what_setting"), value=step, where=line_of(seen[step]))
                builder.mistake(site, step, found, say("unique", what=say("what_setting")))
            seen.setdefault(step, site)


def _check_scene(key: str, step: str, parts: Parts, site: SiteKeys, builder: Builder) -> None:
    scene, _ = level_of(key)
    if scene:
        check_known(builder, site, step, "scene", scene, {model.scene for model in parts.models})


def _check_enough(key: str, count: int, parts: Parts, site: SiteKeys, builder: Builder) -> None:
    """As many roles at least as persons who must say "mine"."""
    _, level = level_of(key)
    ladders = parts.merged("ladders")
    steps = ladders.get(key) or ladders.get(level.word, ())
    roles = {role for step in steps for role in step.roles}
    if steps and len(roles) < count:
        found = say("too_few", count=count, level=key, roles=len(roles))
        builder.mistake(site, f"acknowledge_by.{key}", found, say("at_most", most=len(roles)))


def _check_fallback(parts: Parts, site: SiteKeys, builder: Builder) -> None:
    filled = {post.role for post in parts.posts}
    for role, others in site.fallback.items() if builder.complete(Post) else ():
        for name in (role, *others):
            if name not in filled:
                found = say("no_post", value=name)
                builder.mistake(site, f"fallback.{role}", found, say("a_post"))


def _check_rung(rung: Step, parts: Parts, channels: Names, builder: Builder) -> None:
    for key, many in (("by", rung.by), ("role", rung.roles)):
        if not many:
            builder.mistake(rung, key, say("none_of"), say("at_least_one"))
    for index, channel in enumerate(rung.by):
        check_known(builder, rung, f"by[{index}]", "channel", channel, channels)
    filled = {post.role for post in parts.posts}
    for key, roles in (("role", rung.roles), ("copy", rung.copy)) if builder.complete(Post) else ():
        for index, role in enumerate(roles):
            if role not in filled:
                step = f"{key}[{index}]" if len(roles) > 1 else key
                builder.mistake(rung, step, say("no_post", value=role), say("a_post"))


def _check_reach(rung: Step, ladder: str, parts: Parts, channels: Names, builder: Builder) -> None:
    """Whoever a rung tells needs an address on one of its channels (a misspelt one was reported already)."""
    holders = set(holders_of(parts, (*rung.roles, *rung.copy)))
    for person in parts.persons:
        spelt = channels is None or person.reach.keys() <= set(channels)
        if person.id in holders and spelt and not set(rung.by) & person.reach.keys():
            found = say("unreachable", person=person.id, channels=listing(rung.by))
            builder.mistake(person, "reach", found, say("reach_for", level=ladder))


def holders_of(parts: Parts, roles: Sequence[str]) -> Iterator[str]:
    """Everybody who may answer for one of these roles, by a post, in turn, or for somebody on leave."""
    rotations = {one.id: one for one in parts.rotations}
    named = [
        name
        for post in parts.posts
        if post.role in roles
        for name in _fillers(post, rotations.get(post.rotation))
    ]
    yield from named
    for person in parts.persons:
        if person.id in named:
            yield from (leave.delegate for leave in person.leave if leave.delegate)


def _fillers(post: Post, rotation: Rotation | None) -> Iterable[str]:
    turns = [*rotation.members, *(one.person for one in rotation.overrides)] if rotation else []
    return [post.person, *turns]


def check_ladders_complete(parts: Parts, builder: Builder) -> None:
    missing = {level.word for level in Level} - {key for key, _, _ in parts.ladders}
    for level in sorted(missing, key=[one.word for one in Level].index) if parts.devices else ():
        site = next((site for site in parts.sites if site.ladders), parts.sites[0])
        builder.mistake(site, "ladders", say("no_ladder", level=level), say("a_ladder"))


def check_answered(parts: Parts, builder: Builder) -> None:
    """Some post of each ladder must lie on the way up from every device, or nobody is ever told."""
    parents = {place.id: place.within for place in parts.places}
    posts = {(post.role, post.at) for post in parts.posts}
    scenes = {model.id: model.scene for model in parts.models}
    for device in parts.devices:
        around = list(upward(device.at, parents))
        for key, steps, _ in parts.ladders if around else ():
            mine = level_of(key)[0] in ("", scenes.get(device.model))
            roles = {role for step in steps for role in step.roles}
            if mine and not any((role, place) in posts for role in roles for place in around):
                found = say("nobody", level=key, place=device.at)
                builder.mistake(device, "at", found, say("somebody"))


# ---------------------------------------------------------------- what is no mistake and hardly meant


def lint_people(parts: Parts, today: date | None, builder: Builder) -> None:
    """Warn of contacts on which a red alarm would hang by a thread, and of posts that will be empty."""
    told = set(holders_of(parts, sorted({post.role for post in parts.posts})))
    for person in parts.persons:
        for leave in person.leave if person.id in told else ():
            if not leave.delegate and (today is None or leave.until > today):
                builder.mistake(leave, "", say("no_delegate", person=person.id), say("a_delegate"))
        for channel, day in person.verified.items():
            if today is not None and day > today:
                found = say("verified_later", day=str(day))
                builder.mistake(person, f"verified.{channel}", found, say("past_day"))
    _lint_red(parts, builder)
    _lint_numbers(parts.persons, builder)


def _lint_red(parts: Parts, builder: Builder) -> None:
    """A number that nobody has ever reached may be a slip of the finger: nothing red depends on it alone."""
    warned: set[tuple[str, str]] = set()
    for key, steps, _ in parts.ladders:
        for rung in steps if level_of(key)[1] is Level.RED else ():
            holders = set(holders_of(parts, rung.roles))
            for person in parts.persons:
                channel = _only_unverified(person, rung) if person.id in holders else ""
                if channel and (person.id, channel) not in warned:
                    warned.add((person.id, channel))
                    found = say("unverified", person=person.id, channel=channel, level=key)
                    builder.mistake(person, f"reach.{channel}", found, say("verified_day", channel=channel))


def _only_unverified(person: Person, rung: Step) -> str:
    """The first channel of a step on which all that a person has are numbers nobody has verified."""
    known = [channel for channel in rung.by if channel in person.reach]
    doubtful = [one for one in known if NUMBER.fullmatch(person.reach[one]) and one not in person.verified]
    return known[0] if known and doubtful == known else ""


def _lint_numbers(persons: Sequence[Person], builder: Builder) -> None:
    first: dict[str, Person] = {}
    for person in persons:
        for channel, address in person.reach.items():
            number = re.sub(r"[ -]", "", address)
            before = first.setdefault(number, person) if NUMBER.fullmatch(address) else person
            if before is not person:
                found = say("same_number", person=before.id, where=line_of(before))
                builder.mistake(person, f"reach.{channel}", found, say("own_number"))
