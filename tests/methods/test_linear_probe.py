CONTRACT = {"no_better_on": ("digits", "moons")}
