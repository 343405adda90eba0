"""Plots as SVG: bars, and lines over two logarithmic axes."""

import html
import math

WIDTH, LEFT, TOP, ROW, LEGEND = 760, 190, 44, 22, 190
COLOURS = ["#c2410c", "#ea9a5b", "#1d4ed8", "#0f766e", "#7c3aed", "#be185d", "#4d7c0f", "#0891b2", "#a16207", "#64748b",
           "#111827", "#db2777"]


def colours(names):
    """A colour for each, ours first, in warm ones."""
    ordered = sorted(names, key=lambda name: not name.startswith("hioload_"))
    return {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(ordered)}


def text(x, y, content, anchor="start", size=12, weight="normal"):
    return (f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" font-weight="{weight}">'
            f"{html.escape(str(content))}</text>")


def document(height, title, parts):
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        'font-family="system-ui, sans-serif" fill="#1f2937">',
        f"<title>{html.escape(title)}</title>",
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        text(16, 26, title, size=15, weight="bold"), *parts, "</svg>", ""])


def figure(value):
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def bars(title, values, errors=None):
    """Horizontal bars, shortest first. values: {name: value}; errors: {name: (lowest, highest)}."""
    parts, ordered = [], sorted(values, key=values.get)
    most = max([*values.values(), *(high for _, high in (errors or {}).values())], default=0) or 1
    room = WIDTH - LEFT - 90
    for i, name in enumerate(ordered):
        y, length = TOP + i * ROW, values[name] / most * room
        colour = COLOURS[0] if name.startswith("hioload_") else "#9ca3af" if name.startswith("floor_") else COLOURS[2]
        parts.append(text(LEFT - 8, y + 15, name, "end"))
        parts.append(f'<rect x="{LEFT}" y="{y + 3}" width="{max(length, 1):.1f}" height="{ROW - 6}" fill="{colour}"/>')
        end = length
        if errors:
            low, end = (bound / most * room for bound in errors[name])
            parts.append(f'<path d="M{LEFT + low:.1f} {y + ROW / 2}H{LEFT + end:.1f}" stroke="#111827"/>')
        parts.append(text(LEFT + max(end, length) + 6, y + 15, figure(values[name])))
    return document(TOP + len(ordered) * ROW + 16, title, parts)


class Axis:
    """A logarithmic axis from `first` to `last`, in pixels."""

    def __init__(self, values, first, last):
        self.low, self.high = math.log10(min(values, default=1)), math.log10(max(values, default=1))
        if self.high - self.low < 0.1:
            self.low, self.high = self.low - 0.1, self.high + 0.1
        self.first, self.last = first, last

    def __call__(self, value):
        return self.first + (math.log10(value) - self.low) / (self.high - self.low) * (self.last - self.first)

    def ticks(self):
        steps = (1, 2, 5) if self.high - self.low < 2.5 else (1,)
        exponents = range(math.floor(self.low), math.ceil(self.high) + 1)
        return [step * 10.0**e for e in exponents for step in steps
                if self.low - 1e-9 <= math.log10(step * 10.0**e) <= self.high + 1e-9]


def lines(title, x_title, y_title, series, x_text=figure):
    """A line for each of series: {name: [(x, y), ...]}. Values that are not above zero have no place on the axes."""
    series = {name: sorted(point for point in points if min(point) > 0) for name, points in series.items()}
    series = {name: points for name, points in series.items() if points}
    height, bottom, right = 430, 380, WIDTH - LEGEND
    points = [point for line in series.values() for point in line]
    xs = sorted({x for x, _ in points})
    across, up = Axis(xs, 70, right - 10), Axis([y for _, y in points], bottom, TOP + 12)
    parts = [f'<path d="M70 {TOP}V{bottom}H{right}" fill="none" stroke="#6b7280"/>',
             text((70 + right) / 2, height - 10, x_title, "middle"), text(16, TOP - 2, y_title)]
    for tick in up.ticks():
        parts.append(f'<path d="M70 {up(tick):.1f}H{right}" stroke="#e5e7eb"/>')
        parts.append(text(64, up(tick) + 4, figure(tick), "end"))
    for x in xs:
        parts.append(text(across(x), bottom + 18, x_text(x), "middle"))
    palette = colours(series)
    by_height = sorted(series, key=lambda name: -series[name][-1][1])
    for i, name in enumerate(by_height):
        path = "L".join(f"{across(x):.1f} {up(y):.1f}" for x, y in series[name])
        dash = ' stroke-dasharray="5 4"' if name.startswith("floor_") else ""
        width = 2.5 if name.startswith("hioload_") else 1.3
        parts.append(f'<path d="M{path}" fill="none" stroke="{palette[name]}" stroke-width="{width}"{dash}/>')
        parts += [f'<circle cx="{across(x):.1f}" cy="{up(y):.1f}" r="2.5" fill="{palette[name]}"/>'
                  for x, y in series[name]]
        y = TOP + 14 + i * 20
        parts.append(f'<path d="M{right + 12} {y - 4}h22" stroke="{palette[name]}" stroke-width="{width}"{dash}/>')
        parts.append(text(right + 40, y, name))
    return document(height, title, parts)
