"""Signed packs: what is believed, what is not, and that nothing but the signed bytes is ever parsed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway import signatures
from gateway.problems import Phrase
from gateway.signatures import SignatureError, make_key, signed, signer_of
from tests.unit.config_files import FILES, loaded, told, write

DATA = b"version: 1\nrules: []\n"
PACK = "rules/all.yaml"


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the private keys `centre` and `stranger`."""
    folder = tmp_path_factory.mktemp("keys")
    for name in ("centre", "stranger"):
        make_key(folder / name)
    return folder


@pytest.fixture(scope="module")
def centre(keys: Path) -> dict[str, str]:
    return {"centre": (keys / "centre.pub").read_text().strip()}


def refusal(*asked: object) -> str:
    """The name of what was found, in a pack that is not believed."""
    with pytest.raises(SignatureError) as refused:
        signer_of(*asked)  # type: ignore[arg-type]
    assert isinstance(refused.value.expected, Phrase)
    return refused.value.found.name


# ---------------------------------------------------------------- one signature


def test_it_holds_for_the_bytes_and_the_name_that_were_signed(keys: Path, centre: dict[str, str]) -> None:
    given = signed("a.yaml", DATA, keys / "centre")
    assert signer_of("a.yaml", DATA, given, centre) == "centre"
    assert refusal("b.yaml", DATA, given, centre) == "not_as_signed"
    assert refusal("a.yaml", DATA.replace(b"1", b"2"), given, centre) == "not_as_signed"
    assert refusal("a.yaml", DATA, None, centre) == "unsigned"
    assert refusal("a.yaml", DATA, given, {}) == "strange_signer"


def test_no_name_and_content_pass_for_others(keys: Path, centre: dict[str, str]) -> None:
    """The name ends where it ends: `a` + `b.yaml…` is not `ab` + `.yaml…`."""
    given = signed("a.yaml", b"xyz", keys / "centre")
    assert refusal("a.yam", b"lxyz", given, centre) == "not_as_signed"
    assert refusal("a.yamlx", b"yz", given, centre) == "not_as_signed"


def test_a_signature_made_for_something_else_is_none(keys: Path, centre: dict[str, str]) -> None:
    """The same key, the same bytes, without our prefix: as another program would sign a file."""
    key = signatures._load_key(keys / "centre")
    bare = signatures._encoded(key.sign(b"a.yaml\0" + DATA))
    line = f"{signatures.fingerprint(centre['centre'])} {bare}\n".encode()
    assert refusal("a.yaml", DATA, line, centre) == "not_as_signed"


def test_a_key_that_nobody_has_listed(keys: Path, centre: dict[str, str]) -> None:
    given = signed("a.yaml", DATA, keys / "stranger")
    assert refusal("a.yaml", DATA, given, centre) == "strange_signer"
    rest = given.partition(b" ")[2]
    ours = signatures.fingerprint(centre["centre"]).encode()
    assert refusal("a.yaml", DATA, ours + b" " + rest, centre) == "not_as_signed"


def test_one_line_that_holds_is_enough(keys: Path, centre: dict[str, str]) -> None:
    """A stranger's beside it, or our own about the content before, does no harm; a torn one does."""
    holds = signed("a.yaml", DATA, keys / "centre")
    for other in (signed("a.yaml", DATA, keys / "stranger"), signed("a.yaml", b"before", keys / "centre")):
        assert signer_of("a.yaml", DATA, other + holds, centre) == "centre"
        assert signer_of("a.yaml", DATA, holds + other, centre) == "centre"
        assert refusal("a.yaml", DATA, holds + other[:-9], centre) == "torn_signature"
        assert refusal("a.yaml", DATA, other, centre) in ("strange_signer", "not_as_signed")


@pytest.mark.parametrize("cut", range(0, 106, 7))
def test_a_signature_that_is_cut_off(keys: Path, centre: dict[str, str], cut: int) -> None:
    given = signed("a.yaml", DATA, keys / "centre")
    assert len(given) == 106
    assert refusal("a.yaml", DATA, given[:cut], centre) == "torn_signature"


def test_a_file_of_signatures_without_end_is_none(keys: Path, centre: dict[str, str]) -> None:
    given = signed("a.yaml", DATA, keys / "centre")
    most = signatures.BYTES_MOST // len(given)
    assert signer_of("a.yaml", DATA, given * most, centre) == "centre"
    assert refusal("a.yaml", DATA, given * (most + 1), centre) == "torn_signature"


@settings(max_examples=300, deadline=None)
@given(content=st.binary(max_size=200), where=st.integers(0, 10**6), flips=st.integers(1, 255))
def test_any_flipped_byte_is_refused(
    keys: Path, centre: dict[str, str], content: bytes, where: int, flips: int
) -> None:
    """Of the pack, of its name, of the signature: also the bits at the end of base64 that mean nothing."""
    name, sig = b"a.yaml", signed("a.yaml", content, keys / "centre")
    whole = bytearray(name + content + sig)
    whole[where % len(whole)] ^= flips
    end = len(name) + len(content)
    forged = os.fsdecode(bytes(whole[: len(name)])), bytes(whole[len(name) : end]), bytes(whole[end:])
    assert refusal(*forged, centre) in ("not_as_signed", "torn_signature", "strange_signer")


def test_the_bits_at_the_end_of_base64_that_mean_nothing(keys: Path, centre: dict[str, str]) -> None:
    """`A==` and `B==` decode to the same bytes: only one of them was written by us."""
    given = signed("a.yaml", DATA, keys / "centre")
    last = given[-4:-3]
    twins = [bytes([other]) for other in b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"]
    for twin in (one for one in twins if one != last):
        means = twin in (b"A", b"Q", b"g", b"w")  # those differ in bits that do mean something
        found = refusal("a.yaml", DATA, given[:-4] + twin + given[-3:], centre)
        assert found == ("not_as_signed" if means else "torn_signature")


# ---------------------------------------------------------------- keys


def test_a_private_key_is_its_owners_alone_and_never_replaced(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        public = make_key(tmp_path / "k")
    finally:
        os.umask(before)
    assert [(tmp_path / name).stat().st_mode & 0o777 for name in ("k", "k.pub")] == [0o600, 0o644]
    assert (tmp_path / "k.pub").read_text() == public + "\n"
    content = (tmp_path / "k").read_bytes()
    with pytest.raises(FileExistsError):
        make_key(tmp_path / "k")
    (tmp_path / "k").rename(tmp_path / "kept")
    with pytest.raises(FileExistsError):  # the public one of another is not to be overwritten either
        make_key(tmp_path / "k")
    assert not (tmp_path / "k").exists() and (tmp_path / "kept").read_bytes() == content


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666])
def test_a_key_that_others_can_read_signs_nothing(tmp_path: Path, mode: int) -> None:
    make_key(tmp_path / "k")
    (tmp_path / "k").chmod(mode)
    with pytest.raises(SignatureError) as refused:
        signed("a.yaml", DATA, tmp_path / "k")
    assert refused.value.found.name == "open_key" and "chmod 600 k" in refused.value.expected.in_("en")


@pytest.mark.parametrize(
    "content", [b"", b"no key", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"]
)
def test_what_is_no_key_signs_nothing(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "k").write_bytes(content)
    (tmp_path / "k").chmod(0o600)
    with pytest.raises(SignatureError) as refused:
        signed("a.yaml", DATA, tmp_path / "k")
    assert refused.value.found.name == "no_private_key"


@pytest.mark.parametrize(
    "value", ["", "AAAA", "é" * 44, 7, None, "A" * 43, "A" * 44, "A" * 42 + "B=", " " + "A" * 43 + "="]
)
def test_what_is_no_public_key(value: object) -> None:
    with pytest.raises(ValueError):
        signatures.parse_public(value)
    assert signatures.parse_public("A" * 43 + "=") == "A" * 43 + "="


# ---------------------------------------------------------------- a site that asks for signatures


def site(keys: Path, centre: dict[str, str], **packs: str) -> dict[str, str | bytes]:
    """The sound files, `rules` signed; `packs` are more of them: their content by name."""
    asked = f"rules: [rules], signed: [rules], signers: {{centre: {centre['centre']}}}"
    files: dict[str, str | bytes] = dict(FILES)
    files["lilong.yaml"] = FILES["lilong.yaml"].replace("rules: [rules]", asked)
    files[PACK] = "version: 1\n" + FILES[PACK]
    for name, content in packs.items():
        files[f"rules/{name}.yaml"] = content
    for name in [name for name in files if name.startswith("rules/")]:
        content = files[name]
        data = content if isinstance(content, bytes) else content.encode()
        files[f"{name}.sig"] = signed(Path(name).name, data, keys / "centre")
    return files


def test_signed_packs_are_loaded_like_others(keys: Path, centre: dict[str, str], tmp_path: Path) -> None:
    found = loaded(tmp_path, site(keys, centre))
    assert found.problems == [] and found.world is not None
    assert found.world.rules == tuple(
        rule for rule in found.world.rules if Path(rule.origin.file).name == "all.yaml"
    )
    assert len(found.world.rules) == 4


def tampered(files: dict[str, str | bytes], way: str, keys: Path) -> None:
    """One way to bring in other rules than those that were signed."""
    text = str(files[PACK])
    if way == "altered":
        files[PACK] = text.replace("above: 75", "above: 175")
    elif way == "renamed":
        files["rules/other.yaml"], files["rules/other.yaml.sig"] = files.pop(PACK), files.pop(f"{PACK}.sig")
    elif way == "unsigned":
        del files[f"{PACK}.sig"]
    elif way == "added":
        files["rules/more.yaml"] = "version: 1\nrules: []\n"
    elif way == "untrusted":
        files[f"{PACK}.sig"] = signed("all.yaml", text.encode(), keys / "stranger")
    elif way == "torn":
        files[f"{PACK}.sig"] = bytes(files[f"{PACK}.sig"])[:40]  # type: ignore[arg-type]
    elif way == "newer under the old signature":
        files[PACK] = text.replace("version: 1", "version: 2")
    elif way == "not even YAML":
        files[PACK] = "rules: ["


@pytest.mark.parametrize(
    ("way", "file", "found"),
    [
        ("altered", "all", "content or a file name that centre has not signed"),
        ("renamed", "other", "content or a file name that centre has not signed"),
        ("unsigned", "all", "a pack without its signature all.yaml.sig"),
        ("added", "more", "a pack without its signature more.yaml.sig"),
        ("untrusted", "all", "which nobody under directories.signers has"),
        ("torn", "all", "the signature all.yaml.sig, which is cut off or was edited"),
        ("newer under the old signature", "all", "content or a file name that centre has not signed"),
        ("not even YAML", "all", "content or a file name that centre has not signed"),
    ],
)
def test_what_was_tampered_with_is_one_mistake_with_file_and_next_step(
    keys: Path, centre: dict[str, str], tmp_path: Path, way: str, file: str, found: str
) -> None:
    files = site(keys, centre)
    tampered(files, way, keys)
    (line,) = told(tmp_path, files)
    assert line.startswith(f"rules/{file}.yaml:0: whole file: found ") and found in line
    assert "lilong pack sign" in line or "copy pack and .sig again" in line
    (tmp_path / "zh").mkdir()
    (line,) = told(tmp_path / "zh", files, "zh")
    assert "发现" in line and "应为" in line and "签名" in line


def test_of_what_nobody_signed_nothing_is_parsed(
    keys: Path, centre: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither is it read a second time: the bytes that are parsed are those that were verified."""
    from gateway import yamlfile

    parsed: list[str] = []
    parse = yamlfile.parse
    monkeypatch.setattr(
        yamlfile, "parse", lambda data, p, name: parsed.append(Path(name).name) or parse(data, p, name)
    )
    reads: list[str] = []
    read = yamlfile.read_bytes
    monkeypatch.setattr(
        yamlfile,
        "read_bytes",
        lambda path, most, p, name: reads.append(path.name) or read(path, most, p, name),
    )
    assert told(tmp_path, site(keys, centre)) == []
    assert parsed.count("all.yaml") == reads.count("all.yaml") == 1
    (tmp_path / "b").mkdir()
    files = site(keys, centre)
    tampered(files, "altered", keys)
    assert len(told(tmp_path / "b", files)) == 1
    assert parsed.count("all.yaml") == 1 and reads.count("all.yaml") == 2


def test_what_is_built_in_came_with_the_package(keys: Path, centre: dict[str, str], tmp_path: Path) -> None:
    """It needs no signature beside a directory that does; nor does a directory that is not listed."""
    files = site(keys, centre)
    files["lilong.yaml"] = str(files["lilong.yaml"]).replace("rules: [rules]", "rules: [builtin, own, rules]")
    files["lilong.yaml"] = files["lilong.yaml"].replace("devices: [devices]", "devices: [builtin, devices]")
    files[PACK] = "version: 1\nrules: []\n"
    files[f"{PACK}.sig"] = signed("all.yaml", b"version: 1\nrules: []\n", keys / "centre")
    files["own/mine.yaml"] = "rules: []\n"
    found = loaded(tmp_path, files)
    assert found.problems == [] and found.world is not None and len(found.world.rules) > 20


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("signed: [rules]", "signed: [ruels]", "signed[0]: found the unknown directory of rules ruels"),
        (
            "rules: [rules], signed: [rules]",
            "rules: [builtin], signed: [builtin]",
            "directory of rules builtin",
        ),
        ("signers: {centre: ", "signers: {centre: x", "signers.centre: found "),
    ],
)
def test_mistakes_in_whom_to_believe(
    keys: Path, centre: dict[str, str], tmp_path: Path, old: str, new: str, expected: str
) -> None:
    files = site(keys, centre)
    assert old in str(files["lilong.yaml"])
    files["lilong.yaml"] = str(files["lilong.yaml"]).replace(old, new)
    lines = told(tmp_path, files)
    assert any(line.startswith("lilong.yaml:2: directories.") and expected in line for line in lines), lines


def test_nobody_to_believe_is_said_with_the_next_step(
    keys: Path, centre: dict[str, str], tmp_path: Path
) -> None:
    files = site(keys, centre)
    files["lilong.yaml"] = str(files["lilong.yaml"]).replace(f"centre: {centre['centre']}", "")
    (line,) = told(tmp_path, files)
    assert line.endswith("beside the pack, by somebody under directories.signers (where nobody is)")


def test_the_signature_is_no_part_of_what_judges(keys: Path, centre: dict[str, str], tmp_path: Path) -> None:
    """Signed anew by another key, the same rules are the same World: nothing is judged otherwise."""
    files = site(keys, centre)
    first = loaded(tmp_path, files).world
    both = {**centre, "stranger": (keys / "stranger.pub").read_text().strip()}
    files["lilong.yaml"] = str(files["lilong.yaml"]).replace(
        "{centre:", f"{{stranger: {both['stranger']}, centre:"
    )
    files[f"{PACK}.sig"] = signed("all.yaml", str(files[PACK]).encode(), keys / "stranger")
    second = loaded(tmp_path, files).world
    assert first is not None and second is not None and first.digest == second.digest


def test_drafts_are_judged_like_files_and_not_written(
    keys: Path, centre: dict[str, str], tmp_path: Path
) -> None:
    from gateway.config import load

    path = write(tmp_path, site(keys, centre))
    target = tmp_path / PACK
    text = target.read_bytes().replace(b"above: 75", b"above: 80")
    drafts = {target: text, signatures.beside(target): signed("all.yaml", text, keys / "centre")}
    world = load(path, "en", environ={}, drafts=drafts).world
    assert world is not None and [limit.above for limit in world.rules[0].limits] == [55, 80]
    (problem,) = load(path, "en", environ={}, drafts={target: text}).problems
    assert problem.code == "L112"
    assert load(path, "en", environ={}, drafts={target: b""}).problems[0].code == "L112"
    assert b"above: 75" in target.read_bytes()
