"""Missions: what a run is to do is approved before anything is called, and comes to one end that stays."""
