"""Tags against content: what is sure to be tagged wrongly, the surest first.

The tags of a file claim that it is speech, or music. Speech without music contradicts the claim
of music, music without speech that of speech; speech over music contradicts neither.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from airsift.tags.analysis import PIECE_S
from airsift.tags.beta import below_half
from airsift.tags.mapping import Claim

if TYPE_CHECKING:
    from airsift.json_types import JsonObject
    from airsift.tags.analysis import Content
    from airsift.tags.catalogue import Entry
    from airsift.tags.mapping import TagMap

THRESHOLD = 0.5  # chosen on the validation split, see docs/tags.md


@dataclass(frozen=True, slots=True)
class Verdict:
    """The tags and the content of one file.

    Parameters
    ----------
    entry : Entry
        The file.
    claim : Claim
        What its tags say.
    content : Content
        What it contains.
    """

    entry: Entry
    claim: Claim
    content: Content

    @property
    def contradiction(self) -> float:
        """Mean probability, in [0, 1], of what contradicts the tags."""
        content = self.content
        return content.p_music if self.claim is Claim.speech else content.p_speech

    @property
    def confidence(self) -> float:
        """Probability that more than half of the file contradicts its tags.

        Each 10 s that were analysed are one look at the file, and all shares are as likely before
        the first look: so a jingle needs more than a long recording to be as sure.
        """
        looks = self.content.analysed_s / PIECE_S
        against = looks * self.contradiction
        return round(1 - below_half(1 + against, 1 + looks - against), 4)

    def to_dict(self) -> JsonObject:
        """Return the verdict as JSON's types."""
        content = self.content
        return {
            "path": self.entry.name,
            "tags": "; ".join(self.entry.tags),
            "claim": str(self.claim),
            "contains": str(self.claim.other),
            "confidence": self.confidence,
            "speech": content.speech,
            "music": content.music,
            "analysed_s": content.analysed_s,
            "duration_s": content.duration_s,
        }


@dataclass(slots=True)
class Sorted:
    """Results over a catalogue.

    Parameters
    ----------
    disagreements : list of Verdict
        Those above the threshold, the surest first.
    agreeing : int
        Number of the files whose tags are not contradicted.
    unclear : Counter of str
        Tags of the files whose tags say neither speech nor music, or both; "" for files without.
    """

    disagreements: list[Verdict] = field(default_factory=list)
    agreeing: int = 0
    unclear: Counter[str] = field(default_factory=Counter)


def claims_of(entries: list[Entry], terms: TagMap, result: Sorted) -> list[tuple[Entry, Claim]]:
    """Return the files whose tags claim something; the others are counted in `result`."""
    claimed = []
    for entry in entries:
        claim = terms.claim(entry.tags)
        if claim is None:
            result.unclear["; ".join(entry.tags)] += 1
        else:
            claimed.append((entry, claim))
    return claimed


def judge(verdicts: list[Verdict], threshold: float, result: Sorted) -> None:
    """Sort verdicts into `result`: by confidence, then by contradiction and path."""
    for verdict in verdicts:
        if verdict.confidence >= threshold:
            result.disagreements.append(verdict)
        else:
            result.agreeing += 1
    result.disagreements.sort(
        key=lambda each: (-each.confidence, -each.contradiction, each.entry.name)
    )
