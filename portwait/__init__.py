"""portwait: start a service only when its port can really be bound. What the guard is made of, for other programs.

Importing this costs next to nothing; each name is loaded when it is first used.

- `parse(words)` reads targets, `probe(target)` asks the kernel, `blockers(target)` names who is in the way;
- `wait_until_free(target, timeout=5)` waits without a word; its answer keeps the port for as long as you keep it;
- `pick("10000-19999")` chooses a port and keeps it; its `port` is the number;
- `hold = Hold(target)` keeps a port from being given to anybody's connect(), from `hold.take()` to `hold.drop()`, or
  until nobody has the object any more.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from portwait._version import __version__ as __version__
    from portwait.api import blockers as blockers
    from portwait.api import pick as pick
    from portwait.api import wait_until_free as wait_until_free
    from portwait.bind.hold import Hold as Hold
    from portwait.bind.probe import probe as probe
    from portwait.errors import PortwaitError as PortwaitError
    from portwait.errors import TablesError as TablesError
    from portwait.errors import UsageError as UsageError
    from portwait.model.blocker import Blocker as Blocker
    from portwait.model.owner import Owner as Owner
    from portwait.model.targets import Target as Target
    from portwait.model.targets import parse as parse
    from portwait.model.verdict import Verdict as Verdict

_HOMES = {
    "Blocker": "model.blocker",
    "Hold": "bind.hold",
    "Owner": "model.owner",
    "PortwaitError": "errors",
    "TablesError": "errors",
    "Target": "model.targets",
    "UsageError": "errors",
    "Verdict": "model.verdict",
    "__version__": "_version",
    "blockers": "api",
    "parse": "model.targets",
    "pick": "api",
    "probe": "bind.probe",
    "wait_until_free": "api",
}
__all__ = tuple(_HOMES)


def __dir__() -> list[str]:
    """Name what there is, loaded or not, for a shell that completes names."""
    return sorted({*globals(), *_HOMES})


def __getattr__(name: str) -> object:
    """Load a name when it is first used."""
    if name not in _HOMES:
        message = f"module 'portwait' has no attribute {name!r}"
        raise AttributeError(message)
    from importlib import import_module

    value = getattr(import_module(f"portwait.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
