"""`steerx retrieve`: its options and its help."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from steerx_cli import console
from steerx_cli.commands.options import FILES, Common, Model, Seed, Telling, bundled, needed

COMPARED = "What bm25 and dense compare"


@bundled
def retrieve(
    model: Model,
    common: Common,
    telling: Telling,
    retriever: Annotated[
        Literal["recency", "random", "all", "bm25", "dense"] | None,
        typer.Option(
            "--retriever",
            help="How histories are ranked, as above.",
            show_default=False,
        ),
    ] = None,
    top_k: Annotated[int, typer.Option("--top-k", help="Histories kept for each query.", min=1)] = 2,
    seed: Seed = 0,
    query_text: Annotated[
        str,
        typer.Option(
            "--query-text",
            help="Of a query: {input} and any of its {fields}.",
            rich_help_panel=COMPARED,
        ),
    ] = "{input}",
    history_text: Annotated[
        str,
        typer.Option(
            "--history-text",
            help="Of a history: {input}, {response} and any of its {fields}.",
            rich_help_panel=COMPARED,
        ),
    ] = "{input} {response}",
    queries: Annotated[
        Path | None, typer.Option("--queries", help="The queries to answer.", rich_help_panel=FILES)
    ] = None,
    histories: Annotated[
        Path | None, typer.Option("--histories", help="What the users wrote before.", rich_help_panel=FILES)
    ] = None,
) -> None:
    """Choose, for each query, the user's histories that will stand beside it.

    H = the top k of (x₁, h₁) … (xₙ, hₙ) for the query x (of Eq. 1, as in section 5.1)

    recency  the newest first
    random   by chance, by --seed
    all      all of them, in the user's own order
    bm25     by the words they share with the query, rare ones more
    dense    by the dot product with the query, of an encoder's vectors (--model)

    Example: steerx retrieve --retriever recency --top-k 2
    """
    from steerx_cli.stages.retrieve import Dense, Settings, Texts, run

    chosen = needed(retriever, "--retriever", "a retriever (--retriever recency)")
    dense = None
    if chosen == "dense":
        dense = Dense(model.request("facebook/contriever"), model.batch_tokens)
    inputs = common.input("queries", queries), common.input("histories", histories)
    settings = Settings(chosen, top_k, seed, Texts(query_text, history_text), dense)
    scope = common.scope("retrieved")
    console.telling(telling, lambda progress: run(settings, *inputs, scope, progress), first={"preset": common.preset})
