"""What the terms of a source allow its data to be used for. What nobody has verified is not allowed."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from fingpt.record import Frozen


class Use(StrEnum):
    """Something that one may want to do with a source's data."""

    RESEARCH = "research"
    LOCAL_CACHE = "local_cache"
    PERSISTENT_STORAGE = "persistent_storage"
    PRIVATE_DISPLAY = "private_display"
    PUBLIC_DISPLAY = "public_display"
    COMMERCIAL = "commercial"
    REDISTRIBUTION = "redistribution"
    MODEL_PROCESSING = "model_processing"


class Permission(StrEnum):
    """What the terms say of one use; PROHIBITED ends a command that needs it, UNVERIFIED is a warning (opening.py)."""

    ALLOWED = "allowed"
    UNVERIFIED = "unverified"
    PROHIBITED = "prohibited"


_STRICTNESS = list(Permission)


class UsagePolicy(Frozen):
    """One permission for each use; a use that is not named is unverified, hence not allowed."""

    research: Permission = Permission.UNVERIFIED
    local_cache: Permission = Permission.UNVERIFIED
    persistent_storage: Permission = Permission.UNVERIFIED
    private_display: Permission = Permission.UNVERIFIED
    public_display: Permission = Permission.UNVERIFIED
    commercial: Permission = Permission.UNVERIFIED
    redistribution: Permission = Permission.UNVERIFIED
    model_processing: Permission = Permission.UNVERIFIED
    terms: tuple[str, ...] = ()
    """Where the terms stand, or who vouches for the use: one sentence or address for each source."""

    @classmethod
    def allowing(cls, *uses: Use, prohibited: Iterable[Use] = (), terms: str = "") -> UsagePolicy:
        """A policy that allows `uses`, knows that others are `prohibited`, and leaves the rest unverified."""
        permissions = {
            **{use.value: Permission.ALLOWED for use in uses},
            **{use.value: Permission.PROHIBITED for use in prohibited},
        }
        return cls.model_validate({**permissions, "terms": (terms,) if terms else ()})

    def permission(self, use: Use) -> Permission:
        """What the terms say of `use`."""
        found: Permission = getattr(self, use.value)
        return found

    def allows(self, use: Use) -> bool:
        """Whether `use` is allowed; unverified is not."""
        return self.permission(use) is Permission.ALLOWED

    def denied(self) -> tuple[Use, ...]:
        """The uses that are not allowed."""
        return tuple(use for use in Use if not self.allows(use))


def restrict(policies: Iterable[UsagePolicy]) -> UsagePolicy:
    """The most restrictive of several: what was made of all of them may be used for what each allows.

    No policy at all allows nothing.
    """
    several = list(policies)
    if not several:
        return UsagePolicy()
    permissions = {
        use.value: max((one.permission(use) for one in several), key=_STRICTNESS.index)
        for use in Use
    }
    terms = tuple(dict.fromkeys(line for one in several for line in one.terms))
    return UsagePolicy.model_validate({**permissions, "terms": terms})
