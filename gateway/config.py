"""lilong.yaml to Config, and all it names to a World. `load` never raises for what files say."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import date
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, Literal, TypeVar
from urllib.parse import parse_qsl, urlsplit
from zoneinfo import ZoneInfo

from gateway import catalogues, packs, yamlfile
from gateway.checks import Surroundings
from gateway.checks.parts import Text
from gateway.checks.texts import check_templates
from gateway.core.calendars import local_date
from gateway.core.catalogue import Catalogue
from gateway.core.decoding import matches
from gateway.core.model import World
from gateway.core.quotas import Quota, lowered, span
from gateway.core.templates import APPROVED, PARTS_MOST, STATES, VALUE_MOST, Template, variables
from gateway.grammar import ClockTime, SiteKeys
from gateway.packs import SHIPPED, Directories
from gateway.problems import ConfigError, Problems, Verbatim, one_of, say
from gateway.typed import (
    BROKEN,
    ONE_OR_MORE,
    SECRET,
    Builder,
    Duration,
    Identifier,
    Kind,
    Size,
    SomeText,
    between,
    spell,
)

T = TypeVar("T")

# ---------------------------------------------------------------- single values


def _protocol(value: Any) -> int:
    """5, or 3.1.1 (4 on the wire)."""
    if value not in (4, 5, "3.1.1") or isinstance(value, bool):
        raise ValueError
    return 5 if value == 5 else 4


def parse_filter(value: Any) -> str:
    """An MQTT filter; $share is refused: it deals messages round and tears a device's order apart."""
    if not isinstance(value, str) or not value or len(value.encode("utf-8", "replace")) > 65535:
        raise ValueError
    levels = value.split("/")
    wild = [level for level in levels if ("+" in level or "#" in level) and level not in ("+", "#")]
    if wild or "#" in levels[:-1] or value.startswith("$share"):
        raise ValueError
    return value


def _url(value: Any) -> str:
    if not isinstance(value, str) or re.search(r"[\s\x00-\x1f]", value):
        raise ValueError
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0:
        raise ValueError
    return value


def _listen(value: Any) -> tuple[str, int]:
    match = re.fullmatch(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]+):(\d{1,5})", value, re.ASCII)
    if not match or int(match[2]) > 65535:
        raise ValueError
    return match[1].strip("[]"), int(match[2])


def _zone(value: Any) -> str:
    try:
        return ZoneInfo(value).key
    except Exception as error:  # zoneinfo raises four kinds, some of them OSError
        raise ValueError from error


Url = Annotated[str, Kind(say("url"), _url)]
Port = Annotated[int, between(1, 65535)]

# ---------------------------------------------------------------- what the parts are handed


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerConfig:
    """The MQTT broker. `protocol` is paho's number: 5, or 4 for 3.1.1."""

    host: SomeText
    port: Port = 1883
    protocol: Annotated[int, Kind(one_of(["5", "3.1.1"]), _protocol)] = 5
    client_id: Identifier = "lilong"
    username: str = ""
    password_file: Path | None = None
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    subscribe: tuple[Annotated[str, Kind(say("filter"), parse_filter)], ...] = ("site/#",)
    receive_maximum: Annotated[int, between(1, 65535)] = 2000
    keepalive_s: Annotated[int, between(5, 30)] = 20  # a dead link is noticed after twice this
    rebuild_after_s: float = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class InfluxConfig:
    """The time-series server's write API."""

    url: Url
    org: SomeText
    bucket: SomeText
    token_file: Path
    timeout_s: float = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveConfig:
    """Daily files of every reading on the box; a relative directory lies in the state directory."""

    directory: Path = Path("archive")
    keep_days: Annotated[int, between(1, 36500)] = 400
    keep_bytes: Size = 20 * 10**9


@dataclass(frozen=True, slots=True, kw_only=True)
class IntakeConfig:
    """What may be posted to /intake/DEVICE: whose tokens, how old a signature, how many bytes."""

    tokens_file: Path
    window_s: float = 300.0
    body_bytes: Size = 8 * 10**6


@dataclass(frozen=True, slots=True, kw_only=True)
class WebConfig:
    host: str = "127.0.0.1"
    port: int = 8080
    public_url: str = ""
    link_key_file: Path | None = None
    link_valid_s: float = 86400.0
    intake: IntakeConfig | None = None  # None: nothing can be posted


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelConfig:
    """One way to reach a person. `secrets` maps the key in the file (`key_file`) to the file it names."""

    name: str
    kind: str
    settings: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, Path] = field(default_factory=dict)
    templates: tuple[Template, ...] = ()  # what its provider has approved


@dataclass(frozen=True, slots=True, kw_only=True)
class OutwardKeys:
    """A system that is told of every change of a case; with a catalogue, in a platform's words."""

    url: Url
    secret_file: Path
    catalogue: Path | None = None
    ask_url: Url | None = None  # where it is asked what it has; as `url`
    reconcile_at: ClockTime = "04:20"
    look_back_days: Annotated[int, between(1, 366)] = 30  # cases found in so many days are compared


@dataclass(frozen=True, slots=True, kw_only=True)
class OutwardConfig:
    """An entry of `outward`, its catalogue read."""

    name: str
    url: str
    ask_url: str
    secret_file: Path
    catalogue: Catalogue | None
    reconcile_at: str
    look_back_days: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    state: Path
    timezone: str
    broker: BrokerConfig
    influx: InfluxConfig | None
    archive: ArchiveConfig
    web: WebConfig
    channels: Mapping[str, ChannelConfig]
    path: Path
    outward: Mapping[str, OutwardConfig] = field(default_factory=dict)


# ---------------------------------------------------------------- lilong.yaml as it is written


STATE = Path("/var/lib/lilong")
NO_PAGE = frozenset({"sounds", "of"})  # settings of what sounds or hands on, and takes no page of text
ONE_TEXT = frozenset({"template", "variables"})  # of a channel that says the same whatever has happened
ONLY_INBOX = {"inbox": {"kind": "inbox"}}


@dataclass(frozen=True, slots=True, kw_only=True)
class WebKeys:
    listen: Annotated[tuple[str, int], Kind(say("address"), _listen)] = ("127.0.0.1", 8080)
    public_url: Url | None = None
    link_key_file: Path | None = None
    link_valid: Duration = 86400.0
    intake: IntakeConfig | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigKeys:
    """The keys of lilong.yaml."""

    broker: BrokerConfig
    state: Path = STATE
    timezone: Annotated[str, Kind(say("zone"), _zone)] = "Asia/Shanghai"
    directories: Directories = SHIPPED
    influx: InfluxConfig | None = None
    archive: ArchiveConfig = ArchiveConfig()
    web: WebKeys = WebKeys()
    channels: Mapping[Identifier, Mapping[str, str]] = field(default_factory=lambda: dict(ONLY_INBOX))
    outward: Mapping[Identifier, OutwardKeys] = field(default_factory=dict)
    templates: tuple[Template, ...] = ()


spell(
    Template,
    text=("text", SomeText),
    state=("state", Literal[STATES]),
    since=("since", date),
    kinds=("kinds", Annotated[tuple[SomeText, ...], ONE_OR_MORE]),
    most=("most", Mapping[str, Annotated[int, between(1, VALUE_MOST)]]),
    parts=("parts", Annotated[int, between(1, PARTS_MOST)]),
)


# ---------------------------------------------------------------- loading


@dataclass(frozen=True, slots=True)
class Loaded:
    """What the files say. `world` only when there was no problem at all; `config` already when lilong.yaml
    itself has none, so that a gateway can start with the World it had before a pack was broken.
    """

    config: Config | None
    world: World | None
    problems: list[ConfigError]
    warnings: Sequence[ConfigError] = ()  # only when they were asked for, and there is no problem


NO_SHEETS: packs.Sheets = {}


def load(
    path: Path | str,
    locale: str = "zh",
    environ: Mapping[str, str] = os.environ,
    sheets: packs.Sheets = NO_SHEETS,
    now_ns: int | None = None,
    lint: bool = False,
    drafts: packs.Drafts = packs.NO_DRAFTS,
) -> Loaded:
    """Everything lilong.yaml names, or every mistake in it, in that language. `sheets`, `drafts`: see packs.

    With `now_ns` (UTC) a calendar that ends before that day is a mistake; a gateway that runs does not ask,
    since on New Year's morning it must start. `lint`: also what is no mistake and yet hardly meant.
    """
    path, problems = Path(path), Problems(locale)
    builder = Builder(problems)
    node, _ = yamlfile.read(path, problems)
    if node is None:
        return Loaded(None, None, problems.listed())
    keys = builder.record(node, ConfigKeys)
    config = _config(keys, path, builder, environ) if keys else None
    sound = not problems.listed()
    surroundings = Surroundings(
        timezone=keys.timezone if keys else "",
        channels=tuple(keys.channels) if keys else None,
        groups=_groups(keys) if keys else frozenset(),
        loud=_loud(keys) if keys else frozenset(),
        whole=_whole(keys) if keys else None,
        texts=_texts(keys) if keys else (),
        subscribe=keys.broker.subscribe if keys else None,
        intake=keys.web.intake is not None if keys else None,
        today=local_date(now_ns, keys.timezone) if keys and now_ns is not None else None,
    )
    directories = keys.directories if keys else _alone(node, "directories", Directories, SHIPPED)
    world = packs.load_world(directories, path.parent, surroundings, builder, node, sheets, lint, drafts)
    if lint and world and config:
        for catalogue in filter(None, (one.catalogue for one in config.outward.values())):
            catalogues.lint(catalogue, world, builder)
    found = problems.listed()
    return Loaded(config if sound else None, None if found else world, found, problems.warnings())


def state_directory(path: Path) -> Path:
    """Where the store is, whatever else may be wrong in the files."""
    node, _ = yamlfile.read(path, Problems())
    return path.parent.absolute() / _alone(node, "state", Path, STATE)


def site_files(path: Path) -> tuple[list[SiteKeys], list[Path], Path]:
    """The site files as they are, which they are, and the folder where another may be put."""
    node, _ = yamlfile.read(path, Problems())
    directories = _alone(node, "directories", Directories, SHIPPED)
    sites, files = packs.read_sites(directories, path.parent, Builder(Problems()), node)
    return sites, files, path.parent / (directories.sites or SHIPPED.sites)[-1]


def directories_of(path: Path) -> Directories:
    """Where models, rules and site files lie, whatever else may be wrong in lilong.yaml."""
    node, _ = yamlfile.read(path, Problems())
    return _alone(node, "directories", Directories, SHIPPED)


def own_devices(path: Path) -> Path | None:
    """The folder where a device model of the site's own goes; None when lilong.yaml names none."""
    own = [path.parent / name for name in directories_of(path).devices if name != packs.BUILTIN]
    return own[-1] if own else None


def _alone(node: yamlfile.Node | None, key: str, hint: Any, default: T) -> T:
    """The value of one key of lilong.yaml, whatever is wrong with the others."""
    _, value = node.entries.get(key, (node, None)) if isinstance(node, yamlfile.Map) else (node, None)
    built = Builder(Problems()).build(value, hint, key) if value else BROKEN
    return default if built is BROKEN else built


def unreadable_files(config: Config) -> list[Path]:
    """The secret and certificate files that are not there or not ours to read; `run` needs them all."""
    parts: list[Any] = [config.broker, config.influx, config.web, config.web.intake]
    named = [getattr(part, name) for part in parts if part for name in _file_fields(part)]
    named += [path for channel in config.channels.values() for path in channel.secrets.values()]
    named += [one.secret_file for one in config.outward.values()]
    return [path for path in named if path and not os.access(path, os.R_OK)]


def _config(keys: ConfigKeys, path: Path, builder: Builder, environ: Mapping[str, str]) -> Config:
    folder = path.parent.absolute()
    resolve = _resolver(folder, environ.get("CREDENTIALS_DIRECTORY", ""))
    state = folder / keys.state
    web = keys.web
    _check_pairs(keys, builder)
    _check_urls(keys, builder)
    return Config(
        state=state,
        timezone=keys.timezone,
        broker=_resolved(keys.broker, resolve),
        influx=_resolved(keys.influx, resolve) if keys.influx else None,
        archive=replace(keys.archive, directory=state / keys.archive.directory),
        web=WebConfig(
            host=web.listen[0],
            port=web.listen[1],
            public_url=(web.public_url or "").rstrip("/"),
            link_key_file=web.link_key_file and resolve(web.link_key_file),
            link_valid_s=web.link_valid,
            intake=_resolved(web.intake, resolve) if web.intake else None,
        ),
        channels=_channels(keys, builder, resolve),
        path=path,
        outward={name: _outward(name, one, folder, builder, resolve) for name, one in keys.outward.items()},
    )


def _outward(
    name: str, keys: OutwardKeys, folder: Path, builder: Builder, resolve: Callable[[Path], Path]
) -> OutwardConfig:
    if keys.ask_url and keys.catalogue is None:
        builder.mistake(
            keys,
            "ask_url",
            say("without", first="ask_url", second="catalogue"),
            say("together", words="ask_url, catalogue"),
        )
    return OutwardConfig(
        name=name,
        url=keys.url,
        ask_url=keys.ask_url or keys.url,
        secret_file=resolve(keys.secret_file),
        catalogue=catalogues.read(folder / keys.catalogue, builder) if keys.catalogue else None,
        reconcile_at=keys.reconcile_at,
        look_back_days=keys.look_back_days,
    )


def _resolver(folder: Path, credentials: str) -> Callable[[Path], Path]:
    """systemd hands secrets over in a directory of its own; what is not there lies beside lilong.yaml."""

    def resolve(named: Path) -> Path:
        handed = Path(credentials) / named
        return handed if credentials and handed.exists() else folder / named

    return resolve


def _file_fields(part: Any) -> list[str]:
    return [each.name for each in fields(part) if each.name.endswith("_file")]


def _resolved(part: T, resolve: Callable[[Path], Path]) -> T:
    named = {name: getattr(part, name) for name in _file_fields(part)}
    return replace(part, **{name: resolve(path) for name, path in named.items() if path})  # type: ignore[type-var]


def _check_pairs(keys: ConfigKeys, builder: Builder) -> None:
    broker = keys.broker
    for first, second in (
        ("cert_file", "key_file"),
        ("key_file", "cert_file"),
        ("password_file", "username"),
    ):
        if getattr(broker, first) and not getattr(broker, second):
            found = say("without", first=first, second=second)
            builder.mistake(keys, f"broker.{first}", found, say("together", words=f"{first}, {second}"))


def _check_urls(keys: ConfigKeys, builder: Builder) -> None:
    """A password or key inside an address is a secret written into the file."""
    urls = {"influx.url": keys.influx.url if keys.influx else "", "web.public_url": keys.web.public_url or ""}
    urls |= {f"channels.{name}.url": entry.get("url", "") for name, entry in keys.channels.items()}
    urls |= {f"outward.{name}.url": entry.url for name, entry in keys.outward.items()}
    urls |= {f"outward.{name}.ask_url": entry.ask_url or "" for name, entry in keys.outward.items()}
    for path, url in urls.items():
        if _holds_secret(url):
            builder.mistake(keys, path, say("secret_in_url"), say("url_without_secret"))


def _holds_secret(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False  # said by whoever needs an address
    named = [name for name, _ in parse_qsl(parts.query, keep_blank_values=True)]
    return bool(parts.password) or any(SECRET.fullmatch(name) or name == "sign" for name in named)


# ---------------------------------------------------------------- channels


def _channels(
    keys: ConfigKeys, builder: Builder, resolve: Callable[[Path], Path]
) -> dict[str, ChannelConfig]:
    """All of them; one that is made of others is made of such as are there, each of one only."""
    check_templates(keys.templates, list(keys.channels), _blanks(keys), builder)
    found = {name: _channel(name, keys, builder, resolve) for name in keys.channels}
    plain = [name for name, one in found.items() if one.kind != "failover"]
    taken: set[str] = set()
    for group in found.values():
        if group.kind != "failover":
            continue
        for name in group.settings.get("of", "").split():
            if name not in plain or name in taken:
                what = say("unknown", what=say("what_channel"), value=name)
                left = [one for one in plain if one not in taken]
                builder.mistake(keys, f"channels.{group.name}.of", what, one_of(left))
            taken.add(name)
    return found


def _channel(name: str, keys: ConfigKeys, builder: Builder, resolve: Callable[[Path], Path]) -> ChannelConfig:
    entry, step = dict(keys.channels[name]), f"channels.{name}"
    kind = entry.pop("kind", "")
    module = _module_of(kind)
    if module is None:
        _refuse_kind(keys, step, kind, builder)
    own = tuple(one for one in keys.templates if one.channel == name)
    known = module.SETTINGS | module.SECRETS if module else frozenset(entry)
    required = module.REQUIRED | module.SECRETS if module else frozenset()
    required -= ONE_TEXT if own else frozenset()
    for key, spared in getattr(module, "SPARED", {}).items():
        required -= spared if key in entry else frozenset()
    for key in entry:
        if SECRET.fullmatch(key):
            found, expected = say("inline_secret", key=key), say("secret_file", key=key)
            builder.mistake(keys, f"{step}.{key}", found, expected)
        elif key not in known:
            expected = one_of(["kind", *sorted(known)], builder.nearest(key, sorted(known)))
            builder.mistake(keys, f"{step}.{key}", say("unknown_key", key=key), expected)
    for key, form in getattr(module, "FORMS", {}).items():
        if key in entry and not form.pattern.fullmatch(entry[key]):
            expected = Verbatim("value", words=(form.zh, form.en))
            builder.mistake(keys, f"{step}.{key}", say("value", value=entry[key]), expected)
    for key in sorted(required):
        if not entry.get(key):
            builder.mistake(keys, step, say("without", first=f"kind: {kind}", second=key), say("required"))
    if "template" in entry and hasattr(module, "BLANKS"):
        _check_only(keys, step, entry["template"], own, builder)
    for pattern in keys.broker.subscribe if "topic" in known and "topic" in entry else ():
        if matches(pattern, entry["topic"]):  # what we say there would come back, from no device of ours
            found = say("heard_twice", value=entry["topic"], filter=pattern)
            builder.mistake(keys, f"{step}.topic", found, say("not_subscribed"))
    if module and "at_most" in entry:
        _check_at_most(keys, step, entry["at_most"], getattr(module, "QUOTAS", ()), builder)
    secrets = {key: resolve(Path(value)) for key, value in entry.items() if key.endswith("_file")}
    settings = {key: value for key, value in entry.items() if key not in secrets}
    return ChannelConfig(name=name, kind=kind, settings=settings, secrets=secrets, templates=own)


def _check_only(
    keys: ConfigKeys, step: str, template: str, own: Sequence[Template], builder: Builder
) -> None:
    """One text for everything, of which nobody can say what it says of good news, or how long it becomes."""
    if own:
        found = say("both", first=f"{step}.template", second="templates")
        builder.mistake(keys, f"{step}.template", found, say("registered"))
    else:
        builder.mistake(keys, f"{step}.template", say("text_unknown", value=template), say("registered"))


def _check_at_most(keys: ConfigKeys, step: str, text: str, quotas: Sequence[Quota], builder: Builder) -> None:
    """A site may promise its providers less than they let through, never more."""
    try:
        lowered(quotas, text)
    except ValueError:
        most = " ".join(f"{one.most}/{span(one.span_s)}" for one in quotas if not one.ours)
        expected = Verbatim("value", words=(f"不超过 {most}，写法相同", f"at most {most}, written so"))
        builder.mistake(keys, f"{step}.at_most", say("value", value=text), expected)


def _module_of(kind: str) -> ModuleType | None:
    """What knows that kind of channel; None when we have no such kind."""
    from gateway import channels  # its files are the list of kinds; imported only where it is needed

    try:
        return channels.find(kind)
    except ValueError:
        return None


def _groups(keys: ConfigKeys) -> frozenset[str]:
    """The channels that need no address of a person."""
    kinds = {name: _module_of(entry.get("kind", "")) for name, entry in keys.channels.items()}
    return frozenset(name for name, kind in kinds.items() if getattr(kind, "GROUP", False))


def _loud(keys: ConfigKeys) -> frozenset[str]:
    """The channels that ring, and those that may hand on to one."""
    kinds = {name: _module_of(entry.get("kind", "")) for name, entry in keys.channels.items()}
    rings = {name for name, kind in kinds.items() if getattr(kind, "LOUD", False)}
    made = {name: str(entry.get("of", "")).split() for name, entry in keys.channels.items()}
    return frozenset(rings | {name for name, members in made.items() if rings & set(members)})


def _whole(keys: ConfigKeys) -> frozenset[str]:
    """The channels that take a page of text: not those that fill a template, sound, or hand on."""
    kinds = {name: _module_of(entry.get("kind", "")) for name, entry in keys.channels.items()}
    return frozenset(
        name
        for name, kind in kinds.items()
        if kind and not hasattr(kind, "BLANKS") and not NO_PAGE & kind.SETTINGS
    )


def _blanks(keys: ConfigKeys) -> dict[str, str]:
    """By channel, how a variable stands in the texts that its provider approves; of those that want them."""
    kinds = {name: _module_of(entry.get("kind", "")) for name, entry in keys.channels.items()}
    return {name: kind.BLANKS for name, kind in kinds.items() if kind and hasattr(kind, "BLANKS")}


def _texts(keys: ConfigKeys) -> tuple[Text, ...]:
    """Every text of the register, and of a channel that has none there its only one, which nobody knows."""
    entries = {name: keys.channels[name] for name in _blanks(keys)}
    registered = {one.channel for one in keys.templates}
    told = [*keys.templates, *(_only(name, one) for name, one in entries.items() if name not in registered)]
    signs = {name: entry.get("sign", "") for name, entry in entries.items()}
    rings = {name for name, entry in entries.items() if entry["kind"].startswith("voice")}
    return tuple(Text(one, signs[one.channel], one.channel in rings) for one in told if one.channel in signs)


def register(config: Config) -> list[Text]:
    """The approved texts of a gateway, each with what its channel adds."""
    channels = config.channels.values()
    return [
        Text(one, channel.settings.get("sign", ""), channel.kind.startswith("voice"))
        for channel in channels
        for one in channel.templates
    ]


def _only(name: str, entry: Mapping[str, str]) -> Template:
    try:
        names = variables(entry.get("variables", ""))
    except ValueError:
        names = ()
    return Template(
        channel=name, id=entry.get("template", ""), text="", state=APPROVED, since=None, variables=names
    )


def _refuse_kind(keys: ConfigKeys, step: str, kind: str, builder: Builder) -> None:
    from gateway import channels

    kinds = channels.kinds()
    found = say("unknown", what=say("what_kind"), value=kind) if kind else say("missing")
    builder.mistake(keys, f"{step}.kind", found, one_of(kinds, builder.nearest(kind, kinds)))
