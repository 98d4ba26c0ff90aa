"""What is wrong in a file that a person wrote: where, what stands there, what belongs there (zh and en)."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

from gateway.codes import code_of, is_warning

MISTAKES_MOST = 200  # of one file; nobody reads more, and 256 kB can hold 360,000
LISTED_MOST = 40  # names in a row
SHOWN_MOST = 60  # characters of a found value that a message repeats

_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_PHONE = re.compile(r"(?<!\d)(1[3-9]\d)\d{4}(\d{4})(?!\d)")


def locale_of(environ: Mapping[str, str] = os.environ) -> str:
    """`zh` when the environment asks for Chinese, else `en`. LC_ALL outranks LC_MESSAGES outranks LANG."""
    chosen = next((environ[name] for name in ("LC_ALL", "LC_MESSAGES", "LANG") if environ.get(name)), "")
    return "zh" if chosen.lower().startswith("zh") else "en"


def shown(value: object) -> str:
    """A found value as a message may repeat it: short, on one line, phone numbers masked."""
    text = _UNSAFE.sub(lambda match: match[0].encode("unicode_escape").decode(), str(value))
    text = _PHONE.sub(r"\1****\2", text)
    return text if len(text) <= SHOWN_MOST else text[: SHOWN_MOST - 1] + "…"


@dataclass(frozen=True, slots=True)
class Phrase:
    """One text of PHRASES with its blanks filled; which language is decided when it is written out."""

    name: str
    blanks: Mapping[str, object] = field(default_factory=dict)

    def in_(self, locale: str) -> str:
        zh, en = PHRASES[self.name]
        filled = {k: v.in_(locale) if isinstance(v, Phrase) else v for k, v in self.blanks.items()}
        return (zh if locale == "zh" else en).format_map(filled)


@dataclass(frozen=True, slots=True)
class Verbatim(Phrase):
    """Words that another part has in both languages already."""

    words: tuple[str, str] = ("", "")  # zh-CN, English

    def in_(self, locale: str) -> str:
        return shown(self.words[locale != "zh"])


def say(phrase: str, /, **blanks: object) -> Phrase:
    """Phrase `phrase` of PHRASES; strings that go into its blanks are made safe to show."""
    return Phrase(phrase, {k: v if isinstance(v, Phrase) else shown(v) for k, v in blanks.items()})


def listing(words: Iterable[str]) -> str:
    """Words in a row, each safe to show; a long list is cut."""
    most = [shown(word) for word in islice(words, LISTED_MOST + 1)]
    return ", ".join([*most[:LISTED_MOST], *(["…"] if len(most) > LISTED_MOST else [])])


def one_of(words: Sequence[str], nearest: str = "") -> Phrase:
    """The list a value comes from, and the word of it that was probably meant."""
    known = Phrase("one_of", {"words": listing(words)}) if words else Phrase("nothing_here")
    return Phrase("perhaps", {"known": known, "nearest": shown(nearest)}) if nearest else known


class ConfigError(Exception):
    """One mistake in one file. `check` lists them all; the daemon keeps what it had."""

    def __init__(
        self, file: str, line: int, path: str, found: Phrase, expected: Phrase, locale: str = "en"
    ) -> None:
        self.file, self.line, self.path, self.locale = shown_file(file), line, shown_path(path), locale
        self._found, self._expected = found, expected
        super().__init__(self.text(locale))

    @property
    def code(self) -> str:
        """Its name in codes.CODES: L… an error, W… a warning."""
        return code_of(self._found.name)

    @property
    def found(self) -> str:
        return self._found.in_(self.locale)

    @property
    def expected(self) -> str:
        return self._expected.in_(self.locale)

    def text(self, locale: str) -> str:
        """`file:line: path: found … expected …` in that language."""
        blanks = {"found": self._found, "expected": self._expected}
        where = self.path or Phrase("whole_file").in_(locale)
        return f"{self.file}:{self.line}: {where}: {Phrase('mistake', blanks).in_(locale)}"

    @property
    def order(self) -> tuple[str, int, str, str]:
        return self.file, self.line, self.path, self.text("en")


def shown_file(file: str) -> str:
    return _UNSAFE.sub("?", file)


def shown_path(path: str) -> str:
    """A path repeats keys of the file, so it is made safe like a value, only longer."""
    return _PHONE.sub(r"\1****\2", _UNSAFE.sub("?", path))[:200]


class Problems:
    """Collects the mistakes of all files, so that a person sees them at once. Warnings are kept apart."""

    def __init__(self, locale: str = "en") -> None:
        self.locale = locale
        self._errors: list[ConfigError] = []
        self._warnings: list[ConfigError] = []
        self._counts: Counter[str] = Counter()

    def add(self, file: str, line: int, path: str, found: Phrase, expected: Phrase) -> None:
        if is_warning(code_of(found.name)):
            self._warnings.append(ConfigError(file, line, path, found, expected, self.locale))
            return
        self._counts[file] += 1
        if self._counts[file] <= MISTAKES_MOST:
            self._errors.append(ConfigError(file, line, path, found, expected, self.locale))

    def __len__(self) -> int:
        """How many errors; warnings do not count."""
        return self._counts.total()

    def listed(self) -> list[ConfigError]:
        """By file and line, each once; of a file with very many, the first and how many more."""
        errors = self._errors + [
            ConfigError(file, 0, "", say("more", count=count - MISTAKES_MOST), say("fewer"), self.locale)
            for file, count in self._counts.items()
            if count > MISTAKES_MOST
        ]
        return _each_once(errors)

    def warnings(self) -> list[ConfigError]:
        """By file and line, each once."""
        return _each_once(self._warnings)


def _each_once(errors: Iterable[ConfigError]) -> list[ConfigError]:
    unique = {error.order: error for error in errors}
    return [unique[order] for order in sorted(unique)]


# Every text a mistake is told with: name -> (zh-CN, English). The same blanks in both (a test compares).
PHRASES: dict[str, tuple[str, str]] = {
    "mistake": ("发现{found}，应为{expected}", "found {found}, expected {expected}"),
    "whole_file": ("整个文件", "whole file"),
    "perhaps": ("{known}（是否想写 {nearest}？）", "{known} (did you mean {nearest}?)"),
    "one_of": ("以下之一：{words}", "one of {words}"),
    "nothing_here": ("此处不写任何内容", "nothing here"),
    # -- what stands there
    "value": ("“{value}”", '"{value}"'),
    "number": ("数字 {value}", "the number {value}"),
    "bool": ("{value}", "{value}"),
    "null": ("空值", "nothing"),
    "list": ("一个列表", "a list"),
    "mapping": ("一组键值", "a mapping"),
    "missing": ("没有这一项", "no such key"),
    "unknown_key": ("未知的键 {key}", "the unknown key {key}"),
    "duplicate_key": ("重复的键 {key}（第 {line} 行已有）", "the key {key} again (it is on line {line})"),
    "key_not_text": ("不是文字的键", "a key that is not a plain text"),
    "alias": ("引用 *{name}", "the alias *{name}"),
    "anchor": ("锚点 &{name}", "the anchor &{name}"),
    "merge": ("合并键 <<", "the merge key <<"),
    "tag": ("类型标签 {tag}", "the tag {tag}"),
    "directive": ("% 指令", "a % directive"),
    "documents": ("第二个 YAML 文档（---）", "a second YAML document (---)"),
    "sexagesimal": ("未加引号的 {value}", "{value} without quotes"),
    "leading_zero": ("以 0 开头的 {value}", "{value}, which begins with a zero"),
    "not_finite": ("{value}，不是有限的数", "{value}, which is no finite number"),
    "huge": ("过大的整数", "an integer that is too large"),
    "deep": ("超过 {most} 层的嵌套", "more than {most} levels of nesting"),
    "bytes": ("超过 {most} 字节的文件", "a file of more than {most} bytes"),
    "bom": ("字节顺序标记（BOM）", "a byte order mark"),
    "nul": ("NUL 字符", "a NUL character"),
    "not_utf8": ("不是 UTF-8 的字节（第 {byte} 字节）", "bytes that are not UTF-8 (at byte {byte})"),
    "syntax": ("YAML 语法错误（{reason}）", "text that is not YAML ({reason})"),
    "empty": ("空文件", "an empty file"),
    "more": ("另外 {count} 处错误", "{count} more mistakes"),
    "unreadable": ("无法读取（{reason}）", "a file that cannot be read ({reason})"),
    "no_directory": ("不存在的目录 {value}", "{value}, which is no directory"),
    "other_suffix": ("后缀为 .yml 的文件（不会被读取）", "a file named .yml (it would not be read)"),
    "inline_secret": ("写在配置里的密钥 {key}", "a secret written into the file under {key}"),
    "secret_in_url": ("带有密钥的网址", "an address that holds a secret"),
    "twice": ("{what} {value} 再次出现（已在 {where}）", "{what} {value} a second time (first at {where})"),
    "overlapping": (
        "主题 {value} 与 {other}（{where}）相互包含",
        "the topic {value}, which overlaps with {other} ({where})",
    ),
    "unknown": ("未知的{what} {value}", "the unknown {what} {value}"),
    "both": ("同时写了 {first} 和 {second}", "both {first} and {second}"),
    "without": ("有 {first} 而没有 {second}", "{first} without {second}"),
    "none_of": ("一个也没有", "none of them"),
    # -- packs
    "unsigned": ("没有签名文件 {file} 的规则包", "a pack without its signature {file}"),
    "strange_signer": (
        "用密钥 {keys} 作的签名，directories.signers 里没有这个密钥",
        "a signature by the key {keys}, which nobody under directories.signers has",
    ),
    "torn_signature": (
        "残缺或改动过的签名文件 {file}",
        "the signature {file}, which is cut off or was edited",
    ),
    "not_as_signed": (
        "与 {signer} 的签名不符的内容或文件名",
        "content or a file name that {signer} has not signed",
    ),
    "open_key": ("别人也能读的私钥", "a private key that others can read"),
    "no_private_key": ("不是可用的 Ed25519 私钥", "no Ed25519 private key without a password"),
    "older_version": (
        "版本 {value}，而已安装的是版本 {installed}",
        "version {value}, while version {installed} is installed",
    ),
    "same_version": (
        "版本 {value}，而已安装的同一版本内容不同",
        "version {value}, which is installed with another content",
    ),
    "shadowed": (
        "不会被读取的规则包：{where} 取代了它",
        "a pack that would not be read: {where} stands in its place",
    ),
    # -- tables
    "workbook": ("Excel 工作簿（.xlsx/.xls）", "an Excel workbook (.xlsx, .xls)"),
    "utf16": ("UTF-16 文本（Excel 的“Unicode 文本”）", 'UTF-16 text (Excel\'s "Unicode text")'),
    "not_utf8_gb": (
        "既不是 UTF-8 也不是 GB18030 的字节（第 {byte} 字节）",
        "bytes that are neither UTF-8 nor GB18030 (at byte {byte})",
    ),
    "broken_csv": ("断开的引号或单元格（{reason}）", "a broken quote or cell ({reason})"),
    "columns": ("超过 {most} 列", "more than {most} columns"),
    "unknown_column": ("未知的列 {value}", "the unknown column {value}"),
    "column_twice": ("列 {value} 出现两次", "the column {value} twice"),
    "no_column": ("没有 {value} 这一列", "no column {value}"),
    "no_heading": ("没有表头的一列内容", "cells under no heading"),
    "empty_cell": ("空单元格", "an empty cell"),
    "line_break": ("单元格内的换行：{value}", "a line break inside the cell: {value}"),
    "sheet_error": ("表格的错误值 {value}", "the spreadsheet's error {value}"),
    "shortened": (
        "{value}：被 Excel 改成科学计数的编号，位数已丢失",
        "{value}, a number that Excel shortened: digits are lost",
    ),
    "made_a_date": ("{value}：被 Excel 改成日期的编号", "{value}, of which Excel has made a date"),
    "full_width": ("全角字符：{value}", "full-width characters: {value}"),
    "zeros_lost": (
        "{value}：主题里写作 {other}，Excel 去掉了开头的 0",
        "{value}, which its topic calls {other}: Excel took the zeros off",
    ),
    "other_table": ("不认识的表名 {value}", "{value}, which names no table"),
    "workbook_here": ("Excel 工作簿（不会被读取）", "an Excel workbook (it would not be read)"),
    "no_component": ("型号没有部件 {value}", "the component {value}, which no model has"),
    "no_measure": ("{value}：{scene} 场景没有型号测量它", "{value}, which no model of {scene} measures"),
    "measured": (
        "{value}：{scene} 场景已有型号直接测量它",
        "{value}, which a model of {scene} measures itself",
    ),
    "days": ("{days} 天", "{days} days"),
    "no_scene": ("没有任何型号的场景 {value}", "the scene {value}, which no model has"),
    "order": ("{level} 不比 {lower} 更严重", "{level} no worse than {lower}"),
    "mixed": ("{first} 与 {second} 混用", "{first} and {second} in one rule"),
    "clear_beyond": ("{key} {value} 越过了界限 {limit}", "{key} {value}, beyond the limit {limit}"),
    "cycle": ("成环的上级：{value}", "places that lie within each other: {value}"),
    "no_baseline": ("设备 {device} 没有 {quantity} 的基线", "no baseline of {quantity} for device {device}"),
    "no_window": (
        "设备 {device} 所在地没有时段 {window}",
        "no window {window} at the place of device {device}",
    ),
    "no_hours": ("一天中没有任何时刻的时段", "hours that never come"),
    "no_year": ("没有 {year} 年的工作日历", "no calendar of workdays for {year}"),
    "a_state": ("状态量 {value}", "{value}, a state, whose alarm may come once"),
    "nested": ("{value}，它自己也在别的设备之后", "{value}, which is itself behind another"),
    "no_such_route": (
        "规则 {rule} 对设备 {device} 没有级别 {level}",
        "no {level} level of rule {rule} on device {device}",
    ),
    "own_delegate": ("以自己为代理人", "themselves as delegate"),
    "same_time": ("与 {where} 重叠的时间", "a time that overlaps that of {where}"),
    "quiet_red": ("红色级别的静默时段", "quiet hours of a red level"),
    "always_quiet": ("整天静默", "quiet hours without an end"),
    "too_few": (
        "{count} 人，而阶梯 {level} 只有 {roles} 个角色",
        "{count} persons, while the {level} ladder has {roles} roles",
    ),
    "no_post": ("没有任何岗位的角色 {value}", "the role {value}, which no post fills"),
    "overlap": ("与 {where} 同时的同一岗位", "the same post at the same time as {where}"),
    "ends_first": ("结束早于开始", "an end that is not after the beginning"),
    "unreachable": (
        "{person} 没有 {channels} 的联系方式",
        "no address of {person} on {channels}",
    ),
    "nobody": (
        "{place} 及其上级没有阶梯 {level} 中任何角色的岗位",
        "no post of the {level} ladder at {place} or above it",
    ),
    "no_ladder": ("没有 {level} 的通知阶梯", "no ladder for {level}"),
    "unheard": (
        "没有被 broker.subscribe 订阅的主题 {value}",
        "the topic {value}, which no broker.subscribe takes",
    ),
    "no_intake": (
        "{value}，而没有配置 web.intake",
        "{value}, while there is no web.intake",
    ),
    "second_gateway": (
        "{value}，而 {other} 已代表网关自身",
        "{value}, while {other} stands for the gateway already",
    ),
    "heard_twice": (
        "{value} 也被 broker.subscribe 的 {filter} 订阅",
        "{value}, which the filter {filter} of broker.subscribe takes too",
    ),
    "unit_mismatch": ("单位 {unit}", "the unit {unit}"),
    "beyond_block": (
        "{what} 读到第 {end} 字节，块 {block} 只有 {bytes} 字节",
        "{what}, which reads up to byte {end} of the {bytes} of block {block}",
    ),
    "beyond_type": ("位 {bits}，而 {type} 只有 {width} 位", "the bits {bits} of the {width} of {type}"),
    "strange_key": ("{kind} 解码不用的键 {key}", "the key {key}, which codec {kind} does not use"),
    "no_snapshot": (
        "这条规则判断的型号都没有 snapshot：{words}",
        "a snapshot of models that have none: {words}",
    ),
    "answer_unheard": (
        "抓拍的回复主题 {value} 没有被 broker.subscribe 订阅，收不到图片地址",
        "the topic {value} of its snapshots, which no broker.subscribe takes",
    ),
    "no_constant": ("设备 {device} 没有常数 {value}", "no constant {value} for device {device}"),
    "no_type": ("既没有 type 也没有 formula", "neither type nor formula"),
    "feature_in": ("以 {unit} 计的特征 {feature}", "the feature {feature}, which comes in {unit}"),
    "too_late": ("时刻 {value}，数据到 {end} 为止", "{value}, while the series ends at {end}"),
    "at_column": ("第 {column} 列的“{value}”", '"{value}" at column {column}'),
    "steps_over": (
        "到第 {column} 列的“{value}”已超过 {most} 步",
        'more than {most} steps with "{value}" at column {column}',
    ),
    "actor_unseen": ("设备 {value} 没有数据序列", "the device {value}, of which no series speaks"),
    "two_rules": ("rule 与 rules 同时出现", "rule beside rules"),
    "lengths": ("长短不一的数据序列", "series of different lengths"),
    "out_of_order": ("先后颠倒的时刻", "instants that go backwards"),
    "tunes_nothing": ("什么也没改的条目", "an entry that changes nothing"),
    "tunes_nobody": (
        "规则 {rule} 在此范围内没有任何设备",
        "no device here that rule {rule} judges",
    ),
    "tuned_twice": (
        "{key}：设备 {device} 同等优先的另一处（{where}）已改过",
        "{key}, which {where} sets too, with the same say over device {device}",
    ),
    "red_silenced": ("让红色规则不通知人的 mode: {value}", "mode: {value} for a rule with a red level"),
    "red_off": ("被关闭的红色级别", "a red level that is switched off"),
    "red_without": ("红色级别而没有 {key}", "a red level without {key}"),
    "hides_itself": ("抑制自己的规则 {rule}", "the rule {rule} itself"),
    "hide_each_other": ("互相抑制的规则：{value}", "rules that hide each other: {value}"),
    "no_such_level": ("规则 {rule} 没有的级别 {level}", "the level {level}, which rule {rule} has not"),
    "never_hides": (
        "规则 {rule}：最高只到{level}，挡不住本规则的最高级别",
        "rule {rule}, which reaches only {level} and can never hide this rule's highest level",
    ),
    "unusual_above_yellow": (
        "按反常判断的规则的 {level}",
        "{level} of a rule that goes by what is unusual",
    ),
    "unusual_state": ("状态量 {quantity} 的反常程度", "how unusual {quantity} is, which is a state"),
    "unusual_hides": (
        "按反常判断的规则 {rule}：反常不能盖住限值",
        "rule {rule}, which goes by what is unusual and must not hide a limit",
    ),
    # -- warnings: what stands there
    "no_limit_beside": (
        "{quantity} 只按反常判断：{scene} 场景没有判断它的限值规则",
        "how unusual {quantity} is, and no live rule of scene {scene} that judges it by a limit",
    ),
    "out_of_reach": (
        "{key} {value}，而 {quantity} 只在 {low} 到 {high} 之间",
        "{key} {value}, while {quantity} is never outside {low} to {high}",
    ),
    "never_clears": (
        "到 {value} 才恢复，而 {quantity} 只在 {low} 到 {high} 之间",
        "a clear limit of {value}, while {quantity} is never outside {low} to {high}",
    ),
    "clear_at_limit": ("恢复界限就是界限 {value}", "a clear limit at the limit {value} itself"),
    "one_decides": (
        "持续 {hold} 短于 {model} 的上报间隔 {every}",
        "a hold of {hold}, shorter than the {every} between two messages of {model}",
    ),
    "fits_none": ("没有任何设备符合的规则 {rule}", "the rule {rule}, which no device fits"),
    "same_rule": ("与 {rule}（{where}）判断相同的规则", "a rule that judges the same as {rule} ({where})"),
    "too_long": (
        "最长 {letters} 字的消息（短信 {parts} 条），如设备 {device}",
        "a message of up to {letters} characters ({parts} SMS), as of device {device}",
    ),
    "no_code": ("目录里没有编码的规则 {rule}", "the rule {rule}, for which the catalogue has no code"),
    "code_of_nothing": ("{value}：没有这样的规则或场景", "{value}, which is no rule or scene of the site"),
    "no_page": ("{channel}：发不了整页文字的渠道", "{channel}, which takes no page of text"),
    "no_blank": ("模板里没有变量可填的 {value}", "the blank {value}, which no variable fills"),
    "unused_variable": (
        "模板里没有用到的变量 {value}",
        "the variable {value}, for which the text has no blank",
    ),
    "refused_text": ("运营商不放行的“{value}”", '"{value}", which carriers do not let through'),
    "letters": ("{letters} 字", "{letters} characters"),
    "no_template": (
        "{channel} 没有已批准的模板可用：{words}",
        "no approved template of {channel} for {words}",
    ),
    "unapproved": (
        "模板 {template} 自 {day} 起为 {state}，不会被使用",
        "the template {template}, {state} since {day}: it is not used",
    ),
    "asks_in_vain": (
        "“{value}”，而 {words} 的通知不收回复",
        '"{value}", while no answer is taken to {words}',
    ),
    "many_parts": (
        "模板 {template} 最长 {letters} 字、短信 {parts} 条（规则 {rule}，设备 {device}）",
        "up to {letters} characters, {parts} SMS, of the template {template} (rule {rule}, device {device})",
    ),
    "long_call": (
        "模板 {template} 最长 {letters} 字（规则 {rule}，设备 {device}）",
        "up to {letters} characters of the template {template} (rule {rule}, device {device})",
    ),
    "text_unknown": (
        "没有登记原文的模板 {value}，各种通知都用它",
        "the template {value} for all kinds, whose text is not under templates",
    ),
    "cut_off": (
        "变量 {variable} 最长 {letters} 字，模板 {template} 放不下（规则 {rule}，设备 {device}）",
        "{variable} of up to {letters} characters in the template {template} (rule {rule}, device {device})",
    ),
    "long_place": (
        "{letters} 字的地点，模板 {template} 放不下",
        "a place of {letters} characters, for which the template {template} has no room",
    ),
    "left_out": (
        "短信、电话里不能说的“{value}”",
        '"{value}", which cannot be said by SMS or in a call',
    ),
    "storm": (
        "{count} 台设备可能同时失联，都没有写 behind",
        "{count} devices that may fall silent at once, none of them behind anything",
    ),
    "unverified": (
        "{person} 在 {level} 阶梯上只有未经验证的号码（{channel}）",
        "only an unverified number ({channel}) of {person} for the {level} ladder",
    ),
    "no_delegate": ("{person} 任职而休假无代理人", "leave of {person}, who holds a post, without a delegate"),
    "verified_later": ("还没有到的验证日期 {day}", "the day {day}, which is still to come"),
    "same_number": ("与 {person}（{where}）相同的号码", "the same number as that of {person} ({where})"),
    "one_alone": (
        "{place} 的 {role}：{level} 须由另一人核验，而逐级通知只有 {person} 一人，永远结不了案",
        "{role} at {place}: {level} needs another person to verify, its ladder has {person} alone",
    ),
    # -- what belongs there
    "a_verifier": (
        "在 clocks 中写 {{level: {level}, verify_by: sensor}}，或在 ladders 中再加一级别人的岗位",
        "under clocks {{level: {level}, verify_by: sensor}}, or another person's post on the ladder",
    ),
    "verified_day": (
        "verified: {{{channel}: 试拨成功的日期}}，或再加一种联系方式",
        "verified: {{{channel}: the day a test reached them}}, or another contact beside it",
    ),
    "a_delegate": ("delegate: 休假期间代理的人", "delegate: who stands in meanwhile"),
    "past_day": ("今天或以前的日期", "today or a day before"),
    "own_number": ("各人自己的号码", "a number of their own"),
    "another_person": ("另一个人", "another person"),
    "apart_in_time": ("前后不重叠", "spans that do not overlap"),
    "red_rings": ("没有：红色随时通知", "none: red is told at every hour"),
    "within_reach": ("{low} 到 {high} 之内、能达到的界限", "a limit inside {low} to {high}"),
    "apart": ("与界限有距离的恢复界限", "a clear limit at some distance"),
    "two_messages": (
        "不短于 {every} 的 hold，或不写（一次读数即报）",
        "a hold of {every} or more, or none (one reading decides)",
    ),
    "a_fitting_device": ("至少符合一台设备", "a rule that some device fits"),
    "once": ("只写一次", "one rule"),
    "not_subscribed": ("网关自己不订阅的主题", "a topic that the gateway does not listen to itself"),
    "a_blank": ("模板里的一个变量", "a blank in the text"),
    "approved_text": (
        "批准的原文：简体字和常用标点，不含链接、手机号，至多 {most} 字",
        "the approved text: simplified characters, no link, no mobile number, at most {most} characters",
    ),
    "a_template": (
        "一个已批准、不写 kinds 的模板，供其余各种通知使用",
        "an approved one without `kinds`, for all that no other has",
    ),
    "approved": ("approved", "approved"),
    "own_text": ("为这些通知另备的模板", "a template of their own for these"),
    "at_most_letters": ("至多 {most} 字", "at most {most} characters"),
    "registered": ("templates 下的登记", "an entry under templates"),
    "carried": ("简体字、不含链接和手机号", "simplified characters, without links and mobile numbers"),
    "parts_most": ("至多 {most} 条短信（{letters} 字）", "at most {most} SMS ({letters} characters)"),
    "an_address": ("其中一个渠道的联系方式", "an address on one of these channels"),
    "a_code": (
        "codes 里该规则或其场景的编码，或写进 not_theirs",
        "a code for it or its scene under codes, or its name under not_theirs",
    ),
    "rule_or_scene": ("规则或场景的名字", "the name of a rule or a scene"),
    "behind_something": (
        "设备条目里写 behind（经过的网关），至多 {most} 台没有",
        "`behind` in the devices' entries (the gateway they speak through); at most {most} without",
    ),
    "one_key": ("每个键只写一次", "each key once"),
    "text_key": ("文字作为键", "a plain text as key"),
    "written_out": ("把内容完整写出", "the value written out"),
    "no_tag": ("不带标签的值", "the value without it"),
    "one_document": ("一个文件只有一个文档", "one document in a file"),
    "quoted": (
        '加引号写成 "{value}"（不加引号会被 YAML 当作六十进制数）',
        '"{value}" in quotes (YAML reads it as a base-60 number)',
    ),
    "no_zero": (
        '去掉开头的 0，或加引号写成 "{value}"（可能被当作八进制）',
        'no leading zero, or "{value}" in quotes (it may be read as octal)',
    ),
    "finite": ("有限的数", "a finite number"),
    "at_most": ("至多 {most}", "at most {most}"),
    "utf8": ("不带 BOM 的 UTF-8 文本", "UTF-8 text without a byte order mark"),
    "yaml": ("正确的 YAML", "valid YAML"),
    "a_mapping": ("一组键值（键: 值）", "a mapping (key: value)"),
    "a_list": ("一个列表（- …）", "a list (- …)"),
    "public_key": (
        "公钥，lilong pack keygen 显示的 44 个字符",
        "a public key: the 44 characters that lilong pack keygen shows",
    ),
    "signature_of": (
        "用 lilong pack sign 作的签名，与规则包放在一起，签名者为{signers}",
        "a signature that lilong pack sign made, beside the pack, by {signers}",
    ),
    "a_signer": (
        "directories.signers 里的人（现在没有）",
        "somebody under directories.signers (where nobody is)",
    ),
    "whole_signature": (
        "lilong pack sign 写出的原文件：请重新拷贝",
        "the file as lilong pack sign wrote it: copy it again",
    ),
    "as_signed": (
        "签名时的原样：重新拷贝规则包和 .sig，或请签名者重新签名",
        "both as they were signed: copy pack and .sig again, or have them signed anew",
    ),
    "private_mode": ("只有本人能读：chmod 600 {file}", "one that only its owner reads: chmod 600 {file}"),
    "private_key": (
        "lilong pack keygen 生成的私钥（PEM，无口令）",
        "one as lilong pack keygen makes it (PEM, without a password)",
    ),
    "newer_version": (
        "比 {installed} 大的版本；确实要装，写 --downgrade",
        "a version above {installed}; --downgrade if you mean it",
    ),
    "last_directory": (
        "装进 {value} 或 directories.rules 里排在它后面的目录（--into）",
        "{value}, or a directory behind it under directories.rules (--into)",
    ),
    "readable": ("可读取的文件", "a file that can be read"),
    "a_directory": ("存在的目录", "a directory that exists"),
    "yaml_suffix": ("后缀 .yaml", "the suffix .yaml"),
    "fewer": ("先改正已列出的错误", "those told here to be mended first"),
    "text": ("文字", "a text"),
    "quoted_text": ("文字（请加引号）", "a text (put it in quotes)"),
    "some_text": ("非空的文字", "a text that is not empty"),
    "whole": ("整数", "a whole number"),
    "whole_between": ("{low} 到 {high} 之间的整数", "a whole number from {low} to {high}"),
    "readings": ("次数，如 3 或 3 of 5（最多 {most}）", "a count such as 3, or 3 of 5 (at most {most})"),
    "equal": ("一个数，或 true", "a number, or true"),
    "another_question": (
        "规则问的已是另一件事，而它的报警尚未解除",
        "a rule that asks another question while an alert of it stands",
    ),
    "if_changed": (
        "if_changed: keep、re-evaluate 或 close",
        "if_changed: keep, re-evaluate or close",
    ),
    "in_column": ("第 {column} 列的{found}", "{found} in column {column}"),
    "store_waits": (
        "磁盘 {seconds} 秒没有接受；重新加载已撤回，原配置继续生效",
        "a disk that has taken nothing for {seconds} s: the reload was taken back, nothing changed",
    ),
    "store_answers": ("能写入的磁盘，之后再次重新加载", "a disk that can be written to; then reload again"),
    "short_window": (
        "窗口 {window}，而 {model} 每 {every} 秒才上报一次",
        "the window {window}, while {model} speaks every {every} s",
    ),
    "longer_window": ("至少能容纳 {least} 次读数的时长", "a span of at least {least} readings"),
    "long_window": (
        "窗口 {window}，{model} 会有超过 {most} 个读数",
        "the window {window}, in which {model} says more than {most} readings",
    ),
    "shorter_window": ("更短的时长", "a shorter span"),
    "without_expression": ("{key}，而 when 不是表达式", "{key} without an expression in when"),
    "group_and_members": (
        "on.group 与 when 中的组函数只有其一",
        "only one of on.group and a function of a group in when",
    ),
    "both_or_neither": ("两者都写或都不写", "both or neither"),
    "a_truth": ("真假表达式的数值界限", "a limit of numbers on an expression that is true or false"),
    "is_true": ("is: true", "is: true"),
    "range": ("由小到大的范围，如 5..12", "a range such as 5..12, the lesser first"),
    "odd_between": ("{low} 到 {high} 之间的奇数", "an odd number from {low} to {high}"),
    "a_measure": ("连续变化的测量量", "a quantity that varies"),
    "over": ("大于 {low} 的数", "a number above {low}"),
    "in_front": ("不在任何设备之后的网关或代理", "a gateway or broker that is behind nothing"),
    "a_number": ("数字", "a number"),
    "not_measured": ("没有型号直接测量的量", "a quantity that no model of the scene measures"),
    "days_between": ("{low} 到 {high} 天", "{low} to {high} days"),
    "a_temperature": ("温度", "a temperature"),
    "above_zero": ("大于零的数字", "a number above zero"),
    "truth": ("true 或 false", "true or false"),
    "scalar": ("单个的值", "a single value"),
    "identifier": (
        "标识（字母、数字、- _ .，至多 64 个）",
        "an identifier (letters, digits, - _ . and at most 64 of them)",
    ),
    "day": ("日期，如 2026-01-31", "a day such as 2026-01-31"),
    "minute": ("本地时间，如 2026-01-31T02:00", "a local time such as 2026-01-31T02:00"),
    "duration": ("时长，如 60s 5m 26h 2d 1m30s", "a duration such as 60s 5m 26h 2d 1m30s"),
    "positive_duration": ("大于零的时长，如 60s 5m 26h 2d", "a duration above zero such as 60s 5m 26h 2d"),
    "size": ("大小，如 500MB 20GB", "a size such as 500MB 20GB"),
    "window": (
        '加引号的时段，如 "06:30-08:30" 或跨夜的 "22:00-06:00"',
        'a quoted window such as "06:30-08:30", or "22:00-06:00" over midnight',
    ),
    "window_or_name": (
        '时段的名字，或加引号的时段，如 "22:00-06:00"',
        'the name of a window, or one in quotes such as "22:00-06:00"',
    ),
    "some_hours": ("会到来的时段", "hours that come"),
    "now_during": ("during: {{outside: 时段}}", "during: {{outside: WINDOW}}"),
    "a_year": (
        "更新的 chinesecalendar，或在 sites/ 的 calendar 下写明该年的节假日",
        "a newer chinesecalendar, or the year's holidays under calendar: in sites/",
    ),
    "hex": ("十六进制字节，如 03cf", "bytes in hexadecimal such as 03cf"),
    "block_id": (
        '块的名字，或十六进制的通道如 "03cf"',
        'the name of a block, or a tag in hexadecimal such as "03cf"',
    ),
    "tags": ('等长的十六进制通道，如 "03cf"', 'tags in hexadecimal of one length such as "03cf"'),
    "bits": ('加引号的位，如 "0" 或 "1-15"', 'bits in quotes such as "0" or "1-15"'),
    "signal": (
        "信号量编号，其中 * 代表部件号的一位数字",
        "the id of a signal, * for a digit of the component's number",
    ),
    "constant": ("常数名（小写字母、数字、_，不是 raw）", "the name of a constant (a-z, 0-9, _; not raw)"),
    "formula": (
        "算式：数、raw、常数名、类型(字节)、min、max 以及 + - * / ^ ( )",
        "a formula of numbers, raw, constants, type(byte), min, max, + - * / ^ and brackets",
    ),
    "in_block": ("块之内的字节", "bytes of the block"),
    "in_type": ("类型之内的位（整数）", "bits of the type (an integer)"),
    "constant_for": ("{quantity} 需要的常数", "the constant that {quantity} needs"),
    "a_judging_rule": ("判断该设备、有该级别的规则", "a rule that judges the device, with that level"),
    "told_person": (
        "人员，如 wang、wang@2m、wang@2m/inbox、copy:wang",
        "a person such as wang, wang@2m, wang@2m/inbox, copy:wang",
    ),
    "level_key": (
        "级别 yellow、orange 或 red，或某场景的级别如 cabinet.red",
        "a level: yellow, orange or red; or that of a scene such as cabinet.red",
    ),
    "turn": ("1 小时到 31 天的时长，如 12h 1d 7d", "a span of an hour to 31 days such as 12h 1d 7d"),
    "clock_time": ('加引号的时刻，如 "20:00"', 'a time of day in quotes such as "20:00"'),
    "level": ("级别 yellow、orange 或 red", "a level: yellow, orange or red"),
    "series": ("数据序列，如 40 56x4 gapx3 66~5m", "a series such as 40 56x4 gapx3 66~5m"),
    "person_act": ("人的动作，如 acknowledge @ 5m", "what a person does, such as acknowledge @ 5m"),
    "link_turn": ("连接的通断，如 down @ 5m", "what the connection does: down @ 5m, up @ 20m"),
    "one_rule": ("rule 或 rules", "rule, or rules"),
    "with_series": ("每个设备都有数据序列", "a series of each device"),
    "expectation": (
        "预期，如 yellow @ 1m30s 或 clear @ 9m",
        "an expectation such as yellow @ 1m30s or clear @ 9m",
    ),
    "address": ("地址与端口，如 127.0.0.1:8080", "host and port such as 127.0.0.1:8080"),
    "url": ("http:// 或 https:// 网址", "an http:// or https:// address"),
    "zone": ("时区，如 Asia/Shanghai", "a time zone such as Asia/Shanghai"),
    "filter": (
        "MQTT 订阅，如 site/#（不可用 $share）",
        "an MQTT filter such as site/# (and no $share)",
    ),
    "topic": (
        "设备主题，不含 #，+ 独占一级",
        "a device's topic, without #, a + standing for a whole level",
    ),
    "a_snapshot": (
        "至少一个声明了 snapshot 的型号，或去掉这一步",
        "a model with `snapshot` among them, or the step taken out",
    ),
    "snapshot_topic": (
        "{{topic}}/… 或 {{above}}/…，最后一级是 snapshot，如 {{topic}}/command/snapshot",
        "{{topic}}/… or {{above}}/… with snapshot as its last level, such as {{topic}}/command/snapshot",
    ),
    "status_topic": (
        "{{topic}}/… 或 {{above}}/…，如 {{topic}}/status",
        "{{topic}}/… or {{above}}/…, such as {{topic}}/status",
    ),
    "an_intake": (
        "lilong.yaml 中的 web.intake: {{tokens_file: …}}",
        "web.intake: {{tokens_file: …}} in lilong.yaml",
    ),
    "no_broker": (
        "不含 {value} 主题的 broker.subscribe",
        "a broker.subscribe that takes no topic below {value}",
    ),
    "one_gateway": ("只有一台设备代表网关自身", "one device that stands for the gateway itself"),
    "secret_file": (
        "{key}_file: 指向只存放该密钥的文件",
        "{key}_file: the name of a file that holds nothing else",
    ),
    "url_without_secret": ("不含密钥的网址，密钥放进 *_file", "one without it; secrets go into a *_file"),
    "headings": ("第一行是表头的表格", "a table whose first row holds the headings"),
    "heading": ("表头", "a heading"),
    "saved_as_csv": (
        "在 Excel 里另存为“CSV UTF-8（逗号分隔）”的文件",
        'a file that Excel saved as "CSV UTF-8 (comma delimited)"',
    ),
    "csv": ("正确的 CSV", "valid CSV"),
    "not_zero": ("不为零的数", "a number other than zero"),
    "one_line": ("一行文字", "one line of text"),
    "what_was_meant": ("原来的内容", "what was meant"),
    "typed_as_text": (
        "原来的编号（先把该列设为“文本”格式再填写）",
        "the identity as it is (format the column as Text, then type it again)",
    ),
    "half_width": ("半角：{value}", "half-width ones: {value}"),
    "table_name": (
        "以 {words} 开头的文件名，如 devices-waste.csv",
        "a name that begins with {words}, such as devices-waste.csv",
    ),
    "as_in_topic": ("与主题一致的编号 {value}", "the id as in the topic: {value}"),
    "required": ("有值（必填）", "a value (it is required)"),
    "unique": ("唯一的{what}", "each {what} once"),
    "one_way": ("只写 hold 或 readings 之一", "either hold or readings"),
    "not_longer": ("{key} 不比 {other} 长", "{key} that is no longer than {other}"),
    "longer_than": ("比 {other} 更长的时间", "a span longer than {other}"),
    "only_one_of": ("恰好一项：{words}", "exactly one of {words}"),
    "at_least_one": ("至少一项", "at least one"),
    "together": ("{words} 一起写", "{words} together"),
    "model_quantity": ("型号的测量量：{words}", "a quantity the model measures: {words}"),
    "scene_component": ("该场景的部件：{words}", "a component of this scene: {words}"),
    "rising": ("级别越高界限越严", "limits that rise with the level"),
    "one_kind": ("各级别用同一种界限", "the same kind of limit at every level"),
    "a_share": ("0 到 1 之间的数", "a number from 0 to 1"),
    "within_lateness": (
        "不超过型号 {model} 的 lateness（{lateness}）",
        "at most the lateness of {model}, {lateness}",
    ),
    "on_good_side": ("在界限的正常一侧", "a value on the good side of the limit"),
    "a_tree": ("一棵树：每处只有一个上级且不成环", "a tree"),
    "baseline_for": ("规则 {rule} 需要的基线", "the baseline that rule {rule} needs"),
    "a_cause": ("另一条规则，不成环", "another rule, and no ring of them"),
    "yellow_alone": (
        "只有 yellow；orange、red 另写按限值判断的规则",
        "yellow alone; orange and red in a rule of their own that goes by a limit",
    ),
    "a_measured_one": ("测量出来的量", "a quantity that is measured"),
    "a_limit_as_cause": ("按限值判断的规则", "a rule that goes by a limit"),
    "limit_beside": (
        "同一场景另有一条 mode: live 的规则按限值判断它：反常提示不代替限值",
        "a live rule beside it that judges the quantity by a limit: what is unusual never replaces one",
    ),
    "as_bad": ("级别不低于本规则的原因", "a cause that gets as bad as this rule"),
    "window_for": (
        "规则 {rule} 需要的时段（在该处或上级）",
        "the window that rule {rule} needs, there or above",
    ),
    "a_post": ("至少有一个岗位的角色", "a role that some post fills"),
    "somebody": ("每台设备都有人负责", "somebody who answers for every device"),
    "one_person": ("同一时间同一岗位只有一人", "one person in one post at a time"),
    "later": ("晚于 from 的时刻", "an instant after `from`"),
    "after_since": ("晚于 from 的日期", "a day after `from`"),
    "reach_for": ("阶梯 {level} 所用渠道的联系方式", "an address on a channel of the {level} ladder"),
    "a_ladder": ("每个级别都有通知阶梯", "a ladder for every level"),
    "convertible": ("能换算成 {unit} 的单位：{words}", "a unit that converts to {unit}: {words}"),
    "within_series": ("数据序列之内的时刻", "an instant within the series"),
    "same_length": ("每个序列步数相同", "as many steps in each series"),
    "ascending": ("从早到晚", "earliest first"),
    "a_change": ("levels、clear_hold 或 mode 等", "levels, clear_hold, mode or the like"),
    "a_judged_device": ("该规则判断的设备", "devices that the rule judges"),
    "one_say": ("每个数值只由一处决定", "one entry that decides it"),
    "red_stays": ("其数值；红色不可关闭", "other limits for it; red is never switched off"),
    "good_example": ("至少一个能解码的示例", "at least one example that decodes"),
    # -- what things are called
    "what_directory": ("规则目录", "directory of rules"),
    "what_fact": ("内容", "fact"),
    "what_stage": ("阶段", "stage"),
    "what_level": ("级别", "level"),
    "what_day": ("日期", "day"),
    "what_window": ("时段", "window"),
    "what_place": ("地点", "place"),
    "what_model": ("型号", "model"),
    "what_unit": ("单位", "unit"),
    "what_person": ("人员", "person"),
    "what_rotation": ("轮值", "rotation"),
    "what_scene": ("场景", "scene"),
    "what_setting": ("设置", "setting"),
    "what_channel": ("渠道", "channel"),
    "what_device": ("设备", "device"),
    "what_rule": ("规则", "rule"),
    "what_topic": ("主题", "topic"),
    "what_quantity": ("测量量", "quantity"),
    "what_component": ("部件", "component"),
    "what_ladder": ("通知阶梯", "ladder"),
    "what_clock": ("时限", "clock"),
    "what_calibration": ("校准记录", "calibration entry"),
    "what_column": ("列", "column"),
    "what_variable": ("变量", "variable"),
    "what_kind": ("种类", "kind"),
    "what_block": ("块", "block"),
    "what_constant": ("常数", "constant"),
    "what_feature": ("波形特征", "feature of a waveform"),
    "what_scenario": ("情景", "scenario"),
}
