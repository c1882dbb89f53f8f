"""How a review is put to the model, and what it may answer."""

SYSTEM = "You judge movie reviews."
QUESTION = "Is this review positive or negative?"
ANSWERS = ("Positive", "Negative")
"""The answer words; the behaviour is the logit of the first minus the logit of the second."""


def messages(review: str) -> list[dict[str, str]]:
    """The chat that asks for a verdict on one review, which stands in it as it is, nothing escaped."""
    return [
        {"role": "system", "content": SYSTEM},
        {"role": "user", "content": f"{review}\n\n{QUESTION}"},
    ]
