"""Limits: a hold takes every node on its path or none, and a refusal names the node that binds (R10, R12)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from services.credit.domain.paths import Step
from shared.values.money import Money


@dataclass(slots=True)
class Node:
    """A limit in minor units; holds and use count against what is sanctioned."""

    node_id: str
    sanctioned: int
    held: int
    utilised: int

    @property
    def available(self) -> int:
        """Return max(0, sanctioned − held − utilised)."""
        return max(0, self.sanctioned - self.held - self.utilised)

    @property
    def shortfall(self) -> int:
        """Return max(0, held + utilised − sanctioned): a limit cut below its use."""
        return max(0, self.held + self.utilised - self.sanctioned)


class LimitExceeded(Exception):
    """A node on the path has not enough available; nothing was held."""

    code: ClassVar[str] = "limit_exceeded"

    def __init__(self, *, binding_node: str, available: Money, requested: Money) -> None:
        """Keep which node binds, and by how much."""
        self.binding_node = binding_node
        self.available = available
        self.requested = requested
        super().__init__(f"The limit {binding_node} has less available than the drawdown asks for.")


def binding(nodes: Mapping[str, Node], path: Sequence[Step]) -> Node:
    """Return the node that leaves the path least room; between equals the one nearest to the line."""
    return min(
        (nodes[step.node_id] for step in reversed(path)),
        key=lambda node: node.available,
    )


def available_on(nodes: Mapping[str, Node], path: Sequence[Step]) -> int:
    """Return what a line can draw: the minimum over its path."""
    return binding(nodes, path).available


def hold(nodes: Mapping[str, Node], path: Sequence[Step], *, exposure: Money) -> None:
    """Hold the exposure on every node of the path, or on none: LimitExceeded names the binding node."""
    asked = [(nodes[step.node_id], step.carries(exposure.amount_minor)) for step in path]
    # What is left, not `available`: for an amount above zero it says the same, at half the price on the hot path.
    short = [node for node, amount in asked if amount and amount > node.sanctioned - node.held - node.utilised]
    if short:
        node = min(reversed(short), key=lambda each: each.available)
        available = Money(node.available, exposure.currency)
        raise LimitExceeded(binding_node=node.node_id, available=available, requested=exposure)
    for node, amount in asked:
        node.held += amount


@dataclass(frozen=True, slots=True)
class Move:
    """How a drawdown's exposure moves on its path: what was held and used before, and after."""

    held_before: int = 0
    held_after: int = 0
    utilised_before: int = 0
    utilised_after: int = 0

    def changes(self, path: Sequence[Step]) -> dict[str, tuple[int, int]]:
        """Return the change of (held, utilised) of every node on the path."""
        return {
            step.node_id: (
                step.carries(self.held_after) - step.carries(self.held_before),
                step.carries(self.utilised_after) - step.carries(self.utilised_before),
            )
            for step in path
        }
