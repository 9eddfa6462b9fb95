"""Convert a figure to a small SVG that uses the colours and the font of its page."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from matplotlib.figure import Figure

from harness.report.figures.names import xml_safe
from harness.report.figures.style import VARIABLES, to_bytes

_SVG = "http://www.w3.org/2000/svg"
_HREF = "{http://www.w3.org/1999/xlink}href"
_NUMBER = re.compile(r"-?\d+\.\d{3,}")
# The page's style sheet sets these; font sizes are the figure's own.
_PAGES = {"font-family", "stroke-miterlimit"}
_DEFAULTS = {
    ("stroke-linejoin", "miter"),
    ("stroke-linecap", "butt"),
    ("font-style", "normal"),
    ("text-anchor", "start"),
}


def to_svg(figure: Figure, name: str, alt: str) -> str:
    """Return a figure as an ``<svg>`` element for a page of several.

    Colours of ``VARIABLES`` become CSS variables with the colour as their default, so that they
    follow the page's dark mode. Labels stay text, in the page's font.

    Args:
        figure: what to write.
        name: prefix of the element's ids, unique on the page.
        alt: what the figure shows, in words.
    """
    root = ElementTree.fromstring(to_bytes(figure, "svg"))
    for child in list(root):
        if child.tag == f"{{{_SVG}}}metadata":
            root.remove(child)
    _drop_style_sheets(root)
    _name_ids(root, name)
    for element in root.iter():
        _tidy(element)
    for group in list(root.iter()):
        _hoist_styles(group)
    _unwrap_groups(root)
    width = float(root.attrib["width"].removesuffix("pt"))
    root.attrib.pop("version", None)
    del root.attrib["width"], root.attrib["height"]
    root.set("role", "img")
    root.set("aria-label", xml_safe(alt))
    root.set("style", f"--width:{width:.0f}")
    ElementTree.register_namespace("", _SVG)
    return ElementTree.tostring(root, encoding="unicode")


def _drop_style_sheets(root: ElementTree.Element) -> None:
    """Remove rules for all paths, which would apply to other figures of the page."""
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag == f"{{{_SVG}}}style":
                parent.remove(child)
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag == f"{{{_SVG}}}defs" and not len(child):
                parent.remove(child)


def _name_ids(root: ElementTree.Element, name: str) -> None:
    """Give ids that are used unique short names, and remove the others."""
    text = " ".join(value for element in root.iter() for value in element.attrib.values())
    referred = set(re.findall(r"#([\w.-]+)", text))
    ids = [e.attrib["id"] for e in root.iter() if e.attrib.get("id") in referred]
    short = {old: f"{name}-{number}" for number, old in enumerate(dict.fromkeys(ids))}
    for element in root.iter():
        if "id" in element.attrib:
            old = element.attrib.pop("id")
            if old in short:
                element.set("id", short[old])
        if _HREF in element.attrib:
            target = element.attrib.pop(_HREF)
            old = target.removeprefix("#")
            element.set("href", f"#{short[old]}" if target.startswith("#") else target)
        if "clip-path" in element.attrib:
            old = element.attrib["clip-path"].removeprefix("url(#").removesuffix(")")
            element.set("clip-path", f"url(#{short[old]})")


def _tidy(element: ElementTree.Element) -> None:
    for key in ("d", "x", "y", "width", "height", "transform", "points"):
        if key in element.attrib:
            rounded = _NUMBER.sub(_rounded, element.attrib[key])
            element.set(key, re.sub(r"\s+", " ", rounded).strip())
    if element.get("transform", "").startswith("rotate(-0 "):
        del element.attrib["transform"]
    if "style" in element.attrib:
        element.set("style", _style(element.attrib["style"]))
    element.tail = None
    if element.text is not None and not element.text.strip():
        element.text = None


def _rounded(match: re.Match[str]) -> str:
    return f"{float(match[0]):.2f}".rstrip("0").rstrip(".")


def _style(style: str) -> str:
    kept = []
    for rule in style.split(";"):
        key, _, value = (part.strip() for part in rule.partition(":"))
        if key == "font":
            size = re.search(r"[\d.]+px", value)
            bold = re.search(r"\b(bold|[6-9]00)\b", value)
            kept += [f"font-size:{size[0]}"] if size else []
            kept += ["font-weight:600"] if bold else []
        elif key and key not in _PAGES and (key, value) not in _DEFAULTS:
            variable = VARIABLES.get(value)
            kept.append(f"{key}:var({variable},{value})" if variable else f"{key}:{value}")
    return ";".join(kept)


def _hoist_styles(group: ElementTree.Element) -> None:
    """Move the style that all marks of a group share to the group."""
    marks = [child for child in group if child.tag == f"{{{_SVG}}}use"]
    styles = {mark.get("style") for mark in marks}
    if len(marks) < 2 or len(marks) != len(group) or len(styles) != 1 or group.get("style"):
        return
    group.set("style", styles.pop() or "")
    for mark in marks:
        mark.attrib.pop("style", None)


def _unwrap_groups(parent: ElementTree.Element) -> None:
    """Replace groups without attributes by their content."""
    kept: list[ElementTree.Element] = []
    for child in parent:
        _unwrap_groups(child)
        bare = child.tag == f"{{{_SVG}}}g" and not child.attrib
        kept += list(child) if bare else [child]
    parent[:] = kept
