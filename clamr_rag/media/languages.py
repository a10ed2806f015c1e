"""ISO 639 language codes as files write them, brought to one form."""

from __future__ import annotations

# ISO 639-1 codes, and the three-letter codes (639-2/T and /B) of the languages that films carry.
_TWO_LETTERS = frozenset(
    "aa ab ae af ak am an ar as av ay az ba be bg bh bi bm bn bo br bs ca ce ch co cr cs cu cv cy "
    "da de dv dz ee el en eo es et eu fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi ho hr ht hu "
    "hy hz ia id ie ig ii ik io is it iu ja jv ka kg ki kj kk kl km kn ko kr ks ku kv kw ky la lb "
    "lg li ln lo lt lu lv mg mh mi mk ml mn mr ms mt my na nb nd ne ng nl nn no nr nv ny oc oj om "
    "or os pa pi pl ps pt qu rm rn ro ru rw sa sc sd se sg si sk sl sm sn so sq sr ss st su sv sw "
    "ta te tg th ti tk tl tn to tr ts tt tw ty ug uk ur uz ve vi vo wa wo xh yi yo za zh zu".split()
)
_THREE_LETTERS = dict(
    pair.split(":")
    for pair in (
        "afr:af alb:sq sqi:sq amh:am ara:ar arm:hy hye:hy aze:az baq:eu eus:eu bel:be ben:bn "
        "bos:bs bul:bg bur:my mya:my cat:ca chi:zh zho:zh cze:cs ces:cs dan:da dut:nl nld:nl "
        "eng:en epo:eo est:et fin:fi fra:fr fre:fr geo:ka kat:ka ger:de deu:de gle:ga glg:gl "
        "gre:el ell:el guj:gu hat:ht hau:ha heb:he hin:hi hrv:hr hun:hu ice:is isl:is ind:id "
        "ita:it jpn:ja kan:kn kaz:kk khm:km kor:ko kur:ku lao:lo lat:la lav:lv lit:lt ltz:lb "
        "mac:mk mkd:mk mal:ml mar:mr may:ms msa:ms mlt:mt mon:mn nep:ne nno:nn nob:nb nor:no "
        "pan:pa per:fa fas:fa pol:pl por:pt pus:ps ron:ro rum:ro rus:ru sin:si slk:sk slo:sk "
        "slv:sl som:so spa:es srp:sr swa:sw swe:sv tam:ta tel:te tgl:tl tha:th tur:tr ukr:uk "
        "urd:ur uzb:uz vie:vi wel:cy cym:cy yor:yo zul:zu"
    ).split()
)


def language_code(tag: str) -> str | None:
    """Returns the ISO 639-1 code of a language tag where there is one, with its region kept.

    ``"eng"`` and ``"en"`` are "en", ``"pt-br"`` is "pt-BR", ``"zh-hant"`` is "zh-Hant"; a
    three-letter code without a short form stays; "und" and everything else is None.
    """
    primary, _, region = tag.strip().replace("_", "-").partition("-")
    code = primary.lower()
    code = _THREE_LETTERS.get(code, code)
    if code in {"und", "mul", "zxx", "mis"} or not code.isascii() or not code.isalpha():
        return None
    if code not in _TWO_LETTERS and len(code) != 3:
        return None
    region = region.title() if len(region) == 4 else region.upper()
    return f"{code}-{region}" if region.isalnum() else code


def is_known_language(tag: str) -> bool:
    """Whether a part of a file name is surely a language and not a word of its title."""
    primary, _, region = tag.replace("_", "-").partition("-")
    known = primary.lower() in _TWO_LETTERS or primary.lower() in _THREE_LETTERS
    return known and (not region or (region.isalnum() and 2 <= len(region) <= 4))
