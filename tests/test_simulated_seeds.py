"""The tables of docs/statistics.md are those of the simulations."""

from bench import simulated_seeds, simulated_seeds_tables


def test_the_docs_hold_the_tables_of_the_results():
    text = simulated_seeds_tables.DOCS.read_text(encoding="utf-8")
    assert simulated_seeds_tables.filled(text) == text


def test_every_section_has_a_result_of_500_studies():
    found = simulated_seeds.results_of()
    assert list(found) == list(simulated_seeds.SECTIONS)
    assert all(section["studies"] >= 500 for section in found.values())


def test_the_rates_are_those_that_are_claimed():
    """Two standard errors of 500 studies above 5% are 7%."""
    found = {name: section["rows"] for name, section in simulated_seeds.results_of().items()}
    assert all(row["called_better"] <= 7 for row in found["null"])
    assert all(row["called_better"] == 0 for row in found["null"] if row["seeds"] == 1)
    for row in found["compare"]:
        one, other = row["seed_sd"].split(" / ")
        if one == other:
            assert row["covered"] >= 92 and (row["difference"] or row["significant"] <= 7), row
            # five standard errors, over a hundred rows
            assert abs(row["significant"] - row.get("expected", row["significant"])) <= 8, row
    for row in found["interval"]:
        assert all(row[kind]["covered"] >= 92.5 for kind in simulated_seeds.SKILLS), row
    assert all(row["power"] >= 75 for row in found["sizes"])
