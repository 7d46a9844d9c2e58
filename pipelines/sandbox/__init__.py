"""The pretend exchange: Kalshi's communications API as a server on your own machine."""

from __future__ import annotations

from pipelines.sandbox.accounts import Account, UnusableName
from pipelines.sandbox.behavior import Behavior, Bucket
from pipelines.sandbox.clock import ManualClock, ScaledClock, SystemClock
from pipelines.sandbox.faults import Faults
from pipelines.sandbox.market import Market
from pipelines.sandbox.refusal import Refused
from pipelines.sandbox.replay import replay
from pipelines.sandbox.server import Exchange, serve, serve_until_interrupted
from pipelines.sandbox.simulation.future import unfold
from pipelines.sandbox.simulation.past import Ledger, simulate
from pipelines.sandbox.simulation.shapes import Shape

__all__ = [
    "Account",
    "Behavior",
    "Bucket",
    "Exchange",
    "Faults",
    "Ledger",
    "ManualClock",
    "Market",
    "Refused",
    "ScaledClock",
    "Shape",
    "SystemClock",
    "UnusableName",
    "replay",
    "serve",
    "serve_until_interrupted",
    "simulate",
    "unfold",
]
