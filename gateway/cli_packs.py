"""`lilong pack …`: rule packs that are made in one place and judge in many: signed, verified, installed."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from gateway.problems import ConfigError, Problems, locale_of, shown
from gateway.terminal import Ordered, config_option, hand_over, print_problems, print_table, say

if TYPE_CHECKING:
    from gateway.grammar import TuneKeys
    from gateway.installing import Change, Flat, Plan
    from gateway.signatures import SignatureError

LISTED_MOST = 60  # lines of a plan, before the rest is only counted
file_argument = click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
NOTHING = ("未作任何更改", "nothing was changed")


@click.group(cls=Ordered)
def pack() -> None:
    """规则包 · Rule packs: sign, verify, install."""


@pack.command()
@file_argument
def keygen(file: Path) -> None:
    """造密钥 · A pair of keys. FILE becomes the private one, FILE.pub the public one, for lilong.yaml."""
    from gateway.signatures import make_key, public_file

    try:
        public = make_key(file)
    except OSError as error:
        sys.exit(f"lilong: {error.filename}: {error.strerror}")
    click.echo(
        say(f"私钥 {file}（0600）：不要放到网关上", f"private: {file} (0600); it stays off the gateways")
    )
    click.echo(say(f"公钥 {public_file(file)}", f"public: {public_file(file)}"))
    click.echo(say("写进每台网关的 lilong.yaml：", "for the lilong.yaml of each gateway:"))
    click.echo(f"  directories: {{rules: [builtin, rules], signed: [rules], signers: {{NAME: {public}}}}}")


@pack.command()
@file_argument
@click.option("--key", type=click.Path(path_type=Path, dir_okay=False), required=True, help="the private key")
def sign(file: Path, key: Path) -> None:
    """签名 · A pack that has a version and no mistake. Its signature is written beside it: FILE.sig."""
    from gateway.installing import read_pack
    from gateway.registry import rewrite
    from gateway.signatures import SignatureError, beside, signed
    from gateway.yamlfile import BYTES_MOST, read_bytes

    problems = Problems(locale_of())
    data = read_bytes(file, BYTES_MOST, problems, str(file))
    keys = read_pack(file, data, problems) if data is not None else None
    if data is None or keys is None:
        _refuse(problems.listed())
    try:
        signature = signed(file.name, data, key)
        rewrite(beside(file), signature)
    except SignatureError as error:
        _refuse([_mistake(key, error)])
    except OSError as error:
        sys.exit(f"lilong: {error.filename}: {error.strerror}")
    by = signature.decode("ascii").split()[0]
    zh, en = f"{file.name} 版本 {keys.version}，密钥 {by}", f"{file.name} version {keys.version}, key {by}"
    click.echo(say(f"已写入 {beside(file)}：{zh}", f"written: {beside(file)}: {en}"))


@pack.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path, dir_okay=False))
@config_option
def verify(files: Sequence[Path], path: Path) -> None:
    """验签 · Who signed packs, of those whom lilong.yaml believes. Exits 1 if one is not so signed."""
    refused = [problem for file in files for problem in _verified(path, file)]
    print_problems(refused)
    sys.exit(1 if refused else 0)


def _verified(path: Path, file: Path) -> Sequence[ConfigError]:
    from gateway.installing import signed_pack

    problems = Problems(locale_of())
    found = signed_pack(path, file, problems)
    if found.keys is not None:
        version = found.keys.version
        zh, en = f"版本 {version}，签名者 {found.signer}", f"version {version}, signed by {found.signer}"
        click.echo(f"ok   {file}: {say(zh, en)}")
    return problems.listed()


@pack.command()
@file_argument
@click.option("--into", type=click.Path(path_type=Path), help="of directories.rules; the last signed one")
@click.option("--downgrade", is_flag=True, help="an older version, or the same one with another content, too")
@click.option("--yes", is_flag=True, help="ask nothing")
@config_option
def install(file: Path, into: Path | None, downgrade: bool, yes: bool, path: Path) -> None:
    """安装 · Verify a pack, show what it changes, put it in place. What the site tunes stays the site's."""
    from gateway.installing import plan_pack, put, put_back, target_of
    from gateway.registry import alone

    folder = target_of(path, into)
    if folder is None:
        zh = "lilong.yaml 没有这样的规则目录；请写 directories: {rules: [builtin, rules], signed: [rules], …}"
        en = "no such directory of rules; write directories: {rules: [builtin, rules], signed: [rules], …}"
        sys.exit("lilong: " + say(zh, en))
    try:
        with alone(path):
            plan = plan_pack(path, file, folder, downgrade, locale_of())
            _show(plan, folder)
            _end_if_settled(plan)
            if not yes and not click.confirm(say("安装吗？", "install it?")):
                sys.exit(say(*NOTHING))
            before = put(plan)
            hand_over(path, [plan.target], lambda: put_back(plan.target, before))
    except BlockingIOError:
        sys.exit("lilong: " + say("另一个安装或导入正在进行", "another installation or import is under way"))
    except OSError as error:
        sys.exit(f"lilong: {error.filename}: {error.strerror}")


def _end_if_settled(plan: Plan) -> None:
    """With a mistake nothing is done; what is installed already needs nothing."""
    if plan.problems:
        _refuse(plan.problems)
    if plan.there:
        click.echo(say("已经装好，未作更改", "it is installed already"))
        sys.exit(0)


def _refuse(problems: Iterable[ConfigError]) -> NoReturn:
    print_problems(problems)
    click.echo(say(*NOTHING), err=True)
    sys.exit(1)


def _mistake(file: Path, error: SignatureError) -> ConfigError:
    return ConfigError(str(file), 0, "", error.found, error.expected, locale_of())


# ---------------------------------------------------------------- what would change, for people


def _show(plan: Plan, folder: Path) -> None:
    """Nothing is shown of a pack that nobody signed."""
    if not plan.version:
        return
    was = say("新", "new") if plan.installed is None else str(plan.installed or say("无版本", "no version"))
    zh = f"{plan.target.name} 版本 {was} → {plan.version}，签名者 {plan.signer}，目录 {folder}"
    en = f"{plan.target.name} version {was} → {plan.version}, signed by {plan.signer}, into {folder}"
    click.echo(say(zh, en))
    rows = [row for change in plan.changes for row in _rows(change)]
    if rows:
        print_table([_head("种类 动作 名称 内容", "list does entry what"), *rows[:LISTED_MOST]])
    if len(rows) > LISTED_MOST:
        more = len(rows) - LISTED_MOST
        click.echo(say(f"… 还有 {more} 行", f"… and {more} more lines"))
    tuned = [_tuned(one, say("仍然有效", "still applies")) for one in plan.kept]
    tuned += [_tuned(one, say("找不到规则", "finds its rule no more")) for one in plan.lost]
    if tuned:
        print_table([_head("现场调整 规则 结果 理由", "tuned-at rule then because"), *tuned])


def _head(zh: str, en: str) -> list[str]:
    return say(zh, en).split()


def _rows(change: Change) -> list[tuple[str, str, str, str]]:
    if not change.before:
        return [(change.kind, say("新增", "adds"), shown(change.name), _facts(change.after))]
    if not change.after:
        return [(change.kind, say("删除", "removes"), shown(change.name), _facts(change.before))]
    empty = say("（无）", "(none)")
    return [
        (
            change.kind,
            say("更改", "changes"),
            shown(change.name),
            f"{at}: {_or(old, empty)} → {_or(new, empty)}",
        )
        for at, old, new in change.differences()
    ]


def _or(text: str, empty: str) -> str:
    return shown(text) or empty


def _facts(entry: Flat) -> str:
    """What a whole entry says at a glance: its words, and its limits."""
    limits = [f"{at.removeprefix('levels.')} {shown(text)}" for at, text in entry.items() if "levels." in at]
    return "  ".join([shown(entry.get("says", "")), *limits]).strip()


def _tuned(entry: TuneKeys, then: str) -> tuple[str, str, str, str]:
    return str(entry.origin), entry.rule, then, shown(entry.because)
