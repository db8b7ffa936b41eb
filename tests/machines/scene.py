"""A scene kept as bytes: a prepared stage begins again from it as often as it is wanted, without being prepared."""

from __future__ import annotations

import pickle
import threading
from io import BytesIO
from typing import Any

from tests.stage import Scene

_LOCKS = {type(made()): made for made in (threading.Lock, threading.RLock)}


class _Pickler(pickle.Pickler):
    """Locks are free: nobody is at work in a scene."""

    def reducer_override(self, one: Any) -> Any:
        made = _LOCKS.get(type(one))
        return (made, ()) if made else NotImplemented


def kept(scene: Scene) -> bytes:
    """A scene as it is now, apart from whoever looks on."""
    hooks = scene.tenant.before, scene.tenant.after
    scene.tenant.before, scene.tenant.after = [], []
    try:
        into = BytesIO()
        _Pickler(into, pickle.HIGHEST_PROTOCOL).dump(scene)
        return into.getvalue()
    finally:
        scene.tenant.before, scene.tenant.after = hooks


def again(kept: bytes) -> Scene:
    """The scene, once more."""
    scene: Scene = pickle.loads(kept)  # noqa: S301 - written by this process
    return scene
