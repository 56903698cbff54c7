"""Names that are each given once."""


def unique_name(wanted: str, taken: set[str]) -> str:
    """Return a name, with a number if it is taken, and take it."""
    name, count = wanted, 0
    while name in taken:
        count += 1
        name = f"{wanted}_{count}"
    taken.add(name)
    return name
