"""What only the clouds' channels promise, against clouds that count, verify and remember."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from gateway import channels
from gateway.channels.base import (
    BARRED_MOST,
    Asking,
    Barred,
    Call,
    Channel,
    Heard,
    Listening,
    Receipted,
    Replied,
    Secret,
)
from gateway.core.engine import Engine
from gateway.core.model import (
    Kind,
    Level,
    Notification,
    NotificationState,
    Outcome,
    Person,
    Receipt,
    Reply,
    Stage,
    Step,
    Told,
)
from gateway.core.state import State
from gateway.core.templates import Template, Templates
from simulators.clouds import CALL_LIMITS, DAY_S, KEY_ID, SIGN, SMS_LIMITS, TEMPLATE
from tests.contract import dialects
from tests.contract.clouds import MOBILE, TENCENT_LIMITS, Aliyun, Tencent, Wired
from tests.contract.dialects import SECRET, WALL_S, Hand, notification
from tests.contract.provider import Provider, hang_up, reply, silence
from tests.unit.worlds import HOT, SMOKE, Play, world

LINK = "https://alarm.example/c/abc"
TOKEN = "a-token-of-ours-0123456789"
KINDS = ("sms_aliyun", "sms_tencent", "voice_aliyun")
MAKES = {kind: getattr(dialects, kind) for kind in KINDS}
LIMITS = {"sms_aliyun": SMS_LIMITS, "sms_tencent": TENCENT_LIMITS, "voice_aliyun": CALL_LIMITS}


@dataclass
class Bench:
    """A channel and its cloud, under clocks that a test moves together."""

    kind: str
    provider: Provider
    secret: str = SECRET
    hand: Hand = field(default_factory=Hand)
    skew_s: float = 0.0
    cloud: Wired = field(init=False)
    channel: Any = field(init=False)

    def __post_init__(self) -> None:
        made = Tencent if self.kind == "sms_tencent" else Aliyun
        self.cloud = made(self.secret, self.wall, LIMITS[self.kind])
        self.provider.check = lambda request, host: []
        self.provider.then(self.cloud.behave)
        self.channel = self.make()

    def wall(self) -> float:
        return WALL_S + self.hand() - 1000.0

    def make(self, **more: Any) -> Any:
        base = f"http://127.0.0.1:{self.provider.port}"
        own = {"wall": lambda: self.wall() + self.skew_s, "now": self.hand, "token": Secret(TOKEN)}
        return MAKES[self.kind](base, None, **(own | more))

    def told(self, name: str = "n1", **changes: Any) -> Notification:
        """Made a moment ago."""
        made_ns = int((self.wall() - 0.1) * 1e9)
        text = "位置：12号楼车棚（枫林街道）\n情况：仓温度 81.2 ℃（限 75 ℃），14:05 起\n要做：断开该仓"
        plain = {"id": name, "address": MOBILE, "created_ns": made_ns, "text": text}
        plain["title"] = "【红色报警】充电仓过热 · 3号仓"
        return notification(**(plain | changes))

    def send(self, told: Notification | None = None) -> channels.Answer:
        answer: channels.Answer = self.channel.send(told or self.told(), "text", LINK)
        return answer

    def hear(self, body: bytes, token: str = TOKEN) -> Heard:
        heard: Heard = self.channel.hear(Call({"token": token}, {}, body, self.wall()))
        return heard


@pytest.fixture
def provider() -> Iterator[Provider]:
    with Provider(silence) as one:
        yield one


@pytest.fixture(params=KINDS)
def bench(request: pytest.FixtureRequest, provider: Provider) -> Bench:
    return Bench(request.param, provider)


@pytest.fixture
def sms(provider: Provider) -> Bench:
    return Bench("sms_aliyun", provider)


@pytest.fixture
def tencent(provider: Provider) -> Bench:
    return Bench("sms_tencent", provider)


@pytest.fixture
def voice(provider: Provider) -> Bench:
    return Bench("voice_aliyun", provider)


# ---------------------------------------------------------------- what is sent


def test_a_message_is_ordered_and_named(bench: Bench) -> None:
    answer = bench.send()
    (taken,) = bench.cloud.taken
    assert (answer.told, answer.number) == (Told.ACCEPTED, taken.number)
    assert taken.out_id == "n1"
    assert sorted(taken.values) == sorted(
        [
            "红色报警",
            "充电仓过热 3号仓",
            "12号楼车棚（枫林街道）",
            "仓温度 81.2 度（限 75 度），14:05 起",
        ]
    )


def test_neither_link_nor_number_is_in_a_variable(bench: Bench) -> None:
    """They would cost the whole message: isv.PARAM_NOT_SUPPORT_URL."""
    hostile = f"【{LINK}】{MOBILE} 装修 {'长' * 80}"
    answer = bench.send(bench.told(title=hostile, text=f"位置：{hostile}\n情况：{hostile}"))
    assert answer.told is Told.ACCEPTED
    said = "".join(bench.cloud.taken[0].values)
    assert "example" not in said and MOBILE not in said and "装修" not in said


@pytest.mark.parametrize(
    "address", ["13812341234", "+86 138 1234 1234", "0086-138-1234-1234", "8613812341234"]
)
def test_a_number_may_be_written_in_any_way(bench: Bench, address: str) -> None:
    assert bench.send(bench.told(address=address)).told is Told.ACCEPTED
    assert bench.cloud.taken[0].phone.endswith(MOBILE)


@pytest.mark.parametrize(
    "address", ["", "wang", "1381234123", "021-64310000", "+1 415 555 0100", "１３８12341234"]
)
def test_what_is_no_mobile_number_is_not_sent(bench: Bench, address: str) -> None:
    answer = bench.send(bench.told(address=address))
    assert (answer.told, bench.provider.requests) == (Told.REFUSED, [])
    assert "mobile number" in answer.detail


# ---------------------------------------------------------------- the register of approved templates

GOOD, SHORT = "SMS_200000002", "SMS_200000003"


def register(kind: str) -> Templates:
    """One text for trouble, one for good news, one that is still looked at."""
    numbered = kind == "sms_tencent"

    def one(name: str, text: str, names: tuple[str, ...], **more: Any) -> Template:
        for number, variable in enumerate(names, 1):
            text = text.replace("@", f"{{{number}}}" if numbered else f"${{{variable}}}", 1)
        more = {"state": "approved", "since": None, "variables": names if numbered else ()} | more
        return Template(channel=kind, id=name, text=text, **more)

    return Templates(
        [
            one(TEMPLATE, "@：@，位置@，@。回复1接手。", ("level", "title", "place", "situation")),
            one(GOOD, "@已恢复，位置@。", ("title", "place"), kinds=("cleared",), most={"place": 8}),
            one(SHORT, "@", ("title",), kinds=("raised", "verify"), state="pending"),
        ]
    )


def approve(bench: Bench) -> None:
    bench.cloud.approved = {**bench.cloud.approved, GOOD: {"title": 35, "place": 8}}
    bench.channel = bench.make(templates=register(bench.kind))


def test_every_kind_goes_by_its_own_approved_template(bench: Bench) -> None:
    """Good news that ends with 回复1接手 sends people out for nothing."""
    approve(bench)
    kinds = (Kind.RAISED, Kind.CLEARED, Kind.VERIFY)
    for number, kind in enumerate(kinds):
        answer = bench.send(bench.told(f"n{number}", kind=kind))
        assert answer.told is Told.ACCEPTED, answer
        bench.hand.now += DAY_S
    assert [one.template for one in bench.cloud.taken] == [TEMPLATE, GOOD, TEMPLATE]
    assert bench.cloud.taken[1].values == ["充电仓过热 3号仓", "12号楼车棚（枫"]


def test_a_kind_without_an_approved_template_is_refused_and_nothing_is_sent(bench: Bench) -> None:
    pending = Template(channel="", id=SHORT, text="${title}", state="rejected", since=None)
    bench.channel = bench.make(templates=Templates([pending]))
    answer = bench.send(bench.told(kind=Kind.CLEARED))
    assert (answer.told, answer.personal, bench.provider.requests) == (Told.REFUSED, True, [])
    assert "no approved template" in answer.detail and "cleared" in answer.detail


# ---------------------------------------------------------------- refused, inside a 200


def test_a_clock_that_is_off_is_named(bench: Bench) -> None:
    """15 minutes for the one, 5 for the other; nobody finds that in `SignatureExpire`."""
    bench.skew_s = 1000.0
    answer = bench.send()
    assert answer.told is Told.REFUSED
    assert "this box's clock" in answer.detail


@pytest.mark.parametrize("skew_s", [-290.0, 290.0])
def test_a_clock_that_is_nearly_right_will_do(bench: Bench, skew_s: float) -> None:
    bench.skew_s = skew_s
    assert bench.send().told is Told.ACCEPTED


def test_another_accounts_secret_is_named(bench: Bench) -> None:
    bench.cloud.secret = "another"
    answer = bench.send()
    assert answer.told is Told.REFUSED
    assert "key_secret_file" in answer.detail


@pytest.mark.parametrize(
    ("kind", "code", "hint"),
    [
        ("sms_aliyun", "isv.AMOUNT_NOT_ENOUGH", "top it up"),
        ("sms_aliyun", "isv.OUT_OF_SERVICE", "top it up"),
        ("sms_aliyun", "isv.SMS_TEMPLATE_ILLEGAL", "template is not approved"),
        ("sms_aliyun", "isv.SMS_SIGNATURE_ILLEGAL", "sign is not approved"),
        ("sms_aliyun", "isv.MOBILE_NUMBER_ILLEGAL", "correct the person's reach"),
        ("sms_aliyun", "isv.TEMPLATE_MISSING_PARAMETERS", "variables"),
        ("sms_aliyun", "isv.PARAM_LENGTH_LIMIT", "too long"),
        ("sms_aliyun", "isv.BLACK_KEY_CONTROL_LIMIT", "not let through"),
        ("sms_aliyun", "Forbidden.RAM", "RAM user"),
        ("voice_aliyun", "isv.TTS_TEMPLATE_ILLEGAL", "template is not approved"),
        ("voice_aliyun", "isv.VOICE_ROBOT_NOT_PERIOD", "hour"),
        ("sms_tencent", "FailedOperation.TemplateIncorrectOrUnapproved", "template is not approved"),
        ("sms_tencent", "FailedOperation.InsufficientBalanceInSmsPackage", "used up"),
        ("sms_tencent", "FailedOperation.PhoneNumberInBlacklist", "unsubscribed"),
        ("sms_tencent", "InvalidParameterValue.IncorrectPhoneNumber", "correct the person's reach"),
    ],
)
def test_a_refusal_says_what_to_do(provider: Provider, kind: str, code: str, hint: str) -> None:
    bench = Bench(kind, provider)
    said = dialects.tencent if kind == "sms_tencent" else dialects.aliyun
    provider.then(said(code, f"{MOBILE} is refused"))
    answer = bench.send()
    assert answer.told is Told.REFUSED
    assert code in answer.detail and hint in answer.detail
    assert MOBILE not in answer.detail and "138****1234" in answer.detail


def test_an_unknown_code_is_a_refusal_in_their_words(bench: Bench) -> None:
    said = dialects.tencent if bench.kind == "sms_tencent" else dialects.aliyun
    bench.provider.then(said("isv.SOMETHING_NEW", "新的原因"))
    answer = bench.send()
    assert (answer.told, answer.detail) == (Told.REFUSED, "isv.SOMETHING_NEW 新的原因")


@pytest.mark.parametrize(
    ("kind", "code", "told"),
    [
        ("sms_aliyun", "Throttling.User", Told.LATER),
        ("voice_aliyun", "isp.SYSTEM_ERROR", Told.LATER),
        ("sms_tencent", "RequestLimitExceeded.IPLimitExceeded", Told.LATER),
        ("sms_tencent", "LimitExceeded.AppMainlandChinaDailyLimit", Told.LATER),
        ("sms_tencent", "InternalError.OtherError", Told.LATER),
        ("sms_tencent", "InternalError.Timeout", Told.UNKNOWN),
    ],
)
def test_what_is_only_for_now(provider: Provider, kind: str, code: str, told: Told) -> None:
    bench = Bench(kind, provider)
    said = dialects.tencent if kind == "sms_tencent" else dialects.aliyun
    provider.then(said(code))
    answer = bench.send()
    assert (answer.told, answer.once) == (told, told is Told.UNKNOWN)


def test_an_error_of_the_whole_request_is_read(tencent: Bench) -> None:
    body = {"Response": {"Error": {"Code": "AuthFailure.SecretIdNotFound", "Message": "x"}, "RequestId": "R"}}
    tencent.provider.then(reply(200, json.dumps(body).encode()))
    answer = tencent.send()
    assert answer.told is Told.REFUSED and "key_id" in answer.detail


@pytest.mark.parametrize(
    "response",
    [
        {},
        {"SendStatusSet": []},
        {"SendStatusSet": [{"Code": "Ok"}, {"Code": "Ok"}]},
        {"SendStatusSet": [{"Code": 0}]},
        {"SendStatusSet": ["Ok"]},
        {"RequestId": "R"},
        [],
    ],
)
def test_a_request_id_is_no_success(tencent: Bench, response: Any) -> None:
    tencent.provider.then(reply(200, json.dumps({"Response": response}).encode()))
    answer = tencent.send()
    assert (answer.told, answer.once) == (Told.UNKNOWN, True)


# ---------------------------------------------------------------- limits


def test_a_number_over_its_limit_is_left_alone(bench: Bench) -> None:
    """It is asked once, and then not again until there is a chance: refused ones count as well."""
    most = min(bench.cloud.limits.values())
    for i in range(most):
        assert bench.send(bench.told(f"n{i}")).told is Told.ACCEPTED
    first = bench.send(bench.told("over"))
    asked = len(bench.provider.requests)
    assert first.told is Told.LATER and first.retry_after_s > 0
    for _ in range(100):
        again = bench.send(bench.told("over"))
        assert again.told is Told.LATER and 0 < again.retry_after_s <= 300
    assert len(bench.provider.requests) == asked
    assert bench.send(bench.told("other", address="13900000009")).told is Told.ACCEPTED


def test_50_a_day_and_then_none(sms: Bench) -> None:
    for i in range(50):
        assert sms.send(sms.told(f"n{i}")).told is Told.ACCEPTED
        sms.hand.now += 60
    refused = sms.send(sms.told("n50"))
    assert (refused.told, refused.retry_after_s) == (Told.LATER, 300.0)
    asked = len(sms.provider.requests)
    while sms.hand.now < 1000 + DAY_S:  # the ladder asks every five minutes
        sms.hand.now += 300
        sms.send(sms.told("n50"))
    assert len(sms.provider.requests) - asked <= 24
    sms.hand.now += DAY_S
    assert sms.send(sms.told("n51")).told is Told.ACCEPTED


def test_a_minute_is_a_minute(voice: Bench) -> None:
    assert voice.send(voice.told("n1")).told is Told.ACCEPTED
    refused = voice.send(voice.told("n2"))
    assert (refused.told, refused.retry_after_s) == (Told.LATER, 60.0)
    voice.hand.now += 61
    assert voice.send(voice.told("n2")).told is Told.ACCEPTED


def test_how_many_numbers_are_remembered_is_bounded() -> None:
    hand = Hand()
    barred = Barred(hand)
    for i in range(BARRED_MOST + 5):
        barred.bar(str(i), 10.0)
        hand.now += 0.01
    assert len(barred._until) <= BARRED_MOST
    assert barred.left_s(str(BARRED_MOST)) > 0


# ---------------------------------------------------------------- a time-out after acceptance


@pytest.mark.parametrize("how", ["lose", "lose_at_the_gateway"])
def test_what_may_have_been_taken_is_not_to_be_sent_again(bench: Bench, how: str) -> None:
    bench.provider.then(getattr(bench.cloud, how))
    answer = bench.send()
    assert (answer.told, answer.once) == (Told.UNKNOWN, True)
    assert len(bench.cloud.taken) == 1


def test_what_was_lost_is_found_by_our_own_id(sms: Bench) -> None:
    sms.provider.then(sms.cloud.lose, sms.cloud.behave)
    told = sms.told()
    sms.send(told)
    assert sms.channel.ask(told) is None  # it is on its way
    sms.cloud.taken[0].status = 3
    assert sms.channel.ask(told) == Receipted("n1", True, "DELIVERED")
    sms.cloud.taken[0].status = 2
    assert sms.channel.ask(told) == Receipted("n1", False, "MOBILE_NOT_ON_SERVICE")


def test_before_a_second_attempt_the_provider_is_asked(sms: Bench) -> None:
    """The process died between the sending and writing it down: the row is due, the person has it."""
    sms.provider.then(sms.cloud.lose, sms.cloud.behave)
    told = sms.told()
    sms.send(told)
    sms.hand.now += 20  # we are up again
    answer = sms.send(told)
    assert (answer.told, answer.number, len(sms.cloud.taken)) == (Told.ACCEPTED, "n1", 1)
    sms.hand.now += 20
    assert sms.send(sms.told("n2")).told is Told.ACCEPTED
    assert [one.out_id for one in sms.cloud.taken] == ["n1", "n2"]


def test_what_they_do_not_know_is_sent(sms: Bench) -> None:
    told = sms.told()
    sms.hand.now += 600
    assert sms.send(told).told is Told.ACCEPTED
    assert len(sms.cloud.taken) == 1


@pytest.mark.parametrize("behaviour", [silence, hang_up])
def test_nothing_is_sent_while_they_do_not_say_what_they_have(sms: Bench, behaviour: Any) -> None:
    told = sms.told()
    sms.hand.now += 600
    sms.provider.then(behaviour, sms.cloud.behave)
    answer = sms.send(told)
    assert (answer.told, answer.once, sms.cloud.taken) == (Told.LATER, False, [])


@pytest.mark.parametrize("after_s", [-1, 1800], ids=["23:59:59", "00:30"])
def test_days_are_chinas(sms: Bench, after_s: float) -> None:
    """Whatever zone the box is in; what was sent just before midnight is asked for after it."""
    sms.hand.now += 86_400 - (sms.wall() + 8 * 3600) % 86_400 + after_s
    told = sms.told()
    sms.send(told)
    sms.cloud.taken[0].status = 3
    sms.hand.now += 30
    assert sms.channel.ask(told) == Receipted("n1", True, "DELIVERED")


@pytest.mark.parametrize(
    "behaviour",
    [
        silence,
        reply(500),
        reply(200, b"[]"),
        reply(200, b"{}"),
        reply(200, b'{"Code":"OK","SmsSendDetailDTOs":[]}'),
        reply(200, b'{"Code":"OK","SmsSendDetailDTOs":{"SmsSendDetailDTO":["x",{"OutId":"n1"}]}}'),
        dialects.aliyun("isp.RAM_PERMISSION_DENY"),
    ],
)
def test_no_answer_is_no_receipt(sms: Bench, behaviour: Any) -> None:
    sms.provider.then(behaviour)
    assert sms.channel.ask(sms.told()) is None


def test_who_can_be_asked_and_who_listens(bench: Bench) -> None:
    assert isinstance(bench.channel, Asking) is (bench.kind == "sms_aliyun")
    assert isinstance(bench.channel, Listening)


# ---------------------------------------------------------------- what they call us with


def test_receipts_of_sms(sms: Bench) -> None:
    sms.send(sms.told("n1"))
    sms.send(sms.told("n2"))
    heard = sms.hear(sms.cloud.report(*sms.cloud.taken))
    assert (heard.status, json.loads(heard.body)["code"]) == (200, 0)
    assert heard.said == (
        Receipted("n1", True, "DELIVERED 用户接收成功"),
        Receipted("n2", True, "DELIVERED 用户接收成功"),
    )
    (failed,) = sms.hear(sms.cloud.report(sms.cloud.taken[0], delivered=False)).said
    assert failed == Receipted("n1", False, "MOBILE_NOT_ON_SERVICE 停机")


def test_receipts_of_tencent_name_the_serial_number(tencent: Bench) -> None:
    answer = tencent.send()
    heard = tencent.hear(tencent.cloud.report(*tencent.cloud.taken, delivered=False))
    assert (heard.status, json.loads(heard.body)) == (200, {"result": 0, "errmsg": "OK"})
    assert heard.said == (Receipted(answer.number, False, "MK:0001 用户关机"),)


def test_a_reply_to_an_sms(sms: Bench, tencent: Bench) -> None:
    up = [{"phone_number": MOBILE, "send_time": "x", "content": "1", "dest_code": "1", "sequence_id": 7}]
    assert sms.hear(json.dumps(up).encode()).said == (Replied(MOBILE, "1"),)
    back = {"extend": "", "mobile": MOBILE, "nationcode": "86", "sign": SIGN, "text": "1", "time": 1}
    assert tencent.hear(json.dumps(back).encode()).said == (Replied(MOBILE, "1"),)


@pytest.mark.parametrize(
    ("status", "answered", "words", "failure"),
    [
        ("200000", True, "接听", ""),
        ("200001", True, "没有听完", ""),
        ("200002", False, "占线", "busy"),
        ("200003", False, "无人接听", "no_answer"),
        ("200004", False, "空号", "invalid"),
        ("200010", False, "关机", "off"),
        ("200118", False, "此时段限制呼叫", ""),
        ("299999", False, "执行完成", ""),
    ],
)
def test_how_a_call_ended(voice: Bench, status: str, answered: bool, words: str, failure: str) -> None:
    voice.send()
    (receipt,) = voice.hear(voice.cloud.call_report(voice.cloud.taken[0], status)).said
    assert isinstance(receipt, Receipted)
    assert (receipt.number, receipt.delivered) == ("n1", answered)
    assert words in receipt.detail and status in receipt.detail
    assert receipt.failure == failure


def test_a_key_that_was_pressed(voice: Bench) -> None:
    voice.send()
    receipt, key = voice.hear(voice.cloud.call_report(voice.cloud.taken[0], dtmf="1#")).said
    assert key == Replied("", "1", "n1")
    assert isinstance(receipt, Receipted) and receipt.delivered


@pytest.mark.parametrize("status", ["200101", "200201", "200102", "200100"])
def test_a_call_under_way_is_not_over(voice: Bench, status: str) -> None:
    body = [{"status_code": status, "status_time": "x", "out_id": "n1", "call_id": "c"}]
    assert voice.hear(json.dumps(body).encode()).said == ()


@pytest.mark.parametrize("token", ["", "wrong", TOKEN[:-1], TOKEN + "x", "口令"])
def test_without_our_token_nothing_is_heard(bench: Bench, token: str) -> None:
    heard = bench.hear(b"[]", token)
    assert (heard.status, heard.said, heard.body) == (403, (), b"")
    bench.channel = bench.make(token=None)
    assert bench.hear(b"[]", "").status == 403
    assert bench.hear(b"[]", token).status == 403


@pytest.mark.parametrize("body", [b"", b"{", b"1", b'["x"]', b"[" * 50_000, b"\xff", b'[{"success":true},1]'])
def test_what_is_not_to_be_understood(bench: Bench, body: bytes) -> None:
    with pytest.raises(ValueError, match=r"JSON|object"):
        bench.hear(body)


@pytest.mark.parametrize(
    "item", [{}, {"success": "no"}, {"content": 7}, {"report_status": None}, {"text": []}]
)
def test_strange_items_say_nothing_good(bench: Bench, item: dict[str, Any]) -> None:
    for one in bench.hear(json.dumps([item]).encode()).said:
        assert not (isinstance(one, Receipted) and one.delivered)
        assert not (isinstance(one, Replied) and one.text)


def test_the_same_push_has_the_same_key(bench: Bench) -> None:
    assert bench.hear(b"[]").key == bench.hear(b"[]").key != bench.hear(b"[ ]").key


# ---------------------------------------------------------------- settings

ENTRY = {"key_id": KEY_ID, "sign": SIGN, "template": TEMPLATE, "variables": "level title place situation"}


def build(kind: str, folder: Path, token: str = "", **changes: str) -> Channel:
    module = channels.find(kind)
    known = ENTRY | {"app_id": "1400006666"} | changes
    settings = {name: value for name, value in known.items() if name in module.SETTINGS}
    secrets = {"key_secret_file": folder / "secret"} | ({"token_file": folder / "token"} if token else {})
    for name, text in (("secret", SECRET), ("token", token)):
        (folder / name).write_text(f"{text}\n")
    return channels.build(kind, kind, settings, secrets)


@pytest.mark.parametrize(
    ("kind", "token", "within", "found"),
    [
        ("sms_aliyun", "", None, 60.0),  # it can be asked
        ("sms_tencent", "", None, 0.0),  # nobody would tell
        ("sms_tencent", TOKEN, None, 60.0),
        ("voice_aliyun", "", None, 0.0),
        ("voice_aliyun", TOKEN, None, 120.0),
        ("sms_aliyun", TOKEN, "0", 0.0),
        ("sms_tencent", TOKEN, "90s", 90.0),
    ],
)
def test_how_long_a_receipt_may_take(
    kind: str, token: str, within: str | None, found: float, tmp_path: Path
) -> None:
    channel: Any = build(kind, tmp_path, token, **({"receipt_within": within} if within else {}))
    assert channel._receipt_s == found


def test_every_answer_says_how_long_a_receipt_may_take(bench: Bench) -> None:
    bench.channel = bench.make(receipt_s=45.0)
    assert bench.send().receipt_s == 45.0
    bench.provider.then(bench.cloud.lose)
    bench.hand.now += 86_401
    assert bench.send(bench.told("n2")).receipt_s == 45.0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "changes",
    [
        {"variables": "titel"},
        {"receipt_within": "soon"},
        {"receipt_within": "601"},
        {"url": "ftp://x"},
    ],
)
def test_a_wrong_setting_is_named(kind: str, changes: dict[str, str], tmp_path: Path) -> None:
    (setting,) = changes
    with pytest.raises(ValueError, match=f"channels.{kind}.{setting}: "):
        build(kind, tmp_path, **changes)


@pytest.mark.parametrize("token", ["short", "a b c d e f g h i j", "口" * 20])
def test_a_token_that_could_be_guessed_is_refused(tmp_path: Path, token: str) -> None:
    with pytest.raises(ValueError, match=r"channels\.sms_aliyun\.token_file: expected 16"):
        build("sms_aliyun", tmp_path, token)


def test_how_often_a_call_is_read(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="play_times: found 4, expected 1, 2 or 3"):
        build("voice_aliyun", tmp_path, play_times="4")


# ---------------------------------------------------------------- with the ladder


class Desk:
    """The engine, its channels and their clouds: what the notifier and the door do, without threads."""

    def __init__(self, sms: Bench, voice: Bench) -> None:
        persons = {
            "wang": Person(id="wang", says="王经理", unit="firm", reach={"sms": MOBILE, "voice": MOBILE}),
            "li": Person(id="li", says="李主任", unit="jw", reach={"sms": "13900000002"}),
        }
        ladder = (
            Step(role="property", by=("sms",)),
            Step(role="property", by=("voice",), after_s=300),
            Step(role="committee", by=("sms",), after_s=900),
        )
        site = world(rules=(HOT, SMOKE), ladders={level: ladder for level in Level}, persons=persons)
        self.benches = {"sms": sms, "voice": voice}
        sms.channel, voice.channel = sms.make(receipt_s=60.0), voice.make(receipt_s=120.0)
        self.play = Play(engine=Engine(site, State(identity="0000002a")))
        self.done: set[tuple[str, int]] = set()

    def carry(self) -> None:
        """Sends what is due, and tells the engine what became of it."""
        while due := [one for one in self._due() if (one.id, one.attempt) not in self.done]:
            for one in due:
                self.done.add((one.id, one.attempt))
                bench = self.benches[one.channel]
                fresh = replace(one, created_ns=int(bench.wall() * 1e9))
                answer = bench.send(fresh)
                said = (answer.detail, answer.retry_after_s, answer.number, answer.card)
                said = (*said, answer.once, answer.receipt_s)
                self.play.give(Outcome(self.play.at, self.play.wall(), one.id, answer.told, *said))

    def _due(self) -> list[Notification]:
        waiting = self.play.engine.state.notifications.values()
        return [one for one in waiting if one.due_at <= self.play.at]

    def push(self, name: str, body: bytes) -> None:
        for one in self.benches[name].hear(body).said:
            at, wall_ns = self.play.at, self.play.wall()
            if isinstance(one, Receipted):
                said = (one.number, one.delivered, one.detail, one.failure)
                self.play.give(Receipt(at, wall_ns, name, *said))
            else:
                self.play.give(Reply(at, wall_ns, name, one.address, one.text, one.number))

    def states(self) -> list[tuple[str, NotificationState]]:
        newest = {one.id: one for one in self.play.notifications()}
        return [(one.channel, one.state) for one in newest.values()]


@pytest.fixture
def desk(provider: Provider) -> Iterator[Desk]:
    with Provider(silence) as other:
        yield Desk(Bench("sms_aliyun", provider), Bench("voice_aliyun", other))


def test_a_lost_sms_becomes_a_call_and_a_key_takes_the_case_on(desk: Desk) -> None:
    sms, voice = desk.benches["sms"], desk.benches["voice"]
    sms.provider.then(sms.cloud.lose)
    desk.play.say(smoke=1)
    desk.carry()
    assert [one.phone for one in voice.cloud.taken] == [MOBILE]  # red did not wait
    desk.push("voice", voice.cloud.call_report(voice.cloud.taken[0], dtmf="1"))
    case = desk.play.case()
    assert (case.stage, case.acknowledged_by) == (Stage.ACKNOWLEDGED, "wang")
    desk.play.wait(7200)
    desk.carry()
    assert len(sms.cloud.taken) == len(voice.cloud.taken) == 1
    states = [("sms", NotificationState.MISSED), ("voice", NotificationState.DELIVERED)]
    assert desk.states() == states


def test_taken_and_dropped_is_noticed(desk: Desk) -> None:
    """A 200 with OK, and nothing after it."""
    desk.play.say(smoke=1)
    desk.carry()
    desk.play.wait(60)
    desk.carry()
    assert len(desk.benches["voice"].cloud.taken) == 1
    assert desk.states()[0] == ("sms", NotificationState.MISSED)


def test_receipts_twice_late_and_of_strangers(desk: Desk) -> None:
    sms = desk.benches["sms"]
    desk.play.say(smoke=1)
    desk.carry()
    body = sms.cloud.report(*sms.cloud.taken)
    desk.push("sms", body)
    before = len(desk.play.effects)
    desk.push("sms", body)
    stranger = sms.cloud.take("somebody-elses", MOBILE, [])
    desk.push("sms", sms.cloud.report(stranger, delivered=False))
    assert len(desk.play.effects) == before + 2  # two notes, and nothing else
    assert desk.play.noted()[-2:] == ["receipt_ignored"] * 2
    desk.play.wait(299)
    desk.carry()
    assert desk.benches["voice"].cloud.taken == []


def test_a_busy_line_goes_to_the_next_person_at_once(desk: Desk) -> None:
    sms, voice = desk.benches["sms"], desk.benches["voice"]
    desk.play.say(smoke=1)
    desk.carry()
    desk.push("sms", sms.cloud.report(*sms.cloud.taken, delivered=False))
    desk.carry()
    desk.push("voice", voice.cloud.call_report(voice.cloud.taken[0], "200002"))
    desk.carry()
    assert [one.phone for one in sms.cloud.taken] == [MOBILE, "13900000002"]


def test_nobody_answers_three_calls_and_the_next_person_is_told(desk: Desk) -> None:
    """A call a minute, as the provider lets through; the rung by itself would wait for ten more."""
    sms, voice = desk.benches["sms"], desk.benches["voice"]
    desk.play.say(smoke=1)
    desk.carry()
    desk.push("sms", sms.cloud.report(*sms.cloud.taken, delivered=False))
    for calls in (1, 2, 3):
        desk.carry()
        assert len(voice.cloud.taken) == calls, "one call, and then another"
        desk.push("voice", voice.cloud.call_report(voice.cloud.taken[-1], "200003"))
        voice.hand.now += 60
        desk.play.wait(60)
    desk.carry()
    assert [one.phone for one in sms.cloud.taken] == [MOBILE, "13900000002"]
    assert len(voice.cloud.taken) == 3


@pytest.mark.parametrize("status", ["200004", "200010", "200002", "200012"])
def test_what_a_second_call_would_not_change_goes_on_at_once(desk: Desk, status: str) -> None:
    sms, voice = desk.benches["sms"], desk.benches["voice"]
    desk.play.say(smoke=1)
    desk.carry()
    desk.push("sms", sms.cloud.report(*sms.cloud.taken, delivered=False))
    desk.carry()
    desk.push("voice", voice.cloud.call_report(voice.cloud.taken[0], status))
    desk.carry()
    assert (len(voice.cloud.taken), [one.phone for one in sms.cloud.taken]) == (1, [MOBILE, "13900000002"])


def test_the_51st_of_a_day_is_a_call_when_it_is_red(desk: Desk) -> None:
    sms, voice = desk.benches["sms"], desk.benches["voice"]
    for i in range(50):
        sms.send(sms.told(f"x{i}"))
    desk.play.say(smoke=1)
    desk.carry()
    assert len(voice.cloud.taken) == 1


def test_a_1_by_sms_takes_the_case_on(desk: Desk) -> None:
    desk.play.say(smoke=1)
    desk.carry()
    up = [{"phone_number": f"86{MOBILE}", "content": "1", "sequence_id": 7}]
    desk.push("sms", json.dumps(up).encode())
    assert desk.play.case().acknowledged_by == "wang"
