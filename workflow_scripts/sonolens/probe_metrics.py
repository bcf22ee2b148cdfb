"""What a probe's predictions are worth: accuracy, and beside it what makes accuracy readable."""

import numpy as np


def confusion_matrix(classes: np.ndarray, predicted: np.ndarray, n_classes: int) -> np.ndarray:
    """Counts (K, K) int64: rows are the true classes, columns the predicted ones. classes, predicted: (N,)."""
    return np.bincount(classes * n_classes + predicted, minlength=n_classes**2).reshape(n_classes, n_classes)


def macro_f1(confusion: np.ndarray) -> float:
    """Mean F1 over the classes that occur among the true or the predicted ones. confusion: (K, K)."""
    hits = np.diag(confusion)
    occurring = confusion.sum(axis=0) + confusion.sum(axis=1)
    present = occurring > 0
    return float((2 * hits[present] / occurring[present]).mean())


def majority_share(classes: np.ndarray, train_classes: np.ndarray, n_classes: int) -> float:
    """Accuracy of always answering the most frequent class of the train split."""
    majority = np.bincount(train_classes, minlength=n_classes).argmax()
    return float((classes == majority).mean())


def within_one(classes: np.ndarray, predicted: np.ndarray) -> float:
    """Share of frames whose predicted class is the true one or its neighbour. Classes are ordered."""
    return float((np.abs(classes - predicted) <= 1).mean())


def octave_error_share(classes: np.ndarray, predicted: np.ndarray, voiced_classes: int) -> float:
    """Share of the voiced frames whose prediction is a whole number of octaves off (12, 24, ... classes of 1 semitone).

    Classes below `voiced_classes` are semitones; those from there on are not pitches.
    """
    voiced = (classes < voiced_classes) & (predicted < voiced_classes)
    distance = np.abs(classes - predicted)[voiced]
    n_voiced = int((classes < voiced_classes).sum())
    return float(((distance > 0) & (distance % 12 == 0)).sum() / n_voiced) if n_voiced else 0.0


def accuracy_interval(hits: np.ndarray, clip_codes: np.ndarray, seed: int, n_resamples: int = 1000):
    """Bootstrap 95 % interval of the mean of `hits` (N,); clips are drawn, since the frames of one are alike."""
    clips = np.unique(clip_codes, return_inverse=True)[1]
    n_clips = clips.max() + 1
    n_hits, n_frames = np.bincount(clips, hits, n_clips), np.bincount(clips, minlength=n_clips)
    drawn = np.random.default_rng([seed, 4]).integers(0, n_clips, (n_resamples, n_clips))
    low, high = np.percentile(n_hits[drawn].sum(axis=1) / n_frames[drawn].sum(axis=1), [2.5, 97.5])
    return float(low), float(high)


def measure(
    logits: np.ndarray,
    classes: np.ndarray,
    train_classes: np.ndarray,
    clip_codes: np.ndarray,
    kinds: np.ndarray,
    n_voiced_classes: int | None,
    seed: int,
) -> dict:
    """All figures of one probe on the test split.

    logits (N, K); classes, clip_codes, kinds (N,). `n_voiced_classes` is the number of classes that are pitches, which
    come first, or None if the attribute has no unvoiced class. `voiced_accuracy` leaves the unvoiced class out, frames
    and answers alike: a large unvoiced class inflates `accuracy`.
    """
    n_classes = logits.shape[1]
    predicted = logits.argmax(axis=1)
    hits = predicted == classes
    confusion = confusion_matrix(classes, predicted, n_classes)
    low, high = accuracy_interval(hits, clip_codes, seed)
    figures = {
        "n_classes": n_classes,
        "n_test_frames": len(classes),
        "accuracy": float(hits.mean()),
        "accuracy_low": low,
        "accuracy_high": high,
        "majority_share": majority_share(classes, train_classes, n_classes),
        "macro_f1": macro_f1(confusion),
        "within_one_accuracy": within_one(classes, predicted),
        "subsets": {},
    }
    voiced = classes < n_voiced_classes if n_voiced_classes else None
    if n_voiced_classes and voiced.any():
        figures |= _voiced_figures(logits[voiced], classes[voiced], train_classes, n_voiced_classes)
        voiced_hits = logits[voiced, :n_voiced_classes].argmax(axis=1) == classes[voiced]
        low, high = accuracy_interval(voiced_hits, clip_codes[voiced], seed)
        figures |= {"voiced_accuracy_low": low, "voiced_accuracy_high": high}
        figures["octave_error_share"] = octave_error_share(classes, predicted, n_voiced_classes)
    for kind in sorted(set(kinds)):
        here = kinds == kind
        subset = {
            "accuracy": float(hits[here].mean()),
            "majority_share": majority_share(classes[here], train_classes, n_classes),
            "n_frames": int(here.sum()),
        }
        if n_voiced_classes and (here & voiced).any():
            of_kind = here & voiced
            subset |= _voiced_figures(logits[of_kind], classes[of_kind], train_classes, n_voiced_classes)
        figures["subsets"][kind] = subset
    return figures


def _voiced_figures(logits: np.ndarray, classes: np.ndarray, train_classes: np.ndarray, n_voiced_classes: int) -> dict:
    """The variant without the unvoiced class: only voiced frames, only pitches as answers."""
    voiced_train = train_classes[train_classes < n_voiced_classes]
    return {
        "voiced_accuracy": float((logits[:, :n_voiced_classes].argmax(axis=1) == classes).mean()),
        "voiced_majority_share": majority_share(classes, voiced_train, n_voiced_classes),
        "n_voiced_frames": len(classes),
    }
