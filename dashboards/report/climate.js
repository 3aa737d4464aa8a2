// Draws climate and health of the city and period that are chosen, from the JSON in the page.
(() => {
  const data = JSON.parse(document.getElementById("climate_data").textContent);
  const city = document.getElementById("city");
  const period = document.getElementById("period");
  const RAIN = "#2b6cb0", MEAN = "#c05621", NORMAL = "#52606d", INK = "#1f2933", GRID = "#e4e7eb";
  // From caution to extreme danger; the limits of the heat index in °C are 80, 90, 103 and 125 °F.
  const HEAT = [
    ["caution", "#f2d16b", 26.7, "caution"],
    ["extreme_caution", "#e8923a", 32.2, "extreme caution"],
    ["danger", "#c8442a", 39.4, "danger"],
    ["extreme_danger", "#7a1230", 51.7, "extreme danger"],
  ];

  // From too cold to too warm, and from too dry to too wet.
  const COLD_WARM = [[0, "#2c5aa0"], [0.25, "#8ab4dd"], [0.5, "#f7f4e9"], [0.75, "#f0a06a"], [1, "#b02418"]];
  const DRY_WET = [[0, "#7a4a12"], [0.25, "#d2a962"], [0.5, "#f5f3ee"], [0.75, "#74b9ae"], [1, "#0b5c53"]];

  const hasValue = (values) => values.some((value) => value !== null);

  // Draws a chart, or says why there is none.
  function draw(id, traces, layout, why) {
    const chart = document.getElementById(id);
    const message = document.getElementById(`${id}_why`);
    message.textContent = why;
    message.hidden = !why;
    chart.hidden = !traces.length;
    if (!traces.length) {
      Plotly.purge(chart);
      return;
    }
    Plotly.react(chart, traces, {
      height: 300,
      margin: { l: 10, r: 10, t: 36, b: 30 },
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      font: { family: "system-ui, sans-serif", color: INK },
      hovermode: "x unified",
      legend: { orientation: "h", y: -0.2 },
      bargap: 0.3,
      ...layout,
      title: { text: layout.title, x: 0.02, font: { size: 15 } },
      yaxis: { gridcolor: GRID, zeroline: false, automargin: true, ...layout.yaxis },
    }, { responsive: true, displayModeBar: false });
  }

  // How often each reason is given, the most frequent first.
  function reasons(lists, unit) {
    const counts = new Map();
    const each = lists.flat().filter((n) => n !== null).flatMap((n) => data.reasons[n].split("; "));
    each.forEach((reason) => counts.set(reason, (counts.get(reason) || 0) + 1));
    return [...counts].sort((a, b) => b[1] - a[1])
      .map(([reason, count]) => `${reason} (${count} ${unit}${count > 1 ? "s" : ""})`).join(", ");
  }

  // A line that is interrupted where values are missing; open dots are periods that are not complete.
  const line = (x, y, name, colour, more) =>
    ({ type: "scatter", mode: "lines+markers", x, y, name, line: { color: colour }, ...more });

  const DASHED = { mode: "lines", line: { color: NORMAL, dash: "dash" } };

  function show() {
    const [unit, length] = period.value.split("-");
    const number = Number(city.value);
    const last = (values) => values.slice(-length);
    const of = (name) => last(data[unit][name][number]);
    const name = data.cities[number];
    const starts = last(data[unit].starts);
    const shown = starts[0] > data.first ? starts[0] : data.first;
    // three days more on each side, for the dots and bars at the ends
    const range = [Date.parse(shown) - 3 * 864e5, Date.parse(data.days.at(-1)) + 3 * 864e5];
    const ticks = range[1] - range[0] < 30 * 864e5 ? { tickformat: "%-d %b", nticks: 6 } : {};
    const xaxis = { type: "date", showgrid: false, range, ...ticks };
    const periods = { customdata: last(data[unit].periods), xhoverformat: "%Y-%m-%d" };
    const complete = of("complete");
    const normal = `normal of ${data.bases[number]}`;

    const missing = reasons([of("reason")], unit);
    document.getElementById("normals_why").textContent = missing ? `Not compared with normal: ${missing}.` : "";
    draw("temperature_normal",
      hasValue(of("temperature")) ? [
        line(starts, of("temperature"), unit, MEAN, {
          ...periods,
          marker: { symbol: complete.map((is) => (is ? "circle" : "circle-open")) },
          hovertemplate: "%{customdata}: %{y} °C",
        }),
        ...(hasValue(of("temperature_normal"))
          ? [line(starts, of("temperature_normal"), normal, NORMAL, DASHED)]
          : []),
      ] : [],
      { title: `${name}: mean temperature`, xaxis, yaxis: { title: { text: "°C" } }, showlegend: true },
      hasValue(of("temperature")) ? "" : `No ${unit} with a temperature.`);
    draw("rain_normal",
      hasValue(of("rain")) ? [
        {
          type: "bar", x: starts, y: of("rain"), name: unit, ...periods, hovertemplate: "%{customdata}: %{y} mm",
          marker: { color: RAIN, opacity: complete.map((is) => (is ? 1 : 0.45)) },
        },
        ...(hasValue(of("rain_normal"))
          ? [line(starts, of("rain_normal"), normal, NORMAL, DASHED)]
          : []),
      ] : [],
      { title: `${name}: rain`, xaxis, yaxis: { title: { text: "mm" }, rangemode: "tozero" }, showlegend: true },
      hasValue(of("rain")) ? "" : `No ${unit} with rain.`);

    const tall = data.cities.length;
    const map = (id, column, colours, middle, reach, label, without) => {
      const rows = data[unit][column].map(last);
      const empty = !hasValue(rows.flat());
      draw(id,
        empty ? [] : [{
          type: "heatmap", x: last(data[unit].periods), y: data.cities, z: rows, colorscale: colours,
          zmin: middle - reach, zmax: middle + reach, xgap: 1, ygap: 1, hoverongaps: false,
          hovertemplate: `%{y}, %{x}: %{z} ${label}<extra></extra>`,
          colorbar: { title: { text: label }, thickness: 10 },
        }],
        {
          title: "", height: 80 + Math.max(8, Math.min(30, 850 / tall)) * tall, margin: { l: 10, r: 10, t: 8, b: 30 },
          hovermode: "closest", xaxis: { type: "category", showgrid: false, nticks: 14, automargin: true },
          yaxis: { autorange: "reversed", type: "category", automargin: true, showgrid: false },
        },
        empty ? `${without}: ${reasons(data[unit].reason.map(last), unit)}.` : "");
    };
    map("temperature_map", "temperature_anomaly", COLD_WARM, 0, 3, "°C",
      `No ${unit} of a city can be compared with its normal temperature`);
    map("rain_map", "rain_percent", DRY_WET, 100, 100, "%",
      `No ${unit} of a city can be compared with its normal rain`);

    const from = data.days.findIndex((day) => day >= starts[0]);
    const daily = (column) => data[column][number].slice(Math.max(0, from));
    const days = data.days.slice(Math.max(0, from));
    const sums = [[7, "#8ebcf0"], [30, RAIN], [90, "#173f75"]].filter(([n]) => hasValue(daily(`rain_${n}`)));
    draw("rolling",
      sums.map(([n, colour]) =>
        line(days, daily(`rain_${n}`), `${n} days`, colour, { mode: "lines", hovertemplate: "%{y} mm" })),
      { title: name, xaxis, yaxis: { title: { text: "mm" }, rangemode: "tozero" }, showlegend: true },
      sums.length === 3 ? "" : `No sum of ${[7, 30, 90].slice(sums.length).join(" or ")} days: `
        + "a day of each such span is missing or has no value.");

    const heat = daily("heat_index");
    const highest = Math.max(...heat.filter((value) => value !== null));
    draw("heat_days",
      hasValue(heat) ? [line(days, heat, "highest", MEAN, {
        mode: heat.filter((value) => value !== null).length < 40 ? "lines+markers" : "lines",
        line: { color: MEAN, width: 1.5 }, hovertemplate: "%{y} °C",
      })] : [],
      {
        title: `${name}: highest of the day`, xaxis, yaxis: { title: { text: "°C" } }, showlegend: false,
        shapes: HEAT.filter(([, , limit]) => limit < highest + 5).map(([, colour, limit]) => ({
          type: "line", xref: "paper", x0: 0, x1: 1, y0: limit, y1: limit,
          line: { color: colour, dash: "dot", width: 2 },
        })),
        annotations: HEAT.filter(([, , limit]) => limit < highest + 5).map(([, , limit, label]) => ({
          text: label, xref: "paper", x: 1, xanchor: "right", y: limit, yanchor: "bottom",
          showarrow: false, font: { size: 11 },
        })),
      },
      hasValue(heat) ? "" : "No heat index: no hour has temperature and humidity.");
    const firstWeek = data.week.starts.findIndex((start) => start >= starts[0]);
    const weekly = (column) => data.hours[column][number].slice(Math.max(0, firstWeek));
    const hot = weekly("caution").some((hours) => hours > 0);
    draw("heat_weeks",
      // bars in front of each other: each level counts the hours of the ones above it too
      hot ? HEAT.map(([column, colour, , label]) => ({
        type: "bar", x: data.week.starts.slice(Math.max(0, firstWeek)), y: weekly(column), name: label,
        marker: { color: colour }, hovertemplate: "%{y} hours",
      })) : [],
      {
        title: `${name}: hours of the week`, xaxis, barmode: "overlay", yaxis: { title: { text: "hours" } },
        showlegend: true,
      },
      hot ? "" : "No hour calls for caution.");

    const skill = data.skill[number] || [];
    draw("skill_chart",
      ["mean of the day", "lowest", "highest"].map((label, n) =>
        line(skill.map((row) => row[0]), skill.map((row) => row[n + 1]), label, [INK, RAIN, MEAN][n], {
          hovertemplate: "%{y} °C",
        })).filter((trace) => hasValue(trace.y)),
      {
        title: `${name}: mean absolute error by days ahead`, showlegend: true, xaxis: { dtick: 1, showgrid: false },
        yaxis: { title: { text: "°C" }, rangemode: "tozero" },
      },
      // the page says so itself if no city has any
      skill.length || !Object.keys(data.skill).length ? "" : "No forecast for this city could be compared yet.");

    document.querySelectorAll("[data-city]").forEach((rows) => { rows.hidden = rows.dataset.city !== city.value; });
    document.querySelectorAll(".chosen").forEach((text) => {
      text.textContent = `${city.selectedOptions[0].textContent}, ${period.selectedOptions[0].textContent}`;
    });
  }

  city.addEventListener("change", show);
  period.addEventListener("change", show);
  document.getElementById("choice").hidden = false;
  show();
})();
