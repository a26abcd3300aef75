"""Write the page of a comparison: one HTML file that opens from disk, without a network.

Charts are Vega-Lite, written with Altair and drawn in the browser as SVG. Measured inline: Vega
with everything it needs 0.9 MB, Bokeh 1.3 MB, Plotly 4.8 MB; and SVG takes its colours from the
page's style sheet, so dark mode and print need no second chart, where a canvas would keep the
colours that it was drawn with.
"""
