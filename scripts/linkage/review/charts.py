"""Bar charts as SVG files that run nothing, fetch nothing, and are light or dark as the page is."""

from typing import Any

import pygal
from pygal.style import Style

from linkage.review.pages import write_private
from linkage.review.site import Site

Bars = list[tuple[str, int]]  # labels and numbers

WIDTH = 480  # pixels
LONGEST_LABEL = 26  # characters
FEW = 16  # bars that have room for their numbers
FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", Arial, sans-serif'
# Blue of Okabe and Ito; in the dark, their sky blue. Bars are the only thing with a colour.
CSS = """
.graph > .background, .plot > .background { fill: none; }
.bar rect { fill: #0072b2; }
text { fill: #17212b; }
text { text-anchor: middle; }
.axis path { stroke: #d0d8e0; }
.axis.x path, .horizontalbar-graph .axis path { display: none; }
.axis.y text, .axis.x text[transform] { text-anchor: end; }
.horizontalbar-graph text.value { text-anchor: start; }
@media screen and (prefers-color-scheme: dark) {
  .bar rect { fill: #56b4e9; }
  text { fill: #e8eef3; }
  .axis path { stroke: #465564; }
}
"""
DROPPED = {"script", "desc", "title"}


def write_chart(site: Site, name: str, bars: Bars, *, lying: bool = False) -> int:
    """Write `charts/{name}.svg`, with bars side by side or, `lying`, below each other; returns its height in pixels.

    Labels are cut to 26 characters.
    """
    height = 24 + 24 * max(len(bars), 4) if lying else 320
    is_few = len(bars) <= FEW
    chart = (pygal.HorizontalBar if lying else pygal.Bar)(
        js=[],
        css=[f"inline:{CSS}"],
        style=Style(font_family=FONT, label_font_size=13, major_label_font_size=13, value_font_size=12),
        no_prefix=True,
        width=WIDTH,
        height=height,
        margin=8,
        margin_right=52 if lying else 8,  # for the numbers
        show_legend=False,
        print_values=lying or is_few,
        print_values_position="top",
        value_formatter=lambda value: f"{value:,}",
        x_label_rotation=0 if lying or len(bars) <= 8 else -60,
        show_x_labels=not lying,  # pygal's x and y are those of the picture
        show_y_labels=lying or not is_few,
        show_y_guides=not is_few,
    )
    shown = [(label_text(label), count) for label, count in bars]
    if lying:
        shown.reverse()  # pygal begins at the bottom
    chart.x_labels = [label for label, _ in shown]
    chart.add("", [count for _, count in shown])
    chart.add_xml_filter(without_script)
    folder = site.folder / "charts"
    folder.mkdir(mode=0o700, exist_ok=True)
    write_private(folder / f"{name}.svg", chart.render())
    return height


def label_text(text: str, longest: int = LONGEST_LABEL) -> str:
    """A text on one line, without characters that cannot be seen, and not longer than `longest` characters."""
    line = " ".join("".join(one if one.isprintable() else " " for one in text[: 2 * longest]).split())
    return line if len(line) <= longest and len(text) <= 2 * longest else f"{line[: longest - 1].rstrip()}…"


def without_script(svg: Any) -> Any:
    """What pygal draws, without the script, the texts for tooltips and the comments (with a date) that it adds."""
    for parent in list(svg.iter()):
        for child in list(parent):
            if not isinstance(child.tag, str) or child.tag in DROPPED or "tooltip" in child.get("class", "").split():
                parent.remove(child)
    svg.attrib.pop("id", None)
    return svg
