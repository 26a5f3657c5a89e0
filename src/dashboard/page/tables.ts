/** Sections of the page that are tables of the present state: nodes, subscriptions, retries, locks, schedules. */
import type { LockView, NodeView, RetryView, ScheduleRunsView, ScheduleView, SubscriptionView } from "../view.ts";
import type { Elements } from "./elements.ts";
import type { Shows } from "./section.ts";
import type { Tables } from "./table.ts";

/**
 * Makes the tables of nodes, subscriptions, retries, locks and schedules. The function's source text is embedded in
 * the page's script, so it may use only its parameters and browser globals.
 */
export function shownTables(
  { age, ask, asked, byId, button, change, confirmed, count, duration, latency, rate, time, until }: Elements,
  { table, counted, dim, failure, messageColumns, named, sparkline }: Tables,
): Shows {
  const STATES = { live: "good", suspect: "warn", gone: "bad", drained: "dim" } as const;

  const nodes = table<NodeView>({
    place: byId("nodes"),
    key: ({ id, startedAt }) => `${id} ${startedAt}`,
    empty: "no nodes in this namespace: start a program with `nats`",
    columns: [
      ["Node", ({ id, label, host }) => ({ text: label, title: `${id} ${host}` })],
      ["State", ({ state, since }) => ({
        text: state === "live" ? "live" : `${state} for ${age(since)}`,
        tone: `state ${STATES[state]}`,
      })],
      ["Busy", ({ busy }) => count(busy), "number"],
      ["Queued", ({ queued }) => counted(queued, "warn"), "number"],
      ["Ping", ({ ping, state }) => state === "live" ? latency(ping) : "-", "number"],
      ["CPU", ({ cpu }) => cpu === undefined ? "-" : `${Math.round(100 * cpu)} %`, "number"],
      ["Memory", ({ memory }) => memory === undefined ? "-" : `${count(memory / 1e6)} MB`, "number"],
      ["Up", ({ startedAt }) => age(startedAt), "number"],
      ["Contracts", ({ handles }) => count(handles), "number"],
      ["Version", ({ version }) => dim(version)],
    ],
  });

  const subscriptions = table<SubscriptionView>({
    place: byId("subscriptions"),
    key: ({ service, name }) => `${service}/${name}`,
    empty: "no subscriptions",
    actions: (key) => [button("Pause or resume", () => void pauseOrResume(key), { class: "change" })],
    columns: [
      ["Subscription", ({ service, name, contracts }) => ({ text: `${service}/${name}`, title: contracts.join(" ") })],
      ["Leader", ({ leader, abandoned }) => abandoned ? { text: "abandoned", tone: "warn" } : leader ?? "-"],
      ["Paused", ({ paused }) =>
        paused === undefined ? "-" : {
          text: `for ${age(paused.since)}${paused.reason ? `: ${paused.reason}` : ""}`,
          tone: "warn",
          title: `since ${time(paused.since)}${paused.until === undefined ? "" : `, until ${time(paused.until)}`}`,
        }],
      ["Limits", ({ limits = [], overrides = [] }) => {
        if (limits.length + overrides.length === 0) return "-";
        const waiting = limits.reduce((sum, each) => sum + each.waiting, 0);
        const lines = limits.map(({ name, running, waiting, waits = [] }) => {
          const most = waits.map(({ key, waiting }) => `${key} ${count(waiting)}`).join(", ");
          return `${name}: ${count(running)} run, ${count(waiting)} wait${most === "" ? "" : `, most of ${most}`}`;
        });
        for (const { limit, paused, keys = [], set } of overrides) {
          if (paused !== undefined) lines.push(`${limit} is paused since ${time(paused.since)}`);
          if (keys.length > 0) lines.push(`${limit} is paused for ${keys.map(({ key }) => key).join(", ")}`);
          if (set !== undefined) lines.push(`${limit} has numbers of an operator since ${time(set.since)}`);
        }
        const text = overrides.length === 0 ? `${count(waiting)} wait` : `${count(waiting)} wait, set by an operator`;
        return { text, title: lines.join("\n"), ...(overrides.length === 0 ? {} : { tone: "warn" as const }) };
      }],
      ["Lag", ({ lag }) => counted(lag, "warn"), "number"],
      ["15 minutes", ({ lags }) => ({
        of: lags.join(),
        draw: (place) => sparkline(place, [lags], `lag in the last 15 minutes, ${count(Math.max(0, ...lags))} at most`),
      })],
      ["Read/s", (row) => rate(row.rate), "number"],
      ["Oldest", ({ oldest }) => oldest === 0 ? "-" : duration(oldest), "number"],
      ["Retrying", ({ retrying }) => counted(retrying, "warn"), "number"],
      ["Dead", ({ dead }) => counted(dead, "bad"), "number"],
    ],
  });

  const retries = table<RetryView>({
    place: byId("retries"),
    key: ({ service, subscription, position }) => `${service}/${subscription} ${position}`,
    empty: "none",
    columns: [
      ...messageColumns,
      [
        "Error",
        (retry) => retry.code === "" ? dim("waits behind another of its key") : { text: failure(retry), tone: "warn" },
        "wide",
      ],
      ["Attempts", ({ attempts }) => count(attempts), "number"],
      ["Next", ({ due }) => due === 0 ? "-" : until(due) <= 0 ? "now" : `in ${duration(until(due))}`, "number"],
    ],
    detail: ({ position, code, error, cause }) =>
      code === "" ? `position ${position}` : `position ${position}\n${code}: ${error}${cause && `\n${cause}`}`,
  });

  const locks = table<LockView>({
    place: byId("locks"),
    key: ({ kind, key }) => `${kind} ${key}`,
    empty: "nothing is held",
    columns: [
      ["Kind", ({ kind }) => dim(kind === "lead" ? "leader" : kind)],
      ["Key", ({ key }) => key],
      ["Holder", ({ holder }) => holder === "" ? dim("free") : holder],
      ["Held for", ({ since }) => since === 0 ? "-" : age(since), "number"],
      [
        "Waiting",
        ({ waiters, waiting }) =>
          waiting === 0 ? "-" : { text: `${count(waiting)}: ${named(waiters, waiting)}`, tone: "warn" },
        "wide",
      ],
      ["Token", ({ token }) => dim(`${token}`), "number"],
      ["TTL", ({ ttl }) => ttl === 0 ? "-" : duration(ttl), "number"],
    ],
  });

  const schedules = table<ScheduleView>({
    place: byId("schedules"),
    key: ({ contract, key }) => JSON.stringify([contract, key]),
    actions: (key) => [
      button("Cancel", () => void cancel(key), { class: "change" }),
      button("Pause or resume", () => void pauseOrResumeSchedule(key), { class: "change" }),
    ],
    async detail({ contract, key }) {
      const runs = await ask<ScheduleRunsView>("schedule", { contract, id: key });
      return runs.length === 0 ? "no run of it is in the log" : runs.join("\n");
    },
    unfold: "Last runs",
    empty: "nothing is scheduled",
    columns: [
      ["Contract", ({ contract }) => contract],
      ["Id", ({ id }) => id],
      ["When", ({ when, zone }) => zone === undefined ? when : `${when} (${zone})`],
      [
        "Next in",
        ({ next, paused }) =>
          paused !== undefined
            ? {
              text: `paused${paused.reason ? `: ${paused.reason}` : ""}`,
              tone: "warn",
              title: `since ${time(paused.since)}`,
            }
            : next === undefined
            ? { text: "-", title: "only the server can tell" }
            : { text: duration(until(next)), title: time(next) },
        "number",
      ],
      ["Since", ({ since }) => dim(since.replace(/\.\d+Z$/, "Z"))],
    ],
  });

  return {
    nodes: nodes.show,
    subscriptions: subscriptions.show,
    retries: retries.show,
    locks: locks.show,
    schedules: schedules.show,
  };

  async function pauseOrResume(row: string): Promise<void> {
    const subscription = subscriptions.row(row);
    if (subscription === undefined) return;
    const { service, name, paused } = subscription;
    const of = { service, subscription: name };
    if (paused !== undefined) {
      if (await confirmed(`Resume ${row}?`, "Resume it")) await change({ do: "resume", ...of });
      return;
    }
    const question = `Pause ${row}? Its messages wait, in their order, until it is resumed; what runs ends.`;
    const given = await asked(question, "Pause it", [{ name: "reason", title: "Reason, which is shown meanwhile" }]);
    if (given !== undefined) await change({ do: "pause", ...of, reason: given.reason });
  }

  async function pauseOrResumeSchedule(row: string): Promise<void> {
    const schedule = schedules.row(row);
    if (schedule === undefined) return;
    const { contract, id, key, paused } = schedule;
    if (paused !== undefined) {
      const agreed = await confirmed(`Resume ${contract} ${id}? It fires from its next time on.`, "Resume it");
      if (agreed) await change({ do: "resume schedule", contract, id: key });
      return;
    }
    const question = `Pause ${contract} ${id}? It does not fire until it is resumed.`;
    const given = await asked(question, "Pause it", [{ name: "reason", title: "Reason, which is shown meanwhile" }]);
    if (given !== undefined) await change({ do: "pause schedule", contract, id: key, reason: given.reason });
  }

  async function cancel(row: string): Promise<void> {
    const schedule = schedules.row(row);
    if (schedule === undefined) return;
    const { contract, id, key } = schedule;
    const question = `Cancel ${contract} ${id}? It does not fire then.`;
    if (await confirmed(question, "Cancel it")) await change({ do: "cancel", contract, id: key });
  }
}
