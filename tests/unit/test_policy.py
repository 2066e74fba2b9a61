"""Policies as they are read and as they decide: deny beats ask beats allow, and whoever cannot be read is refused."""

from __future__ import annotations

import datetime
import decimal
import functools
import string
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evercell.core.errors import UsageError
from evercell.core.policy import Allow, Ask, CallRequest, Deny, Effect, Policy
from evercell.engine.calls.arguments import body_arguments, named_arguments
from evercell.engine.policy.deciding import Decider, Subject
from evercell.engine.policy.patterns import parse_pattern
from evercell.engine.policy.reading import read_policy
from evercell.engine.settings import resolve_settings


def decide(
    tables: Mapping[str, Any] | list[Mapping[str, Any]],
    name: str,
    arguments: Any = (),
    *,
    is_step: bool = False,
) -> str:
    """What policies say of a call; arguments of ``None`` cannot be read."""
    several = tables if isinstance(tables, list) else [tables]
    decider = Decider(tuple(read_policy(table, "here") for table in several))
    given_ = None if arguments is None else dict(arguments)
    return str(decider.decide(Subject(name, lambda: given_, is_step=is_step)).effect)


# -- precedence ----------------------------------------------------------------------------------

CASES: list[tuple[dict[str, Any], str, Any, str]] = [
    # what no pattern names is as the default says, and the default is to allow
    ({}, "transfer", {}, "allow"),
    ({"default": "ask"}, "transfer", {}, "ask"),
    ({"default": "deny"}, "transfer", {}, "deny"),
    ({"default": "deny", "allow": ["transfer"]}, "transfer", {}, "allow"),
    ({"default": "deny", "allow": ["transfer"]}, "transfers", {}, "deny"),
    ({"default": "deny", "ask": ["transfer"]}, "transfer", {}, "ask"),
    ({"default": "ask", "allow": ["*"]}, "transfer", {}, "allow"),
    # deny, then ask, then allow: the order of the lists, whatever is more specific
    ({"deny": ["transfer"], "allow": ["*"]}, "transfer", {}, "deny"),
    ({"deny": ["*"], "allow": ["transfer"]}, "transfer", {}, "deny"),
    ({"deny": ["*"], "ask": ["transfer"]}, "transfer", {}, "deny"),
    ({"deny": ["t*"], "allow": ["transfer(amount=1)"]}, "transfer", {"amount": 1}, "deny"),
    ({"ask": ["*"], "allow": ["transfer"]}, "transfer", {}, "ask"),
    ({"ask": ["*"], "allow": ["transfer(amount=1)"]}, "transfer", {"amount": 1}, "ask"),
    ({"ask": ["transfer"], "allow": ["*"]}, "transfer", {}, "ask"),
    ({"deny": ["pay"], "ask": ["transfer"], "allow": ["now"]}, "other", {}, "allow"),
    ({"deny": ["pay", "transfer"]}, "transfer", {}, "deny"),
    # names are globs, and case counts
    ({"deny": ["trans*"]}, "transfer", {}, "deny"),
    ({"deny": ["*fer"]}, "transfer", {}, "deny"),
    ({"deny": ["trans?er"]}, "transfer", {}, "deny"),
    ({"deny": ["[tp]ransfer"]}, "transfer", {}, "deny"),
    ({"deny": ["Transfer"]}, "transfer", {}, "allow"),
    ({"deny": ["trans"]}, "transfer", {}, "allow"),
    ({"deny": ["überweisen"]}, "überweisen", {}, "deny"),
    ({"deny": ["überweisen"]}, "u\u0308berweisen", {}, "deny"),  # the same letters, otherwise encoded
    # arguments
    ({"deny": ["transfer(to=evil)"]}, "transfer", {"to": "evil"}, "deny"),
    ({"deny": ["transfer(to=evil)"]}, "transfer", {"to": "good"}, "allow"),
    ({"deny": ["transfer(to=evil)"]}, "transfer", {"amount": 1}, "allow"),
    ({"deny": ["transfer(to=*)"]}, "transfer", {"to": object()}, "deny"),
    ({"deny": ["transfer(to=*.example, amount>100)"]}, "transfer", {"to": "a.example", "amount": 101}, "deny"),
    ({"deny": ["transfer(to=*.example, amount>100)"]}, "transfer", {"to": "a.example", "amount": 100}, "allow"),
    ({"deny": ['run(command="git push, now*")']}, "run", {"command": "git push, now or never"}, "deny"),
    ({"deny": ["run(command=rm *)"]}, "run", {"command": "rm -rf /\nls"}, "deny"),
    ({"ask": ["transfer(amount>=100)"], "deny": ["transfer(amount>=1000)"]}, "transfer", {"amount": 100}, "ask"),
    ({"ask": ["transfer(amount>=100)"], "deny": ["transfer(amount>=1000)"]}, "transfer", {"amount": 1000}, "deny"),
    ({"ask": ["transfer(amount>=100)"], "deny": ["transfer(amount>=1000)"]}, "transfer", {"amount": 99.5}, "allow"),
    ({"default": "deny", "allow": ["f(n<10)"]}, "f", {"n": 9}, "allow"),
    ({"default": "deny", "allow": ["f(n<=10)"]}, "f", {"n": 10}, "allow"),
    ({"default": "deny", "allow": ["f(n<10)"]}, "f", {"n": 10}, "deny"),
]  # fmt: skip


@pytest.mark.parametrize(("table", "name", "arguments", "expected"), CASES)
def test_the_strictest_rule_that_fits_decides(
    table: dict[str, Any], name: str, arguments: Any, expected: str
) -> None:
    assert decide(table, name, arguments) == expected


UNKNOWN: list[tuple[dict[str, Any], Any, str]] = [
    # what cannot be read may be what is denied, and is not what is allowed
    ({"deny": ["f(x=evil)"]}, None, "deny"),
    ({"ask": ["f(x>1)"]}, None, "ask"),
    ({"default": "deny", "allow": ["f(x=*)"]}, None, "deny"),
    ({"deny": ["f"], "allow": ["*"]}, None, "deny"),
    ({"default": "deny", "allow": ["f"]}, None, "allow"),
    ({"deny": ["f(x=evil)"]}, {"x": object()}, "deny"),
    ({"default": "deny", "allow": ["f(x=good)"]}, {"x": object()}, "deny"),
    ({"deny": ["f(x>1)"]}, {"x": "many"}, "deny"),
    ({"deny": ["f(x>1)"]}, {"x": float("nan")}, "deny"),
    ({"deny": ["f(x>1)"]}, {"x": True}, "deny"),
    ({"deny": ["f(x=evil)"]}, {"x": "a" * 2_000_000}, "deny"),
    ({"deny": ["f(x=evil)"]}, {"x": [["good"] * 20_000]}, "deny"),
    ({"deny": ["f(x=evil)"]}, {"x": functools.reduce(lambda inner, _: [inner], range(200), [])}, "deny"),
    # of several values one is enough to deny, and all have to be allowed
    ({"deny": ["f(x=evil)"]}, {"x": ["good", "evil"]}, "deny"),
    ({"deny": ["f(x=evil)"]}, {"x": {"to": ("good", {"evil"})}}, "deny"),
    ({"deny": ["f(x=evil)"]}, {"x": {"evil": 1}}, "deny"),
    ({"deny": ["f(x=evil)"]}, {"x": ["good"]}, "allow"),
    ({"deny": ["f(x=evil)"]}, {"x": []}, "allow"),
    ({"default": "deny", "allow": ["f(x=g*)"]}, {"x": ["good", "great"]}, "allow"),
    ({"default": "deny", "allow": ["f(x=g*)"]}, {"x": ["good", "evil"]}, "deny"),
    ({"default": "deny", "allow": ["f(x=g*)"]}, {"x": []}, "deny"),
    ({"default": "deny", "allow": ["f(x=g*)"]}, {}, "deny"),
    # below a name
    ({"deny": ["f(x.name=delete_*)"]}, {"x": {"name": "delete_all"}}, "deny"),
    ({"deny": ["f(x.name=delete_*)"]}, {"x": {"name": "read"}}, "allow"),
    ({"deny": ["f(x.name=delete_*)"]}, {"x": [{"name": "read"}, {"name": "delete_all"}]}, "deny"),
    ({"deny": ["f(x.name=delete_*)"]}, {"x": "delete_all"}, "allow"),
    ({"deny": ["f(x.name=delete_*)"]}, {"x": object()}, "deny"),
    # one value has several spellings
    ({"deny": ["f(x=100)"]}, {"x": 100.0}, "deny"),
    ({"deny": ["f(x=100)"]}, {"x": 100}, "deny"),
    ({"deny": ["f(x=true)"]}, {"x": True}, "deny"),
    ({"deny": ["f(x=True)"]}, {"x": True}, "deny"),
    ({"default": "deny", "allow": ["f(x=true)"]}, {"x": True}, "allow"),
    ({"deny": ["f(x=null)"]}, {"x": None}, "deny"),
    ({"deny": ["f(x=None)"]}, {"x": None}, "deny"),
    ({"deny": ["f(x>1)"]}, {"x": decimal.Decimal(2)}, "deny"),
    ({"deny": ["f(x>1)"]}, {"x": " 1e3 "}, "deny"),
    ({"deny": ["f(x=/etc/*)"]}, {"x": PurePosixPath("/etc/passwd")}, "deny"),
    ({"deny": ["f(x=/etc/*)"]}, {"x": b"/etc/passwd"}, "deny"),
    ({"deny": ["f(x=2026-*)"]}, {"x": datetime.date(2026, 1, 1)}, "deny"),
    # a path has several forms
    ({"deny": ["f(x=/etc/*)"]}, {"x": "/data/../etc/passwd"}, "deny"),
    ({"deny": ["f(x=/etc/*)"]}, {"x": "/data/%2e%2e/etc/passwd"}, "deny"),
    ({"deny": ["f(x=/etc/*)"]}, {"x": "//etc//passwd"}, "deny"),
    ({"deny": ["f(x=/etc/*)"]}, {"x": "\uff0fetc\uff0fpasswd"}, "deny"),
    ({"default": "deny", "allow": ["f(x=/data/*)"]}, {"x": "/data/../etc/passwd"}, "deny"),
    ({"default": "deny", "allow": ["f(x=/data/*)"]}, {"x": "/data/a.csv"}, "allow"),
    ({"default": "deny", "allow": ["f(x=https://a.example/*)"]}, {"x": "https://a.example/v1/x?q=a%20b"}, "allow"),
    ({"default": "deny", "allow": ["f(x=https://a.example/v1/*)"]}, {"x": "https://a.example/v1/../admin"}, "deny"),
]  # fmt: skip


@pytest.mark.parametrize(("table", "arguments", "expected"), UNKNOWN)
def test_what_cannot_be_told_is_taken_for_the_worst(
    table: dict[str, Any], arguments: Any, expected: str
) -> None:
    assert decide(table, "f", arguments) == expected


class Liar(str):
    """Says another thing than it is, and counts how often it is asked."""

    asked = 0

    def __str__(self) -> str:
        Liar.asked += 1
        return "good"

    __repr__ = __eq__ = __hash__ = __str__  # type: ignore[assignment]


def test_nothing_of_the_users_runs_to_decide() -> None:
    assert decide({"deny": ["f(x=evil)"]}, "f", {"x": Liar("evil")}) == "deny"
    assert decide({"default": "deny", "allow": ["f(x=good)"]}, "f", {"x": Liar("evil")}) == "deny"
    assert Liar.asked == 0


REQUESTS = [
    ({"deny": ["POST api.example.com/*"]}, "POST api.example.com/v1/pay", "deny"),
    ({"deny": ["* api.example.com/admin*"]}, "POST api.example.com/v1/../admin/x", "deny"),
    ({"deny": ["* api.example.com/admin*"]}, "POST api.example.com/%61dmin", "deny"),
    ({"deny": ["* api.example.com/admin*"]}, "POST api.example.com//admin", "deny"),
    ({"default": "deny", "allow": ["GET api.example.com/v1/*"]}, "GET api.example.com/v1/../admin", "deny"),
    ({"default": "deny", "allow": ["GET api.example.com/v1/*"]}, "GET api.example.com/v1/x?y=%20", "allow"),
]


@pytest.mark.parametrize(("table", "name", "expected"), REQUESTS)
def test_requests_are_known_by_method_and_place(table: dict[str, Any], name: str, expected: str) -> None:
    assert decide(table, name) == expected


def test_steps_have_patterns_and_a_default_of_their_own() -> None:
    table = {"deny": ["%%step deploy*"], "ask": ["%%step plan"], "default": "deny"}
    assert decide(table, "deploy-prod", is_step=True) == "deny"
    assert decide(table, "plan", is_step=True) == "ask"
    assert decide(table, "load", is_step=True) == "allow"
    assert decide({**table, "steps": "deny"}, "load", is_step=True) == "deny"
    assert decide({"deny": ["*"]}, "load", is_step=True) == "allow"
    assert decide({"deny": ["%%step *"]}, "load") == "allow"


# -- several policies ----------------------------------------------------------------------------


def test_no_place_loosens_what_another_one_says() -> None:
    strict, loose = {"default": "deny", "allow": ["read"]}, {"allow": ["transfer", "read"]}
    for both in ([strict, loose], [loose, strict]):
        assert decide(both, "transfer") == "deny"
        assert decide(both, "read") == "allow"


def test_two_that_ask_are_one_question_to_those_whom_both_would_ask() -> None:
    one = {"ask": ["f"], "approvers": ["ann", "bob", "cy"], "quorum": 2, "timeout": "3d"}
    other = {"ask": ["*"], "approvers": ["cy", "ann"], "timeout": "1h"}
    decider = Decider((read_policy(one, "one"), read_policy(other, "other")))
    ruling = decider.decide(Subject("f", dict))
    assert (ruling.effect, ruling.approvers, ruling.quorum, ruling.timeout) == (
        Effect.ASK, ("ann", "cy"), 2, 3600.0,
    )  # fmt: skip
    assert ruling.rule == "ask f; ask *"


# -- Hypothesis ----------------------------------------------------------------------------------

WORDS = st.sampled_from(["pay", "read", "send", "delete"])
GLOBS = st.one_of(WORDS, st.sampled_from(["*", "p*", "*e*", "[a-m]*", "????"]))
VALUES = st.one_of(
    st.integers(-5, 5), st.sampled_from(["a", "b", "../a", "/etc/x"]), st.none(), st.booleans(),
    st.lists(st.sampled_from(["a", "b"]), max_size=2), st.floats(), st.text(string.printable, max_size=5),
)  # fmt: skip
CONDITIONS = st.one_of(
    st.builds("{}={}".format, st.sampled_from("xy"), st.sampled_from(["a", "*", "/etc/*", "?", "1"])),
    st.builds("{}{}{}".format, st.sampled_from("xy"), st.sampled_from([">", "<", ">=", "<="]), st.integers(-3, 3)),
)  # fmt: skip
PATTERNS = st.one_of(
    GLOBS,
    st.builds("{}({})".format, GLOBS, st.lists(CONDITIONS, min_size=1, max_size=2).map(", ".join)),
)
EFFECTS = st.sampled_from(["allow", "ask", "deny"])
RULES = st.lists(PATTERNS, max_size=3).map(tuple)
POLICIES = st.builds(Policy, deny=RULES, ask=RULES, allow=RULES, default=EFFECTS.map(Effect))
ARGUMENTS = st.one_of(st.none(), st.dictionaries(st.sampled_from("xyz"), VALUES, max_size=3))


def strictness(policies: list[Policy], name: str, arguments: Any) -> int:
    return Decider(tuple(policies)).decide(Subject(name, lambda: arguments)).effect.strictness


@given(policy=POLICIES, new=PATTERNS, name=WORDS, arguments=ARGUMENTS)
def test_a_further_deny_never_enables_a_call(policy: Policy, new: str, name: str, arguments: Any) -> None:
    more = Policy((*policy.deny, new), policy.ask, policy.allow, policy.default)
    assert strictness([more], name, arguments) >= strictness([policy], name, arguments)


@given(policy=POLICIES, new=PATTERNS, name=WORDS, arguments=ARGUMENTS)
def test_a_further_allow_never_overrules_a_deny(policy: Policy, new: str, name: str, arguments: Any) -> None:
    more = Policy(policy.deny, policy.ask, (*policy.allow, new), policy.default)
    before = strictness([policy], name, arguments)
    after = strictness([more], name, arguments)
    assert after in (before, Effect.ALLOW.strictness)
    by_rule = strictness([Policy(policy.deny, policy.ask)], name, arguments)
    assert after >= by_rule


@given(policies=st.lists(POLICIES, min_size=1, max_size=3), new=POLICIES, name=WORDS, arguments=ARGUMENTS)
def test_a_further_policy_never_enables_a_call(
    policies: list[Policy], new: Policy, name: str, arguments: Any
) -> None:
    before = strictness(policies, name, arguments)
    assert strictness([*policies, new], name, arguments) >= before
    assert strictness([new, *policies], name, arguments) >= before
    assert strictness(policies[::-1], name, arguments) == before


@given(policy=POLICIES, name=WORDS, arguments=ARGUMENTS)
def test_arguments_that_cannot_be_read_are_taken_for_the_worst(
    policy: Policy, name: str, arguments: Any
) -> None:
    """Of what is denied or asked about; and of what is allowed none of those that are looked at."""
    blind = strictness([policy], name, None)
    assert blind >= strictness([Policy(policy.deny, policy.ask)], name, arguments)
    unconditional = tuple(text for text in policy.allow if "(" not in text)
    assert blind == strictness([Policy(policy.deny, policy.ask, unconditional, policy.default)], name, None)


@given(policy=POLICIES)
def test_a_policy_comes_back_from_its_json(policy: Policy) -> None:
    again = Policy.from_json(policy.to_json())
    assert again == policy and again.digest == policy.digest


@given(text=st.text(max_size=60), name=st.text(max_size=10), value=VALUES)
def test_a_pattern_is_read_or_refused_and_never_breaks(text: str, name: str, value: Any) -> None:
    try:
        pattern = parse_pattern(text)
    except UsageError:
        return
    for surely in (True, False):
        pattern.names(name, surely=surely)
        pattern.fits({"x": value}, surely=surely)


# -- the arguments of a call ---------------------------------------------------------------------


def transfer(amount: int, to: str = "me", *more: int, urgent: bool = False, **notes: str) -> None: ...
def positional(a: int, /, b: int) -> None: ...


@functools.wraps(transfer)
def wrapped(*args: Any, **kwargs: Any) -> None: ...


class Bank:
    def transfer(self, amount: int, to: str = "me") -> None: ...
    def __call__(self, amount: int) -> None: ...


def test_arguments_have_the_names_that_the_function_gives_them() -> None:
    everything = {"amount": 1, "to": "me", "more": (), "urgent": False}
    for function in (transfer, wrapped):
        assert named_arguments(function, (1,), {}) == everything
        assert named_arguments(function, (), {"amount": 1}) == everything
        assert named_arguments(function, (1, "you", 3), {"urgent": True, "x": "y"}) == {
            "amount": 1, "to": "you", "more": (3,), "urgent": True, "x": "y",
        }  # fmt: skip
        assert named_arguments(function, (), {}) is None
        assert named_arguments(function, (1,), {"amount": 2}) is None
    assert named_arguments(positional, (1,), {"b": 2}) == {"a": 1, "b": 2}
    assert named_arguments(positional, (), {"a": 1, "b": 2}) is None
    bank = Bank()
    assert named_arguments(bank.transfer, (5,), {}) == {"self": bank, "amount": 5, "to": "me"}
    assert named_arguments(bank, (5,), {}) == {"amount": 5}
    assert named_arguments(functools.partial(transfer, 5), ("you",), {})["to"] == "you"  # type: ignore[index]
    assert named_arguments(transfer, (1,), {"unknown": "x", "more": "y"}) is None
    assert named_arguments(Bank.transfer, (bank,), {"nothing": 1}) is None
    assert named_arguments(max, (1, 2), {}) is None


def test_a_body_has_arguments_where_it_is_one_json_object() -> None:
    assert body_arguments(b'{"model": "m", "n": [1]}') == {"model": "m", "n": [1]}
    assert body_arguments(b"") == {}
    for body in (b"[1]", b"{", b"\xff", b'{"a": 1, "a": 2}', b'{"x": {"a": 1, "a": 2}}', b"[" * 100_000):
        assert body_arguments(body) is None, body[:20]


# -- hooks ---------------------------------------------------------------------------------------


def allows(request: CallRequest) -> Allow:
    return Allow()


def asks(request: CallRequest) -> Ask:
    return Ask("it looks odd", approvers=("ann",))


def denies_large(request: CallRequest) -> Deny | None:
    is_large = request.arguments is None or request.arguments.get("amount", 0) > 10
    return Deny("too much") if is_large else None


def fails(request: CallRequest) -> Allow:
    raise ValueError("no")


def says_yes(request: CallRequest) -> Any:
    return True


HOOKS = [
    ({}, "allows", {}, "allow"),
    ({"deny": ["pay"]}, "allows", {}, "deny"),
    ({"ask": ["pay"]}, "allows", {}, "ask"),
    ({"default": "deny"}, "allows", {}, "deny"),
    ({}, "asks", {}, "ask"),
    ({"deny": ["pay"]}, "asks", {}, "deny"),
    ({"allow": ["pay"]}, "asks", {}, "ask"),
    ({}, "denies_large", {"amount": 1}, "allow"),
    ({}, "denies_large", {"amount": 11}, "deny"),
    ({"allow": ["*"]}, "denies_large", None, "deny"),
    # whoever is no hook, or breaks, denies
    ({}, "fails", {}, "deny"),
    ({}, "says_yes", {}, "deny"),
    ({}, "is_not_there", {}, "deny"),
]


@pytest.mark.parametrize(("table", "hook", "arguments", "expected"), HOOKS)
def test_a_hook_may_only_tighten(table: dict[str, Any], hook: str, arguments: Any, expected: str) -> None:
    assert decide({**table, "hooks": [f"{__name__}:{hook}"]}, "pay", arguments) == expected


def test_a_hook_that_nobody_installed_denies() -> None:
    assert decide({"hooks": ["cedar-of-nobody"]}, "pay") == "deny"


# -- as people write them ------------------------------------------------------------------------

WRONG: list[tuple[dict[str, Any], str]] = [
    ({"denny": ["x"]}, "Did you mean deny"),
    ({"deny": "x"}, "a list of texts"),
    ({"deny": [1]}, "a list of texts"),
    ({"deny": [""]}, "a list of texts"),
    ({"default": "maybe"}, '"allow", "ask" or "deny"'),
    ({"steps": 1}, '"allow", "ask" or "deny"'),
    ({"quorum": 0}, "a whole number"),
    ({"quorum": True}, "a whole number"),
    ({"timeout": 3}, "a duration"),
    ({"timeout": "soon"}, "a duration"),
    ({"approvers": ["ann"], "quorum": 2}, "cannot be reached"),
    ({"approvers": ["ann", "ann"], "quorum": 2}, "cannot be reached"),
    ({"deny": ["transfer("]}, "no pattern"),
    ({"deny": ["(x=1)"]}, "no pattern"),
    ({"deny": ["transfer()"]}, "no pattern"),
    ({"deny": ["transfer(x)"]}, "no argument=glob"),
    ({"deny": ["transfer(x=1) y"]}, "no pattern"),
    ({"deny": ["transfer(x>much)"]}, "is no number"),
    ({"deny": ["transfer(x=a,b)"]}, "no argument=glob"),
    ({"deny": ['transfer(x="a)']}, "no argument=glob"),
    ({"deny": ["%%setup"]}, "only steps"),
    ({"deny": ["x" * 2_000]}, "1 to 1,000 characters"),
    ({"deny": ["pay"], "allow": ["pay"]}, "stands in deny and in allow"),
    ({"deny": ["pay( x = 1 )"], "ask": ["pay(x=1)"]}, "stands in deny and in ask"),
    ({"ask": ["*"], "allow": ["*"]}, "stands in ask and in allow"),
]


@pytest.mark.parametrize(("table", "said"), WRONG)
def test_a_policy_that_means_nothing_or_contradicts_itself_is_refused_with_its_place(
    table: dict[str, Any], said: str
) -> None:
    with pytest.raises(UsageError) as refused:
        read_policy(table, "/w/policy.toml")
    assert "/w/policy.toml" in str(refused.value) and said in str(refused.value)


def origins(folder: Path, **environ: str) -> list[str]:
    settings = resolve_settings(folder=folder, environ=environ)
    return [policy.origin for policy in settings.policies]


def test_policies_of_all_places_count(tmp_path: Path) -> None:
    project, notebooks = tmp_path / "p", tmp_path / "p" / "notebooks"
    notebooks.mkdir(parents=True)
    assert origins(notebooks) == []
    (project / "pyproject.toml").write_text('[tool.evercell.policy]\ndeny = ["one"]')
    (project / "policy.toml").write_text('deny = ["two"]')
    (notebooks / "policy.toml").write_text('deny = ["three"]')
    operator = tmp_path / "operator.toml"
    operator.write_text('default = "deny"')
    found = origins(notebooks, EVERCELL_POLICY=str(operator))
    assert found == [
        str(operator), f"{project / 'pyproject.toml'} [tool.evercell.policy]", str(notebooks / "policy.toml"),
        str(project / "policy.toml"),
    ]  # fmt: skip


def test_a_project_names_a_file_that_lies_beside_it(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[tool.evercell]\npolicy = "rules/strict.toml"')
    with pytest.raises(UsageError, match=r"rules/strict\.toml cannot be read"):
        origins(tmp_path)
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "strict.toml").write_text('deny = ["one"]')
    assert origins(tmp_path) == [str(tmp_path / "rules" / "strict.toml")]


def test_a_policy_that_cannot_be_read_is_not_passed_over(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        origins(tmp_path, EVERCELL_POLICY=str(tmp_path / "nothing.toml"))
    for text in ("deny = [", 'denny = ["x"]', "deny = ['\udcff']".encode("utf-8", "surrogatepass")):
        (tmp_path / "policy.toml").write_bytes(text if isinstance(text, bytes) else text.encode())
        with pytest.raises(UsageError):
            origins(tmp_path)


def test_a_policy_of_another_program_is_let_alone(tmp_path: Path) -> None:
    (tmp_path / "policy.toml").write_text("[firewall]\nzones = ['a']")
    assert origins(tmp_path) == []
