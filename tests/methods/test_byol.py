CONTRACT = {
    "digits": {"hidden_width": 32, "projection": 16},
    "moons": {"hidden_width": 16, "projection": 8},
    "replicas": {"hidden_width": 8, "projection": 4, "target_momentum": 0.8},
    "no_better_on": ("digits", "moons"),
}
