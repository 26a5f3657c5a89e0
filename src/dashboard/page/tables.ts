/** The tables of what there is now: nodes, subscriptions, retries, locks, schedules, contracts. */
import type {
  ContractPoint,
  ContractView,
  LockView,
  NodeView,
  RetryView,
  ScheduleRunsView,
  ScheduleView,
  SubscriptionView,
  Topics,
} from "../view.ts";
import type { Elements, Shows, Tables } from "./elements.ts";

/**
 * Its text becomes a part of the page's script: it uses its parameters and what every browser has, and nothing else.
 */
export function shownTables(
  { age, ask, byId, button, change, confirmed, count, duration, latency, rate, time, until }: Elements,
  { table, counted, dim, messageColumns, named, sparkline }: Tables,
): Shows {
  const STATES = { live: "good", suspect: "warn", gone: "bad", drained: "dim" } as const;

  const nodes = table<NodeView>({
    place: byId("nodes"),
    key: ({ id, startedAt }) => `${id} ${startedAt}`,
    empty: "no nodes",
    columns: [
      { title: "Node", cell: ({ id, label, host }) => ({ text: label, title: `${id} ${host}` }) },
      {
        title: "State",
        cell: ({ state, since }) => ({
          text: state === "live" ? "live" : `${state} for ${age(since)}`,
          tone: `state ${STATES[state]}`,
        }),
      },
      { title: "Busy", number: true, cell: ({ busy }) => count(busy) },
      { title: "Queued", number: true, cell: ({ queued }) => counted(queued, "warn") },
      { title: "Ping", number: true, cell: ({ ping, state }) => state === "live" ? latency(ping) : "-" },
      { title: "CPU", number: true, cell: ({ cpu }) => cpu === undefined ? "-" : `${Math.round(100 * cpu)} %` },
      { title: "Memory", number: true, cell: ({ memory }) => memory === undefined ? "-" : `${count(memory / 1e6)} MB` },
      { title: "Up", number: true, cell: ({ startedAt }) => age(startedAt) },
      { title: "Contracts", number: true, cell: ({ handles }) => count(handles) },
      { title: "Version", cell: ({ version }) => dim(version) },
    ],
  });

  const subscriptions = table<SubscriptionView>({
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
      { title: "Lag", number: true, cell: ({ lag }) => counted(lag, "warn") },
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
      { title: "Retrying", number: true, cell: ({ retrying }) => counted(retrying, "warn") },
      { title: "Dead", number: true, cell: ({ dead }) => counted(dead, "bad") },
    ],
  });

  const retries = table<RetryView>({
    place: byId("retries"),
    key: ({ service, subscription, position }) => `${service}/${subscription} ${position}`,
    empty: "none",
    columns: [
      ...messageColumns,
      {
        title: "Error",
        wide: true,
        cell: ({ code, error }) =>
          code === "" ? dim("waits behind another of its key") : { text: `${code}: ${error}`, tone: "warn" },
      },
      { title: "Attempts", number: true, cell: ({ attempts }) => count(attempts) },
      {
        title: "Next",
        number: true,
        cell: ({ due }) => due === 0 ? "-" : until(due) <= 0 ? "now" : `in ${duration(until(due))}`,
      },
    ],
    detail: ({ position, code, error, cause }) =>
      code === "" ? `position ${position}` : `position ${position}\n${code}: ${error}${cause && `\n${cause}`}`,
  });

  const locks = table<LockView>({
    place: byId("locks"),
    key: ({ kind, key }) => `${kind} ${key}`,
    empty: "nothing is held",
    columns: [
      { title: "Kind", cell: ({ kind }) => dim(kind === "lead" ? "leader" : kind) },
      { title: "Key", cell: ({ key }) => key },
      { title: "Holder", cell: ({ holder }) => holder === "" ? dim("free") : holder },
      { title: "Held for", number: true, cell: ({ since }) => since === 0 ? "-" : age(since) },
      {
        title: "Waiting",
        wide: true,
        cell: ({ waiters, waiting }) =>
          waiting === 0 ? "-" : { text: `${count(waiting)}: ${named(waiters, waiting)}`, tone: "warn" },
      },
      { title: "Token", number: true, cell: ({ token }) => dim(`${token}`) },
      { title: "TTL", number: true, cell: ({ ttl }) => ttl === 0 ? "-" : duration(ttl) },
    ],
  });

  const schedules = table<ScheduleView>({
    place: byId("schedules"),
    key: ({ contract, key }) => JSON.stringify([contract, key]),
    actions: (key) => [button("Cancel", () => void cancel(key), { class: "change" })],
    async detail({ contract, key }) {
      const runs = await ask<ScheduleRunsView>("schedule", { contract, id: key });
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
            : { text: duration(until(next)), title: time(next) },
      },
      { title: "Since", cell: ({ since }) => dim(since.replace(/\.\d+Z$/, "Z")) },
    ],
  });

  return {
    nodes: nodes.show,
    subscriptions: subscriptions.show,
    retries: retries.show,
    locks: locks.show,
    schedules: schedules.show,
  };

  async function cancel(row: string): Promise<void> {
    const schedule = schedules.row(row);
    if (schedule === undefined) return;
    const { contract, id, key } = schedule;
    const question = `Cancel ${contract} ${id}? It does not fire then.`;
    if (await confirmed(question, "Cancel it")) await change({ do: "cancel", contract, id: key });
  }
}

// What contracts do: now, and in the last 15 minutes.

/**
 * Its text becomes a part of the page's script: it uses its parameters and what every browser has, and nothing else.
 */
export function contractsSection(
  { byId, count, latency, rate }: Elements,
  { table, dim, named, sparkline }: Tables,
): Shows {
  /** Of 15 minutes. */
  const POINTS = 90;
  const NONE: readonly ContractPoint[] = [];
  const past = new Map<string, readonly ContractPoint[]>();
  let now: Topics["contracts"] = { shown: [], total: 0 };

  const contracts = table<ContractView>({
    place: byId("contracts"),
    key: ({ name }) => name,
    empty: "nothing was handled yet",
    columns: [
      { title: "Contract", cell: ({ name }) => name },
      { title: "Kind", cell: ({ kind }) => dim(kind) },
      {
        title: "Handled by",
        wide: true,
        cell: ({ nodes, handlers }) => handlers === 0 ? { text: "nobody", tone: "warn" } : dim(named(nodes, handlers)),
      },
      { title: "Runs/s", number: true, cell: (row) => rate(row.rate) },
      {
        title: "15 minutes",
        cell: ({ name }) => {
          const points = past.get(name) ?? NONE;
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
        cell: ({ codes }) => codes.length === 0 ? "-" : dim(codes.map(([code, n]) => `${code} ${count(n)}`).join(", ")),
      },
      { title: "p50", number: true, cell: ({ p50 }) => latency(p50 ?? undefined) },
      { title: "p99", number: true, cell: ({ p99 }) => latency(p99 ?? undefined) },
      {
        title: "p50 and p99",
        cell: ({ name }) => {
          const points = past.get(name) ?? NONE;
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

  return {
    contracts: (view) => contracts.show(now = view),
    // what there was before this page
    history(history) {
      past.clear();
      for (const [name, points] of Object.entries(history)) past.set(name, points);
      contracts.show(now);
    },
    // the next point of each
    points(points) {
      for (const [name, point] of Object.entries(points)) {
        past.set(name, [...(past.get(name) ?? []).slice(-(POINTS - 1)), point]);
      }
    },
  };
}
