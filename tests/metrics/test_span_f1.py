import pytest

from keras_mtl.metrics import span_f1, spans_of


@pytest.mark.parametrize(
    ("tags", "spans"),
    [
        ("", []),
        ("O O", []),
        ("B-a", [("a", 0, 1)]),
        ("B-a I-a O", [("a", 0, 2)]),
        ("O B-a I-a", [("a", 1, 3)]),
        # Each B begins one, also behind its own kind.
        ("B-a B-a I-a", [("a", 0, 1), ("a", 1, 3)]),
        # So does an I behind nothing, or behind another kind.
        ("I-a I-a O I-b", [("a", 0, 2), ("b", 3, 4)]),
        ("B-a I-b I-b B-b", [("a", 0, 1), ("b", 1, 3), ("b", 3, 4)]),
        # Kinds may hold hyphens and dots.
        ("B-to.city-name I-to.city-name", [("to.city-name", 0, 2)]),
    ],
)
def test_spans(tags, spans):
    assert spans_of(tags.split()) == spans


def test_f1_by_hand():
    true = ["B-a I-a O B-b", "O B-a O", "B-c"]
    predicted = [
        "B-a I-a O O",  # one right, one missed
        "B-b B-a I-a",  # one too many, one too long
        "O",  # one missed
    ]
    # Of 3 found and 4 there, 1 is right: precision 1/3, recall 1/4.
    precision, recall = 1 / 3, 1 / 4
    assert span_f1(
        [t.split() for t in true], [p.split() for p in predicted]
    ) == pytest.approx(2 * precision * recall / (precision + recall))


def test_f1_of_all_and_of_nothing():
    tags = [["B-a", "I-a"], ["O"]]
    assert span_f1(tags, tags) == 1
    assert span_f1(tags, [["O", "O"], ["O"]]) == 0
    assert span_f1([["O"]], [["O"]]) == 0
    assert span_f1([], []) == 0


@pytest.mark.parametrize(
    ("true", "predicted", "message"),
    [
        ([["O"]], [], "as many sentences. Received: 1 and 0"),
        ([["O"]], [["O", "O"]], "Sentence 0 .* Received: 2 and 1"),
        ([["O"]], [["X-a"]], "'X-a' at word 0"),
        ([["O"]], [["Other"]], "'Other' at word 0"),
    ],
)
def test_what_cannot_be_counted_is_said(true, predicted, message):
    with pytest.raises(ValueError, match=message):
        span_f1(true, predicted)
