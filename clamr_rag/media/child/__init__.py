"""What runs inside the limited decoder child; nothing outside this folder may import it.

Only the standard library, PyAV and the sidecar parsers are loaded here, no numpy and no pydantic,
so that a child starts in a tenth of a second and its address space holds nothing of value.
"""
