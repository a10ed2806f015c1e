"""The suite that LangChain has for all retrievers."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_tests.integration_tests import RetrieversIntegrationTests
from langchain_videos import Lectures

from langchain_clamr import ClamrRetriever


class TestClamrRetriever(RetrieversIntegrationTests):
    @pytest.fixture(autouse=True)
    def _library(self, lectures: Lectures) -> None:
        self.folder = lectures.library

    @property
    def retriever_constructor(self) -> type[ClamrRetriever]:
        return ClamrRetriever

    @property
    def retriever_constructor_params(self) -> dict[str, Any]:
        return {"library": self.folder}

    @property
    def retriever_query_example(self) -> str:
        return "Why did churn fall?"
