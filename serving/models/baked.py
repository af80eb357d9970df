"""A Bento's own bundle as a release. Knows no file of releases."""

from datetime import UTC, datetime

from serving.contract.arms import Role, Strategy
from serving.contract.bundle import open_bundle
from serving.contract.release import Arm, Guards, Release
from serving.settings.endpoint import Settings


def open_baked_release(settings: Settings) -> Release | None:
    """A Bento's own bundle, as the release that holds while there is none for its model."""
    if settings.baked is None:
        return None
    bundle = open_bundle(settings.baked)
    arm = Arm("champion", settings.baked_version, bundle.digest, Role.CHAMPION, 1.0)
    return Release(
        model=bundle.contract.model,
        generation=0,
        strategy=Strategy.BLUE_GREEN,
        arms=(arm,),
        guards=Guards(latency_ms=100.0, error_share=0.5),
        bandit=None,
        fallback=None,
        default=None,
        provider=settings.provider,
        salt="baked",
        opened_at=datetime.fromtimestamp(0, UTC),
    )
