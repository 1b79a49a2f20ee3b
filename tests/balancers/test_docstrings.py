import doctest

import pytest

from keras_mtl import balancers

OBJECTS = [balancers.registry[name] for name in balancers.registry] + [
    balancers.aggregate,
    balancers.get,
]


@pytest.mark.parametrize("entry", OBJECTS, ids=lambda e: e.__name__)
def test_the_example_runs(entry):
    namespace = {**vars(balancers)}
    runner = doctest.DocTestRunner(verbose=False)
    found = doctest.DocTestFinder(recurse=False).find(entry, globs=namespace)
    assert sum(len(test.examples) for test in found) > 0
    for test in found:
        assert runner.run(test).failed == 0
