/** Section of the page: the contracts with their rates and latencies, now and in the last 15 minutes. */
import type { ContractPoint, ContractView, Topics } from "../view.ts";
import type { Elements } from "./elements.ts";
import type { Shows } from "./section.ts";
import type { Tables } from "./table.ts";

/**
 * Makes the section of contracts. The function's source text is embedded in the page's script, so it may use only its
 * parameters and browser globals.
 */
export function contractsSection(
  { byId, count, latency, rate }: Elements,
  { table, dim, named, sparkline }: Tables,
): Shows {
  /** Number of points of a graph: 15 minutes with a point for each 10 s. */
  const POINTS = 90;
  const NONE: readonly ContractPoint[] = [];
  const past = new Map<string, readonly ContractPoint[]>();
  let now: Topics["contracts"] = { shown: [], total: 0 };

  const contracts = table<ContractView>({
    place: byId("contracts"),
    key: ({ name }) => name,
    empty: "nothing was handled yet",
    columns: [
      ["Contract", ({ name }) => name],
      ["Kind", ({ kind }) => dim(kind)],
      [
        "Handled by",
        ({ nodes, handlers }) => handlers === 0 ? { text: "nobody", tone: "warn" } : dim(named(nodes, handlers)),
        "wide",
      ],
      ["Runs/s", (row) => rate(row.rate), "number"],
      ["15 minutes", ({ name }) => {
        const points = past.get(name) ?? NONE;
        const draw = (place: HTMLElement) => {
          const runs = points.map(([runs]) => runs);
          const most = rate(Math.max(0, ...runs));
          const label = `runs a second in the last 15 minutes, ${most} at most; failures in red`;
          sparkline(place, [runs, points.map(([, failing]) => failing)], label);
        };
        return { of: points, draw };
      }],
      ["Failing/s", ({ failing, refusing }) => {
        const errors = Math.max(0, failing - refusing);
        return { text: rate(errors), tone: errors > 0 ? "bad" : "" };
      }, "number"],
      [
        "Declined/s",
        ({ refusing }) => ({ text: rate(refusing), title: "failures that the handler decided on" }),
        "number",
      ],
      [
        "Codes",
        ({ codes }) => codes.length === 0 ? "-" : dim(codes.map(([code, n]) => `${code} ${count(n)}`).join(", ")),
        "wide",
      ],
      ["p50", ({ p50 }) => latency(p50 ?? undefined), "number"],
      ["p99", ({ p99 }) => latency(p99 ?? undefined), "number"],
      ["p50 and p99", ({ name }) => {
        const points = past.get(name) ?? NONE;
        const draw = (place: HTMLElement) => {
          const [p50, p99] = ([2, 3] as const).map((at) => points.map((point) => point[at] ?? NaN));
          const most = Math.max(0, ...p99.filter(Number.isFinite));
          sparkline(place, [p50, p99], `latency in the last 15 minutes, p99 ${latency(most)} at most`);
        };
        return { of: points, draw };
      }],
      ["In hand", ({ inHand }) => count(inHand), "number"],
    ],
  });

  return {
    contracts: (view) => contracts.show(now = view),
    // the points of the time before this page was opened
    history(history) {
      past.clear();
      for (const [name, points] of Object.entries(history)) past.set(name, points);
      contracts.show(now);
    },
    // the next point of each contract
    points(points) {
      for (const [name, point] of Object.entries(points)) {
        past.set(name, [...(past.get(name) ?? []).slice(-(POINTS - 1)), point]);
      }
    },
  };
}
