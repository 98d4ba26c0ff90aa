"""`lilong doctor`: is everything around us as it must be? Looks and asks, changes nothing.

Every check answers, whatever happens: a crash inside one is that check's finding.
"""

from __future__ import annotations

import ctypes
import os
import ssl
import stat
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from gateway import bridge
from gateway.adapters import certificates
from gateway.adapters.http import Origin, Site, Unanswered, Unreachable
from gateway.adapters.mqtt_connection import tls_context
from gateway.config import BrokerConfig, Config, InfluxConfig, OutwardConfig
from gateway.core.backoff import TransientError
from gateway.core.calibration import due_within
from gateway.core.duty import absences
from gateway.core.model import OWN, SECOND, World
from gateway.core.quotas import WARNS_AT, Use, span
from gateway.core.routing import asked
from gateway.problems import ConfigError
from gateway.usage import used

ANSWER_S = 10.0  # what a broker or database gets to answer
FREE_BYTES_LEAST = 1 << 30  # below it a day of a rated load (5,000 samples/s × 200 bytes) cannot be kept
FSYNC_S_MOST = 0.1  # each commit waits for one; slower than this the gateway falls behind
FSYNCS = 5
SKEW_S_MOST = 5.0  # between our clock and the database's
STEP_S_MOST = 0.5  # by which the wall clock may differ from the steady one while we look
CERTIFICATE_DAYS_LEAST = 30
DUE_DAYS = 30  # a sensor's calibration takes some weeks to arrange
DUE_NAMED = 5
ONCALL_DAYS = 14  # a stand-in takes some days to find
PRIVATE = 0o700


@dataclass(frozen=True, slots=True)
class Finding:
    """One check's answer. `ok` with a hint is advice; not ok always has a hint, the next step."""

    name: str  # config secrets disk clock broker database channels outward calibration oncall gateway
    ok: bool
    detail: str
    hint: str = ""


class Texts:
    """Picks a text's language: t("中文", "English")."""

    def __init__(self, locale: str) -> None:
        self._zh = locale == "zh"

    def __call__(self, zh: str, en: str) -> str:
        return zh if self._zh else en


def diagnose(
    config: Config | None,
    problems: Sequence[ConfigError] = (),
    locale: str = "zh",
    world: World | None = None,
) -> list[Finding]:
    """Every check in turn; takes at most about 20 s, and as long for each system outside.

    Without a Config only its mistakes are told.
    """
    t = Texts(locale)
    findings = [_configuration(problems, locale, t)]
    if config is None:
        return findings
    watch = ClockWatch()
    findings += _guarded("secrets", t, lambda: _secrets(config, t))
    findings += _guarded("disk", t, lambda: _disk(config, t))
    findings += _guarded("broker", t, lambda: [_broker(config.broker, t)])
    findings += _guarded("database", t, lambda: [_database(config.influx, watch, t)])
    findings += _guarded("clock", t, lambda: [_clock(watch, t)])
    findings += _guarded("channels", t, lambda: _channels(config, time.time_ns(), t))
    findings += _guarded("outward", t, lambda: _outward(config, t))
    if world is not None:
        findings += _guarded("calibration", t, lambda: _calibration(world, time.time_ns(), t))
        findings += _guarded("oncall", t, lambda: [_oncall(world, time.time_ns(), t)])
        findings += _guarded("gateway", t, lambda: [_gateway(world, t)])
    return findings


def _oncall(world: World, now_ns: int, t: Texts) -> Finding:
    """Whether every post that a ladder names has somebody in the next weeks."""
    found = absences(world, asked(world), now_ns, now_ns + ONCALL_DAYS * 86_400 * SECOND)
    posts = list(dict.fromkeys(f"{one.gap.role} @ {one.gap.at}" for one in found))
    if not posts:
        return Finding(
            "oncall", True, t(f"{ONCALL_DAYS} 天内没有空岗", f"no empty post in {ONCALL_DAYS} days")
        )
    named = ", ".join(posts[:DUE_NAMED])
    detail = t(f"{ONCALL_DAYS} 天内有空岗：{named}", f"posts that will be empty: {named}")
    hint = t("何时、为什么：lilong oncall gaps", "when, and why: lilong oncall gaps")
    return Finding("oncall", False, detail, hint)


def _gateway(world: World, t: Texts) -> Finding:
    """Whether the gateway's own troubles reach a person."""
    device = next((one for one in world.devices.values() if one.topic.startswith(OWN)), None)
    if device is None:
        entry = "{id: gateway-1, model: lilong-gateway, at: …, topic: self/gateway-1}"
        zh = f"要让网关自身的故障通知到人，请在站点设备中加入 {entry}"
        detail = t("没有设备代表网关自身", "no device stands for the gateway itself")
        return Finding(
            "gateway", True, detail, t(zh, f"so that its own troubles reach a person, add {entry}")
        )
    return Finding("gateway", True, t(f"自身状况由 {device.id} 上报", f"tells of itself as {device.id}"))


def _guarded(name: str, t: Texts, check: Callable[[], list[Finding]]) -> list[Finding]:
    try:
        return check()
    except Exception as error:
        detail = t("检查时出错：", "the check itself failed: ") + f"{type(error).__name__}: {error}"
        return [Finding(name, False, detail, t("请把这一行报告给维护者", "please report this line"))]


def _configuration(problems: Sequence[ConfigError], locale: str, t: Texts) -> Finding:
    if not problems:
        return Finding("config", True, t("配置没有错误", "no mistakes"))
    told = "\n".join(problem.text(locale) for problem in problems)
    return Finding(
        "config", False, told, t("改好以上各行，再运行 lilong check", "put these right, then lilong check")
    )


# ---------------------------------------------------------------- channels


def _channels(config: Config, now_ns: int, t: Texts) -> list[Finding]:
    """Each channel's limits and how much of them is used; nothing where no provider has one."""
    return [_channel(name, uses, t) for name, uses in used(config, now_ns)]


def _channel(name: str, uses: Sequence[Use], t: Texts) -> Finding:
    said = ", ".join(map(_use, uses))
    fullest = max(one.used / one.quota.most for one in uses)
    if fullest < WARNS_AT:
        return Finding("channels", True, f"{name} {said}")
    zh = "额度将尽：检查是否有规则反复告警，或在阶梯中把另一种方式放在前面"
    en = "little is left: does a rule ring too often? Or put another way first in the ladder"
    return Finding("channels", fullest < 1, f"{name} {said}", t(zh, en))


def _use(one: Use) -> str:
    """As in 40/50 in 24h (wang)."""
    words = f"{one.used}/{one.quota.most} in {span(one.quota.span_s)}"
    return f"{words} ({one.person})" if one.person else words


# ---------------------------------------------------------------- calibration


def _calibration(world: World, now_ns: int, t: Texts) -> list[Finding]:
    """Nothing where no sensor has a day; a sensor whose day is past measures we know not what."""
    if not any(entry.due for entries in world.calibrations.values() for entry in entries):
        return []
    due = due_within(world.calibrations, now_ns, world.timezone, DUE_DAYS)
    late = [one for one in due if one.days < 0]
    names = ", ".join(dict.fromkeys(one.device for one in (late or due)[:DUE_NAMED]))
    hint = "lilong devices list --due"
    if late:
        detail = t(f"{len(late)} 项校准已逾期：{names}", f"{len(late)} overdue: {names}")
        return [Finding("calibration", False, detail, hint)]
    if due:
        zh = f"{len(due)} 项校准将在 {DUE_DAYS} 天内到期：{names}"
        detail = t(zh, f"{len(due)} due within {DUE_DAYS} days: {names}")
        return [Finding("calibration", True, detail, hint)]
    return [Finding("calibration", True, t("都在有效期内", "all of it valid"))]


# ---------------------------------------------------------------- secrets


def _secrets(config: Config, t: Texts) -> list[Finding]:
    findings = [finding for path in secret_files(config) if (finding := _secret(path, t))]
    return findings or [Finding("secrets", True, t("密钥文件都在，权限正确", "all there, and private"))]


def secret_files(config: Config) -> list[Path]:
    """Files that only we may read: passwords, tokens, keys (a certificate is no secret)."""
    parts: list[Any] = [config.broker, config.influx, config.web, *config.outward.values()]
    named = [(each.name, getattr(part, each.name)) for part in parts if part for each in fields(part)] + [
        item for channel in config.channels.values() for item in channel.secrets.items()
    ]
    public = ("ca_file", "cert_file")
    return [path for name, path in named if name.endswith("_file") and name not in public and path]


def _secret(path: Path, t: Texts) -> Finding | None:
    try:
        status = path.stat()
        empty = not path.read_bytes().strip()
    except OSError as error:
        detail = f"{path}: {error.strerror}"
        return Finding(
            "secrets", False, detail, t("放好该文件并允许本用户读取", "put it there, readable for this user")
        )
    if empty:
        return Finding(
            "secrets",
            False,
            t(f"{path} 是空的", f"{path} is empty"),
            t("写入密钥", "write the secret into it"),
        )
    if status.st_mode & (stat.S_IRWXO | stat.S_IWGRP):
        detail = t(
            f"{path} 权限过宽（{status.st_mode & 0o777:o}）",
            f"{path} is open to others ({status.st_mode & 0o777:o})",
        )
        return Finding("secrets", False, detail, f"chmod 0640 {path}")
    return None


# ---------------------------------------------------------------- disk


def _disk(config: Config, t: Texts) -> list[Finding]:
    state = config.state
    if not state.is_dir():
        detail = t(f"{state} 还不存在，首次运行时创建", f"{state} is not there yet; the first run makes it")
        makes = os.access(_nearest_directory(state), os.W_OK)
        hint = "" if makes else f"install -d -m 0700 -o lilong -g lilong {state}"
        return [Finding("disk", makes, detail, hint)]
    status = state.stat()
    mode, mine = status.st_mode & 0o777, status.st_uid == os.geteuid()
    if not mine or mode & ~PRIVATE:
        detail = (
            t(f"{state} 的属主或权限不对", f"{state} has the wrong owner or mode")
            + f" ({status.st_uid}, {mode:o})"
        )
        hint = f"chown -R lilong: {state}; chmod 0700 {state}"
        return [Finding("disk", False, detail, hint)]
    return [_free(config, t), _fsync(state, t)]


def _nearest_directory(path: Path) -> Path:
    return next(parent for parent in path.absolute().parents if parent.is_dir())


def _free(config: Config, t: Texts) -> Finding:
    free = _free_bytes(config.state)
    detail = t(f"可用 {free / 1e9:.1f} GB", f"{free / 1e9:.1f} GB free")
    if free < FREE_BYTES_LEAST:
        hint = t("腾出空间，或调小 archive.keep_bytes", "make room, or lower archive.keep_bytes")
        return Finding("disk", False, detail, hint)
    stored = sum(file.stat().st_size for file in config.archive.directory.glob("**/*") if file.is_file())
    lacking = config.archive.keep_bytes - stored - free
    if lacking > 0:
        zh = f"归档上限 keep_bytes 比剩余空间多 {lacking / 1e9:.1f} GB，请调小"
        return Finding(
            "disk",
            True,
            detail,
            t(zh, f"archive.keep_bytes is {lacking / 1e9:.1f} GB more than fits; lower it"),
        )
    return Finding("disk", True, detail)


def _free_bytes(directory: Path) -> int:
    room = os.statvfs(directory)
    return room.f_bavail * room.f_frsize


def _fsync(directory: Path, t: Texts) -> Finding:
    """The median time until 4 kB are safe, since every commit waits for one."""
    spans = []
    with tempfile.TemporaryFile(dir=directory) as file:
        for _ in range(FSYNCS):
            began = time.monotonic()
            file.write(os.urandom(4096))
            file.flush()
            os.fsync(file.fileno())
            spans.append(time.monotonic() - began)
    span_s = sorted(spans)[FSYNCS // 2]
    detail = t(f"落盘一次 {span_s * 1e3:.1f} 毫秒", f"{span_s * 1e3:.1f} ms a sync")
    if span_s <= FSYNC_S_MOST:
        return Finding("disk", True, detail)
    hint = t("磁盘太慢：换用固态硬盘，不要用 SD 卡", "the disk is too slow: use an SSD, not an SD card")
    return Finding("disk", False, detail, hint)


# ---------------------------------------------------------------- clock


class ClockWatch:
    """Both clocks at the beginning of the diagnosis, and what the database says of the time."""

    def __init__(self) -> None:
        self._wall, self._steady = time.time(), time.monotonic()
        self.skew_s = 0.0  # ours less the database's

    def step_s(self) -> float:
        """By how much the wall clock was set while we looked."""
        return (time.time() - self._wall) - (time.monotonic() - self._steady)

    def compare(self, date: str) -> None:
        with suppress(ValueError, TypeError):
            self.skew_s = time.time() - parsedate_to_datetime(date).timestamp()


def _clock(watch: ClockWatch, t: Texts) -> Finding:
    now = datetime.now(UTC)
    installed = datetime.fromtimestamp(Path(__file__).stat().st_mtime, UTC)
    enable = t("启用校时：timedatectl set-ntp true", "let it be set: timedatectl set-ntp true")
    if now < installed or now.year > installed.year + 30:
        detail = t(f"时钟是 {now:%Y-%m-%d}，不可信", f"the clock says {now:%Y-%m-%d}, which cannot be")
        return Finding("clock", False, detail, enable)
    if abs(step := watch.step_s()) > STEP_S_MOST:
        detail = t(f"检查期间时钟跳变 {step:+.1f} 秒", f"the clock was set by {step:+.1f} s while we looked")
        return Finding("clock", False, detail, t("只让一个程序校时", "let only one program set it"))
    if abs(watch.skew_s) > SKEW_S_MOST:
        detail = t(f"与数据库相差 {watch.skew_s:+.0f} 秒", f"{watch.skew_s:+.0f} s from the database's clock")
        return Finding("clock", False, detail, enable)
    if synchronised() is False:
        return Finding(
            "clock", False, t("时钟未与网络时间同步", "not synchronised with network time"), enable
        )
    return Finding("clock", True, f"{now:%Y-%m-%dT%H:%M:%SZ}")


class _Timex(ctypes.Structure):
    """The beginning of adjtimex(2)'s struct; the rest is room."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("room", ctypes.c_byte * 256),
    )


def synchronised() -> bool | None:
    """Whether the kernel says that something keeps its clock right; None when it does not say."""
    unsynchronised = 0x0040  # STA_UNSYNC
    timex = _Timex()  # modes = 0: only reads
    try:
        state = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(timex))
    except (OSError, AttributeError):
        return None
    return None if state < 0 else not timex.status & unsynchronised


# ---------------------------------------------------------------- broker


def _broker(config: BrokerConfig, t: Texts) -> Finding:
    """Connects under a name of its own, so that a running gateway keeps its connection and session."""
    where = f"{config.host}:{config.port}"
    with _Visit(config) as visit:
        reason = visit.connect()
        if reason:
            return Finding("broker", False, f"{where}: {reason}", _broker_hint(reason, config, t))
        refused = visit.subscribe(config.subscribe)
        days = visit.certificate_days()
    if refused:
        detail = t(f"{where} 拒绝订阅 ", f"{where} refuses to subscribe ") + ", ".join(refused)
        hint = t("在代理的 ACL 中给该用户读取权限", "grant this user read access in the broker's ACL")
        return Finding("broker", False, detail, hint)
    detail = t(f"{where} 已连接，订阅被接受", f"{where} connected, subscriptions granted")
    return Finding("broker", True, detail, _ends_soon(days, t))


def _ends_soon(days: int | None, t: Texts) -> str:
    """Advice about the far side's certificate; "" while it has long to go, or there is none."""
    if days is None or days >= CERTIFICATE_DAYS_LEAST:
        return ""
    return t(f"对方证书 {days} 天后到期", f"its certificate ends in {days} days")


def _days_to(ends_s: float | None) -> int | None:
    return None if ends_s is None else int((ends_s - time.time()) // certificates.DAY_S)


def _broker_hint(reason: str, config: BrokerConfig, t: Texts) -> str:
    if "uthori" in reason or "password" in reason.lower():
        return t(
            "核对 broker.username 与 password_file",
            "compare broker.username and password_file with the broker's",
        )
    if "certificate" in reason.lower() or "ssl" in reason.lower():
        return t(
            "核对 broker.ca_file、端口与证书域名",
            "check broker.ca_file, the port, and the certificate's name",
        )
    return t("代理在运行吗？主机与端口对吗？", "is the broker running? are host and port right?")


class _Visit:
    """One short connection to the broker, with a clean session under CLIENT_ID-doctor."""

    def __init__(self, config: BrokerConfig) -> None:
        self._config, self._answered, self._reasons = config, threading.Event(), list[Any]()
        five = config.protocol == 5
        self.client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            f"{config.client_id}-doctor",
            protocol=mqtt.MQTTv5 if five else mqtt.MQTTv311,
            clean_session=None if five else True,
        )
        self.client.on_connect = lambda _c, _u, _f, reason, _p: self._answer([reason])
        self.client.on_subscribe = lambda _c, _u, _m, reasons, _p: self._answer(reasons)

    def _answer(self, reasons: list[Any]) -> None:
        self._reasons = reasons
        self._answered.set()

    def __enter__(self) -> _Visit:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.disconnect()
        self.client.loop_stop()

    def connect(self) -> str:
        """Why it did not work, or an empty text."""
        config = self._config
        try:
            if config.username:
                self.client.username_pw_set(config.username, _first_line(config.password_file))
            if config.ca_file or config.cert_file:
                self.client.tls_set_context(tls_context(config))
            self.client.connect_timeout = ANSWER_S
            self.client.connect(config.host, config.port, keepalive=config.keepalive_s)
        except (OSError, ssl.SSLError, ValueError) as error:
            return str(error) or type(error).__name__
        self.client.loop_start()
        if not self._answered.wait(ANSWER_S):
            return "no CONNACK"
        return str(self._reasons[0]) if self._reasons[0].is_failure else ""

    def subscribe(self, filters: Sequence[str]) -> list[str]:
        """The filters that were refused. At QoS 0: what comes meanwhile shall not pile up anywhere."""
        refused = []
        for topic in filters:
            self._answered.clear()
            self.client.subscribe(topic, 0)
            if not self._answered.wait(ANSWER_S) or self._reasons[0].is_failure:
                refused.append(topic)
        return refused

    def certificate_days(self) -> int | None:
        """Days until the broker's certificate ends; None without TLS."""
        return _days_to(certificates.ends_s(self.client.socket()))


def _first_line(file: Path | None) -> str | None:
    return file.read_text("utf-8").split("\n")[0].rstrip("\r") if file else None


# ---------------------------------------------------------------- database


def _database(config: InfluxConfig | None, watch: ClockWatch, t: Texts) -> Finding:
    """Asks the write API to take a comment: it checks token, organisation and bucket, and stores nothing."""
    if config is None:
        return Finding("database", True, t("未配置数据库，只写归档", "none configured: the archive alone"))
    origin = Origin.parse(config.url)
    base = urlsplit(config.url).path.rstrip("/")
    query = f"org={quote(config.org, safe='')}&bucket={quote(config.bucket, safe='')}&precision=ns"
    headers = {"Authorization": f"Token {_first_line(config.token_file)}", "Content-Type": "text/plain"}
    with _site(origin, min(config.timeout_s, ANSWER_S)) as site:
        try:
            reply = site.post(f"{base}/api/v2/write?{query}", b"# lilong doctor\n", headers)
        except (Unreachable, Unanswered) as error:
            hint = t("数据库在运行吗？influx.url 对吗？", "is it running? is influx.url right?")
            return Finding("database", False, f"{config.url}: {error}", hint)
    watch.compare(reply.headers.get("date", ""))
    return _database_answer(config, reply.status, reply.body, t)


def _database_answer(config: InfluxConfig, status: int, body: bytes, t: Texts) -> Finding:
    said = body[:200].decode("utf-8", "replace").strip()
    detail = f"{config.url} {config.org}/{config.bucket}: HTTP {status}"
    if status == 204 or (
        status == 400 and b"oints" in body
    ):  # "writing requires points": all but the data was right
        return Finding(
            "database", True, t(f"{config.url} 可写入 {config.bucket}", f"{config.url} takes {config.bucket}")
        )
    hints = {
        401: t("令牌无效：核对 influx.token_file", "the token is not known: check influx.token_file"),
        403: t("令牌没有写入该桶的权限", "the token may not write this bucket"),
        404: t("没有这个组织或桶，先建好", "no such organisation or bucket: create it"),
    }
    hint = hints.get(status, t("看数据库自己的日志", "see the database's own log"))
    return Finding("database", False, f"{detail} {said}".rstrip(), hint)


@contextmanager
def _site(origin: Origin, total_s: float) -> Iterator[Site]:
    site = Site(origin, total_s)
    try:
        yield site
    finally:
        site.close()


# ---------------------------------------------------------------- systems outside


def _outward(config: Config, t: Texts) -> list[Finding]:
    """Nothing where no other system is told."""
    return [_system(one, t) for one in config.outward.values()]


def _system(config: OutwardConfig, t: Texts) -> Finding:
    """One that only listens cannot be asked anything: whatever it is sent would be a change to it."""
    name = config.name
    try:
        ends_s = bridge.look(config)
    except (ValueError, TransientError) as error:
        zh = f"核对 outward.{name} 的网址与 secret_file；都对，就问对方"
        en = f"check the addresses and secret_file of outward.{name}; if they are right, ask whoever runs it"
        return Finding("outward", False, f"{name}: {error}", t(zh, en))
    detail = t(f"{name} 连得上，也答复查询", f"{name} can be reached, and says what it has")
    if config.catalogue is None:
        zh = f"{name} 连得上；它只接收，没有可问的：什么也没发，密钥未经验证"
        detail = t(zh, f"{name} can be reached; it only listens: nothing was sent, its secret is not proven")
    return Finding("outward", True, detail, _ends_soon(_days_to(ends_s), t))
