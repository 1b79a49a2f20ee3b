"""F1 of labelled spans, as in the CoNLL shared tasks."""

from collections.abc import Sequence


def span_f1(
    true: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]]
) -> float:
    """Harmonic mean of precision and recall of labelled spans.

    Tags are `B-kind` at the beginning of a span, `I-kind` inside of it and
    `O` outside of all. A predicted span is right if kind, beginning and end
    are those of a true one. As in CoNLL's own script, an `I-kind` that
    follows another kind, or nothing, begins a span. Spans of all sentences
    are counted together.

    Args:
        true: The tags of each sentence.
        predicted: The same, predicted; as many for each sentence.

    Returns:
        Between 0 and 1; 0 if there is no span, true or predicted.

    Raises:
        ValueError: Sentences, or tags of a sentence, differ in number; or a
            tag is no `O`, `B-…` or `I-…`.

    Example:
        >>> true = [["O", "B-city", "I-city"], ["B-day"]]
        >>> span_f1(true, [["O", "B-city", "O"], ["B-day"]])
        0.5

    Reference:
        Tjong Kim Sang and Buchholz, "Introduction to the CoNLL-2000 Shared
        Task: Chunking", CoNLL 2000.
    """
    if len(true) != len(predicted):
        raise ValueError(
            "`true` and `predicted` must have as many sentences. Received: "
            f"{len(true)} and {len(predicted)}."
        )
    found = expected = right = 0
    for number, (ours, theirs) in enumerate(zip(predicted, true, strict=True)):
        if len(ours) != len(theirs):
            raise ValueError(
                f"Sentence {number} must have as many predicted tags as true "
                f"ones. Received: {len(ours)} and {len(theirs)}."
            )
        spans, wanted = spans_of(ours), spans_of(theirs)
        found += len(spans)
        expected += len(wanted)
        right += len({*spans} & {*wanted})
    return 2 * right / (found + expected) if found + expected else 0.0


def spans_of(tags: Sequence[str]) -> list[tuple[str, int, int]]:
    """The spans of one sentence: kind, first word, word behind the last.

    Args:
        tags: `O`, `B-kind` or `I-kind` for each word.

    Raises:
        ValueError: Another tag.

    Example:
        >>> spans_of(["B-city", "I-city", "I-day", "O"])
        [('city', 0, 2), ('day', 2, 3)]
    """
    spans: list[tuple[str, int, int]] = []
    open_kind, first = None, 0
    for place, tag in enumerate([*tags, "O"]):
        mark, _, kind = tag.partition("-")
        if mark not in ("B", "I") and tag != "O":
            raise ValueError(
                "Tags must be 'O', 'B-kind' or 'I-kind'. Received: "
                f"{tag!r} at word {place}."
            )
        if open_kind is not None and (mark != "I" or kind != open_kind):
            spans.append((open_kind, first, place))
            open_kind = None
        if mark != "O" and open_kind is None:
            open_kind, first = kind, place
    return spans
