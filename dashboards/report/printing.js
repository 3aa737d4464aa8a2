// Charts of the width of a sheet while the page prints: Plotly draws for the width of the window.
(() => {
  const fit = (printing) => {
    document.documentElement.classList.toggle("printing", printing);
    document.querySelectorAll(".js-plotly-plot").forEach((chart) => Plotly.relayout(chart, { autosize: true }));
  };
  addEventListener("beforeprint", () => fit(true));
  addEventListener("afterprint", () => fit(false));
})();
