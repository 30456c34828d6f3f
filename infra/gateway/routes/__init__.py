"""Routes of the gateway, one module for each group of paths."""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter

from infra.gateway.routes import (
    authoring,
    catalogue,
    compare,
    dead_letters,
    events,
    experiments,
    generate,
    generations,
    graphs,
    health,
    jobs,
    node_actions,
    nodes,
    observe,
    openai,
    pictures,
    problem_pages,
    replays,
    reviews,
    session,
    tokens,
)

#: All of them; a new module adds its router here.
ROUTERS: Final[tuple[APIRouter, ...]] = (
    generate.router,
    jobs.router,
    generations.router,
    pictures.router,
    events.router,
    dead_letters.router,
    replays.router,
    compare.router,
    experiments.router,
    reviews.router,
    authoring.router,
    observe.router,
    catalogue.router,
    nodes.router,
    node_actions.router,
    graphs.router,
    session.router,
    tokens.router,
    openai.router,
    health.router,
    problem_pages.router,
)
