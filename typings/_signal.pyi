# The C module behind `signal`, which typeshed leaves out: the free path cannot afford `signal`'s enum.
from collections.abc import Callable, Iterable
from types import FrameType
from typing import TypeAlias

_Handler: TypeAlias = Callable[[int, FrameType | None], object] | int | None

SIGALRM: int
SIGHUP: int
SIGINT: int
SIGPIPE: int
SIGQUIT: int
SIGTERM: int
SIGTTOU: int
SIGUSR1: int
SIGUSR2: int
SIGXFSZ: int
SIG_BLOCK: int
SIG_DFL: int
SIG_IGN: int
SIG_SETMASK: int

def default_int_handler(signalnum: int, frame: FrameType | None, /) -> None: ...
def getsignal(signalnum: int, /) -> _Handler: ...
def pthread_sigmask(how: int, mask: Iterable[int], /) -> set[int]: ...
def signal(signalnum: int, handler: _Handler, /) -> _Handler: ...
