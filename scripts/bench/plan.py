"""What is measured when, and how long that takes."""

import dataclasses
import random


@dataclasses.dataclass(frozen=True)
class Step:
    round: int
    column: object
    peer: object
    seconds: float

    @property
    def duration(self):
        return self.seconds + self.peer.overhead


# The peers that the targets are about take part in every round.
FULL = ("postern", "kernel", "small", "big")


def steps(columns, peers, rounds, seconds, fewer_rounds, fewer_seconds, is_quick):
    """All measurements in order: round by round, column by column, the peers of a column one right
    after the other, in another order each round, so that the same noise meets them all."""
    order = random.Random(6)
    result = []
    for number in range(1, rounds + 1):
        for column in columns:
            if number > column.most_rounds:
                continue
            takes_part = [
                peer for peer in peers
                if column.path in peer.paths and peer.key in (column.only or (peer.key,))
            ]
            order.shuffle(takes_part)
            for peer in takes_part:
                is_full = peer.key in FULL
                if not is_full and (number > fewer_rounds or is_quick and not column.is_main):
                    continue
                result.append(Step(number, column, peer, seconds if is_full else fewer_seconds))
    return result


def duration(planned):
    return sum(step.duration for step in planned)


def clock(seconds):
    return f"{int(seconds) // 60} min {int(seconds) % 60:02} s"
