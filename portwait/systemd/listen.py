"""--listen: bind and listen in the service's place, so that clients queue from the first moment on.

Looks like any survey until every target is free, and then listens instead of only asking. How the sockets reach the
service is `listen_fds`' business.
"""

from __future__ import annotations

import errno

from portwait.bind.probe import attempt
from portwait.bind.survey import Survey
from portwait.model.verdict import Verdict

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket
    from collections.abc import Mapping

    from portwait.model.targets import Target

_BACKLOG = 4096  # what the kernel's somaxconn is by default, and cuts it to


class ListeningSurvey(Survey):
    """A survey that ends with the service's own sockets open: `listeners`. A UDP socket is bound, that is all."""

    listeners: Mapping[Target, _socket.socket] = {}  # replaced, never changed

    def look(self) -> bool:
        """Ask, and where nothing is in the way listen; whether the service can start.

        All or none: a client that queues on the first port of two would wait for a service that may never start.
        A target that binding is denied for is left to the service, with more privileges or another plan.
        """
        if self.listeners and not self._by_tables:
            return True  # closing them to ask again would turn away who queues already
        self.close()
        if not super().look():
            return False
        opened: dict[Target, _socket.socket] = {}
        self.listeners = opened
        for target in self.targets:
            self.verdicts[target], sock = attempt(target, reuseaddr=self.reuseaddr, joins=True)
            if sock is None:
                continue
            opened[target] = sock
            try:
                if target.protocol == "tcp":
                    sock.listen(_BACKLOG)
            except OSError as error:  # somebody else with SO_REUSEADDR has bound it in between, and listens
                self.verdicts[target] = Verdict("held", error.errno or errno.EADDRINUSE)
        if self.obstructed:
            self.close()
        return not self.obstructed

    def close(self) -> None:
        """Stop listening."""
        for sock in self.listeners.values():
            sock.close()
        self.listeners = {}
