"""`portwait completion bash|zsh|fish`: print the completion of a shell."""

from __future__ import annotations

from typing import TYPE_CHECKING

from portwait.errors import UsageError, quote
from portwait.options import completion, reader

if TYPE_CHECKING:
    from collections.abc import Sequence

_DESCRIPTION = """\
Print the completion of a shell, for a file that the shell reads when it starts.
"""

_EPILOG = """\
exit status:
  0     it is printed
  125   portwait was called wrongly

examples:
  portwait completion bash >/usr/share/bash-completion/completions/portwait
  portwait completion zsh >/usr/local/share/zsh/site-functions/_portwait
  portwait completion fish >~/.config/fish/completions/portwait.fish
"""


def run(words: Sequence[str]) -> tuple[int, str]:
    """Print it. Raises UsageError."""
    shells = reader.read("completion", words, (_DESCRIPTION, _EPILOG)).shells
    if len(shells) != 1 or shells[0] not in completion.SHELLS:
        what = f"{quote(' '.join(shells))} is none of them" if shells else "none is named"
        raise UsageError(f"cannot print a completion: expected one of {', '.join(completion.SHELLS)}, and {what}")
    return 0, completion.script(shells[0])
