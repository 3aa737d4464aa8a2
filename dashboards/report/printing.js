// Charts of the size of a sheet while the page prints: Plotly draws them for the window, and a browser cuts a taller one.
(() => {
  const TALLEST = 860;
  const heights = new Map();
  const resize = (chart, size) => {
    // the element of a chart from Python has a height of its own
    chart.style.height = `${size.height}px`;
    Plotly.relayout(chart, size);
  };
  const charts = () => [...document.querySelectorAll(".js-plotly-plot")].filter((chart) => chart.layout);
  addEventListener("beforeprint", () => {
    document.documentElement.classList.add("printing");
    charts().forEach((chart) => {
      heights.set(chart, chart.layout.height);
      // autosize alone would set the height too
      const width = chart.parentElement.clientWidth;
      resize(chart, { autosize: false, width, height: Math.min(TALLEST, chart.layout.height) });
    });
  });
  addEventListener("afterprint", () => {
    document.documentElement.classList.remove("printing");
    charts().forEach((chart) => resize(chart, { autosize: true, width: null, height: heights.get(chart) }));
  });
})();
