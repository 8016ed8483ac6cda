CONTRACT = {
    "digits": {"negatives": 64, "temperature": 0.2},
    "moons": {"negatives": 64, "temperature": 0.2},
    "replicas": {"negatives": 5, "temperature": 0.3},
    "no_better_on": ("digits", "moons"),
}
