"""How much is wanted of each ensemble of CocoChorales, and what has been taken in which split."""

from sonolens.datasets.choice import TORN
from sonolens.datasets.cocochorales_tracks import Track


class Quotas:
    """Seconds that are wanted of each ensemble in one split."""

    def __init__(self, wanted_s: dict[str, float]):
        self._wanted_s, self._left_s = wanted_s, dict(wanted_s)
        self.is_as_expected = True  # every archive is of the ensemble that it should be of

    def lacks(self, ensemble: str) -> bool:
        """Whether an archive that should be of this ensemble is worth reading."""
        return self._left_s[ensemble] > 0 if self.is_as_expected else self.lacking_s() > 0

    def wants(self, track: Track) -> bool:
        """Whether more is wanted of the ensemble of that track."""
        return self._left_s[track.ensemble] > 0

    def count(self, track: Track) -> None:
        """It is taken."""
        self._left_s[track.ensemble] -= track.duration_s

    def lacking_s(self) -> float:
        """Of all ensembles together."""
        return sum(max(0.0, left_s) for left_s in self._left_s.values())

    def untouched(self) -> str:
        """Ensembles of which nothing was taken."""
        return ", ".join(name for name, left_s in self._left_s.items() if left_s == self._wanted_s[name])


class Taken:
    """Tracks of all archives, and which split each source is in."""

    def __init__(self) -> None:
        self._split_of: dict[str, str] = {}
        self._tracks: list[tuple[Track, str, str]] = []  # with its split, and why it is left out

    def take(self, track: Track, split: str) -> bool:
        """Whether it can be used: there is sound, and its source is in no other split. It is listed in any case."""
        reason = track.problem
        if not reason and self._split_of.setdefault(track.group, split) != split:
            reason = f"{TORN}: {track.group} is used in the {self._split_of[track.group]} split"
        self._tracks.append((track, split, reason))
        return not reason

    def other_formats(self) -> list[str]:
        """Tracks that are used and have a recording in another format than expected, with that."""
        return [
            f"{track.name}/{track.other_format}"
            for track, _, reason in self._tracks
            if track.other_format and not reason
        ]

    def rows(self, is_official: bool) -> list[dict]:
        """Rows of files.FILES, with their split if the official ones are kept."""
        return [
            row | {"group": track.group, "split": split if is_official else "", "left_out": reason}
            for track, split, reason in self._tracks
            for row in track.rows
        ]
