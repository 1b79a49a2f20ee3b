import search


def test_results_are_kept_and_gone_on_with(tmp_path):
    ran = []

    def run():
        ran.append(1)
        return {"score": 0.5}

    results = search.Results(tmp_path)
    assert results.step("one", run) == {"score": 0.5}
    again = search.Results(tmp_path)
    assert again.step("one", run) == {"score": 0.5}
    assert again.step("two", run) == {"score": 0.5}
    assert len(ran) == 2


def test_pairs_are_told_with_their_number():
    told = search.paired([1.0, 3.0, 2.0], [0.0, 1.0, 3.0])
    assert told == "+0.67 ± 1.53, above in 2 of 3, p = 0.53"
    assert search.paired([1.0], [1.0]) == "+0.00 ± nan, above in 0 of 1"


def test_an_oracle_searches_a_table():
    ways = ["hard_sharing", "mmoe"]
    scores = {
        (way, rate): ways.index(way) - abs(rate - 5e-3)
        for way in ways
        for rate in search.RATES
    }
    tried = search.searched("random", scores, ways, seed=3)
    assert tried[0] == ("hard_sharing", search.DEFAULT)
    assert len(tried) == len(set(tried)) == min(max(search.BUDGETS), 14)
    assert set(tried) <= set(scores)


def test_delta_m_is_the_mean_over_the_tasks():
    errors, single = [[1.0, 3.0], [2.0, 2.0]], [[2.0, 2.0], [1.0, 4.0]]
    assert list(search.delta_of(errors, single)) == [0.0, -25.0]


def test_tables_are_of_means_over_the_problems(tmp_path):
    results = search.Results(tmp_path)
    plain = [
        {
            **{"end": "1.0", "seed": seed, "model": way, "rate": rate},
            "delta": delta + seed - (rate != search.DEFAULT),
        }
        for seed in (0, 1)
        for way, delta in (("mmoe", 2.0), ("ple", 4.0))
        for rate in search.RATES
    ]
    chosen = [
        {
            **{"end": "1.0", "seed": seed, "model": oracle, "rate": 1e-3},
            **{"sharing": "ple", "budget": budget, "delta": delta},
        }
        for budget in search.BUDGETS
        for oracle, deltas in (("random", (1.0, 2.0)), ("bayesian", (3.0, 2.0)))
        for seed, delta in enumerate(deltas)
    ]
    results.show("correlation", search.correlation_tables, plain + chosen)
    text = (tmp_path / "search.md").read_text("utf-8")
    assert "| ple | +4.5 ± 0.7 | +4.5 ± 0.7 | 0.003 |" in text
    assert "ple over mmoe, each with its best rate: +2.00 ± 0.00" in text
    assert "| bayesian, 5 trials | +2.50 ± 0.71 | ple 2 |" in text
    assert "- 5 trials: Bayesian over random +1.00 ± 1.41, above in 1" in text
