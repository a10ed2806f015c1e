"""Evidence that reads like an instruction to a machine.

No list of patterns finds every attack; what holds the harm down is that the answering call has no
tools, that evidence stands between marks a video cannot know, and that citations are checked by the
program. The flag tells the reader, and keeps such lines out of quoted answers. How much the list
finds, and what it takes for an order by mistake, is measured by `eval/run_injection.py`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache

from clamr_rag.answering.passages import Passage
from clamr_rag.answering.plain import one_plain_line, timecode
from clamr_rag.types import Modality, Video

MOST_NOTES = 10
"""Notes of one answer; a hostile video can hold thousands of such lines."""

# What many patterns share. Every repetition is bounded, so that no text can make a search slow.
_DROP = (
    r"\b(?:ignor(?:e|ing)|disregard|forget|override|bypass|disable|discard|drop|cancel|wipe|erase"
    r"|(?:do not|don't|never|stop) (?:follow|obey|use|trust|consider)(?:ing)?)\b"
)
_OWN = (
    r"\b(?:all|any|every|each|your|previous|prior|earlier|preceding|above|foregoing|former"
    r"|original|initial|existing|current|last|system|safety|ethical|content)\b"
)
_RULES = (
    r"(?:instructions?|prompts?|rules?|guidelines?|directives?|orders|commands?|constraints?"
    r"|restrictions?|programming|behaviou?r|polic(?:y|ies)|protocols?|guardrails?|filters?"
    r"|evidence|transcript|context)\b"
)
_TALK = r"(?:say|reply|respond|answer|output|print|write|tell|choose|select|pick|repeat|state)"
_MACHINE = (
    r"(?:(?:large )?language models?|llms?|chat ?bots?|chatgpt|gpt|claude|gemini|qwen|copilot"
    r"|(?:ai|a\.i\.)(?: (?:assistant|model|system|agent|reader|summari[sz]er)s?)?)"
)
_MODEL = r"(?:ai|assistant|model|language model|llm|chat ?bot|chatgpt|claude|gemini|qwen)"
_LETTER = r"(?:choose|select|pick|mark|answer|take) (?:with )?(?:the )?(?:option |letter |choice )"

_PATTERNS: dict[str, tuple[str, ...]] = {
    "drops the rules": (
        rf"{_DROP}[^.!?]{{0,20}}{_OWN}[^.!?]{{0,30}}\b{_RULES}",
        rf"{_DROP}[^.!?]{{0,20}}\b{_RULES}[^.!?]{{0,6}}\b(?:above|before|so far|you (?:were|have))",
        rf"{_DROP} (?:the |this )?(?:{_RULES}|question|video)[^.!?]{{0,20}}\b(?:and|then) .{{0,12}}"
        rf"\b{_TALK}\b",
        rf"{_DROP}[^.!?]{{0,9}}\beverything\b(?:[^.!?]{{0,30}} (?:above|so far|until now)"
        r"| you (?:were|have been) told|,? (?:and )?you are)\b",
        r"\b(?:ignore|disregard|forget) (?:(?:this|that|these|those) )?instructions?(?! o[fn]\b)\b",
        r"\b(?:reset|wipe|clear|erase) your (?:context|memory|instructions)\b",
        r"\b(?:ignore|disregard|forget)(?:all|any|the|your|previous|prior|above){1,4}"
        r"(?:instructions|prompts|rules)",
        r"\byour (?:previous|prior|earlier|old|original|last) (?:task|instructions?|rules|orders)"
        r"[^.!?]{0,12}\b(?:cancelled|canceled|void|obsolete|revoked|over|no longer)\b",
        r"\byour (?:new|real|actual|only|true) (?:task|job|goal|purpose|objective|instructions?)"
        r"[^.!?]{0,12} to (?:print|say|reply|respond|output|repeat|answer|ignore)\b",
        r"\bthis (?:message|line|note|text|rule) (?:now )?"
        r"(?:overrides|supersedes|replaces|cancels)",
        r"\b(?:begin(?:ning)?(?: of)?|start(?: of)?)"
        r" (?:new |system |the )?(?:instructions|prompt)\b",
        r"\b(?:new|updated|revised|real) (?:system )?instructions? ?:",
    ),
    "drops the rules, in another language": (
        r"\b(?:ignorier|missacht|vergiss|vergesst)\w{0,6}[^.!?]{0,25}\b(?:all|bisherig|vorherig|"
        r"vorig|obig|fruher|dein|ihre)\w{0,4}[^.!?]{0,20}(?:anweisung|befehl|regel|vorgabe)",
        r"\b(?:ignore[zr]?|oublie[zr]?) (?:tou(?:te)?s?|les|ces|vos|tes)\b[^.!?]{0,30}"
        r"(?:instructions|consignes|regles)\b",
        r"(?<!no )(?<!nao )(?<!non )\b(?:ignor[ae]|olvid[ae]|descart[ae]|esquec[ae]|dimentica)"
        r"\w{0,4}\b[^.!?]{0,40}(?:instruccion|instruco|ordenes|reglas|regras|istruzion|regole)",
        r"\b(?:negeer|vergeet) (?:alle|vorige|eerdere|bovenstaande|je)\b[^.!?]{0,30}"
        r"(?:instructies|regels|opdrachten|aanwijzingen)",
        r"\b(?:zignoruj|ignoruj|zapomnij)[^.!?]{0,40}(?:instrukcj|polecen|zasad)",
        r"(?:talimat|kural|yonerge)\w{0,8}[^.!?]{0,20}(?:yok say|goz ard|gormezden|unut(?!ma))",
        r"(?<!не )\b(?:игнорир|забуд)\w{0,6}[^.!?]{0,40}(?:инструкц|указан|команд|правил)",
        r"(?<!不要)(?<!别)(?:忽略|无视|無視|忘记)[^。！？]{0,15}(?:指令|指示|提示词|规则|規則|要求)",
        r"(?:指示|命令|ルール|規則|プロンプト)[^。！？]{0,12}(?:無視し[てろな]|無視せよ|忘れて)",
        r"(?:지시|명령|규칙|지침)[^.!?]{0,15}무시(?:하고|하세요|해|하라|하십시오)",
        r"تجاهل[^.!?]{0,40}(?:تعليمات|الأوامر|القواعد)",
        r"(?:निर्देश|नियम|आदेश)[^.!?।]{0,20}(?:अनदेखा|नज़रअंदाज़|नजरअंदाज) कर",
    ),
    "speaks to a machine": (
        rf"\b(?:dear|attention|hey|hello|(?:note|notice|memo|message|instructions?|update|policy)"
        rf"[^.!?]{{0,25}} (?:to|for)) (?:any |all |the |every )?(?:{_MACHINE}|automated \w{{4,12}}"
        r"|the assistant)\b",
        rf"(?:^|\W){_MACHINE} ?[,:] ?(?:please|you (?:must|should|will|are|have)|ignore|disregard"
        rf"|do not|always|never|{_TALK})\b",
        rf"\bif you are an? {_MACHINE}\b(?= ?[,.:;]| (?:reading|and|that|who)\b)",
        rf"\bany {_MACHINE} (?:that|who|which) (?:reads|is reading|processes|sees)\b",
        rf"\bas an? {_MACHINE},? you (?:must|are|should|have|will|shall|need)\b",
        rf"\b(?:the|any|this|every) {_MODEL} (?:must|shall|has to|is to|is required to|should) "
        r"(?:reply|respond|answer|say|choose|select|cite|ignore|obey)\b",
    ),
    "imitates a chat": (
        r"<\|[\w▁ ]{1,40}\|>|<\|im_|\[/?inst\]|<</?sys>>",
        r"</?(?:start_of_turn|end_of_turn|system|assistant|tool_calls?|tool_response|evidence"
        r"|function_calls?|instructions?)>",
        r"\[/?(?:tool_calls|tool_results|available_tools|system_prompt)\]",
        r"[\"']role[\"'] ?: ?[\"'](?:system|assistant|developer|user)[\"']",
        r"\bsystem (?:prompt|message|note|instructions?) ?[:\]]",
        r"\[system\]|\[(?:debug|developer|god) mode\]",
        r"\b(?:system|admin|security|developer) override ?[:\]]|\bsystem ?: admin\b",
        rf"\b(?:system|assistant|developer|administrator) ?: ?(?:you|{_TALK}|ignore|disregard"
        r"|override|always|never|the (?:user|answer|question|rules))\b",
        r"\b(?:user|human) ?: .{0,200}\b(?:assistant|ai|model) ?:",
        r"\b(?:assistant|ai|model) ?: .{0,200}\b(?:user|human) ?:",
        r"\bthe user (?:wants|expects|needs) you to\b|\bwhatever the user asks\b",
    ),
    "gives it a role": (
        r"\byou are (?:now|no longer)\b[^.!?]{0,40}\b(?:dan|ai|assistant|model|chat ?bot|bound"
        r"|constrained|unrestricted|unfiltered|restrictions?|jailbroken)\b",
        rf"\b(?:unrestricted|unfiltered|uncensored|jailbroken|evil|hacker) {_MODEL}\b",
        rf"\b{_MODEL}\b[^.!?]{{0,30}} (?:without|with no|has no|that can do) (?:any )?(?:anything"
        r"|restrictions?|filters?|limits?|rules|ethics)\b",
        r"\byou have no (?:restrictions|(?:ethical )?guidelines|filters|limits|rules)\b",
        r"\b(?:respond|answer|speak) as an? [^.!?]{0,60}\blanguage model\b|\bdo anything now\b",
        r"\b(?:act|behave|pretend|role-?play)\b[^.!?]{0,80}\b(?:and|who|that)\b[^.!?]{0,30}"
        r"\b(?:answer|repl(?:y|ie)|respond)",
        r"\b(?:jailbreak|jailbroken|uncensored|unrestricted|unfiltered) (?:\w{1,12} )?mode\b",
        r"\bi am (?:your (?:developer|creator|operator)|openai|anthropic)\b"
        r"|\bon behalf of (?:openai"
        r"|anthropic)\b|\benable (?:dan|god) mode\b",
    ),
    "dictates the answer": (
        r"\banswers? (?:to|for) (?:all|any|every|each)\b[^.!?]{0,40}"
        r"\b(?:is|are|must|shall|will)\b",
        r"\banswer is\b[^.!?]{1,40}\bfor (?:all|any|every|each)\b",
        r"\banswers? (?:all|any|every|each)\b[^.!?]{0,20}\bquestions?"
        r" (?:only |just )?(?:with|by)\b",
        r"\b(?:all|any|every|each) questions? (?:is|are|must be) answered (?:with|by)\b",
        r"\bonly (?:permitted|allowed|acceptable|valid) (?:reply|response|answer)\b",
        r"\b(?:reply|respond) (?:only|just|exactly|simply|solely|nothing but)\b",
        r"\b(?:reply|respond|answer)[^.!?]{0,12} (?:only|just|exactly|simply|solely) (?:with|by|the"
        r" word)\b",
        r"\b(?:reply|respond|answer) with\b[^.!?]{0,40}\b(?:only|alone|nothing else|verbatim"
        r"|no explanation)\b",
        rf"\b{_TALK}\b[^.!?]{{0,40}}\b(?:and|but) nothing else\b",
        r"\banswers? only \W?\w{1,30}\W{0,3}$",
        rf"\bfrom now on,? (?:you )?"
        rf"(?:will |must |shall |always |only ){{0,2}}(?:{_TALK}|ignore)\b",
        # A sentence ends after a quoted question, so what it orders may stand in the next one.
        r"\b(?:(?:if|when|whenever)\b[^.!?]{0,30} asks? you|to the question) [\"“'][^\"”]{1,200}\?",
        r"\byou (?:must|shall|will) (?:answer|reply|respond|say)\b[^.!?]{1,40}"
        r"\bto (?:the|this|every"
        r"|any|all) questions?\b",
        r"\b(?:begin|start|end|conclude|finish|prefix)\b[^.!?]{0,12}\byour (?:answer|reply|response"
        r"|output|summary) (?:with|by)\b",
        r"\b(?:add|append|attach|include)\b[^.!?]{0,40}"
        r"\b(?:to|in) your (?:answer|reply|response)\b",
        r"\byour (?:reply|response|output) (?:has to|must|shall)"
        r" (?:only |always )?(?:be|say|contain)",
        rf"\balways {_LETTER}|\b{_LETTER}[a-z]\b[^.!?]{{0,40}}"
        rf"\b(?:whatever|regardless|no matter)\b",
        rf"\b(?:every|all|each|any)\b[^.!?]{{0,20}}\bquestions?\b[^.!?]{{0,30}}\b{_LETTER}[a-z]\b",
        r"\b(?:do not|don't|never) (?:consider|look at|mention) (?:the |any )?other (?:options"
        r"|choices|answers)\b",
        r"(?:^|[;:,.!] ?|please )tell the (?:user|reader) (?:that|to)\b",
        r"\bsummari[sz]e (?:this|the) (?:video|clip|transcript|talk) as\b",
        r"\b(?:never|do not|don't) (?:mention|reveal|disclose) (?:this |that |these )?(?:rules? \d"
        r"|instructions?|rules|prompt|notes?)\b",
        r"\bcit(?:e|ing|ation)\b[^.!?]{0,15}\[\d{1,4}\]|\b(?:cite|attribute)\b[^.!?]{0,30}\bclips?\b",
    ),
    "asks for a tool or a secret": (
        r"\b(?:call|invoke|trigger|use) (?:the )?tool [`'\"]?\w{2,30}_\w",
        r"\b(?:call|invoke|trigger) (?:the )?\w{0,12} ?[`'\"]?(?:send|delete|remove|transfer|upload"
        r"|post|shell|exec)_\w",
        r"\brm -rf [/~*$]|\b(?:curl|wget) [^ ]{0,60}\$\(",
        r"\b(?:send|post|upload|email|forward|leak)\b[^.!?]{0,20}\b(?:conversation|chat history"
        r"|prompt|credentials)\b",
        r"\b(?:reveal|repeat|print|show|output|leak|recite|echo|share|decode|tell me)\b[^.!?]{0,20}"
        r"\b(?:your (?:full |own )?|(?:your|the) (?:system|initial|hidden|original) )(?:prompt"
        r"|instructions?|rules)\b",
        r"\b(?:reveal|print|list|show|output|leak)\b[^.!?]{0,40}\b(?:api keys|passwords|credentials"
        r"|secrets)\b[^.!?]{0,12}\byou\b",
        r"\b(?:decode|decrypt|unscramble)\b[^.!?]{0,40}"
        r"\b(?:and|then) (?:do|follow|obey|execute|run)",
    ),
    "poses as this program": (
        r"\bend of clip \[\d|\bclip \[\d{1,4}\] of the video\b|\bpicture at \d\d:\d\d:\d\d",
        r"\bthat was all of the evidence\b|\bend of (?:the |all )?(?:evidence|context|prompt)\b",
        r"\bworded like an instruction\b|\brule from (?:the|this) program\b",
    ),
}  # fmt: skip
"""What a line does, as a note says it, and how such lines are worded: in lower case, without
accents."""
_KINDS = tuple(
    (kind, re.compile("|".join(f"(?:{one})" for one in wordings)))
    for kind, wordings in _PATTERNS.items()
)

_TAGS = {0xE0000 + code: chr(code) for code in range(0x20, 0x7F)}
"""Unicode's invisible copies of ASCII, in which an order can stand unseen."""
_LOOK_ALIKES = str.maketrans(
    "аеорсухіѕјԁһкмтвнгαειορτυνκχη01345@$7",
    "aeopcyxisjdhkmtbhraeioptuvkxnoieasast",
)
"""Cyrillic and Greek letters and digits that pass for Latin letters."""
_ACCENTS = re.compile("[\u0300-\u036f]")
_TERMINAL_CODE = re.compile(r"\x1b\[[0-?]{0,40}[@-~]|\[[0-9;]{1,12}[mJKH]")
"""The second form is what is left where the escape character was dropped."""
_UNSEEN = {"Cf", "Cs", "Co"}
_SPACED_OUT = re.compile(r"(?<!\w)(?:[^\W_][ .*_-]){2,60}[^\W_](?!\w)")
_SEPARATORS = re.compile(r"[ .*_-]")


def reads_like_instruction(text: str) -> bool:
    """Whether a line seems to be addressed to the machine that reads the evidence."""
    return instruction_kind(text) is not None


@lru_cache(maxsize=4096)
def instruction_kind(text: str) -> str | None:
    """What a line that reads like an instruction to a machine does, None for other lines."""
    for reading in _readings(text):
        for kind, pattern in _KINDS:
            if pattern.search(reading):
                return kind
    return None


def suspicion_notes(suspects: Iterable[tuple[Passage, Video]]) -> list[str]:
    """A line for the reader of an answer about each such passage; many are counted, not listed."""
    notes = list(dict.fromkeys(_note(passage, video.title) for passage, video in suspects))
    more = len(notes) - MOST_NOTES
    return notes if more <= 0 else [*notes[:MOST_NOTES], f"{more} more lines read like that"]


def _note(passage: Passage, title: str) -> str:
    where = f"{passage.modality.label} of {one_plain_line(title, 80)}"
    is_timed = passage.modality != Modality.DESCRIPTION
    when = f" at {timecode(passage.span.start_seconds)}" if is_timed else ""
    kind = instruction_kind(passage.text)
    return f"{where}{when} reads like an instruction to a machine ({kind}); it is not followed"


def _readings(text: str) -> list[str]:
    """The text as a model may read it: as it stands, with letters joined, with true letters."""
    hidden = "".join(_TAGS.get(ord(character), "") for character in text)
    # A code swallows a letter that the model is shown: what a terminal shows is one reading of two.
    sources = dict.fromkeys((text, _TERMINAL_CODE.sub(" ", text)))
    return list(dict.fromkeys(r for each in sources for r in _spellings(f"{each} {hidden}")))


def _spellings(text: str) -> list[str]:
    shown = "".join(map(_seen, text))
    decomposed = unicodedata.normalize("NFD", unicodedata.normalize("NFKC", shown).lower())
    plain = unicodedata.normalize("NFC", _ACCENTS.sub("", decomposed))
    joined = _SPACED_OUT.sub(lambda found: _SEPARATORS.sub("", found[0]), plain)
    folded = [" ".join(each.replace("_", " ").split()) for each in (plain, joined)]
    # A text may be `tool_name` or <start_of_turn>: underscores count in one of the readings.
    return [" ".join(plain.split()), *folded, folded[1].translate(_LOOK_ALIKES)]


def _seen(character: str) -> str:
    category = unicodedata.category(character)
    if character.isspace() or category == "Cc":
        return " "
    return "" if category in _UNSEEN else character
