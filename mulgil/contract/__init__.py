"""The contract: project file and data dictionary, parsed, checked, derived into neutral specifications."""

from mulgil.contract.dictionary import (
    Association,
    Column,
    ColumnRole,
    ColumnType,
    DataDictionary,
    MissingPolicy,
)
from mulgil.contract.learning import Metric, Task
from mulgil.contract.load import DICTIONARY_FILE, PROJECT_FILE, ProjectFolder, load_project
from mulgil.contract.project import Project

__all__ = [
    "DICTIONARY_FILE",
    "PROJECT_FILE",
    "Association",
    "Column",
    "ColumnRole",
    "ColumnType",
    "DataDictionary",
    "Metric",
    "MissingPolicy",
    "Project",
    "ProjectFolder",
    "Task",
    "load_project",
]
