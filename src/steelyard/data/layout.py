"""Which files of a folder are images, and what their place says of them: class and part."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from steelyard._checks import InputError
from steelyard.data.images import SUFFIXES
from steelyard.data.labels import PART_NAMES

_NAMED = 5  # folders or suffixes that a note lists


@dataclass(frozen=True, slots=True)
class File:
    """An image file and what its place says of it."""

    path: Path
    part: str
    label: str


@dataclass(slots=True)
class Listing:
    """Image files, and the notes on what lies beside them and is not read."""

    files: list[File] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)  # files that are no images, by suffix
    notes: list[str] = field(default_factory=list)

    def said(self) -> tuple[str, ...]:
        """All notes, one line each."""
        counted = [f"{number} {suffix}" for suffix, number in self.others.most_common()]
        if not counted:
            return tuple(self.notes)
        return (*self.notes, f"left out, for they are no images: {_some(counted)}")


def unlabelled(folder: Path) -> Listing:
    """Every image below ``folder``, wherever it lies."""
    found = Listing()
    images = _images_below(folder, found.others)
    found.files = [File(path, "", "") for path in images]
    return found


def labelled(folder: Path) -> Listing:
    """The images of class folders, these in ``folder`` or in the folders of its parts.

    Raises:
        InputError: if there is no class folder, or a folder ``train`` may be a part as well as a class.
    """
    found = Listing()
    inside = _subfolders(folder)
    parts = [path for path in inside if _part(path)]
    if not _are_parts(folder, parts, [path for path in inside if not _part(path)]):
        _add_classes(found, folder, "")
    else:
        for path in parts:
            _add_classes(found, path, _part(path))
        beside = {path.name: len(_images_below(path)) for path in inside if not _part(path)}
        named = [f"{name} ({number} images)" for name, number in beside.items() if number]
        if named:
            found.notes.append(
                f"folders beside {parts[0].name}/ left out, their names are of no part (train, val or dev, "
                f"test): {_some(named)}"
            )
    if not found.files:
        why = "; ".join(["no folder with images", *found.said()])
        raise InputError(f"{folder}: expected one folder of images per class, got {why}.")
    return found


def _part(path: Path) -> str:
    return PART_NAMES.get(path.name.lower(), "")


def _are_parts(folder: Path, parts: list[Path], others: list[Path]) -> bool:
    """Whether ``parts``, folders with names of parts, are parts; else they are classes, as ``others`` are.

    A class may be called ``train``: the folders in it and beside it decide, and where they leave it open
    the user has to.
    """
    if not any(map(_subfolders, parts)):
        if len({_part(path) for path in parts}) > 1:
            raise InputError(
                f"{folder}: expected a folder per class in {parts[0].name}/ and {parts[1].name}/, got none; "
                "make class folders, or give a .csv with the paths of the images and their classes."
            )
        return False
    if len({_part(path) for path in parts}) > 1:
        return True
    classes = {path.name for path in _subfolders(parts[0])}
    images = [path for path in others if _images_below(path)]
    if not images or any(classes & {path.name for path in _subfolders(other)} for other in images):
        return True
    raise InputError(
        f"{folder}: {parts[0].name}/ may be a part or a class: it holds {_some(sorted(classes))}, "
        f"and beside it lie {_some([path.name for path in images])}, with images, but no other part; rename "
        f"it if it is a class, or move the folders beside it away if it is the {_part(parts[0])} part."
    )


def _add_classes(found: Listing, folder: Path, part: str) -> None:
    """Add the images of the class folders in ``folder``, and note what else it holds.

    Where every class folder has a ``train`` of its own, the folders in it are parts.
    """
    classes, empty = _subfolders(folder), []
    inner = not part and all("train" in map(_part, _subfolders(path)) for path in classes)
    for path in classes:
        images = _images_below(path, found.others)
        for image in images:
            place = image.relative_to(path)
            own = _part(path / place.parts[0]) if inner and len(place.parts) > 1 else part
            found.files.append(File(image, own, _class_name(path)))
        empty += [] if images else [path.name]
    if empty:
        found.notes.append(f"folders in {folder.name}/ left out, they hold no images: {_some(empty)}")
    loose = sum(path.suffix.lower() in SUFFIXES and path.is_file() for path in folder.iterdir())
    if loose:
        found.notes.append(f"{loose} images in {folder.name}/ left out, they lie in no class folder")


def _class_name(folder: Path) -> str:
    try:
        folder.name.encode("utf-8")
    except UnicodeEncodeError:
        raise InputError(
            f"{folder.parent}: expected names of class folders in UTF-8, got {os.fsencode(folder.name)!r}; "
            "rename the folder."
        ) from None
    return folder.name


def _subfolders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def _images_below(folder: Path, others: Counter[str] | None = None) -> list[Path]:
    """The image files below ``folder``, hidden ones left out; other files are counted in ``others``."""
    images = []
    counted: Counter[str] = Counter() if others is None else others

    def refuse(error: OSError) -> None:
        raise error  # a folder that may not be opened would be left out in silence

    for place, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        linked = sum(Path(place, name).is_symlink() for name in folders)
        counted.update({"linked folder": linked} if linked else {})
        for name in names:
            path = Path(place, name)
            if name.startswith("."):
                continue
            if not path.is_file():  # reading a pipe or a device would wait or never end
                counted["pipe, device or broken link"] += 1
            elif path.suffix.lower() in SUFFIXES:
                images.append(path)
            else:
                counted[path.suffix.lower() or "without a suffix"] += 1
    return sorted(images)


def _some(names: list[str]) -> str:
    return ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")
