"""English words that a question asks with, not for."""

STOP_WORDS = frozenset(
    """a about an and are as at be been being but by can could did do does doing for from had has
    have he her his how i if in into is it its many may me might much must my no not of on or
    our s she should so t than that the their them then there these they this those to us very
    was we were what when where which who whom whose why will with would you your
    came come find found gave get give go goes got happen happened happens keep kept made make
    take taken took use used went
    clip describe described explain explained lecture mention mentioned mentions say says said
    show shown shows speaker talk talked talks tell tells told video
    """.split()
)
"""Function words, light verbs, and talk about the video itself: they match everything and say
nothing of the moment."""
