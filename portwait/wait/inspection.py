"""Inspect a survey's targets: read who is in the way, and let the socket tables decide where bind() cannot."""

from __future__ import annotations

import errno

from portwait.bind.survey import WIDEST
from portwait.diagnosis.blockers import Diagnosis, diagnose, occupied
from portwait.errors import TablesError
from portwait.host import addresses
from portwait.host.port_settings import port_settings
from portwait.model.case import AddressState, Case
from portwait.model.port_settings import PortSettings
from portwait.model.record import Record
from portwait.model.targets import ANY, Target, plain
from portwait.model.verdict import Verdict

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from portwait.bind.survey import Survey
    from portwait.model.blocker import Blocker


class _Question(Record):
    """What the socket tables are read for, and what bind has said of it."""

    concerned: tuple[Target, ...]
    said: Mapping[Target, Verdict]
    undecided: tuple[Target, ...]
    """Those of which bind does not say whether they are held."""
    too_many: bool = False
    """Whether bind is not asked, because more targets have sockets than it may be asked about."""


class Inspection:
    """A survey together with what the tables said when they were last read."""

    def __init__(self, survey: Survey, ourselves: Collection[int] = ()) -> None:
        """Nothing is read yet; `ourselves` are PIDs of this portwait, which can have inherited what is in the way."""
        self.survey = survey
        self._ourselves = ourselves
        self.diagnosis = Diagnosis({}, None)
        self._by_tables: dict[Target, Verdict] = {}
        self._busy: frozenset[int] = frozenset()
        """The ports of a wide survey that have sockets at any address, where these are few."""
        self._contested: set[int] = set()
        self._beside: tuple[frozenset[int], dict[Target, frozenset[int]]] = frozenset(), {}

    def probe(self) -> bool:
        """Ask bind again, and remember the tables for what bind cannot say; whether the service can start."""
        return self.survey.probe()

    def case(self, target: Target, settings: PortSettings) -> Case:
        """Put together what is known of a target now; what does not block it is left out."""
        verdict = self.survey.verdicts[target]
        blockers = self.diagnosis.blockers.get(target, ()) if verdict.state == "held" else ()
        return Case(
            target,
            verdict,
            blockers,
            settings,
            address=_address_state(target, verdict),
            not_local=frozenset(address for address in _connected_from(blockers) if not addresses.is_here(address)),
            reuseaddr=self.survey.reuseaddr,
        )

    def with_holds(self, cases: Sequence[Case]) -> list[Case]:
        """Add the holds of other portwaits on the targets' ports, where these are free or somebody serves them.

        Where the tables alone decide what is held among many, a hold is among the blockers.
        """
        asked = {
            case.target: _whole_port(case.target) if case.verdict.state == "free" else case.target
            for case in cases
            if case.verdict.state == "free" or any(blocker.kind.name == "listener" for blocker in case.blockers)
            if not self.survey.wide or case.target.port in self._busy
        }
        every = list(dict.fromkeys(asked.values()))
        try:
            found = self._bound(every) if every else {}
        except TablesError:
            found = {}
        return [
            case._replace(holds=tuple(each for each in found.get(asked[case.target], ()) if each.kind.name == "hold"))
            if case.target in asked
            else case
            for case in cases
        ]

    def _bound(self, targets: Sequence[Target]) -> Mapping[Target, tuple[Blocker, ...]]:
        """Find the sockets that are only bound, as holds are. Raises TablesError."""
        ours, ourselves = self.survey.own_inodes(), self._ourselves
        return diagnose(targets, reuseaddr=False, ours=ours, ourselves=ourselves, only_bound=True).blockers

    def inspect(self) -> bool:
        """Read the tables, then ask bind again; whether the service can start."""
        survey = self.survey
        holds = survey.own_inodes()
        try:
            question = self._of_many(holds) if survey.wide else self._of_few()
        except TablesError as error:
            self._lose(str(error))
            return self.probe()
        concerned, undecided = question.concerned, question.undecided
        free = not concerned
        if survey.wide and not undecided:  # it is known what is held, and to find out who is in the way can take long
            survey.learn(self._by_tables, survey.served, self._contested)
            free = self.probe()
        if free or not concerned:
            return free

        def early(diagnosis: Diagnosis) -> None:
            if undecided or survey.served != diagnosis.listening:  # the guard has a use for it now
                self._by_what_the_tables_say(question, diagnosis)
                survey.learn(self._by_tables, diagnosis.listening, self._contested)
                self.probe()

        try:
            self.diagnosis = diagnose(
                concerned,
                reuseaddr=survey.reuseaddr and not question.too_many,
                ours=holds,
                ourselves=self._ourselves,
                held=[
                    target
                    for target in concerned
                    if (said := question.said[target]).state == "held" and said.by == "bind"
                ],
                early=early,
            )
        except TablesError as error:
            self.diagnosis = Diagnosis({}, str(error))
            served = survey.served
        else:
            served = self.diagnosis.listening
        self._by_what_the_tables_say(question, self.diagnosis)
        self._find_contested(concerned, holds)
        survey.learn(self._by_tables, served, self._contested)
        return self.probe()

    def _of_few(self) -> _Question:
        """Ask the tables who is in the way of what bind calls held, and about what it cannot say."""
        survey = self.survey
        concerned = tuple(dict.fromkeys((*survey.obstructed, *survey.undecided)))
        return _Question(concerned, survey.verdicts, survey.undecided)

    def _of_many(self, holds: frozenset[int]) -> _Question:
        """Let the tables say which targets have no socket and are free; ask bind about the others, if not too many.

        Raises TablesError.
        """
        survey = self.survey
        here, busy, lost = occupied(survey.targets, holds)
        has_sockets, free = frozenset(here), Verdict("free", 0, "tables")
        by_tables = {target: free for target in survey.targets if target not in has_sockets}
        if len(here) > WIDEST:
            self._by_tables, self._busy = by_tables, frozenset()
            unasked = Verdict("unknown", by="tables")
            return _Question(here, dict.fromkeys(here, unasked), here, too_many=True)
        self._busy = busy if len(busy) <= WIDEST else frozenset()
        said = survey.ask(here)
        undecided = tuple(target for target in here if said[target].state in ("denied", "unknown"))
        self._by_tables, self.diagnosis = by_tables, Diagnosis({}, lost)
        return _Question(tuple(target for target in here if said[target].state != "free"), said, undecided)

    def _lose(self, why: str) -> None:
        """Keep of the tables' word only what bind cannot be asked about: which of many targets had no socket."""
        self.diagnosis = Diagnosis({}, why)
        self._by_tables = {target: said for target, said in self._by_tables.items() if said.state == "free"}
        self.survey.learn(self._by_tables, self.survey.served, self._contested)

    def _by_what_the_tables_say(self, question: _Question, diagnosis: Diagnosis) -> None:
        """Decide what bind has no word on."""
        settings = port_settings() if question.undecided else PortSettings()
        for target in question.undecided:
            blockers = diagnosis.blockers.get(target, ())
            if self.survey.reuseaddr and not question.too_many:
                blockers = tuple(blocker for blocker in blockers if _is_surely_in_the_way(blocker, settings))
            if blockers:
                self._by_tables[target] = Verdict("held", question.said[target].errno, "tables")
            elif question.too_many and diagnosis.blockers:
                self._by_tables[target] = Verdict("free", 0, "tables")
            else:
                self._by_tables.pop(target, None)

    def _find_contested(self, concerned: Iterable[Target], holds: frozenset[int]) -> None:
        """Remember the ports that somebody seems to bind by number: no hold but a full one keeps such a client away.

        A connection has left its socket bound, because the kernel unbinds only what it has chosen itself; or one has
        come while a hold stood, beside which the kernel gives the port to nobody's connect(); or the port is outside
        of the range that it chooses from.
        """
        held_before, before = self._beside
        stood = len(holds) >= len(self.survey.targets)
        now = {target: self._connections(target) for target in concerned} if stood else {}
        settings = port_settings()
        for target in concerned:
            blockers = self.diagnosis.blockers.get(target, ())
            kept = any(
                blocker.kind.name != "hold" and blocker.socket.state == "CLOSE" and blocker.remote
                for blocker in blockers
            )
            came = held_before == holds and target in before and now.get(target, frozenset()) - before[target]
            is_outside = settings.ephemeral_range is not None and not settings.covers(target.port)
            if kept or came or (is_outside and self._connections(target)):
                self._contested.add(target.port)
        self._beside = holds, now

    def _connections(self, target: Target) -> frozenset[int]:
        """List the cookies of the connections that clients of this host have opened from the target's port."""
        blockers = self.diagnosis.blockers.get(target, ())
        return frozenset(
            blocker.socket.cookie for blocker in blockers if blocker.kind.name == "outbound" and blocker.kind.proved
        )


def _whole_port(target: Target) -> Target:
    """Widen a target to all addresses of both families: a hold on any of them keeps connect() from a free port."""
    return Target(target.text, target.port, target.protocol, device=target.device)


def _address_state(target: Target, verdict: Verdict) -> AddressState | None:
    """Say why a target's address cannot be bound; None where it can, or where that is not the trouble."""
    if verdict.state == "unavailable" and verdict.errno == errno.ENODEV:
        return AddressState("no-interface", target.device or target.zone)
    if verdict.state == "unavailable" and verdict.errno == errno.EAFNOSUPPORT:
        return AddressState("no-family")
    missing = verdict.state == "unavailable"
    if verdict.state == "unknown" and verdict.errno == errno.EINVAL:  # TCP has no groups, whatever the zone
        is_group = target.address.startswith("ff")
        missing = (
            not target.zone and addresses.needs_zone(target.address) and not (is_group and target.protocol == "tcp")
        )
    return addresses.why_unavailable(target.address, target.zone) if missing and target.address != ANY else None


def _connected_from(blockers: Iterable[Blocker]) -> set[str]:
    """List the local addresses of connections."""
    return {plain(blocker.socket.local_address) for blocker in blockers if blocker.remote}


def _is_surely_in_the_way(blocker: Blocker, settings: PortSettings) -> bool:
    """Whether it fails the bind of a service that sets SO_REUSEADDR, as far as the tables can tell without bind's word.

    They do not show who else has set it. A server's connections have it from their listener mostly, and so do their
    leftovers; a client's have not, and the kernel gives a client no port outside of its range.
    """
    kind = blocker.kind.name
    if kind in ("time-wait", "closing"):
        return settings.covers(blocker.socket.local_port)
    return kind != "accepted"
