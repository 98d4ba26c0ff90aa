"""Who gets the weekly digests: that there is such a place, such a person, and a way that takes a page."""

from __future__ import annotations

from gateway.checks.parts import Parts, Surroundings, check_known, line_of
from gateway.core.model import DIGESTED, Digest, Person, Place, Post
from gateway.problems import listing, one_of, say
from gateway.typed import Builder


def check_digests(parts: Parts, surroundings: Surroundings, builder: Builder) -> None:
    seen: dict[str, Digest] = {}
    for entry in parts.digests:
        if entry.key in seen:
            where = line_of(seen[entry.key])
            found = say("twice", what=say("what_setting"), value=entry.key, where=where)
            builder.mistake(entry, "", found, say("unique", what=say("what_setting")))
        seen.setdefault(entry.key, entry)
        _check_place(entry, parts, builder)
        _check_reader(entry, parts, surroundings, builder)
        _check_ways(entry, surroundings, builder)


def _check_place(entry: Digest, parts: Parts, builder: Builder) -> None:
    kinds = {place.id: place.kind for place in parts.places}
    check_known(builder, entry, "of", "place", entry.of, kinds if builder.complete(Place) else None)
    if (kind := kinds.get(entry.of, DIGESTED[0])) not in DIGESTED:
        builder.mistake(entry, "of", say("value", value=kind), one_of(DIGESTED))


def _check_reader(entry: Digest, parts: Parts, surroundings: Surroundings, builder: Builder) -> None:
    """A role that some post fills, or a person who has an address on one of the ways."""
    if bool(entry.role) == bool(entry.person):
        found = say("both", first="role", second="person") if entry.role else say("none_of")
        builder.mistake(entry, "", found, say("only_one_of", words="role, person"))
    elif entry.person:
        _check_person(entry, parts, surroundings, builder)
    elif builder.complete(Post) and entry.role not in {post.role for post in parts.posts}:
        builder.mistake(entry, "role", say("no_post", value=entry.role), say("a_post"))


def _check_person(entry: Digest, parts: Parts, surroundings: Surroundings, builder: Builder) -> None:
    persons = {person.id: person for person in parts.persons}
    known = persons if builder.complete(Person) else None
    check_known(builder, entry, "person", "person", entry.person, known)
    person = persons.get(entry.person)
    if person and not set(entry.by) & (person.reach.keys() | surroundings.groups):
        found = say("unreachable", person=person.id, channels=listing(entry.by))
        builder.mistake(entry, "person", found, say("an_address"))


def _check_ways(entry: Digest, surroundings: Surroundings, builder: Builder) -> None:
    if not entry.by:
        builder.mistake(entry, "by", say("none_of"), say("at_least_one"))
    for index, channel in enumerate(entry.by):
        known = check_known(builder, entry, f"by[{index}]", "channel", channel, surroundings.channels)
        if known and surroundings.whole is not None and channel not in surroundings.whole:
            expected = one_of(sorted(surroundings.whole))
            builder.mistake(entry, f"by[{index}]", say("no_page", channel=channel), expected)
