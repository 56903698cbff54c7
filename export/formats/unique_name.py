"""Names without duplicates."""


def unique_name(wanted: str, used: set[str]) -> str:
    """Return `wanted`, numbered if it is in `used`, and add it to `used`."""
    name, count = wanted, 0
    while name in used:
        count += 1
        name = f"{wanted}_{count}"
    used.add(name)
    return name
