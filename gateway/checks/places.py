"""Places form a tree."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.checks.parts import check_known, upward
from gateway.core.model import Place
from gateway.problems import say
from gateway.typed import Builder


def check_places(places: Sequence[Place], builder: Builder) -> None:
    parents = {place.id: place.within for place in places}
    for place in places:
        if place.within:
            check_known(builder, place, "within", "place", place.within, builder.ids(Place))
    for place in places:
        chain = list(upward(place.id, parents))
        if chain[-1] == place.id and len(chain) > 1 and place.id == min(chain):
            found = say("cycle", value=" → ".join(chain))
            builder.mistake(place, "within", found, say("a_tree"))
