"""The six methods, in the order of the paper's Table 1, and what says how strongly each steers."""

from collections.abc import Mapping

STRENGTHS: Mapping[str, str | None] = {
    "non-perso": None,
    "rag": None,
    "cos": "lam",
    "steerx-cos": "lam",
    "cas": "gamma2",
    "steerx-cas": "gamma2",
}
SIGNS: Mapping[str, str] = {"lam": "λ", "gamma2": "γ2"}
