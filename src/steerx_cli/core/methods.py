"""The six methods in the order of the paper's Table 1, what says how strongly each steers, and what varies them."""

from collections.abc import Mapping

STRENGTHS: Mapping[str, str | None] = {
    "non-perso": None,
    "rag": None,
    "cos": "lam",
    "steerx-cos": "lam",
    "cas": "gamma2",
    "steerx-cas": "gamma2",
}
# The paper's settings, as far as a method has them, with their signs; and those that say how strongly it steers.
SETTINGS: Mapping[str, str] = {"lam": "λ", "gamma2": "γ2", "tau": "τ", "gamma1": "γ1", "layer": "layer"}
SIGNS: Mapping[str, str] = {name: sign for name, sign in SETTINGS.items() if name in STRENGTHS.values()}

# How a method is not itself: what stands in the place of something of the user's own, by a parameter and its value.
ALL_TOKENS = "all tokens"
VARIANTS: Mapping[tuple[str, str], str] = {
    ("profiles_of", "other"): "another's description",
    ("vectors_of", "other"): "another's vector",
    ("vectors_of", "mean"): "the mean vector",
    ("anchors", "random"): "random anchors",
    ("anchors", "surprisal"): "surprisal anchors",
    ("anchors", "all"): ALL_TOKENS,
    ("anchors", "lexicon"): "a lexicon's words",
    ("mode", "join"): "without smoothing",
    ("mode", "raw"): "without tokens",
    ("of", "texts"): "whole texts smoothed",
    ("stage", "demo-habits"): "the true habits",
}
# Those that know nothing of the user, or of what the causal effect finds: the method should do better than each.
CONTROLS = frozenset(
    ("another's description", "another's vector", "the mean vector", "random anchors", "surprisal anchors", ALL_TOKENS)
)
