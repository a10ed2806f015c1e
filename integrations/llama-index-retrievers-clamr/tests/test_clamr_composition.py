"""With LlamaIndex's other parts: fusion, routers, postprocessors (C), evaluators (E)."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest
from clamr_rag.errors import UsageError
from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.evaluation import RetrieverEvaluator
from llama_index.core.indices.query.query_transform import HyDEQueryTransform
from llama_index.core.postprocessor import (
    LLMRerank,
    LongContextReorder,
    PrevNextNodePostprocessor,
    SimilarityPostprocessor,
)
from llama_index.core.retrievers import (
    AutoMergingRetriever,
    QueryFusionRetriever,
    RecursiveRetriever,
    RouterRetriever,
    TransformRetriever,
)
from llama_index.core.schema import IndexNode, NodeWithScore, QueryBundle, TextNode
from llama_index.core.selectors import LLMSingleSelector
from llama_index.core.storage.docstore import SimpleDocumentStore
from llama_index.core.storage.storage_context import StorageContext
from llama_index.core.tools import RetrieverTool
from llama_index.core.vector_stores.types import MetadataFilter, MetadataFilters

from llama_index.retrievers.clamr import (
    ClamrRerank,
    ClamrRetriever,
    ClipUpgradePostprocessor,
    VideoClipNode,
)

QUESTION = "Why did churn fall?"


def found_ids(hits: list[NodeWithScore]) -> list[str]:
    return [hit.node.node_id for hit in hits]


class WordRetriever(BaseRetriever):
    """A stand-in for BM25: counts words that node and question share."""

    def __init__(self, nodes: list[Any], top_k: int = 3) -> None:
        super().__init__()
        self.nodes, self.top_k = nodes, top_k

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        asked = set(re.findall(r"\w+", query_bundle.query_str.lower()))
        hits = [
            NodeWithScore(
                node=node, score=float(len(asked & set(re.findall(r"\w+", node.text.lower()))))
            )
            for node in self.nodes
        ]
        return sorted(hits, key=lambda hit: -(hit.score or 0))[: self.top_k]


@pytest.mark.parametrize(
    "mode", ["reciprocal_rerank", "relative_score", "dist_based_score", "simple"]
)
def test_C1_fusion_in_every_mode(retriever: ClamrRetriever, llm: Any, mode: str) -> None:
    fusion = QueryFusionRetriever(
        [retriever, retriever], llm=llm, num_queries=1, mode=mode, similarity_top_k=3
    )
    expected = found_ids(retriever.retrieve(QUESTION))
    hits = fusion.retrieve(QUESTION)
    assert sorted(found_ids(hits)) == sorted(expected)
    if mode == "reciprocal_rerank":
        assert found_ids(hits) == expected
        assert hits[0].score == pytest.approx(2 / 60)
    assert sorted(found_ids(asyncio.run(fusion.aretrieve(QUESTION)))) == sorted(expected)


def test_C1_sync_fusion_inside_a_running_loop(retriever: ClamrRetriever, llm: Any) -> None:
    fusion = QueryFusionRetriever(
        [retriever], llm=llm, num_queries=1, use_async=False, similarity_top_k=3
    )

    async def inside() -> list[NodeWithScore]:
        return fusion.retrieve(QUESTION)

    assert found_ids(asyncio.run(inside())) == found_ids(retriever.retrieve(QUESTION))


def test_C2_hybrid_merges_the_same_clips(retriever: ClamrRetriever, llm: Any) -> None:
    everything = retriever.with_settings(similarity_top_k=8)
    words = WordRetriever(retriever.nodes(), top_k=8)
    fusion = QueryFusionRetriever(
        [everything, words],
        llm=llm,
        num_queries=1,
        mode="reciprocal_rerank",
        similarity_top_k=20,
        use_async=False,
    )
    hits = fusion.retrieve(QUESTION)
    assert len(hits) == len(set(found_ids(hits))) == 8
    # Each clip was credited by both: ranks are 0 to 7, and 1 / 60 is the most that one can give.
    assert min(hit.score or 0 for hit in hits) >= 2 / 67


def test_C3_router(retriever: ClamrRetriever, llm: Any) -> None:
    llm.reply = '[{"choice": 1, "reason": "videos"}]'
    tool = RetrieverTool.from_defaults(retriever, description="videos")
    router = RouterRetriever(
        selector=LLMSingleSelector.from_defaults(llm=llm), retriever_tools=[tool, tool], llm=llm
    )
    assert found_ids(router.retrieve(QUESTION)) == found_ids(retriever.retrieve(QUESTION))
    found = asyncio.run(router.aretrieve(QUESTION))
    assert found_ids(found) == found_ids(retriever.retrieve(QUESTION))


def test_C3_recursive_retriever_expands_a_video(retriever: ClamrRetriever) -> None:
    with retriever.backend.using() as library:
        video_id = library.find("review.mp4").video.video_id
    only = MetadataFilters(filters=[MetadataFilter(key="video_id", value=video_id)])
    summaries = WordRetriever(
        [
            IndexNode(text="Why churn fell at Northwind", index_id=video_id),
            IndexNode(text="Bread", index_id="bread"),
        ],
        top_k=1,
    )
    recursive = RecursiveRetriever(
        "root",
        retriever_dict={"root": summaries, video_id: retriever.with_settings(filters=only)},
    )
    hits = recursive.retrieve(QUESTION)
    assert {hit.node.metadata["video_id"] for hit in hits} == {video_id}
    assert len(hits) == 3
    # Clips themselves pass through it unchanged.
    through = RecursiveRetriever("root", retriever_dict={"root": retriever})
    assert found_ids(through.retrieve(QUESTION)) == found_ids(retriever.retrieve(QUESTION))


def test_C3_transform_with_hyde(retriever: ClamrRetriever, llm: Any) -> None:
    llm.reply = "Knead the dough for ten minutes."
    hyde = HyDEQueryTransform(llm=llm, include_original=False)
    transform = TransformRetriever(retriever.with_settings(similarity_top_k=1), hyde)
    (hit,) = transform.retrieve("How is it made?")
    assert "Knead" in hit.node.get_content()


@pytest.mark.parametrize("by", ["object_map", "objects"])
def test_C3_objects_stand_for_a_video(retriever: ClamrRetriever, by: str) -> None:
    with retriever.backend.using() as library:
        video_id = library.find("review.mp4").video.video_id
    only = MetadataFilters(filters=[MetadataFilter(key="video_id", value=video_id)])
    inner = retriever.with_settings(filters=only, similarity_top_k=2)
    given: dict[str, Any] = {"object_map": {video_id: inner}}
    if by == "objects":
        given = {"objects": [IndexNode(text="", index_id=video_id, obj=inner)]}
    outer = ClamrRetriever(retriever.backend, similarity_top_k=8, **given)
    expected = set(found_ids(inner.retrieve(QUESTION)))
    for hits in (outer.retrieve(QUESTION), asyncio.run(outer.aretrieve(QUESTION))):
        of_video = [hit for hit in hits if hit.node.ref_doc_id == video_id]
        assert set(found_ids(of_video)) == expected
        assert len(hits) == 2 + 5


def test_C3_object_of_a_clip_replaces_it(retriever: ClamrRetriever) -> None:
    best = retriever.retrieve(QUESTION)[0].node.node_id
    note = TextNode(id_="note", text="The minutes of that meeting")
    outer = ClamrRetriever(retriever.backend, similarity_top_k=3, object_map={best: note})
    assert found_ids(outer.retrieve(QUESTION))[0] == "note"


def test_C4_similarity_cutoff_removes_low_hits(retriever: ClamrRetriever) -> None:
    hits = retriever.with_settings(similarity_top_k=8).retrieve(QUESTION)
    middle = (hits[2].score + hits[3].score) / 2  # type: ignore[operator]
    kept = SimilarityPostprocessor(similarity_cutoff=middle).postprocess_nodes(hits)
    assert found_ids(kept) == found_ids(hits[:3])


def test_C4_long_context_reorder(retriever: ClamrRetriever) -> None:
    hits = retriever.retrieve(QUESTION)
    again = LongContextReorder().postprocess_nodes(hits)
    assert sorted(found_ids(again)) == sorted(found_ids(hits))


def test_C4_neighbours_are_made_clips_again(retriever: ClamrRetriever) -> None:
    store = SimpleDocumentStore()
    store.add_documents(retriever.nodes())
    hits = retriever.with_settings(similarity_top_k=1).retrieve(QUESTION)
    around = PrevNextNodePostprocessor(docstore=store, num_nodes=1, mode="both")
    found = around.postprocess_nodes(hits)
    assert [hit.node.metadata["start_s"] for hit in found] == [0.0, 8.0, 16.0]
    plain = [hit for hit in found if type(hit.node) is TextNode]
    assert len(plain) == 2
    assert len(plain[0].node.get_content_blocks()) == 1
    whole = ClipUpgradePostprocessor().postprocess_nodes(found)
    assert all(type(hit.node) is VideoClipNode for hit in whole)
    assert [len(hit.node.get_content_blocks()) for hit in whole] == [3, 3, 3]
    assert [hit.score for hit in whole] == [hit.score for hit in found]
    stranger = [NodeWithScore(node=TextNode(text="no clip"), score=0.5)]
    assert ClipUpgradePostprocessor().postprocess_nodes(stranger) == stranger


def test_C5_llm_rerank_sends_pictures(retriever: ClamrRetriever, llm: Any) -> None:
    llm.reply = "Doc: 2, Relevance: 9\nDoc: 1, Relevance: 4"
    hits = retriever.retrieve(QUESTION)
    kept = LLMRerank(llm=llm, top_n=2).postprocess_nodes(hits, query_str=QUESTION)
    assert found_ids(kept) == [hits[1].node.node_id, hits[0].node.node_id]
    assert len(llm.calls[0].images) == 6


def test_C6_auto_merging_leaves_clips_alone(retriever: ClamrRetriever) -> None:
    store = SimpleDocumentStore()
    store.add_documents(retriever.nodes())
    merging = AutoMergingRetriever(retriever, StorageContext.from_defaults(docstore=store))
    assert found_ids(merging.retrieve(QUESTION)) == found_ids(retriever.retrieve(QUESTION))


def test_rerank_gives_the_exact_scores(retriever: ClamrRetriever) -> None:
    everything = retriever.with_settings(similarity_top_k=8)
    expected = [(hit.node.node_id, hit.score) for hit in everything.retrieve(QUESTION)]
    shuffled = [NodeWithScore(node=node, score=0.1) for node in reversed(retriever.nodes())]
    rerank = ClamrRerank(retriever.backend, top_n=4)
    found = rerank.postprocess_nodes(shuffled, query_str=QUESTION)
    assert [(hit.node.node_id, hit.score) for hit in found] == expected[:4]
    again = asyncio.run(rerank.apostprocess_nodes(shuffled, query_str=QUESTION))
    assert [(hit.node.node_id, hit.score) for hit in again] == expected[:4]
    assert {hit.score for hit in shuffled} == {0.1}


def test_rerank_scores_other_nodes_by_their_text(retriever: ClamrRetriever) -> None:
    right = TextNode(id_="right", text="Churn fell because of the new onboarding.")
    wrong = TextNode(id_="wrong", text="Knead the dough for ten minutes.")
    blank = TextNode(id_="blank", text=" ")
    mixed = [NodeWithScore(node=node) for node in (blank, wrong, right, retriever.nodes()[0])]
    found = ClamrRerank(retriever.backend).postprocess_nodes(mixed, query_str=QUESTION)
    ranks = found_ids(found)
    assert ranks[0] == "right"
    assert ranks[-1] == "blank"
    assert found[-1].score == -1.0
    assert ClamrRerank(retriever.backend).postprocess_nodes([], query_str=QUESTION) == []


def test_rerank_needs_a_question(retriever: ClamrRetriever) -> None:
    with pytest.raises(UsageError, match="no question"):
        ClamrRerank(retriever.backend).postprocess_nodes(retriever.retrieve(QUESTION))


def test_rerank_dump_holds_no_model(retriever: ClamrRetriever) -> None:
    rerank = ClamrRerank(retriever.backend, top_n=2)
    assert rerank.to_dict() == {"top_n": 2, "class_name": "ClamrRerank"}


# --- E: evaluation

METRICS = ["hit_rate", "mrr", "precision", "recall", "ap", "ndcg"]


def test_E1_all_metrics(retriever: ClamrRetriever) -> None:
    evaluator = RetrieverEvaluator.from_metric_names(METRICS, retriever=retriever)
    second = retriever.retrieve(QUESTION)[1].node.node_id
    result = evaluator.evaluate(query=QUESTION, expected_ids=[second])
    assert set(result.metric_vals_dict) == set(METRICS)
    assert result.metric_vals_dict["mrr"] == 0.5
    assert result.metric_vals_dict["hit_rate"] == 1.0
    again = asyncio.run(evaluator.aevaluate(query=QUESTION, expected_ids=[second]))
    assert again.metric_vals_dict == result.metric_vals_dict


def test_E2_core_still_aborts_on_empty_results(retriever: ClamrRetriever) -> None:
    """Should this fail, the guard for empty results in our evaluation can go."""
    nothing = retriever.with_settings(similarity_top_k=0)
    evaluator = RetrieverEvaluator.from_metric_names(["hit_rate", "mrr"], retriever=nothing)
    with pytest.raises(ValueError, match="must be provided"):
        evaluator.evaluate(query=QUESTION, expected_ids=["x"])


def test_E2_safe_evaluation_counts_nothing_found_as_zero(retriever: ClamrRetriever) -> None:
    from llama_index.retrievers.clamr import aevaluate_retrieval, evaluate_retrieval

    best = retriever.retrieve(QUESTION)[0].node.node_id
    cases = [(QUESTION, [best]), ("  ", [best])]
    means = evaluate_retrieval(retriever, cases, METRICS)
    assert means["mrr"] == means["hit_rate"] == 0.5
    assert asyncio.run(aevaluate_retrieval(retriever, cases, METRICS)) == means


def test_E3_no_clip_twice(retriever: ClamrRetriever) -> None:
    bundle = QueryBundle(QUESTION, custom_embedding_strs=[QUESTION, "churn", "onboarding"])
    for query in (QUESTION, bundle):
        found = found_ids(retriever.with_settings(similarity_top_k=8).retrieve(query))
        assert len(found) == len(set(found)) == 8


def test_E4_core_has_no_temporal_metric() -> None:
    from llama_index.core.evaluation.retrieval.metrics import METRIC_REGISTRY

    assert not [name for name in METRIC_REGISTRY if "iou" in name or "temporal" in name]
