"""ChatStudent, a trained student as a LangChain chat model, and what it is made of."""

from .card import StudentCard, StudentError, read_card, write_card
from .chat import ChatStudent, load_student

__all__ = [
    "ChatStudent",
    "StudentCard",
    "StudentError",
    "load_student",
    "read_card",
    "write_card",
]
