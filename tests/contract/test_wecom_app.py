"""What only `wecom_app` promises: one token, who is not reached under errcode 0, cards, encrypted calls."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from gateway import channels
from gateway.adapters.http import Origin, Site
from gateway.channels.base import Call, Listening, Replied, Secret
from gateway.channels.wecom_app import MEMBER_MOST, RED_RESERVE, HearingWecomApp, WecomApp, compose
from gateway.channels.wecom_callback import WINDOW_S, Envelope
from gateway.core.model import SECOND, Kind, Level, Notification, Told
from simulators.wecom import AES_KEY, AGENT, CARD_S, CORP_ID, CORP_SECRET, TOKEN, press
from tests.carrier import MINUTE, Carrier, Wheel
from tests.contract.corp import Corp, call
from tests.contract.dialects import TOTAL_S, notification
from tests.contract.provider import Provider, reply, silence

LINK = "https://alarm.example/c/" + "t" * 170
ENVELOPE = Envelope(CORP_ID, Secret(TOKEN), Secret(AES_KEY))
AT_S = 1_790_000_000.0


class Office:
    """The app, and the corp behind it."""

    def __init__(self, secret: str = CORP_SECRET) -> None:
        self.provider = Provider()
        self.corp = Corp(self.provider, {"wang", "li"})
        site = Site(Origin.parse(f"http://127.0.0.1:{self.provider.port}/cgi-bin"), TOTAL_S)
        self.app = HearingWecomApp(site, CORP_ID, AGENT, Secret(secret), ENVELOPE, self.corp.now)

    def send(self, **changes: object) -> object:
        return self.app.send(notification(**changes), "文", LINK)


class Carried(Carrier):
    """The app behind the notifier, which counts before the wire."""

    def __init__(self, office: Office) -> None:
        wheel, self.corp = Wheel(), office.corp
        office.corp.now = wheel.steady_s
        super().__init__(wheel, {"app": office.app}, {"app": "wecom_app"})

    def tell(self, names: Sequence[str], **changes: object) -> int:
        """How many of them arrived at once; each for another person, all by one telephone."""
        before = sum(map(len, self.corp.shown.values()))
        plain: dict[str, object] = {"channel": "app", "level": Level.YELLOW}
        self.raises([notification(id=one, person=one, **plain | changes) for one in names])
        self.runs(self.wheel.now + 1)
        return sum(map(len, self.corp.shown.values())) - before


@pytest.fixture
def office() -> Iterator[Office]:
    found = Office()
    with found.provider:
        yield found
    assert found.provider.complaints == []


# ---------------------------------------------------------------- the token


def test_one_token_serves_until_shortly_before_its_time(office: Office) -> None:
    for number in range(3):
        assert office.send(id=f"n-{number}").told is Told.ACCEPTED
    assert len(office.provider.token_requests) == 1
    office.corp.now.now += 7200 - 299
    assert office.send(id="n-3").told is Told.ACCEPTED
    assert len(office.provider.token_requests) == 2
    assert len(office.provider.requests) == 4, "none was sent with a token that had died"


@pytest.mark.parametrize("how", ["expired", "unknown"])
def test_a_token_that_died_early_is_fetched_once(office: Office, how: str) -> None:
    office.send(id="n-0")
    if how == "expired":
        office.corp.dead.update(office.corp.tokens)
    else:
        office.corp.tokens.clear()
    assert office.send(id="n-1").told is Told.ACCEPTED
    assert len(office.provider.token_requests) == 2
    assert len(office.corp.shown["wang"]) == 2


def test_a_token_that_keeps_dying_is_for_now(office: Office) -> None:
    """Some other program fetches tokens of the same app: neither for good, nor a reason to hammer."""
    office.corp.take = None  # type: ignore[assignment]
    office.provider.then(reply(200, b'{"errcode":42001,"errmsg":"access_token expired"}'))
    answer = office.send()
    assert (answer.told, answer.retry_after_s) == (Told.LATER, 5.0)
    assert len(office.provider.token_requests) == 2


def test_threads_share_one_fetch(office: Office) -> None:
    threads = [threading.Thread(target=lambda n=n: office.send(id=f"n-{n}")) for n in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join(5)
    assert len(office.provider.token_requests) == 1
    assert len(office.corp.shown["wang"]) == 4


def test_a_wrong_secret_is_for_good_and_named() -> None:
    wrong = Office(secret="another-secret-0123456789")
    with wrong.provider:
        answer = wrong.send()
    assert answer.told is Told.REFUSED
    assert "secret_file" in answer.detail
    assert "another-secret" not in answer.detail
    assert wrong.provider.requests == []


@pytest.mark.parametrize(
    "body", [b"{}", b'{"errcode":0}', b'{"errcode":0,"access_token":"","expires_in":7200}', b"x"]
)
def test_no_token_means_that_nothing_was_sent(office: Office, body: bytes) -> None:
    office.provider.gives_token = reply(200, body)
    assert office.send().told is Told.LATER


def test_token_and_message_share_one_time(office: Office) -> None:
    """A person waits behind this: 10 s in all, not 10 s for each of four exchanges."""
    office.send(id="n-0")
    office.app._site._total_s = 2.0

    def slowly(provider: Provider, wire: socket.socket) -> bool:
        provider.over.wait(1.5)
        return reply(200, b'{"errcode":42001,"errmsg":"access_token expired"}')(provider, wire)

    office.provider.then(slowly)
    office.provider.gives_token = silence
    began = time.monotonic()
    assert office.send(id="n-1").told is Told.LATER
    assert time.monotonic() - began < 3.0


# ---------------------------------------------------------------- who has it


def test_success_is_read_for_who_did_not_get_it(office: Office) -> None:
    office.provider.then(reply(200, b'{"errcode":0,"errmsg":"ok","invaliduser":"wang","msgid":"m"}'))
    answer = office.send()
    assert answer.told is Told.REFUSED
    assert "invaliduser" in answer.detail


def test_a_member_without_a_licence_has_it_not(office: Office) -> None:
    office.corp.unlicensed.add("wang")
    assert office.send().told is Told.REFUSED


def test_a_stranger_is_refused(office: Office) -> None:
    answer = office.send(address="zhao")
    assert answer.told is Told.REFUSED
    assert len(office.provider.requests) == 1, "as a text it would reach nobody either"


@pytest.mark.parametrize("address", ["@all", "wang|li", "", "王经理", "13812341234 "])
def test_only_one_member_is_told(office: Office, address: str) -> None:
    answer = office.send(address=address)
    assert answer.told is Told.REFUSED
    assert office.corp.shown == {}


def test_we_stop_before_wecom_drops_without_a_word(office: Office) -> None:
    street = Carried(office)
    assert street.tell([f"n-{n}" for n in range(40)]) == MEMBER_MOST - RED_RESERVE
    assert street.tell([f"r-{n}" for n in range(RED_RESERVE)], level=Level.RED) == RED_RESERVE
    assert street.tell(["l-0"], address="li") == 1, "one member's flood is his own"
    street.runs(61 * SECOND)
    assert len(office.corp.shown["wang"]) > MEMBER_MOST
    street.runs(10 * MINUTE)
    assert len(office.corp.shown["wang"]) == 40 + RED_RESERVE
    assert (street.later, office.corp.dropped) == ([], 0)


# ---------------------------------------------------------------- the card


def test_the_card_has_both_buttons_and_our_key(office: Office) -> None:
    answer = office.send()
    message = office.corp.shown["wang"][0]
    card = message["template_card"]
    assert card["task_id"] == notification().id
    assert [one["text"] for one in card["button_list"]] == ["收到", "打开"]
    assert card["button_list"][1]["url"] == card["card_action"]["url"] == LINK
    assert message["enable_duplicate_check"] == 1
    assert (answer.number, answer.card) == ("msg-1", "code-wang-0")


def test_without_a_callback_it_has_no_button_to_press(office: Office) -> None:
    """A press that nobody hears would be believed to have been heard."""
    plain = WecomApp(office.app._site, CORP_ID, AGENT, Secret(CORP_SECRET), office.corp.now)
    assert not isinstance(plain, Listening)
    answer = plain.send(notification(), "文", LINK)
    assert (answer.told, answer.card) == (Told.ACCEPTED, "")
    assert office.corp.shown["wang"][0]["template_card"]["card_type"] == "text_notice"


def test_what_is_refused_as_a_card_goes_as_a_text(office: Office) -> None:
    office.corp.no_cards = True
    answer = office.send()
    assert (answer.told, answer.card) == (Told.ACCEPTED, "")
    assert LINK in office.corp.shown["wang"][0]["text"]["content"]


def test_the_same_key_twice_still_arrives(office: Office) -> None:
    """The first answer was lost; a corp that knows the task_id refuses the card, and takes the text."""
    assert [office.send().told for _ in range(2)] == [Told.ACCEPTED] * 2


def test_a_test_message_opens_nothing(office: Office) -> None:
    assert office.app.send(notification(), "测试", "").told is Told.ACCEPTED
    assert "href" not in office.corp.shown["wang"][0]["text"]["content"]


def test_good_news_is_green_and_asks_for_nothing() -> None:
    for level in Level:
        card = compose(notification(kind=Kind.CLEARED, level=level), "文", LINK, AGENT, True)["template_card"]
        assert (card["card_type"], card["source"]["desc_color"]) == ("text_notice", 3)


def test_long_texts_are_cut_and_a_devices_words_draw_nothing() -> None:
    made = compose(notification(title="<a>" * 200), "<b>" * 900, LINK, AGENT, True)["template_card"]
    assert len(made["main_title"]["title"].encode()) <= 128
    assert len(made["sub_title_text"].encode()) <= 512
    assert "<" not in made["main_title"]["title"] + made["sub_title_text"]


# ---------------------------------------------------------------- somebody answered


def change(card: str, address: str = "wang") -> Notification:
    return notification(
        kind=Kind.ANSWERED, title="已由李主任接手", card=card, address=address, id=f"c-{card}"
    )


def test_every_card_says_who_took_it_on(office: Office) -> None:
    cards = [office.send(address=one, id=f"n-{one}").card for one in ("wang", "li")]
    for card, member in zip(cards, ("wang", "li"), strict=True):
        assert office.app.send(change(card, member), "", "").told is Told.ACCEPTED
    assert office.corp.changed == [("wang", "已由李主任接手"), ("li", "已由李主任接手")]


def test_a_change_that_comes_too_late_is_no_alarm(office: Office) -> None:
    """A code serves once, for 72 h. That a card stays as it was is nothing to wake an operator for."""
    card = office.send().card
    office.corp.now.now += CARD_S + 1
    answer = office.app.send(change(card), "", "")
    assert (answer.told, office.corp.changed) == (Told.ACCEPTED, [])
    assert "stays as it is" in answer.detail


def test_changes_do_not_count_as_messages(office: Office) -> None:
    street = Carried(office)
    street.tell([f"c-{n}" for n in range(MEMBER_MOST * 2)], kind=Kind.ANSWERED, title="已由李主任接手")
    assert len(office.provider.requests) == MEMBER_MOST * 2
    assert street.tell([f"n-{n}" for n in range(40)]) == MEMBER_MOST - RED_RESERVE


# ---------------------------------------------------------------- its calls


def test_a_pressed_button_says_who_and_what() -> None:
    heard = ENVELOPE.hear(call(press("wang", "01JD"), AT_S))
    assert heard.said == (Replied("wang", "acknowledge", "01JD"),)
    assert (heard.status, heard.body) == (200, b"")


def test_the_same_press_has_the_same_key_and_another_has_not() -> None:
    """WeCom calls again with a new signature when we were slow."""
    one = ENVELOPE.hear(call(press("wang", "01JD"), AT_S)).key
    assert one == ENVELOPE.hear(call(press("wang", "01JD"), AT_S + 5, nonce="999")).key
    others = [press("li", "01JD"), press("wang", "01JE"), press("wang", "01JD", created_s=1)]
    assert len({one, *(ENVELOPE.hear(call(text, AT_S)).key for text in others)}) == 4


def test_words_are_heard_too() -> None:
    text = (
        "<xml><FromUserName><![CDATA[wang]]></FromUserName><MsgType><![CDATA[text]]></MsgType>"
        "<Content><![CDATA[收到]]></Content><MsgId>77</MsgId></xml>"
    )
    heard = ENVELOPE.hear(call(text, AT_S))
    assert (heard.said, heard.key) == ((Replied("wang", "收到"),), "77")


def test_other_events_are_taken_and_say_nothing() -> None:
    text = "<xml><MsgType>event</MsgType><Event>enter_agent</Event></xml>"
    heard = ENVELOPE.hear(call(text, AT_S))
    assert (heard.status, heard.said) == (200, ())


def test_the_vendors_own_example_opens() -> None:
    """From the document on encryption (加解密方案说明): token, key, corp, signature and body are theirs."""
    encrypted = (
        "RypEvHKD8QQKFhvQ6QleEB4J58tiPdvo+rtK1I9qca6aM/wvqnLSV5zEPeusUiX5L5X/0lWfrf0QADHHhGd3QczcdCUpj911L3vg3W/"
        "sYYvuJTs3TUUkSUXxaccAS0qhxchrRYt66wiSpGLYL42aM6A8dTT+6k4aSknmPj48kzJs8qLjvd4Xgpue06DOdnLxAUHzM6+kDZ+H"
        "MZfJYuR+LtwGc2hgf5gsijff0ekUNXZiqATP7PF5mZxZ3Izoun1s4zG4LUMnvw2r+KqCKIw+3IQH03v+BCA9nMELNqbSf6tiWSrXJ"
        "B3LAVGUcallcrw8V2t9EL4EhzJWrQUax5wLVMNS0+rUPA3k22Ncx4XXZS9o0MBH27Bo6BpNelZpS+/uh9KsNlY6bHCmJU9p8g7m3f"
        "VKn28H3KDYA5Pl/T8Z1ptDAVe0lXdQ2YoyyH2uyPIGHBZZIs2pDBS8R07+qN+E7Q=="
    )
    body = f"<xml><Encrypt><![CDATA[{encrypted}]]></Encrypt></xml>".encode()
    query = {
        "msg_signature": "477715d11cdb4164915debcba66cb864d751f3e6",
        "timestamp": "1409659813",
        "nonce": "1372623149",
    }
    theirs = Envelope("wx5823bf96d3bd56c7", Secret(TOKEN), Secret(AES_KEY))
    heard = theirs.hear(Call(query, {}, body, 1_409_659_813.0))
    assert heard.said == (Replied("mycreate", "hello"),)
    assert heard.key == "4561255354251345929"


def test_the_address_is_proven_by_giving_back_what_was_locked() -> None:
    posted = call("1616140317555161061", AT_S)
    encrypted = posted.body.split(b"<Encrypt><![CDATA[")[1].split(b"]]>")[0].decode()
    heard = ENVELOPE.hear(Call({**posted.query, "echostr": encrypted}, {}, b"", AT_S))
    assert (heard.status, heard.body) == (200, b"1616140317555161061")


def forged() -> dict[str, Call]:
    good, text = call(press("wang", "01JD"), AT_S), press("wang", "01JD")
    other = call(press("li", "01JD"), AT_S)
    return {
        "another token": call(text, AT_S, token="another"),
        "another key": call(text, AT_S, key="A" * 43),
        "another corp": call(text, AT_S, corp="ww9999999999999999"),
        "another body": Call(good.query, {}, other.body, AT_S),
        "another nonce": Call({**good.query, "nonce": "1"}, {}, good.body, AT_S),
        "another instant": Call({**good.query, "timestamp": str(int(AT_S) + 1)}, {}, good.body, AT_S),
        "too old": Call(good.query, {}, good.body, AT_S + WINDOW_S + 1),
        "ahead": Call(good.query, {}, good.body, AT_S - WINDOW_S - 1),
        "no signature": Call({}, {}, good.body, AT_S),
        "no instant": Call({**good.query, "timestamp": "²"}, {}, good.body, AT_S),
        "nothing": Call({}, {}, b"", AT_S),
        "plain": Call(good.query, {}, press("wang", "01JD").encode(), AT_S),
    }


@pytest.mark.parametrize("what", forged())
def test_what_is_not_theirs_says_nothing(what: str) -> None:
    heard = ENVELOPE.hear(forged()[what])
    assert (heard.status, heard.said, heard.body) == (401, (), b"")


@pytest.mark.parametrize("text", ["<xml>", "<!DOCTYPE x [<!ENTITY a 'a'>]><xml>&a;</xml>", "", "{}"])
def test_theirs_and_not_to_be_read(text: str) -> None:
    with pytest.raises(ValueError, match="XML"):
        ENVELOPE.hear(call(text, AT_S))


# ---------------------------------------------------------------- its entry in lilong.yaml


def made(folder: Path, settings: dict[str, str] | None = None, **secrets: str) -> object:
    files = {}
    for name, content in ({"secret_file": CORP_SECRET} | secrets).items():
        (folder / name).write_text(content + "\n")
        files[name] = folder / name
    return channels.build(
        "app", "wecom_app", {"corp_id": CORP_ID, "agent_id": str(AGENT)} | (settings or {}), files
    )


def test_with_both_files_of_the_callback_it_listens(tmp_path: Path) -> None:
    assert isinstance(made(tmp_path, callback_token_file=TOKEN, callback_key_file=AES_KEY), Listening)
    assert not isinstance(made(tmp_path), Listening)


@pytest.mark.parametrize(
    ("secrets", "word"),
    [
        ({"callback_token_file": TOKEN}, "callback_key_file"),
        ({"callback_key_file": AES_KEY}, "callback_token_file"),
        ({"callback_token_file": TOKEN, "callback_key_file": "short"}, "callback_key_file"),
        ({"callback_token_file": "a b", "callback_key_file": AES_KEY}, "callback_token_file"),
        ({"secret_file": "with space in it, long"}, "secret_file"),
    ],
)
def test_what_cannot_be_right_is_named_and_not_repeated(
    secrets: dict[str, str], word: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=word) as caught:
        made(tmp_path, **secrets)
    assert not [one for one in secrets.values() if one in str(caught.value)]


@pytest.mark.parametrize("settings", [{"agent_id": "x"}, {"corp_id": "a b"}, {"url": "ftp://x"}])
def test_settings_are_looked_at(settings: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=next(iter(settings))):
        made(tmp_path, settings)
