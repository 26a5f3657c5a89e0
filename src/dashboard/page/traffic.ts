/**
 * Section of the page: a picture of the requests between nodes. Circles are nodes (or services), dots on a line are
 * requests under way; more dots mean more requests. The picture does not move for users who want less motion, while
 * there are no requests, and while it is hidden.
 */
import type { TrafficCircle, TrafficView } from "../view.ts";
import type { Elements } from "./elements.ts";
import type { Shows } from "./section.ts";

/**
 * Makes the picture of the requests. The function's source text is embedded in the page's script, so it may use only
 * its parameters and browser globals.
 */
export function trafficSection({ byId, say, rate, some }: Elements): Shows {
  interface Point {
    readonly x: number;
    readonly y: number;
  }

  const canvas = byId("traffic").querySelector("canvas")!;
  const still = matchMedia("(prefers-reduced-motion: reduce)");
  let view: TrafficView = { byService: false, nodes: [], edges: [], total: 0 };
  let isSeen = true;
  let isDrawing = false;
  let colors: Readonly<Record<string, string>> = {};

  const TURN = 2 * Math.PI;
  /** Time in which a dot moves from one circle to another, in ms. */
  const CROSSING = 1_600;

  new IntersectionObserver(([entry]) => {
    isSeen = entry.isIntersecting;
    draw();
  }).observe(canvas);
  new ResizeObserver(draw).observe(canvas);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    colors = {};
    draw();
  });
  still.addEventListener("change", draw);

  return { traffic: show };

  function show(given: TrafficView): void {
    view = given;
    const { nodes, edges, total, byService } = view;
    const sum = edges.reduce((all, [, , rate]) => all + rate, 0);
    const what = byService ? "services" : "nodes";
    const busiest = edges.slice(0, 5).map(([from, to, n]) => `${nodes[from].label} to ${nodes[to].label} ${rate(n)}/s`);
    const text = `${rate(sum)} requests a second between ${what}`;
    const label = busiest.length === 0 ? text : `${text}: ${busiest.join(", ")}`;
    if (canvas.getAttribute("aria-label") !== label) canvas.setAttribute("aria-label", label);
    const more = total > edges.length ? `; ${some(total - edges.length, "line")} not drawn` : "";
    say(byId("traffic-note"), `${text}${more}`);
    draw();
  }

  function draw(): void {
    if (isDrawing) return;
    isDrawing = true;
    requestAnimationFrame((now) => {
      isDrawing = false;
      paint(now);
      const moves = isSeen && !still.matches && !document.hidden && view.edges.length > 0;
      if (moves) draw();
    });
  }

  function paint(now: number): void {
    const { width, height } = canvas.getBoundingClientRect();
    const scale = Math.min(2, devicePixelRatio);
    const [w, h] = [Math.round(width * scale), Math.round(height * scale)];
    if (w === 0) return;
    if (canvas.width !== w || canvas.height !== h) [canvas.width, canvas.height] = [w, h];
    const context = canvas.getContext("2d")!;
    context.setTransform(scale, 0, 0, scale, 0, 0);
    context.clearRect(0, 0, width, height);
    const { nodes, edges } = view;
    const places = nodes.map((_, i) => placeOf(i, nodes.length, width, height));
    const most = Math.max(1, ...edges.map(([, , n]) => n));
    for (const [from, to, n, failing] of edges) {
      if (from === to) continue;
      const [a, b] = [places[from], places[to]];
      const middle = bend(a, b);
      context.strokeStyle = color(failing > 0 ? "--warn" : "--accent");
      context.globalAlpha = 0.15 + 0.35 * (n / most);
      context.lineWidth = 1 + 3 * Math.sqrt(n / most);
      context.beginPath();
      context.moveTo(a.x, a.y);
      context.quadraticCurveTo(middle.x, middle.y, b.x, b.y);
      context.stroke();
      if (still.matches) continue;
      context.globalAlpha = 1;
      context.fillStyle = color(failing > 0 ? "--warn" : "--accent");
      // the number of dots grows with the logarithm of the rate, because one dot for each request would be too many
      const dots = Math.min(12, 1 + Math.floor(Math.log2(1 + n)));
      for (let i = 0; i < dots; i++) {
        const t = (now / CROSSING + i / dots) % 1;
        const { x, y } = along(a, middle, b, t);
        context.beginPath();
        context.arc(x, y, 2.4, 0, TURN);
        context.fill();
      }
    }
    context.globalAlpha = 1;
    for (const [i, node] of nodes.entries()) circle(context, node, places[i], width);
  }

  function circle(
    context: CanvasRenderingContext2D,
    { label, state, count }: TrafficCircle,
    { x, y }: Point,
    width: number,
  ): void {
    const tone = state === "live" ? "--good" : state === "suspect" ? "--warn" : "--bad";
    context.beginPath();
    context.arc(x, y, radius(), 0, TURN);
    context.fillStyle = color("--card");
    context.fill();
    context.lineWidth = 3;
    context.strokeStyle = color(tone);
    context.setLineDash(state === "live" ? [] : [4, 4]);
    context.stroke();
    context.setLineDash([]);
    context.fillStyle = color("--text");
    context.font = "12px system-ui, sans-serif";
    const isLeft = x < width / 2;
    context.textAlign = isLeft ? "right" : "left";
    context.textBaseline = "middle";
    const text = `${label.length > 18 ? `${label.slice(0, 17)}…` : label}${count > 1 ? ` (${count})` : ""}`;
    const beside = radius() + 6;
    const room = (isLeft ? x : width - x) - beside - 4;
    context.fillText(text, isLeft ? x - beside : x + beside, y, room); // `room`: a longer text is set narrower
  }

  /** Returns the color with this name in the style sheet. */
  function color(name: string): string {
    const known = colors[name];
    if (known !== undefined) return known;
    const color = getComputedStyle(document.documentElement).getPropertyValue(name).trim();
    colors = { ...colors, [name]: color };
    return color;
  }
  /**
   * Returns the place of a circle on an ellipse: half of the circles on its left side, half on its right side, on each
   * in rows of the same height, so that each label has a row of its own outside of the ellipse.
   */
  function placeOf(index: number, count: number, width: number, height: number): Point {
    const rows = Math.ceil(count / 2);
    const isLeft = index < rows;
    const own = isLeft ? rows : count - rows;
    const along = (2 * (isLeft ? index : index - rows) + 1) / own - 1; // from -1, the top of the ellipse, to 1
    const [rx, ry] = [Math.max(40, Math.min(width * 0.3, width / 2 - 110, 420)), height / 2 - 4];
    const out = rx * Math.sqrt(1 - along ** 2);
    return { x: width / 2 + (isLeft ? -out : out), y: height / 2 + ry * along };
  }

  /** Returns the radius of the circles: many are smaller, so that each has a row of its own. */
  function radius(): number {
    return view.nodes.length > 20 ? 6 : 9;
  }

  /**
   * Returns the middle of a curved line, so that the two directions between a pair of circles have lines of their
   * own.
   */
  function bend(a: Point, b: Point): Point {
    return { x: (a.x + b.x) / 2 - (b.y - a.y) * 0.12, y: (a.y + b.y) / 2 + (b.x - a.x) * 0.12 };
  }

  function along(a: Point, middle: Point, b: Point, t: number): Point {
    const of = (from: number, over: number, to: number) => (1 - t) ** 2 * from + 2 * (1 - t) * t * over + t ** 2 * to;
    return { x: of(a.x, middle.x, b.x), y: of(a.y, middle.y, b.y) };
  }
}
