"""All readers under test."""

from __future__ import annotations

from tests.fuzz import own_cases, ratings_cases, table_cases
from tests.fuzz.case import Case

CASES: dict[str, Case] = ratings_cases.CASES | table_cases.CASES | own_cases.CASES
