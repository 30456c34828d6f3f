"""Routes of the gateway, one module for each group of paths."""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter

from infra.gateway.routes import authoring, generate, generations, health, jobs, openai, problem_pages

#: All of them; a new module adds its router here.
ROUTERS: Final[tuple[APIRouter, ...]] = (
    generate.router,
    jobs.router,
    generations.router,
    authoring.router,
    openai.router,
    health.router,
    problem_pages.router,
)
