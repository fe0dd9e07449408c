"""Names of songs: two words, drawn."""

from __future__ import annotations

import numpy as np

FIRST = (
    "amber ashen autumn blue brittle broken buried calm cold copper distant drifting dusky early empty faded faint "
    "fallen far first frozen gentle glass golden green grey half-lit hidden hollow idle last late lesser linen little "
    "long lost low lunar milk mossy muted narrow nameless northern open outer pale paper patient plain quiet rusted "
    "salt sleeping slow small snowed soft still stone sunken thin unlit upper velvet warm white wide winter"
).split()
SECOND = (
    "acre air anchor archive attic basin bay beacon birches canal cellar chapel clearing coast corridor current delta "
    "drift dunes echo embers estuary evening fen field fjord fog garden glacier grain harbour haze hill hours island "
    "jetty lake lantern lichen light lighthouse marsh meadow meridian mill mist morning moor orchard passage pier "
    "plateau pond quarry rain reeds ridge river room shallows shore signal sky slope snow station stairs thaw tide "
    "tower valley vapour water weather window woods"
).split()


def names(random: np.random.Generator, count: int) -> list[str]:
    """`count` names, no two alike; there are some five thousand."""
    rows = random.permutation(len(FIRST) * len(SECOND))[:count]
    pairs = ((FIRST[row // len(SECOND)], SECOND[row % len(SECOND)]) for row in rows.tolist())
    return [f"{first.capitalize()} {second.capitalize()}" for first, second in pairs]
