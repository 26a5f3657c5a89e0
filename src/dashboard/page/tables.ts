/** The tables that only show. */
import type {
  Capped,
  ContractPoint,
  ContractView,
  LockView,
  NodeView,
  RetryView,
  ScheduleRunsView,
  ScheduleView,
  SubscriptionView,
} from "../view.ts";
import type { Elements, Table, Tables } from "./elements.ts";

/**
 * Its text becomes a part of the page's script: it uses its parameters and what every browser has, and nothing else.
 */
export function shownTables(
  { ask, byId, button, change, confirmed, count, duration, latency, rate }: Elements,
  { table, sparkline }: Tables,
) {
  type Now = () => number;

  const STATES = { live: "good", suspect: "warn", gone: "bad", drained: "dim" } as const;

  /** The nodes. */
  function nodesTable(now: Now): Table<NodeView> {
    return table<NodeView>({
      place: byId("nodes"),
      key: ({ id, startedAt }) => `${id} ${startedAt}`,
      empty: "no nodes",
      columns: [
        { title: "Node", cell: ({ id, label, host }) => ({ text: label, title: `${id} ${host}` }) },
        {
          title: "State",
          cell: ({ state, since }) => ({
            text: state === "live" ? "live" : `${state} for ${duration(now() - since)}`,
            tone: `state ${STATES[state]}`,
          }),
        },
        { title: "Busy", number: true, cell: ({ busy }) => count(busy) },
        {
          title: "Queued",
          number: true,
          cell: ({ queued }) => ({ text: count(queued), tone: queued > 0 ? "warn" : "" }),
        },
        { title: "Ping", number: true, cell: ({ ping, state }) => state === "live" ? latency(ping) : "-" },
        { title: "CPU", number: true, cell: ({ cpu }) => cpu === undefined ? "-" : `${Math.round(100 * cpu)} %` },
        {
          title: "Memory",
          number: true,
          cell: ({ memory }) => memory === undefined ? "-" : `${count(memory / 1e6)} MB`,
        },
        { title: "Up", number: true, cell: ({ startedAt }) => duration(now() - startedAt) },
        { title: "Contracts", number: true, cell: ({ handles }) => count(handles) },
        { title: "Version", cell: ({ version }) => ({ text: version, tone: "dim" }) },
      ],
    });
  }

  /** The subscriptions. */
  function subscriptionsTable(): Table<SubscriptionView> {
    return table<SubscriptionView>({
      place: byId("subscriptions"),
      key: ({ service, name }) => `${service}/${name}`,
      empty: "no subscriptions",
      columns: [
        {
          title: "Subscription",
          cell: ({ service, name, contracts }) => ({ text: `${service}/${name}`, title: contracts.join(" ") }),
        },
        {
          title: "Leader",
          cell: ({ leader, abandoned }) => abandoned ? { text: "abandoned", tone: "warn" } : leader ?? "-",
        },
        { title: "Lag", number: true, cell: ({ lag }) => ({ text: count(lag), tone: lag > 0 ? "warn" : "" }) },
        {
          title: "15 minutes",
          cell: ({ lags }) => ({
            of: lags.join(),
            draw: (place) =>
              sparkline(place, [lags], `lag in the last 15 minutes, ${count(Math.max(0, ...lags))} at most`),
          }),
        },
        { title: "Read/s", number: true, cell: (row) => rate(row.rate) },
        { title: "Oldest", number: true, cell: ({ oldest }) => oldest === 0 ? "-" : duration(oldest) },
        {
          title: "Retrying",
          number: true,
          cell: (row) => ({ text: count(row.retrying), tone: row.retrying > 0 ? "warn" : "" }),
        },
        { title: "Dead", number: true, cell: ({ dead }) => ({ text: count(dead), tone: dead > 0 ? "bad" : "" }) },
      ],
    });
  }

  /** Messages that are tried again. */
  function retriesTable(now: Now): Table<RetryView> {
    return table<RetryView>({
      place: byId("retries"),
      key: ({ service, subscription, position }) => `${service}/${subscription} ${position}`,
      empty: "none",
      columns: [
        { title: "Subscription", cell: ({ service, subscription }) => `${service}/${subscription}` },
        { title: "Contract", cell: ({ contract }) => contract },
        { title: "Key", cell: ({ key }) => key ?? "-" },
        { title: "Id", cell: ({ id }) => ({ text: id, tone: "dim" }) },
        {
          title: "Error",
          wide: true,
          cell: ({ code, error }) =>
            code === ""
              ? { text: "waits behind another of its key", tone: "dim" }
              : { text: `${code}: ${error}`, tone: "warn" },
        },
        { title: "Attempts", number: true, cell: ({ attempts }) => count(attempts) },
        {
          title: "Next",
          number: true,
          cell: ({ due }) => due === 0 ? "-" : due <= now() ? "now" : `in ${duration(due - now())}`,
        },
      ],
      detail: ({ position, code, error, cause }) =>
        code === "" ? `position ${position}` : `position ${position}\n${code}: ${error}${cause && `\n${cause}`}`,
    });
  }

  /** Locks, leaders, loads. */
  function locksTable(now: Now): Table<LockView> {
    return table<LockView>({
      place: byId("locks"),
      key: ({ kind, key }) => `${kind} ${key}`,
      empty: "nothing is held",
      columns: [
        { title: "Kind", cell: ({ kind }) => ({ text: kind === "lead" ? "leader" : kind, tone: "dim" }) },
        { title: "Key", cell: ({ key }) => key },
        { title: "Holder", cell: ({ holder }) => holder === "" ? { text: "free", tone: "dim" } : holder },
        { title: "Held for", number: true, cell: ({ since }) => since === 0 ? "-" : duration(now() - since) },
        {
          title: "Waiting",
          wide: true,
          cell: ({ waiters, waiting }) => {
            if (waiting === 0) return "-";
            const more = waiting > waiters.length ? ` and ${count(waiting - waiters.length)} more` : "";
            return { text: `${count(waiting)}: ${waiters.join(", ")}${more}`, tone: "warn" };
          },
        },
        { title: "Token", number: true, cell: ({ token }) => ({ text: `${token}`, tone: "dim" }) },
        { title: "TTL", number: true, cell: ({ ttl }) => ttl === 0 ? "-" : duration(ttl) },
      ],
    });
  }

  /** Schedules. */
  function schedulesTable(now: Now): Table<ScheduleView> {
    const cancel = async (key: string) => {
      const row = made.row(key);
      if (row === undefined) return;
      const { contract, id, key: stored } = row;
      const question = `Cancel ${contract} ${id}? It does not fire then.`;
      if (await confirmed(question, "Cancel it")) await change({ do: "cancel", contract, id: stored });
    };
    const made = table<ScheduleView>({
      place: byId("schedules"),
      key: ({ contract, key }) => JSON.stringify([contract, key]),
      actions: (key) => [button("Cancel", () => void cancel(key), { class: "change" })],
      async detail({ contract, key }) {
        const { runs } = await ask<ScheduleRunsView>("schedule", { contract, id: key });
        return runs.length === 0 ? "no run of it is in the log" : runs.join("\n");
      },
      unfold: "Last runs",
      empty: "nothing is scheduled",
      columns: [
        { title: "Contract", cell: ({ contract }) => contract },
        { title: "Id", cell: ({ id }) => id },
        { title: "When", cell: ({ when, zone }) => zone === undefined ? when : `${when} (${zone})` },
        {
          title: "Next in",
          number: true,
          cell: ({ next }) =>
            next === undefined
              ? { text: "-", title: "only the server can tell" }
              : { text: duration(next - now()), title: new Date(next).toISOString() },
        },
        { title: "Since", cell: ({ since }) => ({ text: since.replace(/\.\d+Z$/, "Z"), tone: "dim" }) },
      ],
    });
    return made;
  }

  return { nodesTable, subscriptionsTable, retriesTable, locksTable, schedulesTable };
}

/** Its return type. */
export type ShownTables = ReturnType<typeof shownTables>;

// What contracts do: now, and in the last 15 minutes.

/**
 * Its text becomes a part of the page's script: it uses its parameters and what every browser has, and nothing else.
 */
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
          {
            title: "Handled by",
            wide: true,
            cell: ({ nodes, handlers }) => {
              if (handlers === 0) return { text: "nobody", tone: "warn" };
              const more = handlers > nodes.length ? ` and ${count(handlers - nodes.length)} more` : "";
              return { text: `${nodes.join(", ")}${more}`, tone: "dim" };
            },
          },
          { title: "Runs/s", number: true, cell: (row) => rate(row.rate) },
          {
            title: "15 minutes",
            cell: ({ name }) => {
              const points = this.#history.get(name) ?? NONE;
              const draw = (place: HTMLElement) => {
                const runs = points.map(([runs]) => runs);
                const most = rate(Math.max(0, ...runs));
                const label = `runs a second in the last 15 minutes, ${most} at most; failures in red`;
                sparkline(place, [runs, points.map(([, failing]) => failing)], label);
              };
              return { of: points, draw };
            },
          },
          {
            title: "Failing/s",
            number: true,
            cell: ({ failing, refusing }) => {
              const errors = Math.max(0, failing - refusing);
              return { text: rate(errors), tone: errors > 0 ? "bad" : "" };
            },
          },
          {
            title: "Declined/s",
            number: true,
            cell: ({ refusing }) => ({ text: rate(refusing), title: "failures that the handler decided on" }),
          },
          {
            title: "Codes",
            wide: true,
            cell: ({ codes }) =>
              codes.length === 0
                ? "-"
                : { text: codes.map(([code, n]) => `${code} ${count(n)}`).join(", "), tone: "dim" },
          },
          { title: "p50", number: true, cell: ({ p50 }) => latency(p50 ?? undefined) },
          { title: "p99", number: true, cell: ({ p99 }) => latency(p99 ?? undefined) },
          {
            title: "p50 and p99",
            cell: ({ name }) => {
              const points = this.#history.get(name) ?? NONE;
              const draw = (place: HTMLElement) => {
                const [p50, p99] = ([2, 3] as const).map((at) => points.map((point) => point[at] ?? NaN));
                const most = Math.max(0, ...p99.filter(Number.isFinite));
                sparkline(place, [p50, p99], `latency in the last 15 minutes, p99 ${latency(most)} at most`);
              };
              return { of: points, draw };
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
  const NONE: readonly ContractPoint[] = [];

  return { Contracts };
}

/** Its return type. */
export type ContractsSection = ReturnType<typeof contractsSection>;
