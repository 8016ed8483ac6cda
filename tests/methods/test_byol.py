CONTRACT = {
    "digits": {"hidden": 32, "projection": 16},
    "moons": {"hidden": 16, "projection": 8},
    "replicas": {"hidden": 8, "projection": 4, "target_momentum": 0.8},
    "no_better_on": ("digits", "moons"),
}
