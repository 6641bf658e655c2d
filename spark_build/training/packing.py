"""Documents joined end to end and cut into blocks: no token is padding, no text is thrown away."""

from spark_build.training.token_rows import TokenRows


def pack(documents: TokenRows, length: int) -> TokenRows:
    """The same tokens in the same order as blocks of `length`; the last block is as long as what is left
    (a single token is left out: it could predict nothing).

    A block may hold the end of one document and the begin of the next, with the end-of-text token between
    them (GPT-2's and nanochat's way); documents must therefore end in it.
    """
    import numpy as np

    total = len(documents.tokens)
    total -= int(total % length == 1)
    starts = np.append(np.arange(0, total, length, dtype=np.int64), total)
    return TokenRows(documents.tokens[:total], documents.is_supervised[:total], starts)
