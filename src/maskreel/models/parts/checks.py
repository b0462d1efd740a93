"""Questions that config records ask of their values."""

from maskreel.errors import OptionError


def require_at_least(config: object, least: int, *names: str) -> None:
    """OptionError for a field of a config record that is below `least`."""
    for name in names:
        if getattr(config, name) < least:
            raise OptionError(f"{name} {getattr(config, name)} must be at least {least}")


def check_chances(config: object, *names: str) -> None:
    """OptionError for a field of a config record that is no chance below 1."""
    for name in names:
        if not 0 <= getattr(config, name) < 1:
            raise OptionError(f"{name} {getattr(config, name)} must be at least 0 and below 1")


def check_width(width: int, num_heads: int, *, multiple: int, why: str = "") -> None:
    """OptionError unless tokens of `width` channels divide into the attention heads and by `multiple`."""
    if width < multiple or width % multiple:
        raise OptionError(f"width {width} must be a multiple of {multiple}{why}")
    if num_heads < 1 or width % num_heads:
        raise OptionError(f"num_heads {num_heads} must divide width {width}")
