"""From the answers of a peer to the metrics of the table.

For peers that give spans, a window counts as positive if the spans cover at least a share of it.
The share is the one of `SHARES` with the best macro F of that peer on these windows. This favours
the peers and not airsift, whose threshold is 0.5.
"""

from __future__ import annotations

import numpy as np

from model.evaluation import event_metrics
from model.mixing import merge_spans

SHARES = (0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7)
WINDOW_S = 5.0
RATE = 16_000
NONE = "-"


def window_figures(known, answers) -> dict[str, float | str]:
    """Return F of each class, and the rates for singing, noise and music under speech."""
    labels = [name for name in ("speech", "music") if name in answers["labels"]]
    scores = np.array(
        [[_score(answers["windows"]["answers"][str(each.path)], label) for label in labels]
         for each in known.windows]
    )  # fmt: skip
    truth = np.array([[getattr(each, label) for label in labels] for each in known.windows]) > 0
    by_share = any(
        not isinstance(answer[label], float)
        for answer in answers["windows"]["answers"].values()
        for label in labels
    )
    shares = SHARES if by_share else (0.5,)
    best = max(shares, key=lambda share: _mean_f(scores >= share, truth))
    found = dict.fromkeys(("speech", "music"))
    flags = {label: scores[:, place] >= best for place, label in enumerate(labels)}
    for place, label in enumerate(labels):
        found[label] = _f(scores[:, place] >= best, truth[:, place])
    conditions = np.array([each.condition for each in known.windows])
    silent = np.isin(conditions, ("noise", "silence and hiss"))
    any_label = np.any(list(flags.values()), axis=0)
    both = len(labels) == 2
    under = conditions == "music at -10 dB and speech"
    return {
        "F_speech": _percent(found["speech"]),
        "F_music": _percent(found["music"]),
        "macro_F": _percent(np.mean([found[name] for name in labels]) if both else None),
        "noise_labelled": _percent(any_label[silent].mean() if silent.any() else None),
        "singing_is_music": _percent(_among(flags, "music", conditions == "singing")),
        "speech_not_music": _percent(
            1 - flags["music"][conditions == "speech"].mean() if both else None
        ),
        "both_at_-10_dB": _percent(
            (flags["speech"] & flags["music"])[under].mean() if both and under.any() else None
        ),
        "share": f"{best:g}" if by_share else "score",
    }


def programme_figures(known, answers) -> dict[str, float | str]:
    """Return segment-based and event-based F and the boundaries found."""
    if not known.programmes or len(answers["labels"]) < 2:
        return dict.fromkeys(
            ("segment_F_1s", "segment_F_0.5s", "event_F_1s", "event_F_0.5s",
             "boundaries_found", "boundaries_true"), NONE,
        )  # fmt: skip
    pairs = []
    for each in known.programmes:
        answer = answers["programmes"]["answers"][str(each.path)]
        pairs.append((_timeline(each.spans, each.seconds), _timeline(answer, each.seconds)))
    rows = event_metrics.count_events(pairs).rows()
    return {
        short: _percent(rows[name].value)
        for short, name in (
            ("segment_F_1s", "segment-based macro F, 1 s"),
            ("segment_F_0.5s", "segment-based macro F, 0.5 s"),
            ("event_F_1s", "event-based macro F, collar 1 s"),
            ("event_F_0.5s", "event-based macro F, collar 0.5 s"),
            ("boundaries_found", "boundaries found within 1 s"),
            ("boundaries_true", "detected boundaries that are true"),
        )
    }


def _score(answer, label: str) -> float:
    value = answer[label]
    if isinstance(value, float):
        return value
    return sum(end - start for start, end in _union_s(value)) / WINDOW_S


def _union_s(spans) -> list[tuple[float, float]]:
    merged = merge_spans([(round(start * RATE), round(end * RATE)) for start, end in spans])
    return [(start / RATE, end / RATE) for start, end in merged]


def _timeline(spans, seconds: float) -> event_metrics.Timeline:
    def samples(label: str):
        cut = [
            (round(start * RATE), round(min(end, seconds) * RATE)) for start, end in spans[label]
        ]
        return merge_spans([(start, end) for start, end in cut if end > start])

    return event_metrics.Timeline(samples("speech"), samples("music"), round(seconds * RATE))


def _among(flags, label: str, chosen) -> float | None:
    return flags[label][chosen].mean() if label in flags and chosen.any() else None


def _f(positive, truth) -> float:
    return 2 * (positive & truth).sum() / max(positive.sum() + truth.sum(), 1)


def _mean_f(positive, truth) -> float:
    return float(np.mean([_f(positive[:, i], truth[:, i]) for i in range(positive.shape[1])]))


def _percent(value: float | None) -> str:
    return NONE if value is None else f"{100 * value:.1f}"
