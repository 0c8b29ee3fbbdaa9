"""Rules between columns in a dictionary: what they read, and which mistakes in them are told where."""

import pytest

from mulgil.contract import DICTIONARY_FILE, PROJECT_FILE, load_project
from mulgil.errors import ContractError

PROJECT = """\
name: ward
problem: {goal: g, success_measure: s}
task: binary_classification
source: {kind: csv, location: rows.csv}
split: {kind: group}
"""

DICTIONARY = """\
columns:
  - {name: who, role: entity, type: integer, description: d}
  - {name: seen, role: event_timestamp, type: timestamp, description: d}
  - {name: admitted, role: ignore, type: timestamp, description: d}
  - {name: discharged, role: ignore, type: timestamp, description: d}
  - {name: zip, role: ignore, type: text, description: d}
  - {name: city, role: ignore, type: text, description: d}
  - {name: note, role: ignore, type: text, description: d}
  - {name: smoker, type: category, categories: [yes, no], description: d}
  - {name: cigarettes, type: integer, missing: median, description: d}
  - {name: visits, type: float, aggregate: {function: count, over: 7 days}, description: d}
  - {name: many, type: boolean, derived: visits > 3, missing: most_frequent, description: d}
  - {name: ill, role: target, type: boolean, description: d}
"""

RULES = """\
rules:
  - holds: admitted <= discharged
    description: Nobody leaves before arriving.
  - holds: cigarettes == 0
    when: smoker == "no"
    on_violation: quarantine
  - {holds: present(zip), when: present(city), on_violation: warn}
  - {each: zip, has_one: city}
"""


def load(folder, rules):
    (folder / PROJECT_FILE).write_text(PROJECT)
    (folder / DICTIONARY_FILE).write_text(DICTIONARY + rules)
    return load_project(folder).dictionary


def test_ignored_columns_that_rules_read_are_ingested_and_judged_by_rules_alone(tmp_path):
    dictionary = load(tmp_path, RULES)
    ignored = {"admitted", "discharged", "zip", "city"}
    assert [rule.text for rule in dictionary.rules] == [
        "admitted <= discharged",
        'cigarettes == 0 where smoker == "no"',
        "present(zip) where present(city)",
        "each zip has one city",
    ]
    assert dictionary.ruled == {*ignored, "smoker", "cigarettes"}
    assert {column.name for column in dictionary.ingested} - {c.name for c in dictionary.kept} == ignored
    assert ignored < dictionary.keys
    assert not ignored & {column.name for column in dictionary.inputs}


@pytest.mark.parametrize(
    ("rule", "place", "told"),
    [
        ("{when: present(zip)}", "rules[0]", "`holds`, with or without `when`"),
        ("{each: zip}", "rules[0]", "`each` with `has_one`; received each"),
        ("{each: zip, has_one: city, holds: cigarettes > 0}", "rules[0]", "received each, has_one, holds"),
        ("{each: zip, has_one: zip}", "rules[0]", "each=zip has_one=zip"),
        ("{each: zip, has_one: city, on_violation: quarantine}", "rules[0]", "no row tells: take block"),
        ("{holds: 1 < 2}", "rules[0]", "a rule reads a column; received 1 < 2"),
        ("{holds: admitted <}", "rules[0]", "not an expression"),
        ("{holds: present(1 + cigarettes)}", "rules[0]", "present(column)"),
        ("{holds: age > 3}", "rules[0].holds", "received age"),
        ("{holds: present(zip), when: age > 3}", "rules[0].when", "received age"),
        ("{each: zip, has_one: town}", "rules[0].has_one", "received town"),
        ("{holds: cigarettes + 1}", "rules[0].holds", "true or false of a row; received cigarettes + 1"),
        ("{holds: admitted <= cigarettes}", "rules[0].holds", "two numbers, or two times"),
        ("{holds: present(zip), when: smoker}", "rules[0].when", "received smoker, text"),
        ("{holds: visits >= 0, on_violation: quarantine}", "rules[0].on_violation", "before visits is known"),
        ("{holds: many, on_violation: quarantine}", "rules[0].on_violation", "before many is known"),
        ("{hold: many}", "rules[0].hold", "this key is unknown; expected one of holds, when"),
    ],
)
def test_a_mistake_in_a_rule_is_told_with_its_line(tmp_path, rule, place, told):
    with pytest.raises(ContractError) as caught:
        load(tmp_path, f"rules:\n  - {rule}\n")
    lines = str(caught.value).splitlines()
    line = (DICTIONARY + "rules:\n").count("\n") + 1
    assert [one for one in lines if f"{DICTIONARY_FILE}:{line}: {place}: " in one and told in one], lines
