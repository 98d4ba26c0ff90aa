"""The strict loader: what YAML text becomes, what no schema lets pass, what lilong.yaml turns into."""

from __future__ import annotations

import re
import string
import time
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway import problems, yamlfile
from gateway.config import load, state_directory, unreadable_files
from gateway.grammar import parse_topic
from gateway.problems import MISTAKES_MOST, PHRASES, ConfigError, Problems, locale_of, say, shown
from gateway.series import parse_expectation, parse_series
from gateway.typed import KINDS, Identifier, Size, Window, parse_duration
from gateway.yamlfile import BYTES_MOST, DEPTH_MOST, List, Map, Node, Scalar
from tests.unit.config_files import FILES, loaded, spoiled, told, write

SECOND_AT_MOST = 1.0  # for anything a stranger could put into a file


def parsed(text: str | bytes) -> tuple[Any, list[str]]:
    """The plain value of a document, and its mistakes."""
    found = Problems("en")
    data = text if isinstance(text, bytes) else text.encode()
    node = yamlfile.parse(data, found, "f")
    return plain(node) if node else None, [str(problem) for problem in found.listed()]


def plain(node: Node) -> Any:
    if isinstance(node, Map):
        return {key: plain(value) for key, (_, value) in node.entries.items()}
    if isinstance(node, List):
        return [plain(item) for item in node.items]
    return node.value if isinstance(node, Scalar) else ...


# ---------------------------------------------------------------- YAML 1.2, and less


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("on", "on"),
        ("off", "off"),
        ("yes", "yes"),
        ("No", "No"),
        ("y", "y"),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("12", 12),
        ("-7", -7),
        ("+3", 3),
        ("0", 0),
        ("0.5", 0.5),
        (".5", 0.5),
        ("5.", 5.0),
        ("1e3", 1000.0),
        ("1.0e-3", 0.001),
        ("1_000", "1_000"),
        ("2026-01-02", "2026-01-02"),
        ("2026-01-02T03:04", "2026-01-02T03:04"),
        ("13800138000", 13800138000),
        ("127.0.0.1", "127.0.0.1"),
        ("3.1.1", "3.1.1"),
        ("06:30-08:30", "06:30-08:30"),
        ("'12:30'", "12:30"),
        ('"010"', "010"),
        ("'null'", "null"),
        ("=", "="),
        ("上海", "上海"),
    ],
)
def test_a_plain_scalar_means_what_yaml_1_2_says(written: str, value: object) -> None:
    found, mistakes = parsed(f"k: {written}\n")
    assert mistakes == []
    assert found == {"k": value} and type(found["k"]) is type(value)


def test_the_key_on_is_the_text_on() -> None:
    """YAML 1.1 makes it true, and `on:` of a rule would be an unknown key."""
    assert parsed("on: {scene: x}\n") == ({"on": {"scene": "x"}}, [])


@pytest.mark.parametrize(
    "written",
    [
        *("12:30", "18:30", "07:00", "0:0", "22:00:00", "190:20:30.15", "-1:30"),
        *("010", "007", "00", "0x1F", "0o17", "0b11"),
        *(".nan", ".NaN", "-.inf", ".Inf", "1e999", "9223372036854775808", "9" * 5000),
    ],
)
def test_what_readers_of_yaml_disagree_about_is_refused(written: str) -> None:
    _, mistakes = parsed(f"a: 1\nk: {written}\n")
    assert len(mistakes) == 1 and mistakes[0].startswith("f:2: k: found ")


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("a: 1\nb: 2\na: 3\n", 3, "the key a again (it is on line 1)"),
        ("a:\n  'b': 1\n  b: 2\n", 3, "the key b again (it is on line 2)"),
        ("a: &x 1\n", 1, "the anchor &x"),
        ("a: *x\n", 1, "the alias *x"),
        ("a: {<<: {b: 1}}\n", 1, "the merge key <<"),
        ("a: !!str 1\n", 1, "the tag"),
        ("a: !python/object:os.system {}\n", 1, "the tag"),
        ("%YAML 1.1\n---\na: 1\n", 1, "a % directive"),
        ("a: 1\n---\nb: 2\n", 2, "a second YAML document"),
        ("? [a]\n: 1\n", 1, "a key that is not a plain text"),
        ("a: 1\n~: 2\n", 2, "a key that is not a plain text"),
        ("", 1, "an empty file"),
        ("# nothing\n\n", 1, "an empty file"),
        ("\ufeffa: 1\n", 1, "a byte order mark"),
        ("a: 1\nb: \0\n", 2, "a NUL character"),
        ("a: 1\nb: \x07\n", 2, "text that is not YAML (control characters are not allowed)"),
        ("a: 'b\n", 2, "text that is not YAML"),
        ("a: [1, 2\nb: 3\n", 2, "text that is not YAML"),
        ("a: 1\n\tb: 2\n", 2, "text that is not YAML"),
    ],
)
def test_what_is_refused_before_any_schema(text: str, line: int, words: str) -> None:
    _, mistakes = parsed(text)
    assert mistakes and mistakes[0].startswith(f"f:{line}: ") and f"found {words}" in mistakes[0]


def test_utf_16_and_broken_utf_8_are_refused_with_their_line() -> None:
    assert "byte order mark" in parsed("a: 1\n".encode("utf-16"))[1][0]
    assert parsed(b"a: 1\nb: \xff\n")[1][0].startswith(
        "f:2: whole file: found bytes that are not UTF-8 (at byte 8)"
    )


def test_reading_goes_on_after_a_mistake() -> None:
    """Three slips, three lines: nobody edits and checks three times."""
    _, mistakes = parsed("a: 12:30\nb: *x\nc: 1\nc: 010\n")
    assert [line.split(": ")[0] for line in mistakes] == ["f:1", "f:2", "f:4", "f:4"]


def test_nesting_to_the_limit_and_one_further() -> None:
    assert parsed("[" * DEPTH_MOST + "]" * DEPTH_MOST)[1] == []
    (line,) = parsed("[" * (DEPTH_MOST + 1) + "]" * (DEPTH_MOST + 1))[1]
    assert "more than 32 levels of nesting" in line


def test_size_to_the_limit_and_one_byte_further() -> None:
    comment = "a: 1\n#"
    assert parsed(comment + "x" * (BYTES_MOST - len(comment)))[1] == []
    assert "a file of more than 262144 bytes" in parsed(comment + "x" * (BYTES_MOST - len(comment) + 1))[1][0]


BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{new}: &{new} [{','.join([f'*{old}'] * 9)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)
MERGES = "a: &a {x: 1}\n" + "".join(
    f"{new}: &{new} {{<<: [{','.join([f'*{old}'] * 9)}]}}\n"
    for old, new in zip("abcdefg", "bcdefgh", strict=True)
)


@pytest.mark.parametrize(
    "content",
    [
        BOMB.encode(),
        MERGES.encode(),
        b"[" * 200_000,
        b"{a: " * 60_000,
        b"- " * 120_000,
        b"x" * 10_000_000,
        b"a: b\n" * 2_000_000,
        b"a: 1\n" * 50_000,
        b"rules: [" + b"{}, " * 60_000 + b"]",
        b"k" * 260_000 + b": 1",
    ],
    ids=[
        "aliases",
        "merges",
        "lists",
        "mappings",
        "dashes",
        "10MB",
        "10MB-keys",
        "duplicates",
        "empties",
        "key",
    ],
)
def test_no_file_takes_longer_than_a_second(content: bytes, tmp_path: Path) -> None:
    """And none can make the daemon's reload eat its memory or its stack."""
    path = write(tmp_path, {**FILES, "rules/all.yaml": content})
    began = time.process_time()
    found = load(path, "en", environ={})
    assert found.problems and time.process_time() - began < 3 * SECOND_AT_MOST  # the box may be busy
    assert found.world is None


def test_a_mistake_repeated_in_every_device_of_a_big_street_is_still_told_quickly(tmp_path: Path) -> None:
    """A hint for each of 2,000 misspelt places would cost a minute."""
    places = "\n".join(f"  - {{id: place-{i}, says: p, kind: point, within: street}}" for i in range(500))
    lines = "\n".join(
        f"  - {{id: dev-{i}, model: cabinet, at: plaec-{i}, topic: site/x/dev-{i}/up}}" for i in range(2000)
    )
    files = spoiled("sites/site.yaml", "units:\n", f"{places}\nunits:\n") | {
        "sites/more.yaml": f"devices:\n{lines}\n"
    }
    began = time.process_time()
    found = loaded(tmp_path, files).problems
    assert time.process_time() - began < 10
    assert len(found) == MISTAKES_MOST + 1 and "1800 more mistakes" in str(found[0])
    assert "did you mean place-" in str(found[1])


# ---------------------------------------------------------------- anything at all


TEXTS = st.text(st.sampled_from("ab:-[]{}&*!|>'\"%@#,?~<= \n\t0.\u4e0a\x07"), max_size=60)


@settings(max_examples=150, deadline=None)
@given(content=st.binary(max_size=200) | TEXTS.map(str.encode), name=st.sampled_from(sorted(FILES)))
def test_arbitrary_bytes_never_raise(
    content: bytes, name: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    found = load(write(tmp_path_factory.mktemp("any"), {**FILES, name: content}), "en", environ={})
    assert (found.world is None) == bool(found.problems)
    for problem in found.problems:
        assert "\n" not in str(problem) and "\x07" not in str(problem)


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_a_sound_file_with_a_few_bytes_changed_never_raises(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Nearer to what people do than noise: most of the grammar is still there."""
    name = data.draw(st.sampled_from(sorted(FILES)))
    content = bytearray(FILES[name].encode())
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(content) - 1))
        content[at : at + data.draw(st.integers(0, 5))] = data.draw(TEXTS).encode()[:6]
    found = load(write(tmp_path_factory.mktemp("few"), {**FILES, name: bytes(content)}), "en", environ={})
    assert (found.world is None) == bool(found.problems)


@pytest.mark.parametrize("missing", sorted(FILES))
def test_a_missing_file_never_raises(missing: str, tmp_path: Path) -> None:
    load(write(tmp_path, {k: v for k, v in FILES.items() if k != missing}), "en", environ={})


def test_a_file_that_cannot_be_read_is_a_mistake(tmp_path: Path) -> None:
    path = write(tmp_path, FILES)
    (tmp_path / "rules/dir.yaml").mkdir()
    assert [
        str(p).endswith("expected a file that can be read") for p in load(path, "en", environ={}).problems
    ] == [True]
    assert load(tmp_path / "none.yaml", "en").problems[0].line == 0
    assert load(Path("/\0"), "en").problems


# ---------------------------------------------------------------- single values


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("60s", 60),
        ("5m", 300),
        ("26h", 93600),
        ("2d", 172800),
        ("1m30s", 90),
        ("1d2h3m4s", 93784),
        ("0s", 0),
        ("0.5s", 0.5),
    ],
)
def test_a_duration(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "60", 60, 1.5, "1 m", "m", "1m1h", "-5m", "1.5h", "5M", "１m", "1s1s", None, True, []]
)
def test_no_duration(text: object) -> None:
    with pytest.raises(ValueError):
        parse_duration(text)


@pytest.mark.parametrize(
    ("kind", "written", "value"),
    [
        (Window, "06:30-08:30", "06:30-08:30"),
        (Window, "22:00-06:00", "22:00-06:00"),
        (Window, "00:00-24:00", "00:00-24:00"),
        (Window, "24:00-06:00", None),
        (Window, "6:30-8:30", None),
        (Window, "06:30-06:30", None),
        (Window, "06:30 - 08:30", None),
        (Window, "06:60-08:30", None),
        (Window, 630, None),
        (Size, "20GB", 20 * 10**9),
        (Size, "1GiB", 2**30),
        (Size, "500 MB", None),
        (Size, "20", None),
        (Size, "20gb", None),
        (Identifier, "house-12.a_B", "house-12.a_B"),
        (Identifier, "-x", None),
        (Identifier, "x" * 65, None),
        (Identifier, "小区", None),
        (date, "2026-02-28", date(2026, 2, 28)),
        (date, "2026-2-28", None),
        (date, "2026-02-30", None),
        (date, "20260228", None),
    ],
)
def test_a_value_with_a_form_of_its_own(kind: Any, written: object, value: object) -> None:
    parse = KINDS[kind].parse if kind in KINDS else kind.__metadata__[0].parse
    if value is None:
        with pytest.raises(ValueError):
            parse(written)
    else:
        assert parse(written) == value


def test_a_series_and_its_expectations() -> None:
    assert parse_series("40 56x2 - 66.5x1 -3 -x2") == (40, 56, 56, None, 66.5, -3, None, None)
    assert parse_series(7) == (7.0,)
    assert parse_expectation("yellow @ 1m30s") == ("yellow", 90.0)
    assert parse_expectation("clear@9m") == ("clear", 540.0)
    for wrong in ("", "x4", "40x", "40 x4", "nan", "1e3", "40x9999999", True, None):
        with pytest.raises(ValueError):
            parse_series(wrong)
    for wrong in ("yellow", "@ 3m", "purple @ 3m", "yellow @ 3", 3):
        with pytest.raises(ValueError):
            parse_expectation(wrong)


@pytest.mark.parametrize(
    "topic", ["", "/a", "a//b", "a/", "a/#", "#", "a+/b", "$SYS/x", "a/\x00", "x" * 1025, 5]
)
def test_no_topic_of_a_device(topic: object) -> None:
    with pytest.raises(ValueError):
        parse_topic(topic)


# ---------------------------------------------------------------- lilong.yaml


FULL = """\
state: state
timezone: Asia/Shanghai
directories: {devices: [devices], rules: [rules], sites: [sites]}
broker:
  host: broker.example
  port: 8883
  protocol: 3.1.1
  client_id: lilong-1
  username: gateway
  password_file: broker-password
  ca_file: /etc/ssl/ca.pem
  cert_file:
  subscribe: [site/#, application/+/device/+/event/up]
  receive_maximum: 500
  keepalive_s: 15
  rebuild_after: 10m
influx: {url: "http://127.0.0.1:8086", org: street, bucket: lilong, token_file: token, timeout: 5s}
archive: {directory: days, keep_days: 30, keep_bytes: 5GB}
web: {listen: "[::1]:9090", public_url: "https://l.example/", link_key_file: link-key, link_valid: 2h}
channels:
  inbox: {kind: inbox}
  robot: {kind: wecom_robot, key_file: wecom-key}
"""


def test_every_key_of_lilong_yaml_arrives(tmp_path: Path) -> None:
    config = loaded(tmp_path, {**FILES, "lilong.yaml": FULL}).config
    assert config is not None
    broker, influx, web = config.broker, config.influx, config.web
    assert (broker.host, broker.port, broker.protocol, broker.client_id) == (
        "broker.example",
        8883,
        4,
        "lilong-1",
    )
    assert (broker.username, broker.password_file) == ("gateway", tmp_path / "broker-password")
    assert (broker.ca_file, broker.cert_file) == (Path("/etc/ssl/ca.pem"), None)
    assert broker.subscribe == ("site/#", "application/+/device/+/event/up")
    assert (broker.receive_maximum, broker.keepalive_s, broker.rebuild_after_s) == (500, 15, 600.0)
    assert influx is not None and (influx.org, influx.timeout_s, influx.token_file) == (
        "street",
        5,
        tmp_path / "token",
    )
    assert (config.state, config.archive.directory) == (tmp_path / "state", tmp_path / "state/days")
    assert (config.archive.keep_days, config.archive.keep_bytes) == (30, 5 * 10**9)
    assert (web.host, web.port, web.public_url, web.link_valid_s) == ("::1", 9090, "https://l.example", 7200)
    robot = config.channels["robot"]
    assert (robot.kind, robot.settings, robot.secrets) == (
        "wecom_robot",
        {},
        {"key_file": tmp_path / "wecom-key"},
    )


def test_only_the_broker_is_needed(tmp_path: Path) -> None:
    files = {"lilong.yaml": "broker: {host: 127.0.0.1}\ndirectories: {sites: []}\n"}
    config = loaded(tmp_path, files).config
    assert config is not None and config.influx is None
    assert (config.timezone, config.state) == ("Asia/Shanghai", Path("/var/lib/lilong"))
    assert config.broker.protocol == 5 and config.archive.directory == Path("/var/lib/lilong/archive")
    assert list(config.channels) == ["inbox"]


@pytest.mark.parametrize("old, new", [("host:", "hots:"), ("channels:", "chanels:"), ("[site/#]", "12:30")])
def test_the_store_is_found_in_a_file_with_mistakes(old: str, new: str, tmp_path: Path) -> None:
    """`lilong quarantine` must work on the box whose configuration somebody has just broken."""
    path = write(tmp_path, spoiled("lilong.yaml", old, new))
    assert load(path).config is None
    assert state_directory(path) == tmp_path / "state"


def test_the_store_is_where_it_always_is_when_nothing_can_be_read(tmp_path: Path) -> None:
    assert state_directory(write(tmp_path, {"lilong.yaml": "["})) == Path("/var/lib/lilong")
    assert state_directory(tmp_path / "none.yaml") == Path("/var/lib/lilong")


def test_secrets_come_from_systemd_and_else_from_beside_the_file(tmp_path: Path) -> None:
    path = write(tmp_path / "etc", {**FILES, "lilong.yaml": FULL, "wecom-key": "k", "token": "t"})
    write(tmp_path / "credentials", {"token": "t"})
    config = load(path, "en", environ={"CREDENTIALS_DIRECTORY": str(tmp_path / "credentials")}).config
    assert config is not None and config.influx is not None
    assert config.influx.token_file == tmp_path / "credentials/token"
    assert config.channels["robot"].secrets["key_file"] == tmp_path / "etc/wecom-key"
    missing = {found.name for found in unreadable_files(config)}
    assert missing == {"broker-password", "link-key", "ca.pem"}


@pytest.mark.parametrize(
    "line",
    [
        "  password: hunter2\n",
        "  Password: hunter2\n",
        "  mqtt_password: hunter2\n",
        "  token: hunter2\n",
        "  api-key: hunter2\n",
        "  client_secret: hunter2\n",
        "  credentials: hunter2\n",
    ],
)
def test_a_secret_in_the_file_is_a_mistake_that_does_not_repeat_it(line: str, tmp_path: Path) -> None:
    (found,) = told(tmp_path, spoiled("lilong.yaml", "  host: 127.0.0.1\n", f"  host: 127.0.0.1\n{line}"))
    assert "a secret written into the file" in found and "_file" in found and "hunter2" not in found


def test_a_value_is_shown_short_on_one_line_and_without_phone_numbers() -> None:
    """A mistake is logged at a reload: it must not forge a line or tell a number."""
    assert shown("13812345678 and 中文") == "138****5678 and 中文"
    assert shown("a\nb\x1b[31m\u202e") == "a\\nb\\x1b[31m\\u202e"
    assert len(shown("x" * 1000)) == 60
    mistake = ConfigError("f\n", 1, "a\nb.13812345678", say("value", value="\n"), say("text"))
    assert "\n" not in str(mistake) and "13812345678" not in str(mistake)


def test_a_forged_key_stays_on_its_line(tmp_path: Path) -> None:
    files = spoiled(
        "rules/all.yaml", "    action: 断开该仓\n", '    action: 断开该仓\n    "x\\nERROR y": 1\n'
    )
    (line,) = told(tmp_path, files)
    assert "\n" not in line and line.startswith(
        "rules/all.yaml:11: rules[0].x?ERROR y: found the unknown key"
    )


# ---------------------------------------------------------------- the words


@pytest.mark.parametrize(
    ("environ", "locale"),
    [
        ({"LANG": "zh_CN.UTF-8"}, "zh"),
        ({"LANG": "en_GB.UTF-8"}, "en"),
        ({"LANG": "zh_CN.UTF-8", "LC_ALL": "C"}, "en"),
        ({"LANG": "C", "LC_MESSAGES": "zh_TW.UTF-8"}, "zh"),
        ({}, "en"),
    ],
)
def test_the_language_follows_the_environment(environ: dict[str, str], locale: str) -> None:
    assert locale_of(environ) == locale


def test_each_phrase_says_the_same_in_both_languages() -> None:
    def blanks(text: str) -> set[str]:
        return {name for _, name, _, _ in string.Formatter().parse(text) if name}

    for name, (zh, en) in PHRASES.items():
        assert blanks(zh) == blanks(en), name
        assert not re.search("[\u4e00-\u9fff]", en), name
        assert not re.search("[\u4e00-\u9fff][,;?]", zh), f"{name}: a Latin sign in a Chinese sentence"


def test_each_phrase_is_used_and_each_used_one_exists() -> None:
    folder = Path(problems.__file__).parent
    names = (
        "problems",
        "yamlfile",
        "csvfile",
        "typed",
        "grammar",
        "series",
        "packs",
        "signatures",
        "installing",
        "config",
        "app",
        "catalogues",
    )
    files = [folder / f"{name}.py" for name in names] + sorted(folder.glob("checks/*.py"))
    files.append(folder / "tuning" / "routes.py")
    text = "".join(file.read_text("utf-8") for file in files)
    head, _, rest = text.partition("\nPHRASES: dict")
    code = head + rest.partition("\n}\n")[2]
    said = set(re.findall(r"(?:say|Phrase)\(\s*['\"](\w+)['\"]", code))
    words = set(re.findall(r"['\"](\w+)['\"]", code))
    assert sorted(said - PHRASES.keys()) == []
    assert sorted(name for name in PHRASES if not {name, name.removeprefix("what_")} & words) == []


# ---------------------------------------------------------------- what is posted

POSTING = {
    **FILES,
    "lilong.yaml": FILES["lilong.yaml"].replace(
        "state: state", "state: state\nweb: {intake: {tokens_file: tokens}}"
    ),
    "sites/site.yaml": FILES["sites/site.yaml"].replace("site/estate/cab-1/up", "http/cab-1"),
}


def test_a_device_that_posts_needs_no_filter(tmp_path: Path) -> None:
    found = loaded(tmp_path, POSTING)
    assert found.problems == [] and found.config is not None and found.config.web.intake is not None
    assert found.config.web.intake.tokens_file == tmp_path / "tokens"
    assert unreadable_files(found.config)[-2:-1] == [tmp_path / "tokens"]


@pytest.mark.parametrize("pattern", ["#", "+/cab-1", "http/#", "http/cab-1"])
def test_nobody_at_the_broker_may_speak_for_a_device_that_posts(tmp_path: Path, pattern: str) -> None:
    files = {**POSTING, "lilong.yaml": POSTING["lilong.yaml"].replace("[site/#]", f'[site/#, "{pattern}"]')}
    (line,) = told(tmp_path, files)
    assert line.startswith(
        f"sites/site.yaml:15: devices[0].topic: found http/cab-1, which the filter {pattern} of"
    )


SPEAKING = FILES | {
    "sites/site.yaml": FILES["sites/site.yaml"].replace("site/estate/cab-1/up", "self/cab-1"),
}


@pytest.mark.parametrize("pattern", ["#", "+/cab-1", "self/#"])
def test_nobody_at_the_broker_may_speak_for_the_gateway(tmp_path: Path, pattern: str) -> None:
    assert told(tmp_path, SPEAKING) == []
    files = {**SPEAKING, "lilong.yaml": FILES["lilong.yaml"].replace("[site/#]", f'[site/#, "{pattern}"]')}
    (line,) = told(tmp_path, files)
    assert "found self/cab-1, which the filter " + pattern in line and "topic below self/" in line


def test_only_one_device_stands_for_the_gateway(tmp_path: Path) -> None:
    """A second would be silent for ever."""
    second = "devices: [{id: cab-2, model: cabinet, at: estate, topic: self/cab-2}]"
    (line,) = told(tmp_path, {**SPEAKING, "sites/second.yaml": second})
    assert "cab-1" in line and "cab-2" in line and "one device that stands for the gateway" in line
