"""Which clips LlamaIndex's metadata filters let through."""

from __future__ import annotations

from collections.abc import Mapping

from llama_index.core.vector_stores.types import FilterCondition, MetadataFilters
from llama_index.core.vector_stores.utils import build_metadata_filter_fn


def passes(filters: MetadataFilters, metadata: Mapping[str, object]) -> bool:
    """Whether a clip with this metadata is let through.

    Each filter means what it means to LlamaIndex's own stores; unlike there, filters may be nested.
    """
    verdicts = (
        passes(each, metadata)
        if isinstance(each, MetadataFilters)
        else build_metadata_filter_fn(lambda _: metadata, MetadataFilters(filters=[each]))("")
        for each in filters.filters
    )
    condition = filters.condition or FilterCondition.AND
    if not filters.filters or condition == FilterCondition.AND:
        return all(verdicts)
    return any(verdicts) if condition == FilterCondition.OR else not any(verdicts)
