CONTRACT = {
    "digits": {"queue": 64, "target_momentum": 0.9},
    "moons": {"queue": 64, "target_momentum": 0.9},
    "replicas": {"queue": 10, "target_momentum": 0.8},
    "no_better_on": ("digits", "moons"),
}
