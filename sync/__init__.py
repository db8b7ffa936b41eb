"""Accord: Microsoft 365 and the CRM, in agreement."""
