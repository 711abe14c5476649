"""Pin `name[extra]` and `name` side by side in a lock.

Before pip 24, `name[extra]==1.0` does not pin what another package requires as `name`, nor the
other way round: pip takes the newest release of the one that is not listed, and then refuses it for
its missing hash. uv writes only one of the two.
"""

import re
import sys
from pathlib import Path

PIN = re.compile(r"^(?P<name>[a-z0-9.-]+)(?P<extras>\[[a-z0-9,-]+\])==")


def with_both_forms(lock: str) -> str:
    """The lock with a second entry, without extras, for each entry that has some.

    An entry is a line that begins with a name and the indented lines that follow it.
    """
    entries = re.split(r"(?m)^(?=[a-z0-9])", lock)
    plain = (PIN.sub(r"\g<name>==", entry) for entry in entries if PIN.match(entry))
    both = dict.fromkeys([*entries[1:], *plain])  # each once, so that a second run adds nothing
    return entries[0] + "".join(sorted(both, key=_name))


def _name(entry: str) -> str:
    return re.split(r"==| ", entry, maxsplit=1)[0]


if __name__ == "__main__":
    for path in map(Path, sys.argv[1:]):
        path.write_text(with_both_forms(path.read_text()))
