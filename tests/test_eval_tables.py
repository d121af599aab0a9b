"""Tables for papers: as many cells in every row, and nothing that LaTeX or Markdown would take for its own."""

import re

import pytest
from report_samples import comparison, report

from eval.pages.arm import Arm, drops
from eval.pages.tables import Table, comparison_table, latex, markdown, suites_table, sweep_table, write_tables


def arms() -> list[Arm]:
    found = [(axis, strength, 0.8 - strength / 2) for axis, strength in (("none", 0.0), ("mask_noise", 0.5), ("mask_noise", 1.0))]
    return [Arm("policy_a", axis, strength, report(rate, axis=axis, strength=strength)) for axis, strength, rate in found]


def tables() -> dict[str, Table]:
    return {
        "suites": suites_table([report(0.5, suite="my_suite", unplaced=1, missing={"milk": "died"}), report(1.0)]),
        "sweep": sweep_table(arms(), drops(arms())),
        "comparison": comparison_table(comparison()),
    }


@pytest.mark.parametrize("name", ["suites", "sweep", "comparison"])
def test_every_row_has_a_cell_for_every_head(name):
    table = tables()[name]
    assert {len(row) for row in table.rows} == {len(table.heads)}
    lines = [line for line in markdown(table).splitlines() if line.startswith("|")]
    assert {len(re.split(r"(?<!\\)\|", line)) for line in lines} == {len(table.heads) + 2}
    text = latex(table)
    columns = re.search(r"\\begin\{tabular\}\{([lr]+)\}", text)
    assert columns
    assert len(columns[1]) == len(table.heads)
    body = text[text.index(r"\toprule") : text.index(r"\bottomrule")]
    rows = [line for line in body.splitlines() if line.endswith(r"\\")]
    assert {len(re.findall(r"(?<!\\)&", row)) for row in rows} == {len(table.heads) - 1}
    for name in ("table", "tabular"):
        assert text.count(rf"\begin{{{name}}}") == text.count(rf"\end{{{name}}}") == 1


@pytest.mark.parametrize("name", ["suites", "sweep", "comparison"])
def test_nothing_is_left_for_latex_to_stumble_over(name):
    text = latex(tables()[name])
    inside = "".join(line for line in text.splitlines() if not line.startswith(("%", r"\label", r"\begin", r"\end")))
    assert not re.search(r"(?<!\\)[_%#]", inside)
    assert not set(text) - set(map(chr, range(128)))


def test_special_letters_are_escaped():
    table = Table("50 % of {a_b}", "tab:x", (r"a\b", "c|d"), (("x_y & z", "$5 ~ ^2 #1 <3>"),))
    text = latex(table)
    assert r"\caption{50 \% of \{a\_b\}}" in text
    assert r"a\textbackslash{}b & c\textbar{}d \\" in text
    assert r"x\_y \& z & \$5 \textasciitilde{} \textasciicircum{}2 \#1 \textless{}3\textgreater{} \\" in text
    assert r"| x\_y & z | \$5 \~ ^2 \#1 \<3\> |" in markdown(table)
    assert r"| a\\b | c\|d |" in markdown(table)


def test_intervals_and_what_could_be_found_are_in_every_table():
    for table in tables().values():
        assert any("interval" in head or "Wilson" in head for head in table.heads)
        assert "Detectable" in table.heads
    suites = tables()["suites"].rows
    assert suites[0][-1] == "1 + 1 object"
    assert suites[1][-1] == "0"


def test_tables_are_written_whole(tmp_path):
    write_tables(tmp_path / "new", list(tables().values()))
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["table.md", "table.tex"]
    assert (tmp_path / "new" / "table.tex").read_text().count(r"\begin{table}") == 3
