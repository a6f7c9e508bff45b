"""How far labels can be trusted: metrics, calibration, sets, novelty."""
