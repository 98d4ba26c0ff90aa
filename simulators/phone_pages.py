"""The pages of the practice phones: cards with buttons, short messages, calls that ring."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from html import escape
from typing import Protocol
from urllib.parse import quote
from zoneinfo import ZoneInfo

ZONE = ZoneInfo("Asia/Shanghai")
COLOURS = ("grey", "black", "red", "green")
KINDS = {"card": "企业微信", "text": "企业微信", "sms": "短信", "call": "电话"}

STYLE = """
:root{color-scheme:light;--ink:#1d2129;--soft:#5c6370;--line:#e3e6eb;--go:#1f6feb}
*{box-sizing:border-box}
body{margin:0;background:#dfe3e8;color:var(--ink);
font:16px/1.5 system-ui,"PingFang SC","Noto Sans CJK SC",sans-serif}
.phone{max-width:430px;min-height:100vh;margin:0 auto;background:#f2f3f5}
header{position:sticky;top:0;display:flex;gap:12px;align-items:center;
background:#fff;border-bottom:1px solid var(--line);padding:10px 14px}
header a{font-size:26px;line-height:44px;width:32px;text-align:center;text-decoration:none;color:var(--go)}
header small{color:var(--soft);font-size:13px;display:block}
main,ul{padding:12px;display:flex;flex-direction:column;gap:12px}
article{background:#fff;border-radius:12px;padding:12px 14px;overflow-wrap:anywhere}
article.sms{background:#e9f7ec}
article.call{background:#1d2129;color:#fff}
.meta{display:flex;justify-content:space-between;font-size:13px;color:var(--soft)}
.call .meta{color:#c3c8d0}
h2{font-size:17px;margin:4px 0 6px}
.red{color:#c4161c}.green{color:#13713b}.grey{color:#5c6370}.black{color:#1d2129}
p{margin:2px 0;white-space:pre-line}
.state{color:var(--soft);font-size:14px;margin-top:8px}.call .state{color:#ffd591}
.pair{display:flex;gap:10px;margin-top:10px}.pair>*{flex:1;margin:0}
button,.open{display:block;width:100%;min-height:46px;border:1px solid var(--line);border-radius:8px;
background:#fff;color:var(--ink);font:inherit;text-align:center;line-height:44px;text-decoration:none}
button.main{background:var(--go);border-color:var(--go);color:#fff}
.call button{background:#c4161c;border-color:#c4161c;color:#fff}
.call button.main{background:#13713b;border-color:#13713b}
.empty{text-align:center;color:var(--soft);padding:48px 0}
ul{list-style:none;margin:0}
li a{display:block;background:#fff;border-radius:12px;padding:14px;color:inherit;text-decoration:none}
"""
SCRIPT = """
const talk=document.querySelector('main');let before=talk.innerHTML;
const down=()=>scrollTo(0,document.body.scrollHeight);down();
setInterval(async()=>{try{const got=await(await fetch(talk.dataset.fresh)).text();
if(got!==before){before=got;talk.innerHTML=got;down()}}catch{}},1000);
"""


class Owned(Protocol):
    @property
    def id(self) -> str: ...
    @property
    def says(self) -> str: ...


class Shown(Protocol):
    """What is needed of simulators.phones.Item."""

    id: int
    kind: str
    title: str
    text: str
    wall_s: float
    head: str
    colour: int
    link: str
    buttons: dict[str, str]
    state: str


def index_page(owners: Iterable[Owned], console: str) -> str:
    rows = "".join(f'<li><a href="/{quote(one.id)}">{escape(one.says)}的手机</a></li>' for one in owners)
    back = f'<a href="{escape(console)}" aria-label="控制台">‹</a>'
    return _page(
        "手机",
        f"<header>{back}<b>各人的手机 <small>phones · ‹ 控制台 console</small></b></header><ul>{rows}</ul>",
    )


def phone_page(owner: Owned, items: Sequence[Shown]) -> str:
    head = f'<header><a href="/" aria-label="所有手机">‹</a><div><b>{escape(owner.says)}的手机</b>'
    head += "<small>演示用：企业微信、短信和来电都到这里</small></div></header>"
    talk = (
        f'<main data-fresh="/{quote(owner.id)}/items" aria-live="polite">{items_html(owner.id, items)}</main>'
    )
    return _page(f"{owner.says}的手机", f"{head}{talk}<script>{SCRIPT}</script>")


def items_html(owner: str, items: Sequence[Shown]) -> str:
    return "".join(_item(owner, item) for item in items) or '<p class="empty">还没有消息 no messages yet</p>'


def _item(owner: str, item: Shown) -> str:
    at = datetime.fromtimestamp(item.wall_s, ZONE).strftime("%H:%M:%S")
    kind = f'<span class="{COLOURS[item.colour]}">{KINDS[item.kind]} · {escape(item.head)}</span>'
    kind = kind if item.head else f"<span>{KINDS[item.kind]}</span>"
    title = f"<h2>{escape(item.title)}</h2>" if item.kind in ("card", "call") else ""
    state = f'<p class="state">{escape(item.state)}</p>' if item.state else ""
    return (
        f'<article class="{item.kind}"><div class="meta">{kind}<time>{at}</time></div>{title}'
        f"<p>{escape(item.text)}</p>{state}{_buttons(owner, item)}</article>"
    )


def _buttons(owner: str, item: Shown) -> str:
    made = [
        f'<form method="post" action="/{quote(owner)}/press">'
        f'<input type="hidden" name="item" value="{item.id}">'
        f'<button name="key" value="{escape(key)}" class="{"" if n else "main"}">{escape(words)}</button>'
        "</form>"
        for n, (key, words) in enumerate(item.buttons.items())
    ]
    if item.link:
        made.append(f'<a class="open" href="{escape(item.link)}">打开</a>')
    return f'<div class="pair">{"".join(made)}</div>' if made else ""


def _page(title: str, body: str) -> str:
    return (
        '<!doctype html><html lang="zh-CN"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head>"
        f'<body><div class="phone">{body}</div></body></html>'
    )
