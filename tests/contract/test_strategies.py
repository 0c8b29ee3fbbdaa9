"""What the strategies promise, held against the contract's own reading of a value."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from mulgil.contract import DataDictionary, MissingPolicy
from mulgil.contract.values import ValueMismatchError, check_domain, read_json
from tests.strategies import dictionaries, instances, rows, values_of_another_type, values_outside


@given(st.data())
def test_any_dictionary_accepts_the_rows_generated_from_it(data: st.DataObject) -> None:
    dictionary = data.draw(dictionaries())
    for row in data.draw(rows(dictionary)):
        assert list(row) == [column.name for column in dictionary.kept]
        for column in dictionary.kept:
            value = row[column.name]
            if value is None:
                assert column.missing is not MissingPolicy.REJECT
            else:
                assert read_json(column, value) == value
                check_domain(column, value)


@given(st.data())
def test_any_dictionary_refuses_a_value_outside_a_domain_and_names_the_column(data: st.DataObject) -> None:
    columns = [c for c in data.draw(dictionaries()).features if c.range or c.categories]
    assume(columns)
    column = data.draw(st.sampled_from(columns))
    with pytest.raises(ValueMismatchError, match=rf"^{column.name}: expected"):
        check_domain(column, data.draw(values_outside(column)))


@given(st.data())
def test_any_dictionary_refuses_a_value_of_another_type_and_names_the_column(data: st.DataObject) -> None:
    columns = [c for c in data.draw(dictionaries()).features if not c.categories]
    assume(columns)
    column = data.draw(st.sampled_from(columns))
    with pytest.raises(ValueMismatchError, match=rf"^{column.name}: expected"):
        read_json(column, data.draw(values_of_another_type(column)))


@given(st.data())
def test_an_instance_of_a_request_holds_the_features_alone(data: st.DataObject) -> None:
    dictionary = data.draw(dictionaries())
    instance = data.draw(instances(dictionary))
    assert list(instance) == [column.name for column in dictionary.features]
    for column in dictionary.features:
        assert instance[column.name] is not None or not column.missing.is_value_required


@given(dictionaries())
def test_a_dictionary_survives_its_own_json(dictionary: DataDictionary) -> None:
    assert DataDictionary.model_validate_json(dictionary.model_dump_json()) == dictionary
