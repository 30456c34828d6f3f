"""Roles: what a token may do."""

from __future__ import annotations

from enum import IntEnum


class AccessRole(IntEnum):
    """What a token may do; each role may do all that the roles below it may."""

    #: Create requests, read its own.
    CLIENT = 1
    #: Read everything of its workspace.
    VIEWER = 2
    #: Change nodes and test them, review results.
    DESIGNER = 3
    #: Cancel, replay, drop, promote reviewed results.
    OPERATOR = 4
    #: Tokens.
    ADMIN = 5

    @property
    def label(self) -> str:
        """Its name as people write it."""
        return self.name.lower()


#: Names of all roles, the lowest first.
ROLES: tuple[str, ...] = tuple(role.label for role in AccessRole)


def parse_role(label: str) -> AccessRole:
    """The role with a name.

    Raises:
        ValueError: there is none.
    """
    if label not in ROLES:
        raise ValueError(f"is no role; the roles are {', '.join(ROLES)}")
    return AccessRole[label.upper()]
