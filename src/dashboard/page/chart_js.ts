// Made by tools/dashboard_page.ts.
/** chart.js */
export const CHART_JS: string = `/** Small graphs. */

/** Draws lines over the same time, oldest first, each with its own class, scaled to the greatest of all; with a text for those who see none. */
export function sparkline(place             , lines                                , label        )       {
  let svg = place.firstElementChild                        ;
  if (svg === null) {
    svg = document.createElementNS(SVG, "svg");
    svg.setAttribute("viewBox", \`0 0 \${WIDTH} \${HEIGHT}\`);
    svg.setAttribute("preserveAspectRatio", "none");
    svg.setAttribute("class", "spark");
    svg.setAttribute("role", "img");
    place.append(svg);
  }
  const most = Math.max(1e-9, ...lines.map((line) => Math.max(0, ...line.filter(Number.isFinite))));
  for (let i = 0; i < lines.length; i++) {
    let path = svg.children[i];
    if (path === undefined) {
      path = document.createElementNS(SVG, "path");
      path.setAttribute("class", \`line\${i}\`);
      svg.append(path);
    }
    const d = pathOf(lines[i], most);
    if (path.getAttribute("d") !== d) path.setAttribute("d", d);
  }
  if (svg.getAttribute("aria-label") !== label) svg.setAttribute("aria-label", label);
}

/** The newest is at the right end; where there is none, the line has a gap. */
function pathOf(values                   , most        )         {
  let d = "";
  let pen = false;
  for (let i = 0; i < values.length; i++) {
    const value = values[i];
    if (!Number.isFinite(value)) {
      pen = false;
      continue;
    }
    const x = WIDTH - (values.length - 1 - i) * (WIDTH / POINTS);
    const y = HEIGHT - 1 - (value / most) * (HEIGHT - 2);
    d += \`\${pen ? "L" : "M"}\${x.toFixed(1)} \${y.toFixed(1)}\`;
    pen = true;
  }
  return d;
}

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 180;
const HEIGHT = 28;
/** Points of 15 minutes. */
const POINTS = 90;
`;
