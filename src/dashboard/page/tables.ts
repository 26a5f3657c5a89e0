/** The tables that only show. */
import type { LockView, NodeView, RetryView, ScheduleView, SubscriptionView } from "../view.ts";
import type { Elements } from "./elements.ts";
import type { Table, Tables } from "./table.ts";

/** Its text becomes a part of the page's script: it uses its parameters and what every browser has, and nothing else. */
export function shownTables({ byId, count, duration, latency, rate }: Elements, { table, sparkline }: Tables) {
  type Now = () => number;

  const STATES = { live: "good", suspect: "warn", gone: "bad" } as const;

  /** The nodes. */
  function nodesTable(now: Now): Table<NodeView> {
    return table<NodeView>({
      place: byId("nodes"),
      key: ({ id, startedAt }) => `${id} ${startedAt}`,
      empty: "no nodes",
      columns: [
        { title: "Node", cell: ({ id, host }) => ({ text: id, title: host }) },
        { title: "Service", cell: ({ service }) => service },
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
    return table<ScheduleView>({
      place: byId("schedules"),
      key: ({ contract, id }) => `${contract} ${id}`,
      empty: "nothing is scheduled",
      columns: [
        { title: "Contract", cell: ({ contract }) => contract },
        { title: "Id", cell: ({ id }) => id },
        { title: "When", cell: ({ when, zone }) => zone === undefined ? when : `${when} (${zone})` },
        {
          title: "In",
          number: true,
          cell: ({ when }) => {
            const ms = Date.parse(when) - now();
            return Number.isNaN(ms) ? { text: "again and again", tone: "dim" } : duration(ms);
          },
        },
        { title: "Since", cell: ({ since }) => ({ text: since.replace(/\.\d+Z$/, "Z"), tone: "dim" }) },
      ],
    });
  }

  return { nodesTable, subscriptionsTable, retriesTable, locksTable, schedulesTable };
}

/** What it returns. */
export type ShownTables = ReturnType<typeof shownTables>;
