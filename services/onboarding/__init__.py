"""Onboarding: who takes part, and under which terms."""
