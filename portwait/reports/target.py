"""What is known of a target, put into words for people.

The words of DESIGN are kept: a port is `free` or `held`. Text of other processes passes through
`text.escape` and `text.masking` on its way.
"""

from __future__ import annotations

import errno

from portwait.advice import shell_commands
from portwait.host.machine import call
from portwait.model.targets import ANY, plain
from portwait.reports import sockets as socket_report
from portwait.reports.sockets import process
from portwait.text import durations
from portwait.text.escape import escape
from portwait.text.layout import Paper
from portwait.text.plural import listed, names

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from portwait.model.blocker import Blocker
    from portwait.model.case import Case
    from portwait.model.port_settings import PortSettings
    from portwait.model.targets import Target
    from portwait.model.verdict import Verdict

_WORDS = {
    "outbound": ("an outbound connection", "outbound connections"),
    "accepted": ("an accepted connection whose listener is gone", "accepted connections whose listener is gone"),
    "accepted beside": ("an accepted connection", "accepted connections"),
    "self-connect": ("a connection to itself", "connections to themselves"),
    "listener": ("a listener", "listeners"),
    "time-wait": ("a connection in TIME_WAIT", "connections in TIME_WAIT"),
    "closing": ("a connection that is closing", "connections that are closing"),
    "bound": ("a socket that is only bound", "sockets that are only bound"),
    "bound udp": ("a bound UDP socket", "bound UDP sockets"),
    "hold": ("another portwait's hold", "holds of other portwaits"),
    "unknown": ("a connection of unknown direction", "connections of unknown direction"),
}
_BRIEFLY = 3  # remedies on one screen
_MOST_UNSEEN = 3  # owners that are not seen, and differ


def headline(case: Case) -> str:
    """Write one line that can be read aloud."""
    target, verdict = case.target, case.verdict
    name = escape(str(target))
    if verdict.state == "held":
        return f"{name} is held {_by(case.blockers)}"
    if verdict.state == "unavailable":
        return f"{name} is unavailable: {_why_unavailable(case)} ({verdict.errno_name})"
    if verdict.state == "denied":
        return f"{name}: binding is denied to this user ({verdict.errno_name}); nothing is known to hold it"
    if verdict.state == "unknown" and case.address is not None and case.address.code == "no-zone":
        return f"{name} cannot be bound: {_why_unavailable(case)} ({verdict.errno_name})"
    if case.starved:
        return starvation([case])
    if verdict.state == "unknown" and verdict.errno == errno.EAFNOSUPPORT:
        return f"{name}: no socket of its address family may be made here (EAFNOSUPPORT; RestrictAddressFamilies=, say)"
    if verdict.state == "unknown":
        return f"{name}: the kernel gave no verdict ({verdict.errno_name or 'the socket tables cannot be read'})"
    return f"{name} is free"


def starvation(cases: Sequence[Case]) -> str:
    """Say once that no file descriptor was left to ask bind with, and the cure, whoever ran out of them."""
    asked = names([case.target for case in cases])
    if cases[0].verdict.errno == errno.EMFILE:
        who = "portwait has run out of file descriptors (EMFILE)"
        cure = "raise its limit: LimitNOFILE= in the [Service] of a unit, ulimit -n in a shell"
    else:
        who = "this system has run out of file descriptors (ENFILE)"
        cure = "raise fs.file-max (sysctl), or end what has so many open"
    return f"{asked}: {who}, so nobody can tell whether {'they are' if len(cases) > 1 else 'it is'} free; {cure}"


def _why_unavailable(case: Case) -> str:
    """Say which of the things that the error can mean it is."""
    target = case.target
    code, device = (case.address.code, escape(case.address.device)) if case.address is not None else ("absent", "")
    words = {
        "tentative": f"{target.address} is tentative on {device}: the kernel still asks whether another host has it",
        "duplicate": f"{target.address} on {device} is another host's too (dadfailed), so the kernel does not use it",
        "ipv6-off": f"IPv6 is switched off (net.ipv6.conf.{device}.disable_ipv6 is 1)",
        "vrf": f"{target.address} is in the VRF {device}, and a bind without that device does not see it",
        "no-zone": f"{target.address} is a link-local address, which has to be named with its interface",
        "no-interface": f"the interface {device} is not on this host",
        "no-family": "no such address family",
        "loopback-down": "the loopback interface lo is down",
        "absent": f"the interface {device} does not have the address {target.address}" if device else "",
        "loopback": f"the loopback interface lo does not have the address {target.address}",
    }
    return words.get(code) or f"the address {target.address} is not on this host"


def _by(blockers: Sequence[Blocker]) -> str:
    if not blockers:
        return "by something that the socket tables do not show"
    kinds: dict[str, int] = {}
    served = any(blocker.kind.name == "listener" for blocker in blockers)
    for blocker in blockers:
        kind: str = "bound udp" if socket_report.serves_udp(blocker) else blocker.kind.name
        if served and kind == "accepted":
            kind = "accepted beside"
        kinds[kind] = kinds.get(kind, 0) + 1
    what = " and ".join(
        _WORDS[kind][0] if count == 1 else f"{count} {_WORDS[kind][1]}" for kind, count in kinds.items()
    )
    who: dict[str, None] = {}
    for blocker in blockers:
        for owner in blocker.owners:
            who.setdefault(process(owner))
    if any(blocker.inherited for blocker in blockers):
        itself = f"this portwait has inherited {'it' if len(blockers) == 1 else 'them'}"
        return f"by {what}: {f'{listed(list(who), most=3)}; ' if who else ''}{itself}"
    if who:
        return f"by {what}: {listed(list(who), most=3)}{_beside_these(blockers)}"
    if all(blocker.socket.inode == 0 and blocker.unseen is None for blocker in blockers):
        left = max((blocker.expires_in or 0 for blocker in blockers), default=0)
        them, ends = ("it", "it ends by itself") if len(blockers) == 1 else ("them", "they end by themselves")
        return f"by {what}: no process owns {them}" + (f", {ends} in {durations.show(left)}" if left else "")
    unseen = _unseen(blockers)
    return f"by {what}{_of(unseen)}: {unseen[0].unseen or 'owner not known'}"


def _beside_these(blockers: Sequence[Blocker]) -> str:
    """Say of how many blockers no owner is seen, behind the owners of the others."""
    count = sum(bool(blocker.unseen) and not blocker.owners for blocker in blockers)
    which = f"{count} of them" if count > 1 else "one of them"
    return f"; who has {which} open is not visible" if count else ""


def _unseen(blockers: Sequence[Blocker]) -> list[Blocker]:
    """Choose the blockers whose missing owners the headline explains: those of which the same is said."""
    first = next((blocker for blocker in blockers if blocker.unseen), blockers[0])
    return [blocker for blocker in blockers if blocker.unseen == first.unseen]


def _unseen_of(case: Case) -> list[Blocker]:
    """Choose the blockers whose missing owners the headline has explained already: none where it names processes."""
    if not case.blockers or any(blocker.is_owned for blocker in case.blockers):
        return []
    unseen = _unseen(case.blockers)
    return unseen if len(_known_of(unseen)) <= _MOST_UNSEEN + 1 else []


def _of(blockers: Sequence[Blocker]) -> str:
    """Say what is known of the owners that are not seen: they can be several, of several users."""
    known = [f"of {whose}" for whose in _known_of(blockers) if whose]
    return f" {listed(known, most=_MOST_UNSEEN)}" if known else ""


def _known_of(blockers: Sequence[Blocker]) -> list[str]:
    """List what is known of these blockers' owners, each once: `orders.service, user app`."""
    known: dict[str, None] = {}
    for blocker in blockers:
        parts = [escape(part) for part in (blocker.unit, blocker.container) if part]
        parts += [f"user {escape(blocker.user)}"] if blocker.user is not None else []
        known.setdefault(", ".join(parts))
    return list(known)


def full(case: Case, paper: Paper | None = None, *, notes: Sequence[str] = (), briefly: bool = False) -> str:
    """Write the report on one target: headline, details, explanation, `notes`, advice; `briefly` on one screen."""
    paper = paper or Paper()
    state = case.verdict.state
    style = state if state in ("held", "free") else "other"
    more = f". {_more(case)}" if briefly and state == "denied" and not case.remedies else ""
    lines = [paper.paint(line, style) for line in paper.wrap(headline(case) + more, "", "  ", lead=paper.lead)]
    for first, text, rest in socket_report.of(case.blockers, _unseen_of(case)):
        lines += paper.wrap(text, first, rest)
    whose = socket_report.one_family(case.blockers, case.holds)
    for text in (*_by_tables(case.verdict), *_kept(case), *_why(case), *_both_families(case), *whose, *notes):
        lines += paper.wrap(text, "  ")
    lines += _advice(case, paper, briefly=briefly)
    return "\n".join(lines)


def _kept(case: Case) -> list[str]:
    """Say that a hold keeps a free port from connect(), and whose it is."""
    if not case.holds or case.verdict.state != "free":
        return []
    owners = list(dict.fromkeys(process(owner) for blocker in case.holds for owner in blocker.owners))
    who = f", kept by {listed(owners, most=3)}" if owners else ""
    return [f"A hold of portwait stands on it{who}: no connect() gets it."]


def _by_tables(verdict: Verdict) -> list[str]:
    """Say so where the socket tables decided, not bind."""
    if verdict.state != "held" or verdict.by != "tables":
        return []
    if verdict.starved:
        return [f"No file descriptor was left to ask bind with ({verdict.errno_name}), so the socket tables decide."]
    if verdict.errno in (errno.EACCES, errno.EPERM):
        return [f"Binding is denied to this user ({verdict.errno_name}), so the socket tables decide."]
    if verdict.errno:
        return [f"The kernel gave no verdict ({verdict.errno_name}), so the socket tables decide."]
    return ["The socket tables say so; bind was not asked."]


def _why(case: Case) -> list[str]:
    """Explain what surprises people: that netstat -l shows nothing, and where the port came from."""
    target, settings = case.target, case.settings
    if settings.ephemeral_range is None:
        return []
    span = "{}-{}".format(*settings.ephemeral_range)
    if case.verdict.state == "free":
        return [_prospect(target, span, settings, kept=bool(case.holds))]
    if target.protocol != "tcp" or not any(
        blocker.kind.name in ("outbound", "self-connect") for blocker in case.blockers
    ):
        return _where(case)
    elsewhere = [blocker for blocker in case.blockers if plain(blocker.socket.local_address) in case.not_local]
    if elsewhere:
        words = "It is not a listener: netstat -l cannot show it. Its local address is none of this host's: a "
        words += "transparent proxy opens connections from its clients' addresses and ports."
        return [words]
    if settings.covers(target.port):
        origin = f"The kernel picks source ports from ip_local_port_range {span}, and {target.port} is one of them."
        if settings.reserves(target.port):
            origin += " It is reserved now: this connection is older, or the client bound it by number."
    else:
        origin = (
            f"{target.port} is outside ip_local_port_range {span}: "
            "the client bound it by number, or the range was another."
        )
    return [f"It is not a listener: netstat -l cannot show it. {origin}"]


def _where(case: Case) -> list[str]:
    """Say that single addresses are taken, where that is what keeps a bind of all of them from succeeding."""
    listeners = [blocker for blocker in case.blockers if socket_report.is_server(blocker)]
    if case.target.address != ANY or not listeners or len(listeners) < len(case.blockers):
        return []
    taken = list(dict.fromkeys(blocker.local.rpartition(":")[0] for blocker in listeners))
    if any(blocker.socket.local_address in ("0.0.0.0", "::") for blocker in listeners):
        return []
    names = listed([escape(address) for address in taken], most=4)
    words = f"Only {names} {'is' if len(taken) == 1 else 'are'} taken: a service that binds another address, "
    words += f"ADDRESS:{case.target.port}, can start."
    return [words]


def _both_families(case: Case) -> list[str]:
    """Say why IPv6 sockets are in the way of an IPv4 target."""
    if case.target.family != 4:
        return []
    dual = socket_report.dual_stack(case.blockers, alone=case.verdict.by == "bind")
    both = list(dict.fromkeys(escape(blocker.local) for blocker in dual))
    if not both:
        return []
    if len(both) == 1:
        return [f"{both[0]} is an IPv6 socket without IPV6_V6ONLY: the kernel counts it for IPv4 too."]
    return [f"{listed(both, most=3)} are IPv6 sockets without IPV6_V6ONLY: the kernel counts them for IPv4 too."]


def _prospect(target: Target, span: str, settings: PortSettings, *, kept: bool) -> str:
    """Say whether the kernel may give a free port to a client; while a hold stands on it, only later."""
    port = target.port
    if not settings.covers(port):
        return f"The kernel gives it to nobody by itself: it is outside ip_local_port_range {span}."
    if settings.reserves(port):
        return f"The kernel gives it to nobody by itself: it is reserved (ip_local_port_range is {span})."
    first = "first" if settings.prefers(port) else "last"
    order = f" It is among those that connect() tries {first}." if target.protocol == "tcp" else ""
    who = "When that hold is gone, the kernel" if kept else "The kernel"
    return f"{who} may give it to any client at any time: it is in ip_local_port_range {span} and not reserved.{order}"


def _advice(case: Case, paper: Paper, *, briefly: bool) -> list[str]:
    """Write the remedies; commands stay on one line each, ready to paste."""
    remedies = case.remedies
    shown = remedies[:_BRIEFLY] if briefly and len(remedies) > _BRIEFLY + 1 else remedies
    lines: list[str] = []
    for number, remedy in enumerate(shown, 1):
        lines += paper.wrap(remedy.summary, f"  {number}. ", "     ")
        lines += [paper.paint(f"       {line}", "command") for line in remedy.commands]
    if len(shown) < len(remedies):
        lines.append(f"  {_more(case)}")
    return lines


def _more(case: Case) -> str:
    return f"More: {call('explain', *shell_commands.asked(case))}"
