"""Lines and paragraphs of many texts at once, as runs of their words; those that are blank are none."""

from typing import TYPE_CHECKING, Any

from spark_build.core.values import Struct
from spark_build.modalities.text.words import Words

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

Figures = dict[str, list[Any]]  # by name, of each text


class Pieces(Struct, frozen=True):
    """One after the other: each text's, in its order."""

    firsts: "Array"  # int64, of each its first word
    behind: "Array"  # int64, the word behind its last one
    texts: "Array"  # int64, the number of its text
    totals: "Array"  # int64, by text: how many it has

    @classmethod
    def of(cls, words: Words, begins: "Array") -> "Pieces":
        """`begins`: of each word, whether it begins one; a text's first word does in any case."""
        import numpy as np

        is_first = begins.astype(bool)
        is_first[words.firsts[:-1][words.counts > 0]] = True
        firsts = np.flatnonzero(is_first)
        texts = np.searchsorted(words.firsts, firsts, side="right") - 1
        return cls(
            firsts,
            np.append(firsts, len(is_first))[1:],
            texts,
            np.bincount(texts, minlength=len(words.counts)),
        )

    @property
    def words(self) -> "Array":
        """How many are in each."""
        return self.behind - self.firsts

    def sums(self, by_word: "Array") -> "Array":
        """Of each, over its words."""
        import numpy as np

        return np.diff(np.append(0, np.cumsum(by_word))[[*self.firsts, len(by_word)]])

    def share(self, are: "Array") -> list[float]:
        """By text, of its pieces that are so."""
        import numpy as np

        counts = np.bincount(self.texts[are], minlength=len(self.totals))
        shares: list[float] = (counts / np.maximum(1, self.totals)).tolist()
        return shares
