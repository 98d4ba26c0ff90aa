"""A stable code for every mistake and every warning, by what was found: a name for tickets, CI and manuals.

L: an error, the files do not take effect. W: a warning; `lilong check --strict` takes it for an error. The
first digit is the subject: 1 reading files, 2 keys and values, 3 names, 4 models, 5 rules, 6 scenarios,
7 places and people, 8 devices, 9 tables. A code never changes its meaning, and is not used again for another.
"""

from __future__ import annotations

UNFIT = "L201"

# code -> (what it means, the phrases of problems.PHRASES that say what was found)
CODES: dict[str, tuple[str, str]] = {
    "L101": ("text that is not YAML", "syntax"),
    "L102": ("a file or directory that cannot be read", "unreadable no_directory"),
    "L103": ("an empty file", "empty"),
    "L104": ("too large, too deep, too many columns", "bytes deep huge columns"),
    "L105": ("bytes that are not plain UTF-8", "bom nul not_utf8 utf16 not_utf8_gb"),
    "L106": ("YAML that is not used here", "alias anchor merge tag directive documents key_not_text"),
    "L107": ("the same key twice", "duplicate_key"),
    "L108": ("a number that YAML reads otherwise", "sexagesimal leading_zero not_finite"),
    "L109": ("a file that would not be read", "other_suffix workbook workbook_here other_table"),
    "L110": ("more mistakes in this file than are listed", "more"),
    UNFIT: ("a value that does not belong there", "value number bool null list mapping"),
    "L202": ("an unknown key", "unknown_key"),
    "L203": ("a required key is missing", "missing"),
    "L204": ("a secret in the file", "inline_secret secret_in_url"),
    "L205": ("two keys that exclude each other", "both"),
    "L206": ("a key without the one that it needs", "without"),
    "L207": ("none where at least one is needed", "none_of"),
    "L208": ("instants that go backwards", "out_of_order"),
    "L209": ("so many days: too few or too many", "days"),
    "L210": (
        "a blank that no variable fills, or a variable without one",
        "no_blank unused_variable",
    ),
    "L211": ("a template that no provider approves as it stands", "refused_text letters"),
    "L212": ("a kind of message for which no approved template is left", "no_template"),
    "L301": ("a name that nothing has", "unknown"),
    "L302": ("a name that was taken", "twice"),
    "L303": ("topics that overlap", "overlapping"),
    "L304": ("a second gateway beside the one that speaks for itself", "second_gateway"),
    "L401": ("a key that this codec does not use", "strange_key"),
    "L402": ("bytes or bits that are not there", "beyond_block beyond_type"),
    "L403": ("neither type nor formula", "no_type"),
    "L404": ("a unit that does not convert", "unit_mismatch feature_in"),
    "L405": ("a doubt about a state", "a_state"),
    "L501": ("a scene without models", "no_scene"),
    "L502": ("a component that no model has", "no_component"),
    "L503": ("a quantity that no model of the scene measures", "no_measure"),
    "L504": ("levels that do not rise", "order"),
    "L505": ("two kinds of limits in one rule", "mixed"),
    "L506": ("a clear limit on the bad side", "clear_beyond"),
    "L507": ("a red level without what it needs", "red_without"),
    "L508": ("a derived quantity that is measured", "measured"),
    "L509": ("a span that is not longer than the one it must exceed", "not_longer"),
    "L510": ("a tune entry that changes nothing, or nobody", "tunes_nothing tunes_nobody"),
    "L511": ("two tune entries with the same say over a device", "tuned_twice"),
    "L512": ("a red level that is switched off", "red_off red_silenced"),
    "L513": ("an expression that cannot be read", "in_column"),
    "L514": ("a window too short or too long for the device", "short_window long_window"),
    "L515": ("a key that does not fit what `when` says", "without_expression group_and_members a_truth"),
    "L516": (
        "a cause that hides nothing, or wrongly",
        "hides_itself hide_each_other no_such_level never_hides",
    ),
    "L517": ("hours that never come", "no_hours"),
    "L518": ("a year without a calendar of workdays", "no_year"),
    "L519": ("an edit that would change what a standing alert means", "another_question"),
    "L601": ("series of different lengths", "lengths"),
    "L602": ("an expectation after the end", "too_late"),
    "L603": ("a scenario with rule and rules, or with a device that says nothing", "two_rules actor_unseen"),
    "L701": ("places that lie within each other", "cycle"),
    "L702": ("a role without a post", "no_post"),
    "L703": ("two persons in one post", "overlap"),
    "L704": ("an end before its beginning", "ends_first"),
    "L705": ("a person without an address on the ladder's channels", "unreachable"),
    "L706": ("a device that nobody answers for", "nobody"),
    "L707": ("a level without a ladder", "no_ladder"),
    "L708": ("quiet hours of a red level, or without an end", "quiet_red always_quiet"),
    "L709": ("more persons who must answer than the ladder has roles", "too_few"),
    "L710": ("leave or overrides that overlap", "same_time"),
    "L711": ("a person as their own delegate", "own_delegate"),
    "L712": ("a route that no rule takes", "no_such_route"),
    "L801": ("no baseline for a rule that needs one", "no_baseline"),
    "L802": ("no such window at the device's place", "no_window"),
    "L803": ("no constant for a formula that needs it", "no_constant"),
    "L804": ("a device behind one that is itself behind another", "nested"),
    "L805": ("a topic that is not subscribed to", "unheard"),
    "L806": ("a posted topic without intake, or open to the broker", "no_intake heard_twice"),
    "L807": ("zeros that a spreadsheet took off", "zeros_lost"),
    "L901": ("an unknown column", "unknown_column"),
    "L902": ("the same column twice", "column_twice"),
    "L903": ("a column that is missing", "no_column"),
    "L904": ("cells under no heading", "no_heading"),
    "L905": ("an empty or broken cell", "empty_cell line_break"),
    "L906": ("a cell that a spreadsheet spoilt", "sheet_error shortened made_a_date full_width"),
    "L907": ("text that is not CSV", "broken_csv"),
    "W301": ("a rule for which the catalogue of a platform has no code", "no_code"),
    "W302": ("a code for what is no rule or scene", "code_of_nothing"),
    "W201": ("a template that is not approved, and so not used", "unapproved"),
    "W202": ("a template that asks for an answer where none is taken", "asks_in_vain"),
    "W203": ("an approved text that comes to be too long", "many_parts long_call"),
    "W204": ("a template whose approved text nobody has written down", "text_unknown"),
    "W501": ("a level that no value can reach", "out_of_reach"),
    "W502": ("a level that can never clear", "never_clears"),
    "W503": ("a clear limit at the limit itself: it may flap", "clear_at_limit"),
    "W504": ("a hold of the lowest level shorter than the interval between two messages", "one_decides"),
    "W505": ("a rule that no device of the site fits", "fits_none"),
    "W506": ("two rules that judge the same by the same limits", "same_rule"),
    "W507": ("a text longer than three short messages", "too_long"),
    "W508": ("a storm: silence of many devices that are behind nothing", "storm"),
    "W509": ("what an approved template has no room for: its end is cut", "cut_off long_place"),
    "W510": ("words or signs that carriers do not let through", "left_out"),
    "W701": ("an unverified number as the only contact of a red step", "unverified"),
    "W702": ("leave without a delegate", "no_delegate"),
    "W703": ("a contact verified on a day still to come", "verified_later"),
    "W704": ("one number of two persons", "same_number"),
}
CODE_OF = {phrase: code for code, (_, phrases) in CODES.items() for phrase in phrases.split()}


def code_of(found: str) -> str:
    """The code of what was found; UNFIT when the phrase has none of its own."""
    return CODE_OF.get(found, UNFIT)


def is_warning(code: str) -> bool:
    return code.startswith("W")
