"""What is said where nothing is to be done. Kept light: a command without work loads no more of the reports."""


def nothing_to_do(stages: int) -> str:
    return f"nothing to do: {stages} {'stage is' if stages == 1 else 'stages are'} fresh"
