// Draws the charts from the JSON that stands in the page, and fits them to the paper while it is printed.
"use strict";

const PAPER_WIDTH = 690; // px, an A4 or letter page within its margins
const charts = JSON.parse(document.getElementById("charts").textContent);

for (const { name, data, layout, config } of charts) {
  Plotly.newPlot(name, data, layout, config);
}

const setWidth = (width) => charts.forEach(({ name }) => Plotly.relayout(name, { width, autosize: width === null }));
window.addEventListener("beforeprint", () => setWidth(PAPER_WIDTH));
window.addEventListener("afterprint", () => setWidth(null));
