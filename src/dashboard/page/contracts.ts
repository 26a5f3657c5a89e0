/** What contracts do: now, and in the last 15 minutes. */
import type { Capped, ContractPoint, ContractView } from "../view.ts";
import type { Elements } from "./elements.ts";
import type { Table, Tables } from "./table.ts";

/** Its text becomes a part of the page's script: it uses its parameters and what every browser has, and nothing else. */
export function contractsSection({ byId, count, latency, rate }: Elements, { table, sparkline }: Tables) {
  /** The section. */
  class Contracts {
    readonly #table: Table<ContractView>;
    #history = new Map<string, readonly ContractPoint[]>();
    #view: Capped<ContractView> = { shown: [], total: 0 };

    constructor() {
      this.#table = table<ContractView>({
        place: byId("contracts"),
        key: ({ name }) => name,
        empty: "nothing was handled yet",
        columns: [
          { title: "Contract", cell: ({ name }) => name },
          { title: "Kind", cell: ({ kind }) => ({ text: kind, tone: "dim" }) },
          { title: "Runs/s", number: true, cell: (row) => rate(row.rate) },
          {
            title: "15 minutes",
            cell: ({ name }) => {
              const points = this.#history.get(name) ?? [];
              const runs = points.map(([runs]) => runs);
              const label = `runs a second in the last 15 minutes, ${
                rate(Math.max(0, ...runs))
              } at most; failures in red`;
              return { draw: (place) => sparkline(place, [runs, points.map(([, failing]) => failing)], label) };
            },
          },
          {
            title: "Failing/s",
            number: true,
            cell: ({ failing }) => ({ text: rate(failing), tone: failing > 0 ? "bad" : "" }),
          },
          {
            title: "Codes",
            wide: true,
            cell: ({ codes }) =>
              codes.length === 0
                ? "-"
                : { text: codes.map(([code, n]) => `${code} ${count(n)}`).join(", "), tone: "bad" },
          },
          { title: "p50", number: true, cell: ({ p50 }) => latency(p50 ?? undefined) },
          { title: "p99", number: true, cell: ({ p99 }) => latency(p99 ?? undefined) },
          {
            title: "p50 and p99",
            cell: ({ name }) => {
              const points = this.#history.get(name) ?? [];
              const [p50, p99] = ([2, 3] as const).map((at) => points.map((point) => point[at] ?? NaN));
              const most = Math.max(0, ...p99.filter(Number.isFinite));
              const label = `latency in the last 15 minutes, p99 ${latency(most)} at most`;
              return { draw: (place) => sparkline(place, [p50, p99], label) };
            },
          },
          { title: "In hand", number: true, cell: ({ inHand }) => count(inHand) },
        ],
      });
    }

    show(view: Capped<ContractView>): void {
      this.#view = view;
      this.#table.show(view.shown, view.total);
    }

    /** What there was before this page. */
    remember(history: Readonly<Record<string, readonly ContractPoint[]>>): void {
      this.#history = new Map(Object.entries(history));
      this.#table.show(this.#view.shown, this.#view.total);
    }

    /** The next point of each. */
    add(points: Readonly<Record<string, ContractPoint>>): void {
      for (const [name, point] of Object.entries(points)) {
        this.#history.set(name, [...(this.#history.get(name) ?? []).slice(-(POINTS - 1)), point]);
      }
    }
  }

  /** Of 15 minutes. */
  const POINTS = 90;

  return { Contracts };
}

/** What it returns. */
export type ContractsSection = ReturnType<typeof contractsSection>;
