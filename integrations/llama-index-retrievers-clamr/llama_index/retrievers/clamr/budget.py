"""How many pictures fit: LlamaIndex splits or drops them silently where a prompt is too long."""

from __future__ import annotations

from clamr_rag.errors import UsageError
from llama_index.core.constants import DEFAULT_NUM_OUTPUTS
from llama_index.core.llms import LLM

IMAGE_TOKENS = 2125
"""What LlamaIndex reserves for a picture, whatever its size (``ImageBlock.aestimate_tokens``)."""
PROMPT_TOKENS = 500
"""Room for the prompt template, the question and padding."""
CLIP_TEXT_TOKENS = 300
"""Room for the text of one clip; a dense one of 30 s has about as many."""


def max_images(
    context_window: int,
    *,
    num_clips: int,
    num_output: int = DEFAULT_NUM_OUTPUTS,
    clip_text_tokens: int = CLIP_TEXT_TOKENS,
) -> int:
    """Most pictures that fit into one call beside the text of the clips; 0 if none does."""
    room = context_window - num_output - PROMPT_TOKENS - num_clips * clip_text_tokens
    return max(0, room // IMAGE_TOKENS)


def max_keyframes(
    llm: LLM, *, num_clips: int, wanted: int, clip_text_tokens: int = CLIP_TEXT_TOKENS
) -> int:
    """Most keyframes per clip, up to those wanted, with which all clips fit into one call.

    Args:
        llm: Its metadata says how long a prompt may be; OpenAILike says 3900 unless told better.
        num_clips: The retriever's ``similarity_top_k``.
        wanted: Keyframes per clip, if there is room.
        clip_text_tokens: Tokens of a clip's text; more for dense speech.
    """
    fitting = max_images(
        llm.metadata.context_window,
        num_clips=num_clips,
        num_output=llm.metadata.num_output,
        clip_text_tokens=clip_text_tokens,
    )
    return min(wanted, fitting // max(1, num_clips))


def assert_llm_supports(llm: LLM, *, pictures: bool = True) -> None:
    """Raises UsageError for a model that LlamaIndex cannot give pictures to."""
    if pictures and not llm.metadata.is_chat_model:
        raise UsageError(
            f"{llm.metadata.model_name} is no chat model: it takes no pictures",
            hint="pass is_chat_model=True if its server has a chat endpoint, or multimodal=False",
        )
    if pictures and llm.metadata.context_window < IMAGE_TOKENS + PROMPT_TOKENS:
        raise UsageError(
            f"{llm.metadata.model_name} has a context window of {llm.metadata.context_window}",
            allowed=f"{IMAGE_TOKENS + PROMPT_TOKENS} or more for one picture",
            hint="set context_window to what the server takes",
        )
