CONTRACT = {
    "digits": {"queue": 64, "target_momentum": 0.9, "clusterings": 2},
    "moons": {"queue": 64, "target_momentum": 0.9},
    "replicas": {"queue": 10, "target_momentum": 0.8, "clusters_per_class": 1},
    "no_better_on": ("digits", "moons"),
}
