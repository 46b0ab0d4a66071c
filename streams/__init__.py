"""The Faust stages: normalize, plan, recordings, insights."""
