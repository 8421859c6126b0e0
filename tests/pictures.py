"""Whether the parts of a picture have room."""

from itertools import combinations

from matplotlib.figure import Figure


def assert_parts_have_room(figure: Figure) -> None:
    """Title, legends and panels, with all that is written beside them, lie within it and apart."""
    figure.draw_without_rendering()
    parts = [axes.get_tightbbox() for axes in figure.axes]
    parts += [legend.get_window_extent() for legend in figure.legends]
    parts += [text.get_window_extent() for text in figure.texts]
    for part in filter(None, parts):
        assert part.x0 >= figure.bbox.x0 - 1, part
        assert part.y0 >= figure.bbox.y0 - 1, part
        assert part.x1 <= figure.bbox.x1 + 1, part
        assert part.y1 <= figure.bbox.y1 + 1, part
    for one, other in combinations(filter(None, parts), 2):
        assert not one.padded(-1).overlaps(other.padded(-1)), (one, other)
