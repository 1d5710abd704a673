"""Every method by class and by name."""

from dataclasses import fields
from inspect import isabstract

from vidfold.checks import check_known, frozen
from vidfold.reducers.aot import AOT, AOTPaper, AOTReference
from vidfold.reducers.base import BudgetedReducer, PublishedReducer, Reducer, select
from vidfold.reducers.baselines import AveragePool, Identity, Random, SpacetimeGrid, UniformGrid
from vidfold.reducers.diverse import Diverse, DivPrune
from vidfold.reducers.dycoke import DyCoke
from vidfold.reducers.dynvid import DynVid
from vidfold.reducers.evs import EVS
from vidfold.reducers.fastvid import FastVID
from vidfold.reducers.flashvid import FlashVID
from vidfold.reducers.gleanvid import GleanVID
from vidfold.reducers.holitom import HoliTom
from vidfold.reducers.inner import FastV, InnerReducer, PyramidDrop
from vidfold.reducers.ottvid import OTTVid
from vidfold.reducers.prunevid import PruneVid
from vidfold.reducers.scissor import LLaVAScissor
from vidfold.reducers.simplecluster import SimpleCluster
from vidfold.reducers.tome import ToMe
from vidfold.reducers.vidcom2 import VidCom2
from vidfold.reducers.visionzip import VisionZip

METHODS: dict[str, type[Reducer]] = {
    each.name: each
    for each in list(globals().values())
    if isinstance(each, type) and issubclass(each, Reducer) and not isabstract(each)
}
"""Name -> class of every method, of those imported above."""


def get(name: str, **settings: object) -> Reducer:
    """The method called ``name`` with its fields set, e.g. ``get("aot", retention=0.1)``.

    Plain data serves as well: ``get(**{"name": "aot", "retention": 0.1})``, from JSON or YAML; `Reducer.as_dict` is the
    way back.

    Raises:
        ValueError: no such method, no such field, or a value the method refuses.
    """
    check_known("unknown method", name, sorted(METHODS))
    method = METHODS[name]
    known = {field.name for field in fields(method)}
    if unknown := sorted(settings.keys() - known):
        raise ValueError(f"{name} has no field {unknown[0]!r}; it has: {', '.join(sorted(known)) or 'none'}")
    try:
        return method(**{field: frozen(value) for field, value in settings.items()})
    except TypeError as error:
        given = ", ".join(f"{field}={value!r}" for field, value in settings.items())
        raise ValueError(f"{name} does not take {given}: {error}") from error


__all__ = [
    "AOT",
    "EVS",
    "METHODS",
    "AOTPaper",
    "AOTReference",
    "AveragePool",
    "BudgetedReducer",
    "DivPrune",
    "Diverse",
    "DyCoke",
    "DynVid",
    "FastV",
    "FastVID",
    "FlashVID",
    "GleanVID",
    "HoliTom",
    "Identity",
    "InnerReducer",
    "LLaVAScissor",
    "OTTVid",
    "PruneVid",
    "PublishedReducer",
    "PyramidDrop",
    "Random",
    "Reducer",
    "SimpleCluster",
    "SpacetimeGrid",
    "ToMe",
    "UniformGrid",
    "VidCom2",
    "VisionZip",
    "get",
    "select",
]
