"""What can go wrong at the double of FileMaker Server."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field

# The kinds of calls, as `FileMakerServer.calls` counts them.
READS = frozenset({"records", "record", "find"})
WITH_TOKEN = READS | {"layouts", "layout", "edit", "create", "delete"}
API = WITH_TOKEN | {"sign_in", "sign_out", "product_info", "databases"}
DOWNLOADS = frozenset({"container", "redirected container"})
EVERY = API | DOWNLOADS
# Each kind of fault, and the calls that it fits.
FAULTS: dict[str, frozenset[str]] = {
    "expired": WITH_TOKEN | {"sign_out"},
    "in_use": frozenset({"edit"}),
    "changed": frozenset({"edit"}),
    "too_many_sessions": frozenset({"sign_in"}),
    "data_limit": WITH_TOKEN,
    "unavailable": WITH_TOKEN | {"sign_in", "sign_out"},
    "gateway": EVERY,
    "page": EVERY,
    "unauthorized": DOWNLOADS,
    "truncated": EVERY - {"container"},
    "cut_chunked": EVERY - {"container"},
    "reset": EVERY,
    "lost": frozenset({"edit"}),
    "question_mark": READS,
    "malformed_url": READS,
    "expired_url": DOWNLOADS,
    "empty_body": EVERY,
}


@dataclass
class Faults:
    """What goes wrong; may be changed while the server runs.

    `rate` is the share of all calls that fail, each in one of `kinds` that fits the call, drawn with `seed`. Each name
    in `planned` fails the first call that it fits, once, and leaves the list. With "truncated", "cut_chunked" and
    "lost" a call is carried out and its answer is lost; otherwise a call that fails is not carried out. A sign-in that
    fails never opens a session. After every `burst_after` whole downloads, containers answer 502 for `burst_seconds` of
    the server's clock. `latency` is in seconds. `on_call` gets the method and the path, without secrets, after the call
    is carried out and before it is answered.
    """

    rate: float = 0
    seed: int = 0
    kinds: tuple[str, ...] = tuple(FAULTS)
    planned: list[str] = field(default_factory=list)
    latency: float = 0
    burst_after: int = 0
    burst_seconds: float = 0
    bearer: bool = False
    on_call: Callable[[str, str], object] | None = None

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)

    def draw(self, kind: str) -> str:
        """Return the fault of this call, or an empty text. Not safe for threads."""
        for name in self.planned:
            if kind in FAULTS[name]:
                self.planned.remove(name)
                return name
        if self.rate and self.random.random() < self.rate:
            fitting = [name for name in self.kinds if kind in FAULTS[name]]
            return self.random.choice(fitting) if fitting else ""
        return ""
