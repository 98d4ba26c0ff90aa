"""`lilong pack …`, as the author of a pack and the operator of a box use it."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from click.testing import Result

from gateway import installing, registry, signatures
from gateway.config import load
from gateway.control import SOCKET, Control
from tests.unit.config_files import FILES, write

Run = Callable[..., Result]
FIRST = "version: 1\n" + FILES["rules/all.yaml"]
SECOND = FIRST.replace("version: 1", "version: 2").replace("above: 55, hold: 60s", "above: 58, hold: 2m")
SECOND = SECOND.replace("40 56x4", "40 59x6").replace("@ 1m30s", "@ 2m30s")
TUNED = """\
tune:
  - {rule: slot-hot, device: cab-1, levels: {yellow: {above: 52, clear_below: 48}}, because: 夏天靠西墙}
"""


@pytest.fixture
def author(folder: Path, run: Run) -> Path:
    """The folder of whoever makes packs; a site that believes its key, with the first version installed."""
    made = folder / "author"
    made.mkdir()
    assert run("pack", "keygen", str(made / "key"), config=False).exit_code == 0
    public = (made / "key.pub").read_text().strip()
    asked = f"rules: [rules], signed: [rules], signers: {{centre: {public}}}"
    write(
        folder,
        {
            "lilong.yaml": FILES["lilong.yaml"].replace("rules: [rules]", asked),
            "sites/tune.yaml": TUNED,
            "rules/all.yaml": FIRST,
        },
    )
    assert run("pack", "sign", str(folder / "rules/all.yaml"), "--key", str(made / "key")).exit_code == 0
    assert run("check").exit_code == 0
    return made


@pytest.fixture
def issue(author: Path, run: Run) -> Callable[..., str]:
    """A pack of the author's, signed; its path."""

    def made(text: str, name: str = "all.yaml") -> str:
        (author / name).write_text(text, "utf-8")
        ran = run("pack", "sign", str(author / name), "--key", str(author / "key"), config=False)
        assert ran.exit_code == 0, ran.stderr
        return str(author / name)

    return made


def limit(folder: Path) -> float | None:
    """What slot-hot is yellow above, as the files say; they must be sound."""
    found = load(folder / "lilong.yaml", "en", environ={})
    assert found.problems == [] and found.world is not None
    return next(rule for rule in found.world.rules if rule.id == "slot-hot").limits[0].above


def said(ran: Result, folder: Path) -> list[str]:
    return ran.output.replace(f"{folder}/", "").splitlines()


# ---------------------------------------------------------------- the author


def test_a_newcomer_makes_a_key_and_signs(author: Path, run: Run, folder: Path) -> None:
    ran = run("pack", "keygen", str(author / "other"), config=False)
    public = (author / "other.pub").read_text().strip()
    assert said(ran, author) == [
        "private: other (0600); it stays off the gateways",
        "public: other.pub",
        "for the lilong.yaml of each gateway:",
        f"  directories: {{rules: [builtin, rules], signed: [rules], signers: {{NAME: {public}}}}}",
    ]
    (author / "all.yaml").write_text(SECOND, "utf-8")
    ran = run("pack", "sign", str(author / "all.yaml"), "--key", str(author / "other"), config=False)
    by = signatures.fingerprint(public)
    assert said(ran, author) == [f"written: all.yaml.sig: all.yaml version 2, key {by}"]
    assert (author / "all.yaml.sig").stat().st_mode & 0o777 == 0o644
    ran = run("pack", "keygen", str(author / "other"), config=False)
    assert str(ran.exception) == f"lilong: {author / 'other'}: File exists"


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("all.yaml", FILES["rules/all.yaml"], "all.yaml:1: version: found no such key"),
        ("all.yaml", "version: 1.2\nrules: []\n", "all.yaml:1: version: found the number 1.2"),
        ("all.yaml", FIRST.replace("above: 55", "abov: 55"), "found the unknown key abov"),
        ("all.yml", FIRST, 'all.yml:0: whole file: found "all.yml", expected the suffix .yaml'),
        (".all.yaml", FIRST, "expected the suffix .yaml"),
        ("none.yaml", None, "found a file that cannot be read"),
    ],
)
def test_what_is_no_sound_pack_with_a_version_is_not_signed(
    author: Path, run: Run, name: str, text: str | None, told: str
) -> None:
    if text is not None:
        (author / name).write_text(text, "utf-8")
    ran = run("pack", "sign", str(author / name), "--key", str(author / "key"), config=False)
    assert ran.exit_code == 1 and told in ran.stderr and ran.stderr.endswith("nothing was changed\n")
    assert not (author / f"{name}.sig").exists()


def test_a_key_that_cannot_sign_is_told(author: Path, run: Run) -> None:
    (author / "all.yaml").write_text(FIRST, "utf-8")
    (author / "key").chmod(0o644)
    ran = run("pack", "sign", str(author / "all.yaml"), "--key", str(author / "key"), config=False)
    assert ran.exit_code == 1 and "found a private key that others can read, expected" in ran.stderr
    assert "PRIVATE" not in ran.output
    ran = run("pack", "sign", str(author / "all.yaml"), "--key", str(author / "nokey"), config=False)
    assert str(ran.exception) == f"lilong: {author / 'nokey'}: No such file or directory"


# ---------------------------------------------------------------- verifying


def test_verify_tells_who_signed_what_and_refuses_the_rest(
    issue: Callable[..., str], author: Path, run: Run
) -> None:
    good = issue(SECOND)
    bad = issue(SECOND.replace("above: 75", "above: 76"), "more.yaml")
    Path(bad).write_text(SECOND, "utf-8")
    ran = run("pack", "verify", good, bad)
    assert ran.exit_code == 1
    assert ran.stdout.splitlines() == [f"ok   {good}: version 2, signed by centre"]
    assert "more.yaml:0: whole file: found content or a file name that centre has not signed" in ran.stderr
    ran = run("pack", "verify", good, lang="zh_CN.UTF-8")
    assert (ran.exit_code, ran.stdout) == (0, f"ok   {good}: 版本 2，签名者 centre\n")


# ---------------------------------------------------------------- installing


def test_an_upgrade_shows_what_changes_and_keeps_what_the_site_tunes(
    issue: Callable[..., str], folder: Path, run: Run
) -> None:
    ran = run("pack", "install", issue(SECOND), stdin=b"y\n")
    assert ran.exit_code == 0
    lines = said(ran, folder)
    assert lines[0] == "all.yaml version 1 → 2, signed by centre, into rules"
    assert [line.split() for line in lines[1:4]] == [
        ["list", "does", "entry", "what"],
        ["rules", "changes", "slot-hot", "levels.yellow.above:", "55", "→", "58"],
        ["rules", "changes", "slot-hot", "levels.yellow.hold:", "60s", "→", "2m"],
    ]
    assert lines[-5].split() == ["tuned-at", "rule", "then", "because"]
    assert lines[-4].split() == ["sites/tune.yaml:2", "slot-hot", "still", "applies", "夏天靠西墙"]
    assert lines[-3:] == [
        "install it? [y/N]: y",
        "written: rules/all.yaml",
        "no gateway is running: it takes effect at the next start",
    ]
    assert limit(folder) == 58 and (folder / "sites/tune.yaml").read_text() == TUNED
    shown = run("rule", "effective", "cab-1", "--rule", "slot-hot").stdout.splitlines()[1]
    assert shown.split()[2:4] == ["above", "52"], "the site's number is still the one that counts"


def test_nothing_is_done_without_a_yes(issue: Callable[..., str], folder: Path, run: Run) -> None:
    file = issue(SECOND)
    for answer in (b"n\n", b"\n", b""):
        assert run("pack", "install", file, stdin=answer).exit_code == 1
        assert (folder / "rules/all.yaml").read_text() == FIRST and limit(folder) == 55
    ran = run("pack", "install", file, "--yes")
    assert ran.exit_code == 0 and "install it?" not in ran.output and limit(folder) == 58


def test_installing_it_again_changes_nothing(issue: Callable[..., str], folder: Path, run: Run) -> None:
    file = issue(SECOND)
    assert run("pack", "install", file, "--yes").exit_code == 0
    before = (folder / "rules/all.yaml").stat().st_mtime_ns
    ran = run("pack", "install", file)
    assert (ran.exit_code, said(ran, folder)[-1]) == (0, "it is installed already")
    assert (folder / "rules/all.yaml").stat().st_mtime_ns == before


def test_rules_that_come_and_go_are_shown_with_their_limits(
    issue: Callable[..., str], folder: Path, run: Run
) -> None:
    text = SECOND.replace("id: silent", "id: mute").replace("absent: 5m", "absent: 6m")
    ran = run("pack", "install", issue(text), "--yes")
    assert ran.exit_code == 0
    found = {" ".join(line.split()) for line in said(ran, folder)}
    assert {"rules removes silent 失联 orange.absent 5m", "rules adds mute 失联 orange.absent 6m"} <= found


def test_a_pack_that_is_not_to_be_believed_is_not_even_shown(
    issue: Callable[..., str], author: Path, folder: Path, run: Run
) -> None:
    file = Path(issue(SECOND))
    file.rename(author / "slot.yaml")
    (author / "all.yaml.sig").rename(author / "slot.yaml.sig")
    for name, found in (
        ("slot.yaml", "content or a file name that centre has not signed"),
        ("none.yaml", "be read"),
    ):
        ran = run("pack", "install", str(author / name), "--yes")
        assert (ran.exit_code, ran.stdout) == (1, "") and found in ran.stderr
        assert ran.stderr.endswith("nothing was changed\n")
    assert sorted(path.name for path in (folder / "rules").iterdir()) == ["all.yaml", "all.yaml.sig"]


def test_an_older_pack_with_its_good_old_signature_is_refused(
    issue: Callable[..., str], author: Path, folder: Path, run: Run
) -> None:
    """A replay: every byte is the author's own."""
    assert run("pack", "install", issue(SECOND), "--yes").exit_code == 0
    old = issue(FIRST)
    ran = run("pack", "install", old, "--yes")
    assert ran.exit_code == 1 and limit(folder) == 58
    assert (
        "version: found version 1, while version 2 is installed, expected a version above 2; " in ran.stderr
    )
    ran = run("pack", "install", old, "--yes", "--downgrade")
    assert ran.exit_code == 0 and limit(folder) == 55


def test_nor_does_one_version_have_two_contents(issue: Callable[..., str], folder: Path, run: Run) -> None:
    other = issue(FIRST.replace("above: 55", "above: 56"))
    ran = run("pack", "install", other, "--yes")
    assert ran.exit_code == 1 and "found version 1, which is installed with another content" in ran.stderr
    assert limit(folder) == 55
    assert run("pack", "install", other, "--yes", "--downgrade").exit_code == 0 and limit(folder) == 56


def test_a_broken_pack_has_its_version_still(issue: Callable[..., str], folder: Path, run: Run) -> None:
    """A key that this version of ours does not know must not open the door to any old pack."""
    (folder / "rules/all.yaml").write_text(SECOND + "colour: red\n", "utf-8")
    ran = run("pack", "install", issue(FIRST), "--yes")
    assert ran.exit_code == 1 and "found version 1, while version 2 is installed" in ran.stderr
    assert (folder / "rules/all.yaml").read_text().endswith("colour: red\n")


def test_a_pack_that_takes_a_tuned_rule_away_is_refused(
    issue: Callable[..., str], folder: Path, run: Run
) -> None:
    """The site's say would be lost in silence; the gateway would not load it either."""
    gone = SECOND.replace("slot-hot", "slot-warm")
    ran = run("pack", "install", issue(gone), "--yes")
    assert ran.exit_code == 1 and limit(folder) == 55
    found = [" ".join(line.split()) for line in said(ran, folder)]
    assert "sites/tune.yaml:2 slot-hot finds its rule no more 夏天靠西墙" in found
    (line,) = [line for line in ran.stderr.replace(f"{folder}/", "").splitlines() if "tune[0].rule" in line]
    assert line.startswith(
        "sites/tune.yaml:2: tune[0].rule: found the unknown rule slot-hot, expected one of "
    )
    (folder / "sites/tune.yaml").unlink()
    assert run("pack", "install", issue(gone), "--yes").exit_code == 0


def test_what_the_site_tunes_is_judged_by_the_new_pack(
    issue: Callable[..., str], folder: Path, run: Run
) -> None:
    """The rule is there; but its red at 50 would be below the site's yellow at 52."""
    ran = run(
        "pack",
        "install",
        issue(
            SECOND.replace("red: {above: 75}", "red: {above: 50}")
            .replace("58", "45")
            .replace("clear_below: 50", "clear_below: 44")
        ),
        "--yes",
    )
    assert ran.exit_code == 1 and "sites/tune.yaml:2: tune[0].levels" in ran.stderr.replace(f"{folder}/", "")
    assert limit(folder) == 55


def test_a_broken_pack_is_mended_by_installing(issue: Callable[..., str], folder: Path, run: Run) -> None:
    (folder / "rules/all.yaml").write_text("rules: [", "utf-8")
    (folder / "rules/all.yaml.sig").write_text("x" * 5000, "utf-8")
    assert run("check").exit_code == 1
    assert run("pack", "install", issue(SECOND), "--yes").exit_code == 0 and limit(folder) == 58


# ---------------------------------------------------------------- where to


def test_a_new_pack_goes_into_the_directory_that_must_be_signed(
    issue: Callable[..., str], folder: Path, run: Run
) -> None:
    new = FIRST.split("scenarios:")[0].replace("- id: ", "- id: more-")
    ran = run("pack", "install", issue(new, "more.yaml"), "--yes")
    assert ran.exit_code == 0, ran.output
    assert said(ran, folder)[0] == "more.yaml version new → 1, signed by centre, into rules"
    assert (folder / "rules/more.yaml.sig").exists() and limit(folder) == 55
    (folder / "own").mkdir()
    text = (folder / "lilong.yaml").read_text().replace("rules: [rules]", "rules: [rules, own]")
    (folder / "lilong.yaml").write_text(text)
    ran = run("pack", "install", issue("version: 1\nrules: []\n", "third.yaml"), "--yes")
    assert ran.exit_code == 0 and (folder / "rules/third.yaml").exists(), "not the last: the last signed one"


def test_in_chinese_too(issue: Callable[..., str], folder: Path, run: Run) -> None:
    ran = run("pack", "install", issue(SECOND), stdin=b"n\n", lang="zh_CN.UTF-8")
    lines = [" ".join(line.split()) for line in said(ran, folder)]
    assert lines[:3] == [
        "all.yaml 版本 1 → 2，签名者 centre，目录 rules",
        "种类 动作 名称 内容",
        "rules 更改 slot-hot levels.yellow.above: 55 → 58",
    ]
    assert "sites/tune.yaml:2 slot-hot 仍然有效 夏天靠西墙" in lines
    assert lines[-2:] == ["安装吗？ [y/N]: n", "未作任何更改"]
    ran = run(
        "pack", "install", issue(FIRST.replace("red: {above: 75}", "red: {above: 76}")), lang="zh_CN.UTF-8"
    )
    assert "发现版本 1，而已安装的同一版本内容不同，应为比 1 大的版本；确实要装，写 --downgrade" in ran.stderr


def test_a_directory_of_ones_own(issue: Callable[..., str], folder: Path, run: Run) -> None:
    """It replaces its namesake before; and what is put before cannot count while that is there."""
    (folder / "own").mkdir()
    text = (folder / "lilong.yaml").read_text().replace("rules: [rules]", "rules: [rules, own]")
    (folder / "lilong.yaml").write_text(text)
    ran = run("pack", "install", issue(SECOND), "--yes", "--into", str(folder / "own"))
    assert ran.exit_code == 0 and limit(folder) == 58 and (folder / "own/all.yaml").exists()
    ran = run(
        "pack", "install", issue(SECOND.replace("version: 2", "version: 3")), "--yes", "--into", "rules"
    )
    assert ran.exit_code == 1 and "found a pack that would not be read: " in ran.stderr
    assert ran.stderr.splitlines()[0].endswith(
        "expected own, or a directory behind it under directories.rules (--into) [L109]"
    )
    assert (folder / "rules/all.yaml").read_text() == FIRST
    (folder / "lilong.yaml").write_text(text.replace("rules, own]", "rules, builtin]"))
    ran = run("pack", "install", issue("version: 1\nrules: []\n", "gateway.yaml"), "--yes")
    assert ran.exit_code == 1 and "would not be read: builtin/gateway.yaml stands in its place" in ran.stderr
    (folder / "lilong.yaml").write_text(text)
    ran = run("pack", "install", issue(SECOND), "--into", str(folder / "sites"))
    assert str(ran.exception).startswith(
        "lilong: no such directory of rules; write directories: {rules: [builtin, "
    )


def test_a_builtin_pack_is_compared_with_its_namesake(
    issue: Callable[..., str], folder: Path, run: Run, author: Path
) -> None:
    """The first own edition of a shipped pack: what it changes of the shipped one, which has no version."""
    text = (folder / "lilong.yaml").read_text()
    write(
        folder,
        {
            "lilong.yaml": text.replace("rules: [rules]", "rules: [builtin, rules]").replace(
                "devices: [devices]", "devices: [builtin, devices]"
            )
        },
    )
    for old in ("rules/all.yaml", "rules/all.yaml.sig", "sites/tune.yaml"):
        (folder / old).unlink()
    shipped = (Path(__file__).parents[2] / "rules/gateway.yaml").read_text("utf-8")
    assert "version:" not in shipped
    ran = run(
        "pack",
        "install",
        issue("version: 1\n" + shipped.replace("confidence: D", "confidence: M", 1), "gateway.yaml"),
        "--yes",
    )
    assert ran.exit_code == 0, ran.output
    lines = said(ran, folder)
    assert lines[0] == "gateway.yaml version no version → 1, signed by centre, into rules"
    assert lines[2].split()[:2] == ["rules", "changes"] and lines[2].endswith("basis.confidence: D → M")
    assert lines[3] == "written: rules/gateway.yaml"


# ---------------------------------------------------------------- whole or not at all


class Killed(BaseException):
    """The process is gone: nothing tidies up."""


def dying(monkeypatch: pytest.MonkeyPatch, after: int, error: type[BaseException] = Killed) -> list[str]:
    """Every call that reaches the disk is counted; the one after so many never happens."""
    done: list[str] = []

    def counted(name: str, real: Callable[..., object]) -> Callable[..., object]:
        def call(*args: object, **how: object) -> object:
            if len(done) == after:
                done.append(f"died before {name}")
                raise error
            done.append(name)
            return real(*args, **how)

        return call

    for name in ("replace", "fsync", "unlink", "open"):
        monkeypatch.setattr(registry.os, name, counted(name, getattr(os, name)))
    return done


def test_killed_anywhere_it_leaves_the_old_pack_or_the_new_one(
    issue: Callable[..., str], folder: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, file = folder / "lilong.yaml", Path(issue(SECOND))
    target, first = folder / "rules/all.yaml", (folder / "rules/all.yaml.sig").read_bytes()
    seen = []
    for after in range(100):
        target.write_text(FIRST, "utf-8")
        signatures.beside(target).write_bytes(first)
        plan = installing.plan_pack(path, file, folder / "rules", False, "en")
        assert not plan.problems
        with monkeypatch.context() as patch:
            done = dying(patch, after)
            with suppress(Killed):
                installing.put(plan)
        seen.append(limit(folder))
        if not done[-1].startswith("died"):
            break
        assert installing.put(plan) and plan.there, "the next attempt ends it"
    assert seen == sorted(seen, key=[55, 58].index) and seen[0] == 55 and seen[-1] == 58
    assert seen.count(58) >= 3, "the new pack stood while its signature was still written"
    left = sorted(one.name for one in (folder / "rules").iterdir() if not one.name.startswith("."))
    assert left == ["all.yaml", "all.yaml.sig"]


def test_a_disk_that_refuses_leaves_what_was_there(
    issue: Callable[..., str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, file = folder / "lilong.yaml", Path(issue(SECOND))
    plan = installing.plan_pack(path, file, folder / "rules", False, "en")
    before = (folder / "rules/all.yaml.sig").read_bytes()
    for after in range(100):
        with monkeypatch.context() as patch:
            done = dying(patch, after, OSError)
            try:
                installing.put(plan)
            except OSError:
                assert limit(folder) == 55 and (folder / "rules/all.yaml.sig").read_bytes() == before
            else:
                break
    assert after > 5 and limit(folder) == 58 and len(done) == after


def test_a_gateway_that_refuses_gets_the_old_pack_back(
    issue: Callable[..., str], folder: Path, run: Run
) -> None:
    """As for an edit that asks another question while an alert stands."""
    (folder / "state").mkdir()
    before = {path.name: path.read_bytes() for path in (folder / "rules").iterdir()}
    asked: list[float | None] = []

    def reload(_: object) -> list[str]:
        asked.append(limit(folder))
        return ["say if_changed in the rule"]

    control = Control(folder / "state" / SOCKET, {"reload": reload})
    control.start()
    try:
        ran = run("pack", "install", issue(SECOND), "--yes")
    finally:
        control.stop()
    assert asked == [58], "it was there when the gateway was asked"
    assert str(ran.exception) == "lilong: the gateway refused; the files are as before"
    assert "say if_changed in the rule" in ran.stderr
    assert {path.name: path.read_bytes() for path in (folder / "rules").iterdir()} == before


def test_a_first_installation_that_is_refused_leaves_nothing(
    issue: Callable[..., str], folder: Path, author: Path
) -> None:
    new = Path(issue("version: 1\nrules: []\n", "more.yaml"))
    plan = installing.plan_pack(folder / "lilong.yaml", new, folder / "rules", False, "en")
    installing.put_back(plan.target, installing.put(plan))
    assert sorted(path.name for path in (folder / "rules").iterdir()) == ["all.yaml", "all.yaml.sig"]


def test_two_installations_at_once_are_refused(issue: Callable[..., str], folder: Path, run: Run) -> None:
    with registry.alone(folder / "lilong.yaml"):
        ran = run("pack", "install", issue(SECOND), "--yes")
    assert str(ran.exception) == "lilong: another installation or import is under way"
    assert limit(folder) == 55
