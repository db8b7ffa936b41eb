"""How many requests one process has under way at Microsoft Graph: the numbers, and how the app's ceiling moves. Pure.

Four at once is what Outlook takes, by today's page for each app and mailbox, by an older one for each app whatever the
mailbox. Mailboxes are therefore held to their four, and the app's ceiling falls when they are refused all the same.
https://learn.microsoft.com/graph/throttling-limits#outlook-service-limits
"""

from __future__ import annotations

from dataclasses import dataclass

# Outlook works on four parts of a batch at once: a batch is all that its mailbox takes.
MAILBOX_SLOTS = 4
BATCH_SLOTS = 4
# Calls on their own leave one of the four for what a user does at that moment.
SINGLE_SLOTS = 3
# The app's ceiling: where it starts, how far it falls, and after how many good answers it takes one slot more.
MOST = 64
LEAST = MAILBOX_SLOTS
GROWS_AFTER = 100
# After a wait of everybody's, jobs come back spread over as long again, a minute at most.
LONGEST_SPREAD = 60.0


@dataclass(frozen=True, slots=True)
class Pace:
    """The app's ceiling in this process: additive growth, multiplicative fall (AIMD).

    `good` counts answers since it last moved; `halved` how often it fell.
    """

    slots: int = MOST
    good: int = 0
    halved: int = 0

    def answered(self) -> Pace:
        """After an answer that refused nothing."""
        if self.slots >= MOST:
            return self
        if self.good + 1 < GROWS_AFTER:
            return Pace(self.slots, self.good + 1, self.halved)
        return Pace(self.slots + 1, 0, self.halved)

    def refused(self, halved: int, under_way: int) -> Pace:
        """After a refusal of a mailbox that was within its four: half of the slots that were `under_way` in all.

        `halved` is what it was when the refused request began: requests that were under way together tell one thing.
        With no more than four under way in all, no reading of the limit has to do with what this process sends.
        """
        if halved != self.halved or under_way <= MAILBOX_SLOTS:
            return self
        return Pace(max(LEAST, min(self.slots, under_way) // 2), 0, self.halved + 1)


def spread(mailbox: str, seconds: float) -> float:
    """Seconds for one mailbox after a wait of everybody's, so that thousands do not come back in one second.

    It follows from the mailbox id, which is a digest.
    """
    if seconds <= 0:
        return 0.0
    return seconds + int(mailbox[:8], 16) / 16**8 * min(seconds, LONGEST_SPREAD)
