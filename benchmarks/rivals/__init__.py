"""Rivals that Captum does not have, each written anew from its paper."""
